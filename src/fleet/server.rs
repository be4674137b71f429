//! What is asked of PostgreSQL: each call is one statement, and ends within its limit.
//!
//! It knows the tables and decides nothing: who may have a lease is said by the conditions that
//! [`Ask`] names.

use std::collections::BTreeMap;
use std::time::Duration;

use selfheal_agents::lease::{Ask, Mark, Row};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgPool, Row as _};

use super::registry::{Member, Summary};
use crate::store::{OpenError, PostgresUrl, fleet_pool, migrate_fleet};

/// Decisions older than this are not carried out: who took them thinks of something else by now.
const LAPSES: &str = "10 minutes";

/// So many outcomes of other nodes are read at a time, the newest.
const LEARNT_AT_ONCE: i64 = 10_000;

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

/// A decision that waits for the node.
pub(super) struct Waiting {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) payload: String,
    pub(super) asked_by: String,
    pub(super) begun: bool,
}

/// What another node learnt.
pub(super) struct Learnt {
    pub(super) node: String,
    pub(super) shared: Option<String>,
    pub(super) document: String,
}

/// The leases as they are.
pub(super) struct Rows {
    /// Since when the server forgot nothing.
    pub(super) era: String,
    pub(super) leases: BTreeMap<String, Row>,
}

/// What is asked for one lease.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    /// Of what.
    pub(super) target: &'a str,
    /// As which nothing was forgotten since.
    pub(super) era: &'a str,
    /// By whom.
    pub(super) me: &'a str,
    /// For how long whoever it is passed to has it.
    pub(super) usual: Duration,
    pub(super) ask: &'a Ask,
}

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

impl Server {
    pub(super) fn new(url: &PostgresUrl, limit: Duration) -> Self {
        Self { url: url.clone(), pool: fleet_pool(url), limit }
    }

    pub(super) async fn prepare(&self) -> Result<(), OpenError> {
        migrate_fleet(&self.url).await
    }

    async fn within<T>(&self, asked: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        let timed_out = || std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time");
        let answer = tokio::time::timeout(self.limit, asked).await;
        answer.unwrap_or_else(|_| Err(sqlx::Error::Io(timed_out())))
    }

