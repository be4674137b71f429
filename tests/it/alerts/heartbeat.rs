//! Signs of life against a real receiver.

use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use selfheal::alerts::{Fares, Heart, heartbeat};
use selfheal::config::{Secret, Settings};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const OFTEN: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(30);

/// A switch that counts the signs and answers as it is told to.
#[derive(Default)]
struct Switch {
    signs: AtomicU32,
    status: AtomicU16,
}

struct Beating {
    switch: Arc<Switch>,
    heart: Arc<Heart>,
    hang: Arc<Mutex<Option<String>>>,
    settings: watch::Sender<Arc<Settings>>,
    cancel: CancellationToken,
}

impl Beating {
    async fn start() -> Self {
        let switch = Arc::new(Switch { status: AtomicU16::new(200), ..Switch::default() });
        let counts = Arc::clone(&switch);
        let answer = move || {
            counts.signs.fetch_add(1, Ordering::SeqCst);
            let status = StatusCode::from_u16(counts.status.load(Ordering::SeqCst));
            std::future::ready(status.expect("a status"))
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let routes = Router::new().route("/ping/me", get(answer));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let mut settings = Settings::default();
        settings.heartbeat.url = Some(Secret::new(format!("http://{address}/ping/me")));
        settings.heartbeat.every = OFTEN;
        let (settings, in_force) = watch::channel(Arc::new(settings));
        let (heart, hang) = (Arc::<Heart>::default(), Arc::<Mutex<Option<String>>>::default());
        let (stopped, cancel) = (Arc::clone(&hang), CancellationToken::new());
        let stopped = move || stopped.lock().expect("no test panics inside").clone();
        tokio::spawn(heartbeat(in_force, stopped, Arc::clone(&heart), cancel.clone()));
        Self { switch, heart, hang, settings, cancel }
    }

    fn signs(&self) -> u32 {
        self.switch.signs.load(Ordering::SeqCst)
    }

    async fn until(&self, wanted: impl Fn(&Self) -> bool) {
        let seen = async {
            while !wanted(self) {
                tokio::time::sleep(OFTEN).await;
            }
        };
        tokio::time::timeout(LIMIT, seen).await.expect("it comes about");
    }

    /// Whether signs still come, once what was under way has come.
    async fn still_come(&self) -> bool {
        tokio::time::sleep(OFTEN * 10).await;
        let before = self.signs();
        tokio::time::sleep(OFTEN * 20).await;
        self.signs() > before
    }
}

#[tokio::test]
async fn signs_come_while_all_turns_and_stay_away_while_something_hangs() {
    let beating = Beating::start().await;
    beating.until(|all| all.signs() >= 3 && all.heart.fares() == Fares::Arrives).await;
    *beating.hang.lock().unwrap() = Some("a cycle does not end".to_owned());
    beating.until(|all| all.heart.fares() == Fares::Withheld).await;
    assert!(!beating.still_come().await, "it would say that all is well");
    *beating.hang.lock().unwrap() = None;
    beating.until(|all| all.heart.fares() == Fares::Arrives).await;
    assert!(beating.still_come().await);
    beating.cancel.cancel();
    assert!(!beating.still_come().await);
}

#[tokio::test]
async fn one_that_is_refused_is_told_and_the_next_one_tried() {
    let beating = Beating::start().await;
    beating.until(|all| all.heart.fares() == Fares::Arrives).await;
    beating.switch.status.store(404, Ordering::SeqCst);
    beating.until(|all| all.heart.fares() == Fares::Lost).await;
    let arrived = beating.heart.arrived();
    assert!(beating.still_come().await);
    assert_eq!(beating.heart.arrived(), arrived, "a refusal is no arrival");
    beating.switch.status.store(200, Ordering::SeqCst);
    beating.until(|all| all.heart.fares() == Fares::Arrives).await;
}

#[tokio::test]
async fn an_address_that_is_taken_away_ends_the_signs_at_once() {
    let beating = Beating::start().await;
    beating.until(|all| all.signs() > 0).await;
    beating.settings.send_modify(|settings| Arc::make_mut(settings).heartbeat.url = None);
    beating.until(|all| all.heart.fares() == Fares::Unknown).await;
    assert!(!beating.still_come().await);
}
