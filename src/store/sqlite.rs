//! The store on SQLite, in WAL mode with a sync at every commit.
//!
//! One connection writes, a few read. A write is a list of [`Change`]s, data rather than
//! a closure, so that it can be run once more after room was made on a full disk. Records
//! are JSON documents; what is searched for stands in columns beside them.

mod backups;
pub(super) mod checksum;
mod incidents;
mod journal;
mod memory;
mod messages;
mod outbox;
mod outcomes;
mod prune;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use selfheal_agents::model::Timestamp;
use selfheal_agents::ports::{Clock, Occasion, Store, StoreError, StoreResult};
use serde::Serialize;
use sqlx::sqlite::SqliteQueryResult;
use sqlx::{Connection, SqliteConnection, SqlitePool};

use super::damage;
use super::lock::DirLock;
use super::reserve::Reserve;
use super::snapshots::Snapshots;
use super::vault::Vault;
use super::witness::Witness;

/// Everything that is kept, in one data directory.
pub struct SqliteStore {
    dir: PathBuf,
    /// `None` when opened for reading only.
    writer: Option<Writer>,
    reader: SqlitePool,
    vault: Arc<Vault>,
}

/// What only the one writing instance has.
pub(super) struct Writer {
    pub(super) pool: SqlitePool,
    pub(super) reserve: Arc<Reserve>,
    pub(super) witness: Witness,
    pub(super) snapshots: Snapshots,
    pub(super) lock: DirLock,
    pub(super) clock: Arc<dyn Clock>,
}

/// Which writes may use the room kept back for a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Urgency {
    /// It finishes what was begun: journal, incident, outcome, alert.
    MustFinish,
    /// It can be refused: new plans, observations, events, backups.
    Refusable,
}

/// One statement with its values.
struct Change {
    sql: &'static str,
    values: Vec<Value>,
}

#[derive(Clone)]
enum Value {
    Text(String),
    Integer(i64),
    Null,
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Integer(i64::from(yes))
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl Change {
    fn new(sql: &'static str) -> Self {
        Self { sql, values: vec![] }
    }

    fn with(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }
}

impl SqliteStore {
    pub(super) fn new(dir: &Path, writer: Option<Writer>, reader: SqlitePool) -> Self {
        Self { dir: dir.to_owned(), writer, reader, vault: Arc::new(Vault::new(dir)) }
    }

    /// Closes all connections, so that the write-ahead log is folded into the database.
    pub async fn close(self) {
        self.reader.close().await;
        if let Some(writer) = self.writer {
            writer.pool.close().await;
            // Only now may another instance begin.
            drop(writer.lock);
        }
    }

