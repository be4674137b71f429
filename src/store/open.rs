//! Opens the store: locks the directory, sets a damaged database aside, migrates.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use selfheal_agents::ports::Clock;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqlSafeStr, SqlitePool};

use super::OpenError;
use super::lock::DirLock;
use super::reserve::Reserve;
use super::sqlite::{SqliteStore, Writer, is_damaged};
use super::vault;

/// The database's name in the data directory.
pub const DATABASE_FILE: &str = "selfheal.db";

/// The newest schema this program knows.
const SCHEMA: i64 = 2;
/// Every step to it, oldest first; one that was published is never changed.
const MIGRATIONS: [(i64, &str, &str); 2] = [
    (1, "first", include_str!("sqlite/migrations/0001_first.sql")),
    (SCHEMA, "change", include_str!("sqlite/migrations/0002_change.sql")),
];
const READERS: u32 = 2;
/// What a connection may keep of the file in memory, in KiB (negative, as SQLite has it): 2 MiB by
/// default, which a daemon that asks the same few pages again and again does not need.
const WRITER_CACHE: &str = "-256";
const READER_CACHE: &str = "-128";
const WAIT_FOR_CONNECTION: Duration = Duration::from_secs(10);

/// A store, and what became of the one before.
#[must_use = "a quarantined database means that the journal is lost: no fix may run unseen"]
pub struct Opened {
    /// The store, ready for use.
    pub store: SqliteStore,
    /// Where a damaged database was set aside to, if there was one.
    ///
    /// The store is then empty: nothing says which fixes were under way, so whoever opens
    /// it must tell a person and must not heal before one has looked (freeze, or mode
    /// `observe`). The backups are not affected.
    pub quarantined: Option<PathBuf>,
}

/// Opens the store of `data_dir` for writing and creates what is missing.
pub async fn open(data_dir: &Path, clock: Arc<dyn Clock>) -> Result<Opened, OpenError> {
    prepare(data_dir).map_err(|why| unwritable(data_dir, why))?;
    let lock = DirLock::take(data_dir)?;
    let file = data_dir.join(DATABASE_FILE);
    let quarantined = if is_sound(data_dir, &file).await? {
        None
    } else {
        let stamp = clock.now().format("%Y%m%d_%H%M%S").to_string();
        Some(set_aside(&file, &stamp).map_err(|why| unwritable(data_dir, why))?)
    };
    if let Some(aside) = &quarantined {
        tracing::error!(
            "the store {} was damaged and is set aside as {}; the history and the journal start \
             anew, backups are kept",
            file.display(),
            aside.display()
        );
    }
    let pool = writer(data_dir, &file).await?;
    let reserve = Arc::new(Reserve::new(data_dir));
    if let Err(error) = reserve.fill() {
        tracing::warn!(
            "there is no room for the reserve of {}: {error}; free some space",
            data_dir.display()
        );
    }
    let writer = Writer { pool, reserve, lock, clock };
    let store = SqliteStore::new(data_dir, Some(writer), readers(&file));
    Ok(Opened { store, quarantined })
}

/// Opens the store of `data_dir` for reading, also beside a running daemon. Every write
/// is refused.
pub async fn open_read_only(data_dir: &Path) -> Result<SqliteStore, OpenError> {
    let file = data_dir.join(DATABASE_FILE);
    if !file.is_file() {
        return Err(OpenError::Missing { dir: data_dir.to_owned() });
    }
    let pool = readers(&file);
    let found: Result<Option<i64>, sqlx::Error> =
        sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(&pool).await;
    match found {
        Ok(Some(SCHEMA)) => Ok(SqliteStore::new(data_dir, None, pool)),
        Ok(Some(found)) if found > SCHEMA => Err(OpenError::Newer { file, found, known: SCHEMA }),
        Ok(found) => Err(OpenError::Older { file, found: found.unwrap_or(0), known: SCHEMA }),
        Err(error) if is_damaged(&error) => Err(OpenError::Damaged { file }),
        Err(error) => Err(failed(&file, &error)),
    }
}

