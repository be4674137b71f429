//! SQLite as the database: WAL mode with a sync at every commit.
//!
//! One connection writes, a few read. It runs statements and knows none of them; what a full disk
//! or a damaged file means is decided here.

pub(super) mod seal;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use selfheal_agents::ports::{Clock, StoreError, StoreResult};
use sqlx::{Connection, Row as _, Sqlite as Driver, SqliteConnection, SqlitePool};

use super::lock::DirLock;
use super::reserve::Reserve;
use super::snapshots::Snapshots;
use super::sql::Urgency;
use super::sql::change::{Change, Done, Value, bound};
use super::sql::row::Row;
use super::witness::Witness;

/// One database file.
pub(super) struct Sqlite {
    dir: PathBuf,
    /// `None` when opened for reading only.
    writer: Option<Writer>,
    reader: SqlitePool,
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

impl Sqlite {
    pub(super) fn new(dir: &Path, writer: Option<Writer>, reader: SqlitePool) -> Self {
        Self { dir: dir.to_owned(), writer, reader }
    }

    pub(super) fn writer(&self) -> StoreResult<&Writer> {
        self.writer.as_ref().ok_or_else(|| {
            StoreError::Unavailable(
                "it was opened for reading only, because a daemon may be writing".to_owned(),
            )
        })
    }

    /// Closes all connections, so that the write-ahead log is folded into the database.
    pub(super) async fn close(self) {
        self.reader.close().await;
        if let Some(writer) = self.writer {
            writer.pool.close().await;
            // Only now may another instance begin.
            drop(writer.lock);
        }
    }

    pub(super) async fn rows(&self, sql: &'static str, values: &[Value]) -> StoreResult<Vec<Row>> {
        let rows = bound::<Driver>(sql, values).fetch_all(&self.reader).await;
        let rows = rows.map_err(|error| store_error(&error))?;
        Ok(rows.into_iter().map(Row::Sqlite).collect())
    }

    /// Makes all changes or none; they are on disk when it returns.
    pub(super) async fn commit(
        &self,
        urgency: Urgency,
        changes: &[Change],
    ) -> StoreResult<Vec<Done>> {
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

async fn run(writer: &Writer, changes: &[Change]) -> sqlx::Result<Vec<Done>> {
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
) -> sqlx::Result<(Vec<Done>, i64)> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let results = run_each(&mut transaction, changes).await?;
    let count =
        sqlx::query_scalar("UPDATE commits SET count = count + 1 WHERE id = 1 RETURNING count")
            .fetch_one(&mut *transaction)
            .await?;
    transaction.commit().await?;
    Ok((results, count))
}

/// Runs changes one after the other; whoever calls it has begun a transaction.
pub(super) async fn run_each(
    connection: &mut SqliteConnection,
    changes: &[Change],
) -> sqlx::Result<Vec<Done>> {
    let mut results = Vec::with_capacity(changes.len());
    for change in changes {
        let query = bound::<Driver>(change.sql.clone(), &change.values);
        results.push(if change.is_answered {
            let row = query.fetch_one(&mut *connection).await?;
            Done { rows: 1, number: Some(row.try_get(0)?) }
        } else {
            let rows = query.execute(&mut *connection).await?.rows_affected();
            Done { rows, number: None }
        });
    }
    Ok(results)
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
