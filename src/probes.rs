//! Asks databases, caches and endpoints from outside, as their clients would.
//!
//! Invariant: every question ends within the caller's limit, and a service that is down
//! is an answer, not an error. Reasons are words that a check can show (`refused`,
//! `timeout`, `dns`, `tls`, `auth`, …) or a short cleaned text; a password is in none of
//! them. It keeps no connection between two questions: whether a new client gets in is
//! what is asked. Only a login that was refused is not tried again for a while, see [`refusals`];
//! that its server still answers is asked each time, see [`knock`].

mod blocking;
pub(crate) mod certificate;
mod command;
mod http;
mod knock;
mod mysql;
mod postgres;
mod redis;
mod refusals;
mod tcp;

pub(crate) use self::http::tls_fault;

use std::io;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use selfheal_agents::model::{
    DatabaseEndpoint, Endpoint, Facts, HIDDEN, RedisClient, SecretText, ServerSetting, Session,
    SettingNow, Timestamp, clean,
};
use selfheal_agents::ports::{Prober, Servers, WorldError, WorldResult};

use crate::leave;

/// Reasons are for a line in a table.
const LONGEST_REASON: usize = 200;

/// Asks PostgreSQL, MySQL, Redis, HTTP and TCP endpoints, and changes what fixes may change of servers.
#[derive(Debug, Default)]
pub struct Probes {
    http: http::HttpProbe,
    refusals: refusals::Refusals,
}

/// How much is asked of a database server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Whether it answers.
    Answer,
    /// Whatever it tells of itself.
    Everything,
}

impl Probes {
    /// Makes sure that a provider of cryptography is installed, once for the process.
    pub fn new() -> Self {
        // An error says that one is installed already: that is what is wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self::default()
    }

    async fn ask(&self, endpoint: &Endpoint, limit: Duration, extent: Extent) -> Facts {
        let start = tokio::time::Instant::now();
        if let Some(refused) = self.refusals.known(endpoint)
            && knock::is_answered(endpoint, limit).await
        {
            return refused;
        }
        // Who no longer answers is asked with what is left of the time: why, the answer says.
        let limit = limit.saturating_sub(start.elapsed());
        let answer = match endpoint {
            Endpoint::Postgres(endpoint) => {
                Facts::Postgres(postgres::ask(endpoint, limit, extent).await)
            }
            Endpoint::Mysql(endpoint) => Facts::Mysql(mysql::ask(endpoint, limit, extent).await),
            Endpoint::Redis(endpoint) => Facts::Redis(redis::ask(endpoint, limit).await),
            Endpoint::Http(endpoint) => Facts::Http(self.http.ask(endpoint, limit).await),
            Endpoint::Tcp { host, port } => Facts::Tcp(tcp::ask(host, *port, limit).await),
        };
        self.refusals.note(endpoint, &answer);
        answer
    }
}

#[async_trait]
impl Prober for Probes {
    async fn probe(&self, endpoint: &Endpoint, limit: Duration) -> Facts {
        self.ask(endpoint, limit, Extent::Everything).await
    }

    async fn glance(&self, endpoint: &Endpoint, limit: Duration) -> Facts {
        self.ask(endpoint, limit, Extent::Answer).await
    }

    async fn terminate_backends(
        &self,
        endpoint: &Endpoint,
        sessions: &[Session],
    ) -> WorldResult<u32> {
        leave::for_call("a change of a server", command::LIMIT)?;
        match endpoint {
            Endpoint::Postgres(endpoint) => postgres::terminate(endpoint, sessions).await,
            Endpoint::Mysql(endpoint) => mysql::kill::end(endpoint, sessions).await,
            _ => Err(WorldError::Refused {
                what: "ending database sessions".to_owned(),
                why: "the target is no database server".to_owned(),
            }),
        }
    }
}

#[async_trait]
impl Servers for Probes {
    async fn setting(
        &self,
        endpoint: &Endpoint,
        setting: ServerSetting,
    ) -> WorldResult<SettingNow> {
        match endpoint {
            Endpoint::Redis(endpoint) => redis::change::setting(endpoint, setting).await,
            Endpoint::Postgres(endpoint) if setting.is_of_postgres() => {
                postgres::change::setting(endpoint, setting).await
            }
            _ => Err(unfit(setting)),
        }
    }

    async fn set_setting(
        &self,
        endpoint: &Endpoint,
        setting: ServerSetting,
        value: Option<&str>,
    ) -> WorldResult<()> {
        leave::for_call("a change of a server", command::LIMIT)?;
        match (endpoint, value) {
            (Endpoint::Redis(endpoint), Some(value)) => {
                redis::change::set(endpoint, setting, value).await
            }
            (Endpoint::Postgres(endpoint), value) if setting.is_of_postgres() => {
                postgres::change::set(endpoint, setting, value).await
            }
            _ => Err(unfit(setting)),
        }
    }

    async fn config_loaded_at(&self, endpoint: &Endpoint) -> WorldResult<Timestamp> {
        match endpoint {
            Endpoint::Postgres(endpoint) => postgres::change::loaded_at(endpoint).await,
            _ => Err(no_files()),
        }
    }

    async fn load_config(&self, endpoint: &Endpoint) -> WorldResult<()> {
        leave::for_call("a change of a server", command::LIMIT)?;
        match endpoint {
            Endpoint::Postgres(endpoint) => postgres::change::load(endpoint).await,
            _ => Err(no_files()),
        }
    }

    async fn kill_clients(&self, endpoint: &Endpoint, clients: &[RedisClient]) -> WorldResult<u32> {
        leave::for_call("a change of a server", command::LIMIT)?;
        match endpoint {
            Endpoint::Redis(endpoint) => redis::change::kill(endpoint, clients).await,
            _ => Err(WorldError::Refused {
                what: "ending idle connections".to_owned(),
                why: "the target is not a Redis server".to_owned(),
            }),
        }
    }
}

fn unfit(setting: ServerSetting) -> WorldError {
    WorldError::Refused {
        what: format!("the setting `{}`", setting.name()),
        why: "this server has none of that name, or it cannot be unset".to_owned(),
    }
}

fn no_files() -> WorldError {
    WorldError::Refused {
        what: "loading configuration files".to_owned(),
        why: "the target is not a PostgreSQL server".to_owned(),
    }
}

/// The word for a connection that failed, if there is one.
fn word_of(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Some("refused"),
        io::ErrorKind::TimedOut => Some("timeout"),
        // The resolver's errors have no kind of their own.
        _ if error.to_string().contains("failed to lookup address") => Some("dns"),
        _ => None,
    }
}

/// A stranger's error as a short reason, without the password in any form.
fn reason(error: &dyn std::fmt::Display, password: Option<&SecretText>) -> String {
    let mut text = error.to_string();
    if let Some(password) = password.map(SecretText::expose).filter(|secret| !secret.is_empty()) {
        text = text.replace(password, HIDDEN);
    }
    clean(&text, LONGEST_REASON)
}

fn elapsed_ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// How errors name a database, without its password.
fn address(endpoint: &DatabaseEndpoint) -> String {
    format!("{}:{}", endpoint.host, endpoint.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_never_holds_the_password() {
        let password = SecretText::new("hunter2 ");
        let shown = reason(&"login hunter2 \u{1b}[31mfailed", Some(&password));
        assert_eq!(shown, "login ***[31mfailed");
    }
}
