//! Asks PostgreSQL for its answer time, its connections and who is in whose way.
//!
//! Invariant: it reads only the server's own views, in one short-lived session with a
//! statement time limit; [`terminate`] ends sessions that are known by process id *and* start
//! time, never its own. What of its configuration may be changed is in `change`.

mod blocking;
pub(super) mod change;
mod config;

use std::time::{Duration, Instant};

use selfheal_agents::model::{Backend, DatabaseEndpoint, DatabaseFacts, Session, Timestamp, clean};
use selfheal_agents::ports::WorldResult;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Connection};

use super::Extent;
use super::command::{LIMIT, within};

/// Names come from strangers.
const LONGEST_NAME: usize = 64;

/// The names under which PostgreSQL's own programs for backups connect.
const BACKUP_PROGRAMS: [&str; 4] = ["pg_basebackup", "pg_dump", "pg_dumpall", "pg_restore"];

/// Columns of `pg_stat_activity` that make a [`Backend`].
type BackendRow = (i32, Option<i64>, Option<String>, Option<f64>, Option<String>, Option<String>);

pub(super) async fn ask(
    endpoint: &DatabaseEndpoint,
    limit: Duration,
    extent: Extent,
) -> DatabaseFacts {
    let mut facts = DatabaseFacts::default();
    let outcome = tokio::time::timeout(limit, fill(&mut facts, endpoint, limit, extent)).await;
    // What was answered before the time ran out stays.
    if facts.reachable {
        return facts;
    }
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let code = error
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code)
                .map(std::borrow::Cow::into_owned);
            facts.in_recovery = code.as_deref() == Some("57P03");
            facts.error = Some(word_of(&error, endpoint));
            facts.sqlstate = code;
        }
        Err(_) => facts.error = Some("timeout".to_owned()),
    }
    facts
}

/// Reachable once `SELECT 1` is answered; what a later question refuses stays unknown.
async fn fill(
    facts: &mut DatabaseFacts,
    endpoint: &DatabaseEndpoint,
    limit: Duration,
    extent: Extent,
) -> Result<(), sqlx::Error> {
    let start = Instant::now();
    let mut session = connect(endpoint, limit).await?;
    sqlx::query("SELECT 1").execute(&mut session).await?;
    facts.latency_ms = Some(super::elapsed_ms(start));
    facts.reachable = true;
    if extent == Extent::Everything {
        read_all(facts, &mut session).await?;
    }
    session.close().await
}

async fn read_all(
    facts: &mut DatabaseFacts,
    session: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    read_counts(facts, session).await?;
    facts.idle_in_transaction = idle_in_transaction(session).await?;
    (facts.blockers, facts.blocked) = blocking::blockers(session).await?;
    facts.settings = config::settings(session).await?;
    facts.config = config::state(session).await?;
    Ok(())
}

async fn connect(
    endpoint: &DatabaseEndpoint,
    limit: Duration,
) -> Result<PgConnection, sqlx::Error> {
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&endpoint.host)
        .port(endpoint.port)
        // Set even if there is none: else the client would send its own environment's
        // password and names to whatever server this is.
        .password(endpoint.password.as_ref().map_or("", |password| password.expose()))
        .username(endpoint.user.as_deref().unwrap_or("postgres"))
        .application_name("selfheal")
        .ssl_mode(if endpoint.tls { PgSslMode::Require } else { PgSslMode::Prefer })
        .options([("statement_timeout", limit.as_millis().max(1).to_string())])
        .disable_statement_logging();
    let user = endpoint.user.as_deref().unwrap_or("postgres");
    options = options.database(endpoint.database.as_deref().unwrap_or(user));
    PgConnection::connect_with(&options).await
}

