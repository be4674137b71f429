//! What is asked of the jobs that any node may read.

use std::time::Duration;

use chrono::NaiveDateTime;
use sqlx::AssertSqlSafe;

use super::Server;

/// So long it is known that a job was done: as long as anybody sends it again.
const KNOWN: &str = "7 days";

/// Whoever has not said for so long that it is at a job is not.
const QUIET: &str = "2 minutes";

/// Who has a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fleet) enum Taken {
    /// This node; whether it, or one that is gone, had begun it before.
    Ours { again: bool },
    /// Another that is there.
    Theirs(String),
    /// It was done.
    Done,
}

/// What a node has in its history.
#[derive(Debug, Clone, Copy)]
pub(in crate::fleet) enum Kept<'a> {
    /// An incident, by its id.
    Incident(&'a str),
    /// A backup, by its id.
    Backup(&'a str),
}

impl Server {
    /// Takes a job, unless it was done or another node that gave a sign of life within `silent` is at it:
    /// one that is [says so](Self::job_goes_on).
    pub(in crate::fleet) async fn take_job(
        &self,
        id: &str,
        me: &str,
        silent: Duration,
    ) -> sqlx::Result<Taken> {
        let sql = "WITH taken AS (
                INSERT INTO job (id, node, at) VALUES ($1, $2, clock_timestamp())
                ON CONFLICT (id) DO UPDATE SET node = excluded.node, at = excluded.at
                WHERE NOT job.done AND (job.node = $2 OR job.at < clock_timestamp() - $4::text::interval
                    OR NOT EXISTS (SELECT FROM node WHERE node.name = job.node
                    AND node.seen_at > clock_timestamp() - $3 * interval '1 second'))
                RETURNING xmax <> 0 AS again
            )
            SELECT (SELECT again FROM taken), (SELECT done FROM job WHERE id = $1),
                (SELECT node FROM job WHERE id = $1)";
        let query = sqlx::query_as(sql).bind(id).bind(me).bind(silent.as_secs_f64()).bind(QUIET);
        let (again, done, node): (Option<bool>, Option<bool>, Option<String>) =
            self.within(async |on| query.fetch_one(on).await).await?;
        Ok(match (again, done) {
            (Some(again), _) => Taken::Ours { again },
            (None, Some(true)) => Taken::Done,
            // One that came to it in the same moment is not seen yet.
            (None, _) => Taken::Theirs(node.unwrap_or_default()),
        })
    }

    /// Says that this node is still at it.
    pub(in crate::fleet) async fn job_goes_on(&self, id: &str, me: &str) -> sqlx::Result<()> {
        let sql = "UPDATE job SET at = clock_timestamp() WHERE id = $1 AND node = $2 AND NOT done";
        let query = sqlx::query(sql).bind(id).bind(me);
        self.within(async |on| query.execute(on).await).await.map(drop)
    }

    /// Lets whoever reads it next try it.
    pub(in crate::fleet) async fn leave_job(&self, id: &str, me: &str) -> sqlx::Result<()> {
        let sql = "UPDATE job SET node = '' WHERE id = $1 AND node = $2 AND NOT done";
        let query = sqlx::query(sql).bind(id).bind(me);
        self.within(async |on| query.execute(on).await).await.map(drop)
    }

    /// Notes that a job was done, also where it could not be taken, and forgets old ones.
    pub(in crate::fleet) async fn job_done(&self, id: &str, me: &str) -> sqlx::Result<()> {
        let sql = "WITH old AS (DELETE FROM job WHERE at < clock_timestamp() - $3::text::interval
                       AND id <> $1)
                   INSERT INTO job (id, node, done, at) VALUES ($1, $2, true, clock_timestamp())
                   ON CONFLICT (id) DO UPDATE SET done = true";
        let query = sqlx::query(sql).bind(id).bind(me).bind(KNOWN);
        self.within(async |on| query.execute(on).await).await.map(drop)
    }

    /// Takes back what was left for others to do of a job and nobody began.
    pub(in crate::fleet) async fn withdraw(&self, job: &str) -> sqlx::Result<()> {
        let sql = "DELETE FROM decision WHERE NOT begun AND done IS NULL
                   AND (id = 'job/' || $1 OR starts_with(id, 'job/' || $1 || '/'))";
        let query = sqlx::query(sql).bind(job);
        self.within(async |on| query.execute(on).await).await.map(drop)
    }

    /// Which of these nodes have an incident in their histories, open or closed, or what was kept before a fix.
    pub(in crate::fleet) async fn whose(
        &self,
        nodes: &[String],
        what: Kept<'_>,
    ) -> sqlx::Result<Vec<String>> {
        let (condition, id) = match what {
            Kept::Incident(id) => ("id = $1", id),
            // Most are told apart by when they were open, and not read.
            Kept::Backup(id) => (
                "CASE WHEN left(opened_at, 19) <= $2 AND left(updated_at, 19) >= $2
                      THEN document::jsonb -> 'backups' @> to_jsonb($1::text) ELSE false END",
                id,
            ),
        };
        // One that never sent anything has no table.
        let sql = "SELECT name FROM unnest($1::text[]) AS name
                   WHERE to_regclass(format('%I.incident', 'selfheal_' || name)) IS NOT NULL";
        let query = sqlx::query_scalar::<_, String>(sql).bind(nodes);
        let there = self.within(async |on| query.fetch_all(on).await).await?;
        // Names of nodes have neither quotes nor blanks: the settings refuse them.
        let sql = there
            .iter()
            .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)))
            .map(|name| {
                format!("SELECT '{name}' FROM \"selfheal_{name}\".incident WHERE {condition}")
            })
            .collect::<Vec<_>>()
            .join(" UNION ");
        if sql.is_empty() {
            return Ok(vec![]);
        }
        let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(id).persistent(false);
        let query = match what {
            Kept::Incident(_) => query,
            Kept::Backup(id) => query.bind(second_of(id)),
        };
        self.within(async |on| query.fetch_all(on).await).await
    }
}

/// When a backup was made, by its id, as times begin in the history: `2025-10-19T17:00:00`.
fn second_of(backup: &str) -> Option<String> {
    let stamp = backup.strip_prefix("backup_")?.get(..15)?;
    let at = NaiveDateTime::parse_from_str(stamp, "%Y%m%d_%H%M%S").ok()?;
    Some(at.format("%Y-%m-%dT%H:%M:%S").to_string())
}
