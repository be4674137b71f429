//! Opens the store: locks the directory, has a damaged database dealt with, migrates.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use selfheal_agents::ports::Clock;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqliteConnection, SqlitePool};

use super::damage::{self, Damage};
use super::lock::DirLock;
use super::reserve::{RESERVE_BYTES, Reserve};
use super::snapshots::{Snapshots, sweep};
use super::sql::{Database, SqlStore};
use super::sqlite::{Sqlite, Writer, is_damaged, seal};
use super::witness::{self, Witness};
use super::{OpenError, examine, files, notes, vault};

/// The database's name in the data directory.
pub const DATABASE_FILE: &str = "selfheal.db";

/// The newest schema this program knows.
pub(super) const SCHEMA: i64 = 5;
/// Every step to it, oldest first; one that was published is never changed.
const MIGRATIONS: [(i64, &str, &str); 5] = [
    (1, "first", include_str!("sqlite/migrations/0001_first.sql")),
    (2, "change", include_str!("sqlite/migrations/0002_change.sql")),
    (3, "checksum", include_str!("sqlite/migrations/0003_checksum.sql")),
    (4, "message", include_str!("sqlite/migrations/0004_message.sql")),
    (SCHEMA, "origin", include_str!("sqlite/migrations/0005_origin.sql")),
];
/// How the name of a copy of the file begins that is not whole yet.
const UNFINISHED: &str = ".older-";
/// What opening writes at most where there is no database yet, in bytes.
const LEAST_ROOM: u64 = 1024 * 1024;
const READERS: u32 = 2;
/// What a connection may keep of the file in memory, in KiB (negative, as SQLite has it): 2 MiB by
/// default, which a daemon that asks the same few pages again and again does not need.
const WRITER_CACHE: &str = "-256";
const READER_CACHE: &str = "-128";
const WAIT_FOR_CONNECTION: Duration = Duration::from_secs(10);

/// A store, and what became of the one before.
#[must_use = "after damage the journal is lost or old: no fix may run unseen"]
pub struct Opened {
    /// The store, ready for use.
    pub store: SqlStore,
    /// What became of a damaged database, if there was one.
    ///
    /// The store is then empty, or as a snapshot has it: nothing says which fixes were under way,
    /// so whoever opens it must tell a person and must not heal before one has looked (freeze, or
    /// mode `observe`), and say so ([`SqlStore::damage_is_told`]). The backups are not affected.
    pub damage: Option<Damage>,
}

/// Whether somebody sends what changes elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sends {
    /// Nobody does.
    Nothing,
    /// Every change is noted for whoever does.
    Noted,
}

/// Opens the store of `data_dir` for writing and creates what is missing.
pub async fn open(data_dir: &Path, clock: Arc<dyn Clock>) -> Result<Opened, OpenError> {
    open_as(data_dir, clock, Sends::Nothing).await
}

pub(super) async fn open_as(
    data_dir: &Path,
    clock: Arc<dyn Clock>,
    sends: Sends,
) -> Result<Opened, OpenError> {
    prepare(data_dir).map_err(|why| unwritable(data_dir, why))?;
    let lock = DirLock::take(data_dir)?;
    let file = data_dir.join(DATABASE_FILE);
    let reserve = Arc::new(Reserve::new(data_dir));
    let damage = mended(data_dir, &file, clock.as_ref(), &reserve).await?;
    let pool = writer(data_dir, &file, sends).await?;
    if let Err(error) = reserve.fill() {
        tracing::warn!(
            "there is no room for the reserve of {}: {error}; free some space",
            data_dir.display()
        );
    }
    let witness = Witness::open(&file).map_err(|why| unwritable(data_dir, why))?;
    let snapshots = Snapshots::new(data_dir, &file);
    let writer = Writer { pool, reserve, witness, snapshots, lock, clock };
    let sqlite = Sqlite::new(data_dir, Some(writer), readers(&file));
    let store = SqlStore::new(data_dir, Database::Sqlite(sqlite));
    Ok(Opened { store, damage })
}

/// Has a damaged database dealt with. On a full disk what is kept back for a rollback goes for that:
/// without a journal nothing is taken back.
async fn mended(
    dir: &Path,
    file: &Path,
    clock: &dyn Clock,
    reserve: &Reserve,
) -> Result<Option<Damage>, OpenError> {
    match Box::pin(damage::deal_with(dir, file, clock.now())).await {
        // What SQLite says of a full disk depends on which file it could not write.
        Err(OpenError::Unwritable { .. } | OpenError::Failed { .. })
            if has_no_room(dir, file) && reserve.release() =>
        {
            tracing::warn!("there was no room to open the store: the reserve is used for that");
            Box::pin(damage::deal_with(dir, file, clock.now())).await
        }
        dealt_with => dealt_with,
    }
}

/// Whether there is no room for the database once more, as a snapshot put back needs it.
fn has_no_room(dir: &Path, file: &Path) -> bool {
    let length = std::fs::metadata(file).map_or(0, |file| file.len()) + LEAST_ROOM;
    let written = tempfile::tempfile_in(dir).and_then(|mut probe| {
        io::copy(&mut io::repeat(0).take(length.min(RESERVE_BYTES)), &mut probe)
    });
    written.is_err_and(|error| {
        matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
    })
}

