//! The store as statements of SQL that two databases understand alike.
//!
//! Every statement and every way to read a row stands here once; [`Database`] runs them on SQLite
//! or PostgreSQL. What only PostgreSQL would lack (`rowid`, `json_each` of a text) its schema
//! provides. Records are JSON documents; what is searched for stands in columns beside them. A
//! write is a list of [`Change`]s, data rather than a closure, so that it can be run once more
//! after room was made on a full disk.
//!
//! It does not know how to open either database, and backups are files whatever it is.

mod backups;
pub(super) mod change;
pub(super) mod checksum;
mod incidents;
mod journal;
mod memory;
mod messages;
mod outbox;
mod outcomes;
mod prune;
pub(super) mod row;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use selfheal_agents::model::Timestamp;
use selfheal_agents::ports::{Occasion, Store, StoreError, StoreResult};
use serde::Serialize;

use self::change::{Change, Done, Value};
use self::row::Row;
use super::damage;
use super::postgres::Postgres;
use super::sqlite::Sqlite;
use super::vault::Vault;

/// Everything that is kept: rows in a database, backups in a data directory.
pub struct SqlStore {
    dir: PathBuf,
    database: Database,
    vault: Arc<Vault>,
    /// Outcomes recorded since it was opened.
    outcomes: AtomicU64,
    /// Writes of any kind since it was opened.
    writes: AtomicU64,
    /// Whether the server that the history is sent to took what was sent last.
    is_taken: AtomicBool,
}

/// Counts a write at its end, also one that nobody waits for any more (which may still be made a moment
/// later).
struct Counted<'a>(&'a AtomicU64);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Where the rows are.
pub(super) enum Database {
    /// One file in the data directory.
    Sqlite(Sqlite),
    /// A server.
    Postgres(Postgres),
}

impl Database {
    /// What a query answers.
    pub(super) async fn rows(&self, sql: &'static str, values: &[Value]) -> StoreResult<Vec<Row>> {
        match self {
            Self::Sqlite(sqlite) => sqlite.rows(sql, values).await,
            Self::Postgres(postgres) => postgres.rows(sql, values).await,
        }
    }

    /// Makes all changes or none; they are on disk when it returns.
    pub(super) async fn commit(
        &self,
        urgency: Urgency,
        changes: &[Change],
    ) -> StoreResult<Vec<Done>> {
        match self {
            Self::Sqlite(sqlite) => sqlite.commit(urgency, changes).await,
            Self::Postgres(postgres) => postgres.commit(changes).await,
        }
    }
}

/// Which writes may use the room kept back for a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// It finishes what was begun: journal, incident, outcome, alert.
    MustFinish,
    /// It can be refused: new plans, observations, events, backups.
    Refusable,
}

impl SqlStore {
    pub(super) fn new(dir: &Path, database: Database) -> Self {
        Self {
            dir: dir.to_owned(),
            database,
            vault: Arc::new(Vault::new(dir)),
            outcomes: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            is_taken: AtomicBool::new(false),
        }
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// Notes whether the server that the history is sent to takes it.
    pub(super) fn set_taken(&self, yes: bool) {
        self.is_taken.store(yes, Ordering::Relaxed);
    }

    /// Whether the server that the history is sent to took what was sent last; not before the first.
    pub fn is_taken(&self) -> bool {
        self.is_taken.load(Ordering::Relaxed)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Closes all connections, so that nothing is left to be folded in.
    pub async fn close(self) {
        match self.database {
            Database::Sqlite(sqlite) => sqlite.close().await,
            Database::Postgres(postgres) => postgres.close().await,
        }
    }

    /// What the server's clock says, where the rows are on one.
    pub async fn server_time(&self) -> StoreResult<Option<Timestamp>> {
        let Database::Postgres(postgres) = &self.database else { return Ok(None) };
        let asked = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC',
                                    'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS now";
        let rows = postgres.rows(asked, &[]).await?;
        let text = rows.first().map_or(Ok(""), |row| row.text("now"))?;
        Ok(text.parse().ok())
    }

    /// What follows from damage that the start found is written down: it is not told again.
    pub async fn damage_is_told(&self) -> StoreResult<()> {
        let dir = self.dir.clone();
        tokio::task::spawn_blocking(move || damage::told(&dir))
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    async fn rows(&self, sql: &'static str, values: &[Value]) -> StoreResult<Vec<Row>> {
        self.database.rows(sql, values).await
    }

    async fn first(&self, sql: &'static str, values: &[Value]) -> StoreResult<Option<Row>> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    async fn commit(&self, urgency: Urgency, changes: &[Change]) -> StoreResult<Vec<Done>> {
        let _counted = Counted(&self.writes);
        self.database.commit(urgency, changes).await
    }

    /// The time of whoever may write; an error where the store was opened for reading only.
    fn write_time(&self) -> StoreResult<Timestamp> {
        let clock = match &self.database {
            Database::Sqlite(sqlite) => &sqlite.writer()?.clock,
            Database::Postgres(postgres) => postgres.clock()?,
        };
        Ok(clock.now())
    }

    /// The room kept back for a full disk, where there is any.
    fn reserve(&self) -> Option<Arc<super::reserve::Reserve>> {
        match &self.database {
            Database::Sqlite(sqlite) => {
                sqlite.writer().ok().map(|writer| Arc::clone(&writer.reserve))
            }
            Database::Postgres(_) => None,
        }
    }
}

/// The text under which a time is stored and compared: microseconds, always the same
/// width, so that the order of texts is the order of times.
fn time_text(at: Timestamp) -> String {
    at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn encode(document: &impl Serialize) -> StoreResult<String> {
    serde_json::to_string(document).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// A limit as a database takes it.
fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

#[async_trait]
impl Store for SqlStore {
    fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    async fn check_writable(&self) -> StoreResult<()> {
        let change = Change::new(
            "INSERT INTO write_check (id, at) VALUES (1, $1)
             ON CONFLICT (id) DO UPDATE SET at = excluded.at",
        )
        .with(time_text(self.write_time()?));
        self.commit(Urgency::Refusable, &[change]).await?;
        if let Some(reserve) = self.reserve().filter(|reserve| !reserve.is_full()) {
            // Room may be there again; if not, the next look tries once more.
            let _ = tokio::task::spawn_blocking(move || reserve.fill()).await;
        }
        Ok(())
    }

    async fn take_snapshot(&self, occasion: Occasion) -> StoreResult<bool> {
        match &self.database {
            Database::Sqlite(sqlite) => {
                let writer = sqlite.writer()?;
                writer.snapshots.take(occasion, writer.clock.now()).await
            }
            // Whoever runs the server has its own ways.
            Database::Postgres(_) => Ok(false),
        }
    }

    async fn prune(&self, now: Timestamp, keep: Duration) -> StoreResult<u64> {
        self.prune_older(now, keep).await
    }
}