async fn read_counts(
    facts: &mut DatabaseFacts,
    session: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    let (connections, most, in_recovery, backups): (i64, i32, bool, Vec<String>) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM pg_stat_activity
                  WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
                current_setting('max_connections')::int4
                  - current_setting('superuser_reserved_connections')::int4
                  - coalesce(current_setting('reserved_connections', true)::int4, 0),
                pg_is_in_recovery(),
                (SELECT coalesce(array_agg(DISTINCT application_name), '{}')
                   FROM pg_stat_activity WHERE application_name = ANY($1))",
    )
    .bind(BACKUP_PROGRAMS)
    .fetch_one(session)
    .await?;
    facts.connections = u32::try_from(connections).ok();
    facts.max_connections = u32::try_from(most).ok();
    facts.in_recovery = in_recovery;
    facts.backups = backups;
    Ok(())
}

async fn idle_in_transaction(session: &mut PgConnection) -> Result<Vec<Backend>, sqlx::Error> {
    let rows: Vec<BackendRow> = sqlx::query_as(
        "SELECT pid, (extract(epoch FROM backend_start) * 1000000)::int8, state,
                extract(epoch FROM clock_timestamp() - state_change)::float8,
                usename::text, application_name
           FROM pg_stat_activity
          WHERE state LIKE 'idle in transaction%' AND pid <> pg_backend_pid()
            AND backend_type = 'client backend'
          ORDER BY state_change
          LIMIT 200",
    )
    .fetch_all(session)
    .await?;
    Ok(rows.into_iter().map(|row| backend(row, 0)).collect())
}

fn backend(row: BackendRow, blocks: u32) -> Backend {
    let (pid, started_micros, state, state_secs, user, application) = row;
    let name = |text: Option<String>| clean(&text.unwrap_or_default(), LONGEST_NAME);
    Backend {
        pid: pid.into(),
        backend_start: started_micros.and_then(Timestamp::from_timestamp_micros),
        address: String::new(),
        state: name(state),
        state_secs: state_secs.unwrap_or(0.0).max(0.0),
        user: name(user),
        application: name(application),
        blocks,
    }
}

fn word_of(error: &sqlx::Error, endpoint: &DatabaseEndpoint) -> String {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let word = match code.as_deref() {
        Some("53300") => Some("too_many_connections"),
        Some("57P03") => Some("starting"),
        Some("28P01" | "28000") => Some("auth"),
        _ => match error {
            sqlx::Error::Io(error) => super::word_of(error),
            _ => None,
        },
    };
    word.map_or_else(|| super::reason(error, endpoint.password.as_ref()), str::to_owned)
}

/// Ends sessions. Those without a known start time are left alone: their number may
/// belong to somebody else by now.
pub(super) async fn terminate(
    endpoint: &DatabaseEndpoint,
    sessions: &[Session],
) -> WorldResult<u32> {
    let known = sessions.iter().filter_map(|session| {
        Some((i32::try_from(session.pid).ok()?, session.backend_start?.timestamp_micros()))
    });
    let (pids, starts): (Vec<i32>, Vec<i64>) = known.unzip();
    if pids.is_empty() {
        return Ok(0);
    }
    let what = format!("ending sessions of PostgreSQL at {}", super::address(endpoint));
    within(what, endpoint, word_of, end_sessions(endpoint, &pids, &starts)).await
}

async fn end_sessions(
    endpoint: &DatabaseEndpoint,
    pids: &[i32],
    starts: &[i64],
) -> Result<u32, sqlx::Error> {
    let mut session = connect(endpoint, LIMIT).await?;
    let (ended,): (i64,) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE was_ended) FROM (
            SELECT pg_terminate_backend(activity.pid) AS was_ended
              FROM unnest($1::int4[], $2::int8[]) AS wanted (pid, started)
              JOIN pg_stat_activity AS activity
                ON activity.pid = wanted.pid
               AND (extract(epoch FROM activity.backend_start) * 1000000)::int8 = wanted.started
             WHERE activity.pid <> pg_backend_pid()
               AND activity.backend_type = 'client backend'
               -- One that works again since it was chosen, or has ended its transaction, is in
               -- nobody's way.
               AND activity.state LIKE 'idle in transaction%'
         ) AS sessions",
    )
    .bind(pids)
    .bind(starts)
    .fetch_one(&mut session)
    .await?;
    // Failing to say goodbye changes nothing of what was done.
    let _ = session.close().await;
    Ok(u32::try_from(ended).unwrap_or(u32::MAX))
}