    /// The leases of these targets, and the era of all of them.
    pub(super) async fn rows(&self, targets: &[String]) -> sqlx::Result<Rows> {
        let sql = format!(
            "SELECT {ERA} AS era, target, holder, fence, beat, length_ms, wanted_by
             FROM (SELECT 1) always LEFT JOIN lease ON target = ANY($1)"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(targets);
        let rows = self.within(query.fetch_all(&self.pool)).await?;
        let era = rows.first().map_or(Ok(String::new()), |row| row.try_get("era"))?;
        let leases = rows.iter().filter_map(|found| row(found).transpose());
        Ok(Rows { era, leases: leases.collect::<sqlx::Result<_>>()? })
    }

    /// Asks for one lease in an era; answers its new mark, if it was as thought.
    pub(super) async fn ask(&self, asking: &Asking<'_>) -> sqlx::Result<Option<Mark>> {
        let Asking { target, era, me, usual, ask } = *asking;
        let nothing = Mark { fence: 0, beat: 0 };
        let (sql, who, from, length) = match ask {
            Ask::Nothing => return Ok(None),
            Ask::Take { from: None, above, length } => {
                (TAKE_FIRST, me, Mark { fence: *above, beat: 0 }, Some(*length))
            }
            Ask::Take { from, length, .. } => (TAKE, me, from.unwrap_or(nothing), Some(*length)),
            Ask::Renew { from, length } => (RENEW, me, *from, Some(*length)),
            Ask::Pass { from, to } => (PASS, to.as_str(), *from, Some(usual)),
            Ask::Want { from } => (WANT, me, *from, None),
        };
        let sql = sql.replace("{ERA}", ERA);
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(target).bind(who);
        query = query.bind(from.fence).bind(from.beat).bind(era);
        if let Some(length) = length {
            query = query.bind(millis(length));
        }
        if let Ask::Take { from: Some(_), above, .. } = ask {
            query = query.bind(above);
        }
        let found = self.within(query.fetch_optional(&self.pool)).await?;
        let mark =
            |row: PgRow| Ok(Mark { fence: row.try_get("fence")?, beat: row.try_get("beat")? });
        found.map(mark).transpose()
    }

    /// Writes the node down; answers whether its name was free.
    pub(super) async fn tell_node(&self, own: &Own<'_>) -> sqlx::Result<bool> {
        let sql =
            "INSERT INTO node (name, history, version, address, mode, seen_at, summary, frozen)
             VALUES ($1, $2, $3, $4, $5, clock_timestamp(), COALESCE($6, '{}'), COALESCE($7, ''))
             ON CONFLICT (name) DO UPDATE SET history = excluded.history,
                 version = excluded.version, address = excluded.address, mode = excluded.mode,
                 seen_at = excluded.seen_at, summary = COALESCE($6, node.summary),
                 frozen = COALESCE($7, node.frozen)
             WHERE node.history = excluded.history
                 OR node.seen_at < clock_timestamp() - interval '1 minute'";
        let query = sqlx::query(sql).bind(own.name).bind(own.history);
        let query = query.bind(env!("CARGO_PKG_VERSION")).bind(own.address).bind(own.mode);
        let query = query.bind(own.summary).bind(own.frozen);
        let done = self.within(query.execute(&self.pool)).await?;
        Ok(done.rows_affected() > 0)
    }

    /// The other nodes that have something frozen, with what each tells of it.
    pub(super) async fn frozen(&self, me: &str) -> sqlx::Result<Vec<(String, String)>> {
        let sql = "SELECT name, frozen FROM node WHERE frozen <> '' AND name <> $1";
        self.within(sqlx::query_as(sql).bind(me).fetch_all(&self.pool)).await
    }

    /// Every node, by name.
    pub(super) async fn nodes(&self) -> sqlx::Result<Vec<Member>> {
        let sql = "SELECT name, version, address, mode, summary,
                   extract(epoch FROM clock_timestamp() - seen_at)::double precision AS silent
                   FROM node ORDER BY name";
        let rows = self.within(sqlx::query(sql).fetch_all(&self.pool)).await?;
        rows.iter().map(member).collect()
    }

    /// Leaves a decision for a node.
    pub(super) async fn decide(
        &self,
        node: &str,
        id: &str,
        kind: &str,
        payload: &str,
        by: &str,
    ) -> sqlx::Result<()> {
        let sql = "INSERT INTO decision (id, node, kind, payload, asked_by, asked_at)
                   VALUES ($1, $2, $3, $4, $5, clock_timestamp())";
        let query = sqlx::query(sql).bind(id).bind(node).bind(kind).bind(payload).bind(by);
        self.within(query.execute(&self.pool)).await.map(drop)
    }

    /// What became of it: whether it was done, and what was said. `None` while it waits.
    pub(super) async fn answer(&self, id: &str) -> sqlx::Result<Option<(bool, String)>> {
        let sql = "SELECT done, COALESCE(answer, '') FROM decision
                   WHERE id = $1 AND done IS NOT NULL";
        self.within(sqlx::query_as(sql).bind(id).fetch_optional(&self.pool)).await
    }

    /// What waits for this node, oldest first; what waited too long is ended undone, and what is
    /// long over goes.
    pub(super) async fn waiting(&self, node: &str) -> sqlx::Result<Vec<Waiting>> {
        let sql = "SELECT id, kind, payload, asked_by, begun FROM decision
                   WHERE node = $1 AND done IS NULL ORDER BY asked_at LIMIT 20";
        let rows = self.within(sqlx::query(sql).bind(node).fetch_all(&self.pool)).await?;
        rows.iter().map(waiting).collect()
    }

    /// Says that it is being done; answers whether there was still time for it.
    pub(super) async fn begin(&self, id: &str) -> sqlx::Result<bool> {
        // What was begun is ended, but not tried for ever.
        let sql = "UPDATE decision SET begun = true WHERE id = $1 AND asked_at > clock_timestamp()
                   - $2::text::interval * CASE WHEN begun THEN 2 ELSE 1 END";
        let query = sqlx::query(sql).bind(id).bind(LAPSES);
        Ok(self.within(query.execute(&self.pool)).await?.rows_affected() > 0)
    }

    /// Says what became of it.
    pub(super) async fn end(&self, id: &str, done: bool, answer: &str) -> sqlx::Result<()> {
        let sql = "WITH old AS (DELETE FROM decision WHERE done IS NOT NULL
                       AND asked_at < clock_timestamp() - interval '1 day')
                   UPDATE decision SET done = $2, answer = $3 WHERE id = $1 AND done IS NULL";
        let query = sqlx::query(sql).bind(id).bind(done).bind(answer);
        self.within(query.execute(&self.pool)).await.map(drop)
    }

