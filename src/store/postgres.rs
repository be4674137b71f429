//! PostgreSQL as the database: a server that may be away at any time.
//!
//! Every call ends within a time limit, whatever the server does, and no password reaches an error
//! or a log. It runs statements and knows none of them; only its own schema is here.

mod url;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use selfheal_agents::model::clean;
use selfheal_agents::ports::{Clock, StoreError, StoreResult};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool, Postgres as Driver, Row as _,
    SqlSafeStr,
};

pub use self::url::PostgresUrl;
use super::OpenError;
use super::lock::DirLock;
use super::sql::change::{Change, Done, Value, bound};
use super::sql::row::Row;
use super::sql::{Database, SqlStore};

/// The newest schema this program knows.
const SCHEMA: i64 = 1;
/// Every step to it, oldest first; one that was published is never changed.
const MIGRATIONS: [(i64, &str, &str); 1] =
    [(SCHEMA, "first", include_str!("postgres/migrations/0001_first.sql"))];

/// How long the schema may take to be brought up to date, or to be waited for while another does.
const MIGRATION: Duration = Duration::from_mins(1);
/// The same of one of its statements, in the server's words.
const MIGRATION_STATEMENT: &str = "60s";
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the server works on one statement at most, in its own words.
const STATEMENT: &str = "10s";
/// How long an answer is waited for: a server that hangs does not end its statements.
const ANSWER: Duration = Duration::from_secs(15);
const CONNECTIONS: u32 = 3;
/// Where what several nodes share lies.
const FLEET_SCHEMA: &str = "selfheal_fleet";
/// Every step to its newest form, oldest first.
const FLEET_MIGRATIONS: [(i64, &str, &str); 6] = [
    (1, "first", include_str!("../fleet/schema.sql")),
    (2, "frozen", include_str!("../fleet/frozen.sql")),
    (3, "own", include_str!("../fleet/own.sql")),
    (4, "offers", include_str!("../fleet/offers.sql")),
    (5, "lessons", include_str!("../fleet/lessons.sql")),
    (6, "jobs", include_str!("../fleet/jobs.sql")),
];
/// Of a thousand nodes each has so many, so they are few.
const FLEET_CONNECTIONS: u32 = 2;
/// `undefined_table`: nothing of ours is there.
const NO_TABLE: &str = "42P01";

/// One database of a server.
pub(super) struct Postgres {
    pool: PgPool,
    server: String,
    /// `None` when opened for reading only.
    writer: Option<(Arc<dyn Clock>, DirLock)>,
}

/// Opens the store in a PostgreSQL database for writing and creates what is missing. Backups, and
/// the lock that keeps a second instance out, stay in `data_dir`.
pub async fn open_postgres(
    url: &PostgresUrl,
    data_dir: &Path,
    clock: Arc<dyn Clock>,
) -> Result<SqlStore, OpenError> {
    super::open::prepare(data_dir).map_err(|why| super::open::unwritable(data_dir, why))?;
    let lock = DirLock::take(data_dir)?;
    migrate(url).await?;
    let postgres = Postgres::new(url, Some((clock, lock)));
    Ok(SqlStore::new(data_dir, Database::Postgres(postgres)))
}

/// Opens the store in a PostgreSQL database for reading. Every write is refused.
pub async fn open_postgres_read_only(
    url: &PostgresUrl,
    data_dir: &Path,
) -> Result<SqlStore, OpenError> {
    let postgres = Postgres::new(url, None);
    let found = within(
        sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(&postgres.pool),
    );
    match found.await {
        Ok(Some(SCHEMA)) => Ok(SqlStore::new(data_dir, Database::Postgres(postgres))),
        Ok(Some(found)) if found > SCHEMA => Err(newer(url, found)),
        Ok(_) => Err(OpenError::NothingThere { server: url.to_string() }),
        Err(error) if has_code(&error, NO_TABLE) => {
            Err(OpenError::NothingThere { server: url.to_string() })
        }
        Err(error) => Err(away(url, &error)),
    }
}

/// A single connection with all time limits, for whoever sends or moves rows.
pub(super) async fn connect(url: &PostgresUrl) -> Result<PgConnection, OpenError> {
    let options = limited(url);
    match tokio::time::timeout(CONNECT, options.connect()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(away(url, &error)),
        Err(_) => Err(away(url, &sqlx::Error::PoolTimedOut)),
    }
}

/// Brings the schema up to date; another Selfheal that does the same waits meanwhile.
pub(super) async fn migrate(url: &PostgresUrl) -> Result<(), OpenError> {
    migrate_to(url, &MIGRATIONS).await
}

async fn migrate_to(
    url: &PostgresUrl,
    migrations: &[(i64, &'static str, &'static str)],
) -> Result<(), OpenError> {
    // What is wrong with the server is told as it is, not as a pool's time that ran out.
    let mut first = connect(url).await?;
    make_schema(url, &mut first).await.map_err(|error| away(url, &error))?;
    first.close().await.map_err(|error| away(url, &error))?;
    // Whoever brings another schema of this database up to date is waited for as well, and of a
    // fleet many do so at once.
    let patient = limited(url).options([("statement_timeout", MIGRATION_STATEMENT)]);
    let pool = pool_options(1).connect_lazy_with(patient);
    let migrations = migrations.iter().map(|(version, name, sql)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    let migrated = tokio::time::timeout(MIGRATION, migrator.run(&pool)).await;
    // Its lock goes with it, whatever happened; nor is a server that hangs waited for.
    let _ = tokio::time::timeout(CONNECT, pool.close()).await;
    match migrated {
        Ok(Ok(())) => Ok(()),
        Ok(Err(MigrateError::VersionMissing(found))) => Err(newer(url, found)),
        Ok(Err(error)) => Err(OpenError::Server { server: url.to_string(), why: shown(&error) }),
        Err(_) => Err(away(url, &no_answer(MIGRATION))),
    }
}

/// Makes the schema that the address names; of several that do so at once all but one wait.
async fn make_schema(url: &PostgresUrl, connection: &mut PgConnection) -> sqlx::Result<()> {
    let Some(schema) = url.schema() else { return Ok(()) };
    // What a database user may not make can be made by its owner beforehand.
    let is_there: bool = within(
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)")
            .bind(schema)
            .fetch_one(&mut *connection),
    )
    .await?;
    if is_there {
        return Ok(());
    }
    within(sqlx::query("SELECT pg_advisory_lock(7239081645)").execute(&mut *connection)).await?;
    let make = AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\""));
    within(sqlx::query(make).execute(connection)).await.map(drop)
}

