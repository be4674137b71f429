//! What is asked of PostgreSQL: each call is one statement, and ends within its limit.
//!
//! It knows the tables and decides nothing: who may have a lease is said by the conditions that
//! [`Ask`](selfheal_agents::lease::Ask) names.

mod jobs;
mod leases;
mod lessons;
mod offers;

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Postgres, Row as _};

pub(super) use self::jobs::{Kept, Taken};
pub(super) use self::leases::{Asking, Rows};
pub(super) use self::lessons::{Learnt, Lesson, Question};
pub(super) use self::offers::{FoundRow, OfferRow};
use super::decisions::FREEZES;
use super::registry::{Member, Summary};
use crate::store::{OpenError, PostgresUrl, fleet_pool, migrate_fleet};

/// Decisions older than this are not carried out: who took them thinks of something else by now.
const LAPSES: &str = "10 minutes";

/// One PostgreSQL server.
pub(super) struct Server {
    url: PostgresUrl,
    pool: PgPool,
    limit: Duration,
}

/// What a node says of itself.
pub(super) struct Own<'a> {
    pub(super) name: &'a str,
    /// Of its data directory: another of the same name is told by it.
    pub(super) history: &'a str,
    pub(super) address: &'a str,
    pub(super) mode: &'a str,
    /// What it has frozen of what several reach; `None` until it knows that itself.
    pub(super) frozen: Option<&'a str>,
    /// How it is, where that is new.
    pub(super) summary: Option<&'a str>,
}

/// What was answered to that.
#[derive(Clone, Copy)]
pub(super) struct Noted {
    /// Whether somebody decided elsewhere what this node is to do.
    pub(super) decisions_wait: bool,
}

/// A decision that waits for the node.
pub(super) struct Waiting {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) payload: String,
    pub(super) asked_by: String,
    pub(super) begun: bool,
}

/// A connection to it.
pub(super) struct Line {
    connection: PoolConnection<Postgres>,
    limit: Duration,
}

impl Line {
    async fn within<T>(
        &mut self,
        ask: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        if let Ok(answer) = tokio::time::timeout(self.limit, ask(&mut self.connection)).await {
            return answer;
        }
        // Given back it would be tested first, for as long as the system waits for an answer, and
        // meanwhile no other could be made in its place.
        self.connection.close_on_drop();
        let timed_out = std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time");
        Err(sqlx::Error::Io(timed_out))
    }

    /// Writes the node down; answers what waits for it, or `None` where its name was not free.
    pub(super) async fn tell_node(&mut self, own: &Own<'_>) -> sqlx::Result<Option<Noted>> {
        let sql =
            "INSERT INTO node (name, history, version, address, mode, seen_at, summary, frozen)
             VALUES ($1, $2, $3, $4, $5, clock_timestamp(), COALESCE($6, '{}'), COALESCE($7, ''))
             ON CONFLICT (name) DO UPDATE SET history = excluded.history,
                 version = excluded.version, address = excluded.address, mode = excluded.mode,
                 seen_at = excluded.seen_at, summary = COALESCE($6, node.summary),
                 frozen = COALESCE($7, node.frozen)
             WHERE node.history = excluded.history
                 OR node.seen_at < clock_timestamp() - interval '1 minute'
             RETURNING EXISTS (SELECT FROM decision WHERE decision.node = $1 AND done IS NULL)";
        let query = sqlx::query(sql).bind(own.name).bind(own.history);
        let query = query.bind(env!("CARGO_PKG_VERSION")).bind(own.address).bind(own.mode);
        let query = query.bind(own.summary).bind(own.frozen);
        let noted = self.within(async |on| query.fetch_optional(on).await).await?;
        noted.map(|row| Ok(Noted { decisions_wait: row.try_get(0)? })).transpose()
    }
}

impl Server {
    /// The server at `url`; an answer may take half of a lease.
    pub(super) fn new(url: &PostgresUrl, lease: Duration) -> Self {
        Self { url: url.clone(), pool: fleet_pool(url, lease), limit: lease / 2 }
    }

    pub(super) async fn prepare(&self) -> Result<(), OpenError> {
        migrate_fleet(&self.url).await
    }

    /// One statement on a connection of its own.
    async fn within<T>(
        &self,
        ask: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        self.line().await?.within(ask).await
    }

    /// A connection for several statements one after the other.
    pub(super) async fn line(&self) -> sqlx::Result<Line> {
        Ok(Line { connection: self.pool.acquire().await?, limit: self.limit })
    }

