//! Remembers who refused our login, so that it is not tried every few seconds.
//!
//! Each try stands in the server's log, and some servers lock the account after a few. Meanwhile the
//! refusal itself is the answer, as long as the server answers at all (see [`super::knock`]). Another
//! password or user in the settings is tried at once: that is another endpoint.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use selfheal_agents::model::{Endpoint, Facts};
use tokio::time::Instant;

/// Before the second try. A server that has just started may not know its users yet; ...
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// ... before each later one twice as long, up to this: a login that was mended is seen soon.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Who was not asked for so long is asked by nobody.
const REMEMBERED: Duration = Duration::from_mins(20);

/// Who refused our login.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Vec<Refusal>>);

#[derive(Debug)]
struct Refusal {
    endpoint: Endpoint,
    answer: Facts,
    /// From then on it is tried again.
    until: Instant,
    pause: Duration,
}

impl Refusals {
    /// What a server that refused us answered, as long as it is not to be tried again.
    pub(super) fn known(&self, endpoint: &Endpoint) -> Option<Facts> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refusal = known.iter().find(|refusal| refusal.endpoint == *endpoint)?;
        (Instant::now() < refusal.until).then(|| refusal.answer.clone())
    }

    /// Takes in what a server answered.
    pub(super) fn note(&self, endpoint: &Endpoint, answer: &Facts) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let before = known.iter().find(|refusal| refusal.endpoint == *endpoint);
        let pause = before.map_or(FIRST_PAUSE, |known| (known.pause * 2).min(LONGEST_PAUSE));
        known.retain(|refusal| refusal.endpoint != *endpoint && now < refusal.until + REMEMBERED);
        if is_refused(answer) {
            let (endpoint, answer) = (endpoint.clone(), answer.clone());
            known.push(Refusal { endpoint, answer, until: now + pause, pause });
        }
    }
}

fn is_refused(answer: &Facts) -> bool {
    let error = match answer {
        Facts::Postgres(facts) | Facts::Mysql(facts) => facts.error.as_deref(),
        Facts::Redis(facts) => facts.error.as_deref(),
        _ => None,
    };
    error == Some("auth")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use selfheal_agents::model::{DatabaseEndpoint, RedisFacts, SecretText};
    use selfheal_agents::ports::Prober;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::Probes;
    use super::*;

    fn redis(port: u16, password: &str) -> Endpoint {
        Endpoint::Redis(DatabaseEndpoint {
            host: "127.0.0.1".to_owned(),
            port,
            user: None,
            password: Some(SecretText::new(password)),
            database: None,
            tls: false,
        })
    }

    fn answer(error: Option<&str>) -> Facts {
        let error = error.map(str::to_owned);
        Facts::Redis(RedisFacts { reachable: error.is_none(), error, ..RedisFacts::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_goes_on_refusing_is_tried_ever_more_rarely() {
        let (refusals, endpoint) = (Refusals::default(), redis(6379, "wrong"));
        let mut tries = 0;
        for _ in 0..3600 {
            if refusals.known(&endpoint).is_none() {
                tries += 1;
                refusals.note(&endpoint, &answer(Some("auth")));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!((60..=70).contains(&tries), "{tries}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_lets_us_in_or_is_down_is_asked_each_time() {
        let (refusals, endpoint) = (Refusals::default(), redis(6379, "right"));
        for error in [None, Some("refused"), Some("timeout")] {
            refusals.note(&endpoint, &answer(Some("auth")));
            refusals.note(&endpoint, &answer(error));
            assert_eq!(refusals.known(&endpoint), None, "{error:?}");
        }
    }

    /// A server that refuses every login, and how often one was tried.
    async fn refusing() -> (u16, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, tries) = (listener.local_addr().unwrap().port(), Arc::<AtomicUsize>::default());
        let counted = Arc::clone(&tries);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut asked = [0; 1024];
                while let Ok(read @ 1..) = client.read(&mut asked).await {
                    // Several commands may come at once; each begins with a star.
                    let said = String::from_utf8_lossy(&asked[..read]);
                    counted.fetch_add(said.matches("AUTH").count(), Ordering::SeqCst);
                    let commands = said.matches('*').count();
                    let refusals = "-WRONGPASS invalid password\r\n".repeat(commands);
                    let _ = client.write_all(refusals.as_bytes()).await;
                }
            }
        });
        (port, tries)
    }

    #[tokio::test]
    async fn a_login_that_was_refused_is_told_again_without_a_second_try() {
        let (port, tries) = refusing().await;
        let probes = Probes::new();
        let limit = Duration::from_secs(20);
        let first = probes.probe(&redis(port, "wrong"), limit).await;
        assert!(is_refused(&first), "{first:?}");
        for _ in 0..5 {
            assert_eq!(probes.probe(&redis(port, "wrong"), limit).await, first);
            assert_eq!(probes.glance(&redis(port, "wrong"), limit).await, first);
        }
        assert_eq!(tries.load(Ordering::SeqCst), 1);
        probes.probe(&redis(port, "another"), limit).await;
        assert_eq!(tries.load(Ordering::SeqCst), 2, "the settings have changed");
    }
}