fn unwritable(dir: &Path, why: io::Error) -> OpenError {
    OpenError::Unwritable { dir: dir.to_owned(), why }
}

fn failed(file: &Path, why: &impl ToString) -> OpenError {
    OpenError::Failed { file: file.to_owned(), why: why.to_string() }
}

/// Makes the directory (for its owner only) and the vault's, and proves that both can be
/// written.
fn prepare(dir: &Path) -> io::Result<()> {
    for dir in [dir.to_owned(), dir.join(vault::VAULT_DIR), dir.join(vault::BLOB_DIR)] {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
    }
    tempfile::tempfile_in(dir).map(drop)
}

/// Whether the database can be trusted. One that is not there can.
async fn is_sound(dir: &Path, file: &Path) -> Result<bool, OpenError> {
    let header = match read_header(file) {
        Ok(header) => header,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(unwritable(dir, error)),
    };
    if header.is_empty() {
        // Either the first start was interrupted, or everything was cut off. Backups
        // tell which: there are none before the first fix.
        return Ok(!vault::has_backups(dir));
    }
    if header != *b"SQLite format 3\0" {
        return Ok(false);
    }
    match quick_check(file).await {
        Ok(verdict) => Ok(verdict == "ok"),
        Err(error) if is_damaged(&error) => Ok(false),
        Err(error) => Err(failed(file, &error)),
    }
}

fn read_header(file: &Path) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    std::fs::File::open(file)?.take(16).read_to_end(&mut header)?;
    Ok(header)
}

async fn quick_check(file: &Path) -> sqlx::Result<String> {
    let mut connection = writing(file).connect().await?;
    let verdict = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut connection).await;
    connection.close().await?;
    verdict
}

/// Moves the database and its companions out of the way; returns the database's new name.
fn set_aside(file: &Path, stamp: &str) -> io::Result<PathBuf> {
    let named = |end: &str, serial: u32| {
        let serial = if serial == 1 { String::new() } else { format!("_{serial}") };
        PathBuf::from(format!("{}.corrupt-{stamp}{serial}{end}", file.display()))
    };
    let serial = (1..u32::MAX).find(|serial| !named("", *serial).exists()).unwrap_or(u32::MAX);
    for end in ["-wal", "-shm"] {
        let companion = PathBuf::from(format!("{}{end}", file.display()));
        match std::fs::rename(companion, named(end, serial)) {
            // A reader that closes last takes them with it, at any moment.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let aside = named("", serial);
    std::fs::rename(file, &aside)?;
    Ok(aside)
}

fn writing(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("cache_size", WRITER_CACHE)
        .busy_timeout(Duration::from_secs(5))
}

async fn writer(dir: &Path, file: &Path) -> Result<SqlitePool, OpenError> {
    // Made by us, so that nobody else may read it; SQLite's companions inherit that.
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(file)
        .map_err(|why| unwritable(dir, why))?;
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(WAIT_FOR_CONNECTION)
        .connect_with(writing(file))
        .await
        .map_err(|error| failed(file, &error))?;
    migrate(&pool, file).await?;
    Ok(pool)
}

fn readers(file: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .read_only(true)
        .pragma("cache_size", READER_CACHE)
        .busy_timeout(Duration::from_secs(5));
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(WAIT_FOR_CONNECTION)
        .idle_timeout(Duration::from_mins(1))
        .connect_lazy_with(options)
}

async fn migrate(pool: &SqlitePool, file: &Path) -> Result<(), OpenError> {
    let migrations = MIGRATIONS.iter().map(|(version, name, sql)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    match Migrator::with_migrations(migrations.collect()).run(pool).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(found)) => {
            Err(OpenError::Newer { file: file.to_owned(), found, known: SCHEMA })
        }
        Err(error) => Err(failed(file, &error)),
    }
}