    /// Every node, by name.
    pub(super) async fn nodes(&self) -> sqlx::Result<Vec<Member>> {
        let sql = "SELECT name, version, address, mode, summary,
                   extract(epoch FROM clock_timestamp() - seen_at)::double precision AS silent
                   FROM node ORDER BY name";
        let rows = self.within(async |on| sqlx::query(sql).fetch_all(on).await).await?;
        // Each tells how it is four times a lease.
        let silent = super::registry::SILENT.max(self.limit * 2);
        rows.iter().map(|row| member(row, silent)).collect()
    }

    /// Takes out a node that has said nothing for so long that its name is free, and what waits for it;
    /// answers whether it was there, and whether it is gone.
    pub(super) async fn forget(&self, node: &str) -> sqlx::Result<(bool, bool)> {
        let sql = "WITH gone AS (DELETE FROM node WHERE name = $1
                       AND seen_at < clock_timestamp() - interval '1 minute' RETURNING name),
                   left_over AS (DELETE FROM decision
                       WHERE done IS NULL AND node IN (SELECT name FROM gone))
                   SELECT EXISTS (SELECT FROM node WHERE name = $1), EXISTS (SELECT FROM gone)";
        self.within(async |on| sqlx::query_as(sql).bind(node).fetch_one(on).await).await
    }

    /// Leaves a decision for a node, unless it was left before.
    pub(super) async fn decide(
        &self,
        node: &str,
        id: &str,
        kind: &str,
        payload: &str,
        by: &str,
    ) -> sqlx::Result<()> {
        let sql = "INSERT INTO decision (id, node, kind, payload, asked_by, asked_at)
                   VALUES ($1, $2, $3, $4, $5, clock_timestamp()) ON CONFLICT (id) DO NOTHING";
        let query = sqlx::query(sql).bind(id).bind(node).bind(kind).bind(payload).bind(by);
        self.within(async |on| query.execute(on).await).await.map(drop)
    }

    /// What became of it: whether it was done, and what was said. `None` while it waits.
    pub(super) async fn answer(&self, id: &str) -> sqlx::Result<Option<(bool, String)>> {
        let sql = "SELECT done, COALESCE(answer, '') FROM decision
                   WHERE id = $1 AND done IS NOT NULL";
        self.within(async |on| sqlx::query_as(sql).bind(id).fetch_optional(on).await).await
    }

    /// What waits for this node, of what is about freezes or of the rest, oldest first; what waited too long is ended undone, and what is
    /// long over goes.
    pub(super) async fn waiting(&self, node: &str, freezes: bool) -> sqlx::Result<Vec<Waiting>> {
        let sql = "SELECT id, kind, payload, asked_by, begun FROM decision
                   WHERE node = $1 AND done IS NULL AND (kind = ANY($2)) = $3
                   ORDER BY asked_at LIMIT 20";
        let query = sqlx::query(sql).bind(node).bind(FREEZES).bind(freezes);
        let rows = self.within(async |on| query.fetch_all(on).await).await?;
        rows.iter().map(waiting).collect()
    }

    /// Says that it is being done; answers whether there was still time for it.
    pub(super) async fn begin(&self, id: &str) -> sqlx::Result<bool> {
        // What was begun is ended, but not tried for ever.
        let sql = "UPDATE decision SET begun = true WHERE id = $1 AND asked_at > clock_timestamp()
                   - $2::text::interval * CASE WHEN begun THEN 2 ELSE 1 END";
        let query = sqlx::query(sql).bind(id).bind(LAPSES);
        Ok(self.within(async |on| query.execute(on).await).await?.rows_affected() > 0)
    }

    /// Says what became of it.
    pub(super) async fn end(&self, id: &str, done: bool, answer: &str) -> sqlx::Result<()> {
        let sql = "WITH old AS (DELETE FROM decision WHERE done IS NOT NULL
                       AND asked_at < clock_timestamp() - interval '1 day')
                   UPDATE decision SET done = $2, answer = $3 WHERE id = $1 AND done IS NULL";
        let query = sqlx::query(sql).bind(id).bind(done).bind(answer);
        self.within(async |on| query.execute(on).await).await.map(drop)
    }
}

fn member(row: &PgRow, silent: Duration) -> sqlx::Result<Member> {
    let summary: String = row.try_get("summary")?;
    let silent_secs: f64 = row.try_get("silent")?;
    Ok(Member {
        name: row.try_get("name")?,
        version: row.try_get("version")?,
        address: row.try_get("address")?,
        mode: row.try_get("mode")?,
        silent_secs: silent_secs.max(0.0),
        is_silent: silent_secs > silent.as_secs_f64(),
        // Of another version: what cannot be read is not shown.
        summary: serde_json::from_str::<Summary>(&summary).unwrap_or_default(),
    })
}

fn waiting(row: &PgRow) -> sqlx::Result<Waiting> {
    Ok(Waiting {
        id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        payload: row.try_get("payload")?,
        asked_by: row.try_get("asked_by")?,
        begun: row.try_get("begun")?,
    })
}