    /// Tells the others an outcome, once.
    pub(super) async fn teach(
        &self,
        fix: &str,
        node: &str,
        shared: Option<&str>,
        document: &str,
    ) -> sqlx::Result<()> {
        let sql = "INSERT INTO outcome (fix, node, shared, document) VALUES ($1, $2, $3, $4)
             ON CONFLICT (fix) DO UPDATE SET shared = excluded.shared,
                 document = excluded.document, xact = pg_current_xact_id()
             WHERE outcome.node = excluded.node AND outcome.document <> excluded.document";
        let query = sqlx::query(sql).bind(fix).bind(node).bind(shared).bind(document);
        self.within(query.execute(&self.pool)).await.map(drop)
    }

    /// What others learnt since that transaction, and the one from which on to ask next.
    pub(super) async fn learn(&self, node: &str, since: u64) -> sqlx::Result<(Vec<Learnt>, u64)> {
        let sql = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text";
        let now: String = self.within(sqlx::query_scalar(sql).fetch_one(&self.pool)).await?;
        let now = now.parse::<u64>().unwrap_or_default();
        // A server that was set up anew counts from the beginning.
        let since = if now < since { 0 } else { since };
        // However much was learnt: so many a node reads at its start, and the newest.
        let sql = "SELECT node, shared, document FROM outcome
                   WHERE xact >= $1::text::xid8 AND node <> $2 ORDER BY xact DESC LIMIT $3";
        let query = sqlx::query(sql).bind(since.to_string()).bind(node).bind(LEARNT_AT_ONCE);
        let rows = self.within(query.fetch_all(&self.pool)).await?;
        let learnt = rows.iter().map(learnt).collect::<sqlx::Result<_>>()?;
        Ok((learnt, now))
    }
}

/// Since when the server goes on without a break, and with which table: another after a restart, on
/// one that took its place, and where the tables were put back from a dump.
const ERA: &str =
    "extract(epoch FROM pg_postmaster_start_time())::text || '/' || 'lease'::regclass::oid::text";

// Each is asked of what, by whom, from which fence and beat, in which era, for how long.
const TAKE_FIRST: &str = "INSERT INTO lease (target, holder, fence, beat, length_ms)
    SELECT $1, $2, $3::bigint + 1, $4::bigint, $6::bigint WHERE {ERA} = $5 ON CONFLICT DO NOTHING RETURNING fence, beat";
const TAKE: &str = "UPDATE lease SET holder = $2, fence = GREATEST(fence, $7) + 1, beat = 0,
    length_ms = $6, wanted_by = NULLIF(wanted_by, $2)
    WHERE target = $1 AND fence = $3 AND beat = $4 AND {ERA} = $5 RETURNING fence, beat";
const RENEW: &str = "UPDATE lease SET beat = beat + 1, length_ms = $6
    WHERE target = $1 AND holder = $2 AND fence = $3 AND beat = $4 AND {ERA} = $5
    RETURNING fence, beat";
const PASS: &str = "UPDATE lease SET holder = $2, fence = fence + 1, beat = 0, length_ms = $6,
    wanted_by = NULL
    WHERE target = $1 AND fence = $3 AND beat = $4 AND {ERA} = $5 RETURNING fence, beat";
const WANT: &str = "UPDATE lease SET wanted_by = $2
    WHERE target = $1 AND fence = $3 AND beat = $4 AND {ERA} = $5 RETURNING fence, beat";

/// The lease in a row; there is one row without any where there is no lease.
fn row(row: &PgRow) -> sqlx::Result<Option<(String, Row)>> {
    let Some(target) = row.try_get::<Option<String>, _>("target")? else { return Ok(None) };
    let mark = Mark { fence: row.try_get("fence")?, beat: row.try_get("beat")? };
    let length: i64 = row.try_get("length_ms")?;
    let lease = Row {
        holder: row.try_get("holder")?,
        mark,
        length: Duration::from_millis(length.unsigned_abs()),
        wanted_by: row.try_get("wanted_by")?,
    };
    Ok(Some((target, lease)))
}

fn member(row: &PgRow) -> sqlx::Result<Member> {
    let summary: String = row.try_get("summary")?;
    let silent_secs: f64 = row.try_get("silent")?;
    Ok(Member {
        name: row.try_get("name")?,
        version: row.try_get("version")?,
        address: row.try_get("address")?,
        mode: row.try_get("mode")?,
        silent_secs: silent_secs.max(0.0),
        is_silent: silent_secs > super::registry::SILENT.as_secs_f64(),
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

fn learnt(row: &PgRow) -> sqlx::Result<Learnt> {
    Ok(Learnt {
        node: row.try_get("node")?,
        shared: row.try_get("shared")?,
        document: row.try_get("document")?,
    })
}
