//! What was used: processors by the kernel's count, statements by the server's.

use std::fs::read_to_string;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sqlx::{PgConnection, Row as _};

use crate::probes::server::Server;
use crate::store::postgres::client;

/// A statement with all that it took, whosever tables it was asked of.
#[derive(Debug, Clone, Default)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) calls: f64,
    pub(super) millis: f64,
    pub(super) rows: f64,
    pub(super) blocks: f64,
    pub(super) wal_bytes: f64,
}

/// What was asked between two moments. (Were the server made to forget instead, it would not know
/// statements that are prepared by the same words again.)
pub(super) fn between(before: &[Statement], after: Vec<Statement>) -> Vec<Statement> {
    let nothing = Statement::default();
    let since = |now: Statement| {
        let then = before.iter().find(|then| then.sql == now.sql).unwrap_or(&nothing);
        Statement {
            calls: now.calls - then.calls,
            millis: now.millis - then.millis,
            rows: now.rows - then.rows,
            blocks: now.blocks - then.blocks,
            wal_bytes: now.wal_bytes - then.wal_bytes,
            sql: now.sql,
        }
    };
    after.into_iter().map(since).filter(|one| one.calls > 0.0).collect()
}

/// How the server is at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Books {
    /// Of whoever is connected to this database.
    pub(super) connections: f64,
    pub(super) database_bytes: f64,
    /// Of what all nodes share.
    pub(super) shared_bytes: f64,
    /// Of all its processes, what they share counted once.
    pub(super) memory_bytes: f64,
    pub(super) cpu_secs: f64,
}

/// Whoever looks into the server's books.
pub(super) struct Clerk {
    postmaster: u32,
    connection: PgConnection,
}

impl Clerk {
    pub(super) async fn of(server: &Server, database: &str) -> Result<Self> {
        let mut connection = client(server, database).await;
        sqlx::raw_sql("CREATE EXTENSION pg_stat_statements").execute(&mut connection).await?;
        let file = read_to_string(server.folder.path().join("data/postmaster.pid"))?;
        let postmaster = file.lines().next().context("an empty postmaster.pid")?.trim().parse()?;
        Ok(Self { postmaster, connection })
    }

    /// Waits until whoever made the tables is gone: only then is it told what that read.
    pub(super) async fn makers_are_gone(&mut self) -> Result<()> {
        let sql = "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND query LIKE '%pg_advisory_unlock%'
             AND pid <> pg_backend_pid()";
        let limit = Instant::now() + Duration::from_mins(1);
        while sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut self.connection).await? > 0 {
            ensure!(Instant::now() < limit, "the tables are being made for ever");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// How often a table that all share was read from end to end.
    pub(super) async fn scans(&mut self) -> Result<f64> {
        let sql = "SELECT SUM(seq_scan)::float8 FROM pg_stat_user_tables
             WHERE schemaname = 'selfheal_fleet' AND relname <> '_sqlx_migrations'";
        Ok(sqlx::query_scalar(sql).fetch_one(&mut self.connection).await?)
    }

    /// What was asked of this database, by nobody but the nodes.
    pub(super) async fn statements(&mut self) -> Result<Vec<Statement>> {
        let sql = "SELECT regexp_replace(regexp_replace(query, '\\s+', ' ', 'g'),
                 'selfheal_node-[0-9]+', 'selfheal_NODE', 'g') AS sql,
             SUM(calls)::float8 AS calls, SUM(total_exec_time)::float8 AS millis,
             SUM(rows)::float8 AS rows, SUM(wal_bytes)::float8 AS wal_bytes,
             SUM(shared_blks_hit + shared_blks_read)::float8 AS blocks
             FROM pg_stat_statements
             WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
             AND query NOT LIKE '%pg_stat_%' AND query NOT LIKE '%pg_total_%'
             GROUP BY 1 ORDER BY millis DESC";
        let rows = sqlx::query(sql).fetch_all(&mut self.connection).await?;
        let statement = |row: &sqlx::postgres::PgRow| {
            Ok(Statement {
                sql: row.try_get("sql")?,
                calls: row.try_get("calls")?,
                millis: row.try_get("millis")?,
                rows: row.try_get("rows")?,
                blocks: row.try_get("blocks")?,
                wal_bytes: row.try_get("wal_bytes")?,
            })
        };
        rows.iter().map(statement).collect()
    }

    pub(super) async fn books(&mut self) -> Result<Books> {
        let sql = "SELECT pg_database_size(current_database())::float8,
             (SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'selfheal'
                  AND datname = current_database())::float8,
             (SELECT SUM(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r'
                  AND relnamespace = 'selfheal_fleet'::regnamespace)::float8";
        let row = sqlx::query(sql).fetch_one(&mut self.connection).await?;
        let processes = processes(self.postmaster)?;
        let memory = processes.iter().map(|id| kilobytes(&format!("{id}/smaps_rollup"), "Pss:"));
        Ok(Books {
            database_bytes: row.try_get(0)?,
            connections: row.try_get(1)?,
            shared_bytes: row.try_get(2)?,
            memory_bytes: memory.sum::<f64>() * 1024.0,
            cpu_secs: processes.iter().map(|id| cpu_secs(&id.to_string())).sum(),
        })
    }
}

/// The server's first process, and all that it began.
fn processes(postmaster: u32) -> Result<Vec<u32>> {
    let children = format!("/proc/{postmaster}/task/{postmaster}/children");
    let children = read_to_string(&children).with_context(|| format!("read {children}"))?;
    let children = children.split_whitespace().filter_map(|id| id.parse().ok());
    Ok(std::iter::once(postmaster).chain(children).collect())
}

/// What a process or thread used, with those of its children that have ended; nothing where it has
/// ended itself.
fn cpu_secs(of: &str) -> f64 {
    let stat = read_to_string(format!("/proc/{of}/stat")).unwrap_or_default();
    // The name may hold blanks.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks = fields.skip(11).take(4).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn kilobytes(file: &str, field: &str) -> f64 {
    let text = read_to_string(format!("/proc/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// The memory of this process.
pub(super) fn own_memory_bytes() -> f64 {
    kilobytes("self/status", "VmRSS:") * 1024.0
}

/// How many files and connections this process has open.
pub(super) fn own_files() -> Result<f64> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count() as f64)
}

/// What this process used but for the stand-in for the engine.
pub(super) fn own_cpu_secs() -> Result<f64> {
    let mut engine = 0.0;
    for thread in std::fs::read_dir("/proc/self/task")?.flatten() {
        let name = read_to_string(thread.path().join("comm")).unwrap_or_default();
        if name.trim() == super::super::engine::THREAD {
            engine += cpu_secs(&format!("self/task/{}", thread.file_name().display()));
        }
    }
    Ok(cpu_secs("self") - engine)
}