    /// What follows from damage that the start found is written down: it is not told again.
    pub async fn damage_is_told(&self) -> StoreResult<()> {
        let dir = self.dir.clone();
        tokio::task::spawn_blocking(move || damage::told(&dir))
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    fn writer(&self) -> StoreResult<&Writer> {
        self.writer.as_ref().ok_or_else(|| {
            StoreError::Unavailable(
                "it was opened for reading only, because a daemon may be writing".to_owned(),
            )
        })
    }

    /// Makes all changes or none; they are on disk when it returns.
    async fn commit(
        &self,
        urgency: Urgency,
        changes: &[Change],
    ) -> StoreResult<Vec<SqliteQueryResult>> {
        let writer = self.writer()?;
        let first = run(writer, changes).await;
        if urgency == Urgency::MustFinish {
            writer.snapshots.changed();
        }
        let Err(error) = &first else { return first.map_err(|e| self.refused(&e)) };
        if urgency == Urgency::Refusable || !is_disk_full(error) || !writer.reserve.release() {
            return first.map_err(|e| self.refused(&e));
        }
        tracing::error!(
            data_dir = %self.dir.display(),
            "the disk is full; the reserve was given up so that open fixes can be finished: \
             free some space"
        );
        run(writer, changes).await.map_err(|e| self.refused(&e))
    }

    fn refused(&self, error: &sqlx::Error) -> StoreError {
        if is_disk_full(error) {
            return StoreError::Unavailable(format!(
                "the disk that holds {} is full; free some space there",
                self.dir.display()
            ));
        }
        store_error(error)
    }
}

async fn run(writer: &Writer, changes: &[Change]) -> sqlx::Result<Vec<SqliteQueryResult>> {
    let mut connection = writer.pool.acquire().await?;
    match run_on(&mut connection, changes).await {
        Ok((results, count)) => {
            // As long as this one has the connection, nobody writes and notes in between.
            writer.witness.note(count);
            Ok(results)
        }
        Err(error) => {
            // On some errors, a full disk among them, SQLite ends the transaction by itself; the
            // driver does not notice and the connection would refuse every later one.
            let _ = connection.close().await;
            Err(error)
        }
    }
}

async fn run_on(
    connection: &mut SqliteConnection,
    changes: &[Change],
) -> sqlx::Result<(Vec<SqliteQueryResult>, i64)> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let mut results = Vec::with_capacity(changes.len());
    for change in changes {
        let mut query = sqlx::query(change.sql);
        for value in &change.values {
            query = match value {
                Value::Text(text) => query.bind(text.as_str()),
                Value::Integer(number) => query.bind(*number),
                Value::Null => query.bind(None::<String>),
            };
        }
        results.push(query.execute(&mut *transaction).await?);
    }
    let count =
        sqlx::query_scalar("UPDATE commits SET count = count + 1 WHERE id = 1 RETURNING count")
            .fetch_one(&mut *transaction)
            .await?;
    transaction.commit().await?;
    Ok((results, count))
}

/// SQLite's extended result codes for "no room": `FULL`, `IOERR_WRITE`, `IOERR_FSYNC`,
/// `IOERR_TRUNCATE` and `IOERR_SHMSIZE` (<https://sqlite.org/rescode.html>).
const NO_ROOM: [&str; 5] = ["13", "778", "1034", "1546", "4874"];
/// `CORRUPT`, `NOTADB` and `CORRUPT_INDEX`.
const DAMAGED: [&str; 3] = ["11", "26", "779"];

fn has_code(error: &sqlx::Error, codes: &[&str]) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    error.code().is_some_and(|code| codes.contains(&code.as_ref()))
}

fn is_disk_full(error: &sqlx::Error) -> bool {
    has_code(error, &NO_ROOM)
}

pub(super) fn is_damaged(error: &sqlx::Error) -> bool {
    has_code(error, &DAMAGED)
}

pub(super) fn store_error(error: &sqlx::Error) -> StoreError {
    let decoding = matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_));
    if decoding || is_damaged(error) {
        StoreError::Corrupt(error.to_string())
    } else {
        StoreError::Unavailable(error.to_string())
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

/// A limit as SQLite takes it.
fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

#[async_trait]
impl Store for SqliteStore {
    async fn check_writable(&self) -> StoreResult<()> {
        let writer = self.writer()?;
        let change = Change::new("INSERT OR REPLACE INTO write_check (id, at) VALUES (1, $1)")
            .with(time_text(writer.clock.now()));
        self.commit(Urgency::Refusable, &[change]).await?;
        let reserve = Arc::clone(&writer.reserve);
        if !reserve.is_full() {
            // Room may be there again; if not, the next look tries once more.
            let _ = tokio::task::spawn_blocking(move || reserve.fill()).await;
        }
        Ok(())
    }

    async fn take_snapshot(&self, occasion: Occasion) -> StoreResult<bool> {
        let writer = self.writer()?;
        writer.snapshots.take(occasion, writer.clock.now()).await
    }

    async fn prune(&self, now: Timestamp, keep: Duration) -> StoreResult<u64> {
        self.prune_older(now, keep).await
    }
}
