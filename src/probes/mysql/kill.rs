//! Ends sessions of MySQL and MariaDB that sleep.
//!
//! Never one that works, nor one of replication or of the server itself, nor its own; and one that was
//! chosen for its transaction only while it has one. By id *and* the client's address: after a restart
//! of the server its ids begin anew. Between the last look and the end of a session its client may
//! begin something all the same: the server knows no end on a condition.

use std::time::Duration;

use selfheal_agents::model::{DatabaseEndpoint, Session};
use selfheal_agents::ports::WorldResult;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::sessions::{Client, clients};
use super::{PAUSE, enter, number, word_of};
use crate::probes::command::within;

/// `ER_NO_SUCH_THREAD`: it has gone by itself.
const GONE: u16 = 1094;
/// The time limit ends them.
const TRIES: u32 = u32::MAX;
/// InnoDB tells anew who has a transaction only where nobody asked that for a tenth of a second, and
/// whoever asked a moment ago was us.
const TOLD_ANEW: Duration = Duration::from_millis(150);

pub(in crate::probes) async fn end(
    endpoint: &DatabaseEndpoint,
    sessions: &[Session],
) -> WorldResult<u32> {
    let what = format!("ending sessions of MySQL at {}", crate::probes::address(endpoint));
    let asked = async {
        let mut session = enter(endpoint, TRIES).await?;
        if sessions.iter().any(|one| one.in_transaction) {
            tokio::time::sleep(TOLD_ANEW).await;
        }
        let mut ended = vec![];
        for id in sleeping(&mut session, sessions).await? {
            let kill = AssertSqlSafe(format!("KILL CONNECTION {id}"));
            match sqlx::raw_sql(kill).execute(&mut session).await {
                Ok(_) => ended.push(id),
                Err(error) if number(&error) == Some(GONE) => {}
                Err(error) => return Err(error),
            }
        }
        // One that was killed gives its locks and its place back only when it has noticed and
        // taken back what it did; until then it is there, at whatever command. That may take
        // longer than one call waits: the next one goes on waiting.
        while is_ending(&mut session, &ended, sessions).await? {
            tokio::time::sleep(PAUSE).await;
        }
        // Failing to say goodbye changes nothing of what was done.
        let _ = session.close().await;
        Ok(u32::try_from(ended.len()).unwrap_or(u32::MAX))
    };
    within(what, endpoint, word_of, asked).await
}

/// Whether a session that was `ended` is still there, or a wanted one that somebody killed before.
async fn is_ending(
    session: &mut MySqlConnection,
    ended: &[i64],
    wanted: &[Session],
) -> Result<bool, sqlx::Error> {
    let all: Vec<(i64, String, String)> = sqlx::query_as(
        "SELECT CAST(id AS SIGNED), host, command FROM information_schema.processlist",
    )
    .fetch_all(session)
    .await?;
    let is_wanted = |id, address: &str| wanted.iter().any(|w| w.pid == id && w.address == address);
    Ok(all.iter().any(|(id, address, command)| {
        ended.contains(id) || (command == "Killed" && is_wanted(*id, address))
    }))
}

/// Those of `wanted` that are there and sleep, with the transaction that they were chosen for.
async fn sleeping(
    session: &mut MySqlConnection,
    wanted: &[Session],
) -> Result<Vec<i64>, sqlx::Error> {
    let is_meant = |one: &Client, wanted: &Session| {
        wanted.pid == one.id
            && wanted.address == one.address
            && (!wanted.in_transaction || one.is_in_transaction())
    };
    let all = clients(session).await?;
    let sleeping = all.iter().filter(|one| one.sleeps());
    let meant = sleeping.filter(|one| wanted.iter().any(|wanted| is_meant(one, wanted)));
    Ok(meant.map(|one| one.id).collect())
}