/// Brings the schema that all nodes share up to date.
pub(crate) async fn migrate_fleet(url: &PostgresUrl) -> Result<(), OpenError> {
    migrate_to(&url.within(FLEET_SCHEMA), &FLEET_MIGRATIONS).await
}

/// A few connections to what all nodes share; one is waited for no longer than a lease lasts.
pub(crate) fn fleet_pool(url: &PostgresUrl, lease: Duration) -> PgPool {
    // In use all the time: what is asked shows whether the server is there, a way there earlier.
    let options = pool_options(FLEET_CONNECTIONS).test_before_acquire(false);
    // What the server knows of tables so small and so busy is old, and by it each node would read the
    // rows of all, where an index leads to its own, and the newest of them first. And what it takes for
    // dear it would compile.
    let to = limited(&url.within(FLEET_SCHEMA)).options([
        ("enable_seqscan", "off"),
        ("enable_bitmapscan", "off"),
        ("jit", "off"),
    ]);
    options.acquire_timeout(lease.min(CONNECT)).connect_lazy_with(to)
}

fn limited(url: &PostgresUrl) -> PgConnectOptions {
    url.options()
        .application_name("selfheal")
        .options([
            ("statement_timeout", STATEMENT),
            ("client_min_messages", "warning"),
            // A session whose machine is gone ends within a minute or so, and its lock with it.
            ("tcp_keepalives_idle", "30"),
            ("tcp_keepalives_interval", "10"),
            ("tcp_keepalives_count", "3"),
        ])
        // The driver would write statements that take long to the log, values and all.
        .disable_statement_logging()
}

fn pool(url: &PostgresUrl, connections: u32) -> PgPool {
    pool_options(connections).connect_lazy_with(limited(url))
}

fn pool_options(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(CONNECT)
        .idle_timeout(Duration::from_mins(5))
}

impl Postgres {
    fn new(url: &PostgresUrl, writer: Option<(Arc<dyn Clock>, DirLock)>) -> Self {
        Self { pool: pool(url, CONNECTIONS), server: url.to_string(), writer }
    }

    pub(super) fn clock(&self) -> StoreResult<&Arc<dyn Clock>> {
        let read_only = || StoreError::Unavailable("it was opened for reading only".to_owned());
        self.writer.as_ref().map(|(clock, _)| clock).ok_or_else(read_only)
    }

    pub(super) async fn close(self) {
        self.pool.close().await;
        // Only now may another instance begin.
        drop(self.writer);
    }

    pub(super) async fn rows(&self, sql: &'static str, values: &[Value]) -> StoreResult<Vec<Row>> {
        let rows = within(bound::<Driver>(sql, values).fetch_all(&self.pool)).await;
        let rows = rows.map_err(|error| self.refused(&error))?;
        Ok(rows.into_iter().map(Row::Postgres).collect())
    }

    /// Makes all changes or none; they are on the server's disk when it returns.
    pub(super) async fn commit(&self, changes: &[Change]) -> StoreResult<Vec<Done>> {
        self.clock()?;
        let done = within(async {
            let mut transaction = self.pool.begin().await?;
            let done = run_on(&mut transaction, changes).await?;
            transaction.commit().await?;
            Ok(done)
        });
        done.await.map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &sqlx::Error) -> StoreError {
        StoreError::Unavailable(format!("{}: {}", self.server, shown(error)))
    }
}

/// Runs changes one after the other, each within the time limit; whoever calls it has begun a
/// transaction.
pub(super) async fn run_on(
    connection: &mut PgConnection,
    changes: &[Change],
) -> sqlx::Result<Vec<Done>> {
    let mut results = Vec::with_capacity(changes.len());
    for change in changes {
        let query = bound::<Driver>(change.sql.clone(), &change.values);
        results.push(if change.is_answered {
            let row = within(query.fetch_one(&mut *connection)).await?;
            Done { rows: 1, number: Some(row.try_get(0)?) }
        } else {
            let rows = within(query.execute(&mut *connection)).await?.rows_affected();
            Done { rows, number: None }
        });
    }
    Ok(results)
}

/// Waits for an answer no longer than [`ANSWER`].
pub(super) async fn within<T>(asked: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(ANSWER, asked).await.unwrap_or_else(|_| Err(no_answer(ANSWER)))
}

fn no_answer(limit: Duration) -> sqlx::Error {
    let why = format!("no answer within {} s", limit.as_secs());
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, why))
}

pub(super) fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some(code)
}

fn away(url: &PostgresUrl, error: &sqlx::Error) -> OpenError {
    OpenError::Server { server: url.to_string(), why: shown(error) }
}

fn newer(url: &PostgresUrl, found: i64) -> OpenError {
    OpenError::ServerNewer { server: url.to_string(), found, known: SCHEMA }
}

/// What a server or the driver said, in one line without secrets.
pub(super) fn shown(error: &impl std::fmt::Display) -> String {
    clean(&error.to_string(), 300)
}