/// Opens the store of `data_dir` for reading, also beside a running daemon. Every write
/// is refused.
pub async fn open_read_only(data_dir: &Path) -> Result<SqlStore, OpenError> {
    let file = data_dir.join(DATABASE_FILE);
    if !file.is_file() {
        return Err(OpenError::Missing { dir: data_dir.to_owned() });
    }
    let pool = readers(&file);
    let found: Result<Option<i64>, sqlx::Error> =
        sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(&pool).await;
    match found {
        Ok(Some(SCHEMA)) => {
            Ok(SqlStore::new(data_dir, Database::Sqlite(Sqlite::new(data_dir, None, pool))))
        }
        Ok(Some(found)) if found > SCHEMA => Err(OpenError::Newer { file, found, known: SCHEMA }),
        Ok(found) => Err(OpenError::Older { file, found: found.unwrap_or(0), known: SCHEMA }),
        Err(error) if is_damaged(&error) => Err(OpenError::Damaged { file }),
        Err(error) => Err(failed(&file, &error)),
    }
}

pub(super) fn unwritable(dir: &Path, why: io::Error) -> OpenError {
    OpenError::Unwritable { dir: dir.to_owned(), why }
}

pub(super) fn failed(file: &Path, why: &impl ToString) -> OpenError {
    OpenError::Failed { file: file.to_owned(), why: why.to_string() }
}

/// Makes the directory (for its owner only) and the vault's, and proves that both can be
/// written.
pub(super) fn prepare(dir: &Path) -> io::Result<()> {
    for dir in [dir.to_owned(), dir.join(vault::VAULT_DIR), dir.join(vault::BLOB_DIR)] {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
    }
    tempfile::tempfile_in(dir).map(drop)
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

async fn writer(dir: &Path, file: &Path, sends: Sends) -> Result<SqlitePool, OpenError> {
    // Made by us, so that nobody else may read it; SQLite's companions inherit that.
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(file)
        .map_err(|why| unwritable(dir, why))?;
    let failed = |error: sqlx::Error| failed(file, &error);
    let alone = || SqlitePoolOptions::new().max_connections(1).acquire_timeout(WAIT_FOR_CONNECTION);
    let pool = alone().connect_with(writing(file)).await.map_err(failed)?;
    migrate(&pool, file).await?;
    if sends == Sends::Nothing {
        // What changes from now on is not noted; where nothing is sent there is no such row.
        let lost = sqlx::query("UPDATE origin SET sent = NULL WHERE sent IS NOT NULL");
        lost.execute(&pool).await.map_err(failed)?;
        return Ok(pool);
    }
    pool.close().await;
    let noting = alone().after_connect(|connection, _| {
        Box::pin(async move {
            sqlx::raw_sql(AssertSqlSafe(notes::triggers())).execute(connection).await.map(drop)
        })
    });
    noting.connect_with(writing(file)).await.map_err(failed)
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
    let database = |error: sqlx::Error| failed(file, &error);
    let mut connection = pool.acquire().await.map_err(database)?;
    let schema = examine::schema(&mut connection).await.map_err(database)?;
    let counts = schema.is_some_and(|schema| schema >= examine::WITH_CHECKSUMS);
    if !counts {
        // What it counts begins now; whatever is noted is of another.
        witness::forget(file);
    }
    if schema != Some(SCHEMA) {
        // The seal is over the schema that was: cut off in between, it must not look like damage.
        let open = sqlx::query("PRAGMA user_version = 0");
        open.execute(&mut *connection).await.map_err(database)?;
    }
    if let Some(older) = schema.filter(|schema| *schema < SCHEMA) {
        keep_copy(&mut connection, file, older).await;
    }
    drop(connection);
    let migrations = MIGRATIONS.iter().map(|(version, name, sql)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    match Migrator::with_migrations(migrations.collect()).run(pool).await {
        Ok(()) => {}
        Err(MigrateError::VersionMissing(found)) => {
            return Err(OpenError::Newer { file: file.to_owned(), found, known: SCHEMA });
        }
        Err(error) => return Err(failed(file, &error)),
    }
    let mut connection = pool.acquire().await.map_err(database)?;
    seal::seal(&mut connection).await.map_err(database)?;
    if schema.is_some() && !counts {
        // So that no loss of the log takes the schema back to one that counts nothing.
        let fold = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)");
        if let Err(error) = fold.execute(&mut *connection).await {
            // On a full disk what is open has to be finished all the same.
            tracing::warn!(%error, "the log of the store is not folded in");
        }
    }
    Ok(())
}

/// Keeps the file as it is before its schema changes, `selfheal.db.schema-3`, for whoever wants to go
/// back to the version before. Where there is no room for it the start does not fail: what is open
/// has to be finished, and a migration is made as a whole or not at all.
async fn keep_copy(connection: &mut SqliteConnection, file: &Path, schema: i64) {
    let copy = format!("{}.schema-{schema}", file.display());
    if Path::new(&copy).exists() {
        return;
    }
    match copied(connection, Path::new(&copy)).await {
        Ok(()) => tracing::info!("the store as the version before left it is kept as {copy}"),
        Err(error) => {
            tracing::warn!("no copy is kept of the store as the version before left it: {error}");
        }
    }
}

/// It has its name only when it is whole and on disk: half a copy helps nobody.
async fn copied(connection: &mut SqliteConnection, copy: &Path) -> io::Result<()> {
    let dir = copy.parent().ok_or_else(|| io::Error::other("it has no directory"))?;
    sweep(dir, UNFINISHED);
    let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(dir)?;
    let query = sqlx::query("VACUUM INTO $1").bind(unfinished.path().display().to_string());
    query.execute(connection).await.map_err(io::Error::other)?;
    files::settle(unfinished, copy)
}
