//! Tells whether a database file can be trusted: its pages, its indexes, its schema, each row, and
//! that nothing of what was written to it is missing. It changes nothing, not even by folding a
//! write-ahead log in: what is found damaged is kept as it was.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use super::open::SCHEMA;
use super::sqlite::seal as sealed;
use super::witness;

/// The schema since which rows have checksums, and writes are counted.
pub(super) const WITH_CHECKSUMS: i64 = 3;
/// Where the steps of the schema stand.
const STEPS: &str = "_sqlx_migrations";

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It can be trusted. Nothing at all can, too: it is a new one.
    Sound,
    /// It has no content at all, which a first start that was interrupted leaves as well.
    Empty,
    /// A newer Selfheal wrote it, with this schema; its rows are not examined.
    Newer(i64),
    /// It cannot be trusted.
    Damaged {
        /// Why, for the log.
        why: String,
    },
}

/// Why nothing was found out.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExamineError {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error(transparent)]
    Failed(sqlx::Error),
}

/// Examines a file, whole or not. One that is not there is sound.
pub(super) async fn examine(file: &Path) -> Result<Verdict, ExamineError> {
    let damaged = |why: String| Ok(Verdict::Damaged { why });
    let header = match read_header(file) {
        Ok(header) => header,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Verdict::Sound),
        Err(error) => return Err(error.into()),
    };
    if header.is_empty() {
        return Ok(Verdict::Empty);
    }
    // The two bytes after the page's size say who may read and write it: with a log, or without.
    let is_ours = header.get(..16) == Some(b"SQLite format 3\0")
        && header.get(18..20).is_some_and(|ways| ways.iter().all(|way| (1..=2).contains(way)));
    if !is_ours {
        return damaged("its header is none of a database".to_owned());
    }
    match look_into(file).await {
        Ok(verdict) => Ok(verdict),
        Err(error) if says_nothing(&error) => Err(ExamineError::Failed(error)),
        // Whatever else is wrong with a file that can be read and has room is the file itself.
        Err(error) => damaged(error.to_string()),
    }
}

fn read_header(file: &Path) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    std::fs::File::open(file)?.take(20).read_to_end(&mut header)?;
    Ok(header)
}

/// Whether an error tells of the machine rather than of the file: `PERM`, `BUSY`, `LOCKED`,
/// `NOMEM`, `READONLY`, `INTERRUPT`, `IOERR`, `FULL`, `CANTOPEN`.
fn says_nothing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(0);
            matches!(code & 0xff, 3 | 5..=10 | 13 | 14)
        }
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::RowNotFound => false,
        _ => true,
    }
}

async fn look_into(file: &Path) -> sqlx::Result<Verdict> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .read_only(true)
        .busy_timeout(Duration::from_secs(5));
    let mut connection = options.connect().await?;
    let verdict = look_with(&mut connection, file).await;
    connection.close().await?;
    verdict
}

async fn look_with(connection: &mut SqliteConnection, file: &Path) -> sqlx::Result<Verdict> {
    let damaged = |why: &str| Ok(Verdict::Damaged { why: why.to_owned() });
    // Not `quick_check`, which takes half the time: what is open or unfinished is looked up in
    // indexes alone, and a damaged one would hide it. 2,000 incidents (11 MB) take SQLite 0.02 s,
    // 100,000 (570 MB) 1.6 s instead of 0.8 s.
    let pages: String =
        sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(&mut *connection).await?;
    if pages != "ok" {
        return damaged(&pages);
    }
    let seal = sealed::seal_in(connection).await?;
    let schema = schema(connection).await?;
    if schema.is_none() && (seal != 0 || objects(connection).await? > 0) {
        return damaged("its schema has no steps");
    }
    if seal != 0 && seal != sealed::seal_of(connection).await? {
        return damaged("its schema is not as it was written");
    }
    if let Some(newer) = schema.filter(|schema| *schema > SCHEMA) {
        return Ok(Verdict::Newer(newer));
    }
    let has_checksums = schema.is_some_and(|schema| schema >= WITH_CHECKSUMS);
    if let Some(noted) = witness::read(file)
        && is_missing_some(connection, file, schema, noted).await?
    {
        return damaged(
            "the last of what was written to it is missing, or an older copy was put back and the \
             count in `selfheal.db-commits` left",
        );
    }
    if !has_checksums || seal == 0 {
        // Of before, or of a first start that was interrupted: the start gives it both.
        return Ok(Verdict::Sound);
    }
    Ok(match sealed::damaged_table(connection).await? {
        Some(table) => {
            Verdict::Damaged { why: format!("a row of `{table}` is not as it was written") }
        }
        None => Verdict::Sound,
    })
}

/// The newest step of the schema that was taken; `None` before the first.
pub(super) async fn schema(connection: &mut SqliteConnection) -> sqlx::Result<Option<i64>> {
    let has_steps: bool =
        sqlx::query_scalar("SELECT COUNT(*) > 0 FROM sqlite_schema WHERE name = $1")
            .bind(STEPS)
            .fetch_one(&mut *connection)
            .await?;
    if !has_steps {
        return Ok(None);
    }
    sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(connection).await
}

/// Whether less was written to it than is noted beside it.
async fn is_missing_some(
    connection: &mut SqliteConnection,
    file: &Path,
    schema: Option<i64>,
    noted: i64,
) -> sqlx::Result<bool> {
    match schema {
        None => Ok(noted > 0),
        // Its log went on from here, and ends too early.
        Some(schema) if schema < WITH_CHECKSUMS && has_log(file) => Ok(true),
        // It does not count yet, so it was put back.
        Some(schema) if schema < WITH_CHECKSUMS => {
            tracing::warn!(
                "what is noted beside {} is of another database: this one is of before",
                file.display()
            );
            Ok(false)
        }
        Some(_) => Ok(commits(connection).await? < noted),
    }
}

fn has_log(file: &Path) -> bool {
    let log = PathBuf::from(format!("{}-wal", file.display()));
    std::fs::metadata(log).is_ok_and(|log| log.len() > 0)
}

/// How many tables, indexes and triggers there are beside the list of steps.
async fn objects(connection: &mut SqliteConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_schema WHERE tbl_name <> $1")
        .bind(STEPS)
        .fetch_one(connection)
        .await
}

/// How many times something was written.
async fn commits(connection: &mut SqliteConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT count FROM commits WHERE id = 1").fetch_one(connection).await
}
