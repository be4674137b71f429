//! Asks MySQL and MariaDB for their answer time, their connections and who is in whose way.
//!
//! Invariant: it reads only what the server says of itself, in one short-lived session; who may see
//! nobody else is told only of himself. What ends sessions is in `kill`. Both servers keep one
//! connection more than `max_connections` for administrators: by that such a user gets in when all
//! others are taken.

pub(super) mod kill;
mod sessions;

use std::time::{Duration, Instant};

use selfheal_agents::model::{DatabaseEndpoint, DatabaseFacts};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlSslMode};
use sqlx::{ConnectOptions, Connection};

use super::Extent;

/// `ER_CON_COUNT_ERROR`.
const ALL_TAKEN: u16 = 1040;
/// Between two tries to get in.
const PAUSE: Duration = Duration::from_millis(50);
/// Nobody waits long to hear that all places are taken.
const TRIES_TO_ASK: u32 = 4;

pub(super) async fn ask(
    endpoint: &DatabaseEndpoint,
    limit: Duration,
    extent: Extent,
) -> DatabaseFacts {
    let mut facts = DatabaseFacts::default();
    let outcome = tokio::time::timeout(limit, fill(&mut facts, endpoint, extent)).await;
    // What was answered before the time ran out stays.
    if !facts.reachable {
        facts.error = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(word_of(&error, endpoint)),
            Err(_) => Some("timeout".to_owned()),
        };
    }
    facts
}

/// Reachable once `SELECT 1` is answered; what a later question refuses stays unknown.
async fn fill(
    facts: &mut DatabaseFacts,
    endpoint: &DatabaseEndpoint,
    extent: Extent,
) -> Result<(), sqlx::Error> {
    let start = Instant::now();
    let mut session = enter(endpoint, TRIES_TO_ASK).await?;
    sqlx::raw_sql("SELECT 1").execute(&mut session).await?;
    facts.latency_ms = Some(super::elapsed_ms(start));
    facts.reachable = true;
    let read = match extent {
        Extent::Everything => sessions::read(facts, &mut session).await,
        Extent::Answer => Ok(()),
    };
    // Without a goodbye the server writes of an aborted connection each time.
    let closed = session.close().await;
    read.and(closed)
}

/// Tries again where all places are taken: the administrators' one may be left by ourselves a moment
/// ago, which the server notices late.
async fn enter(endpoint: &DatabaseEndpoint, tries: u32) -> Result<MySqlConnection, sqlx::Error> {
    for _ in 1..tries {
        match connect(endpoint).await {
            Err(error) if number(&error) == Some(ALL_TAKEN) => tokio::time::sleep(PAUSE).await,
            answer => return answer,
        }
    }
    connect(endpoint).await
}

/// Says nothing but the login: no time zone, no mode, no character set of its own.
async fn connect(endpoint: &DatabaseEndpoint) -> Result<MySqlConnection, sqlx::Error> {
    let mut options = MySqlConnectOptions::new()
        .host(&endpoint.host)
        .port(endpoint.port)
        .username(endpoint.user.as_deref().unwrap_or("root"))
        .ssl_mode(if endpoint.tls { MySqlSslMode::Required } else { MySqlSslMode::Preferred })
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        .set_names(false)
        .disable_statement_logging();
    if let Some(password) = &endpoint.password {
        options = options.password(password.expose());
    }
    if let Some(database) = &endpoint.database {
        options = options.database(database);
    }
    MySqlConnection::connect_with(&options).await
}

/// The server's own number of an error.
fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?;
    Some(error.number())
}

/// By the numbers of the manual: 1040 all connections, 1203 and 1226 all of this user's; 1044, 1045,
/// 1130, 1227, 1698 and 2061 a login that is refused.
fn word_of(error: &sqlx::Error, endpoint: &DatabaseEndpoint) -> String {
    let word = match number(error) {
        Some(ALL_TAKEN | 1203 | 1226) => Some("too_many_connections"),
        Some(1044 | 1045 | 1130 | 1227 | 1698 | 2061) => Some("auth"),
        _ => match error {
            sqlx::Error::Io(error) => super::word_of(error),
            _ => None,
        },
    };
    word.map_or_else(|| super::reason(error, endpoint.password.as_ref()), str::to_owned)
}
