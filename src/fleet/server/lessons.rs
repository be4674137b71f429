//! What is told and read of outcomes: each by its node alone, the newest of a kind by every node.
//!
//! A kind is what was wrong and what was done. What is read is found by index and has an upper bound
//! for each kind, so that it grows neither with what was learnt in total nor with the fleet.

use std::collections::BTreeSet;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::Server;

/// Of each kind the newest of every node come before the second of any: looked for in ten times as
/// many as are read, since no node has so many of one kind that they would be all. A kind is asked
/// for as a range, whose order one index alone has: of a rare kind the server would otherwise look
/// for the newest among those of all kinds.
const OF_ALL: &str = "WITH RECURSIVE known AS (
        SELECT min(kind) AS kind FROM outcome
        UNION ALL
        SELECT (SELECT min(kind) FROM outcome WHERE kind > known.kind) FROM known
        WHERE known.kind IS NOT NULL
    )
    SELECT one.* FROM known CROSS JOIN LATERAL (
        SELECT * FROM (
            SELECT *, row_number() OVER (PARTITION BY node ORDER BY xact DESC, fix DESC) AS nth
            FROM (
                SELECT * FROM outcome
                WHERE (kind, xact) >= (known.kind, $1::text::xid8) AND kind <= known.kind
                    AND node <> $2
                ORDER BY kind DESC, xact DESC LIMIT 10 * $3
            ) newest
        ) ranked
        ORDER BY nth, xact DESC, fix DESC LIMIT $3
    ) one";
/// Of each of these leases, whatever the kind.
const OF_TARGETS: &str = "SELECT one.* FROM UNNEST($4::text[]) AS ours (lease)
    CROSS JOIN LATERAL (
        SELECT * FROM outcome
        WHERE (shared, xact) >= (ours.lease, $1::text::xid8) AND shared <= ours.lease
            AND node <> $2
        ORDER BY shared DESC, xact DESC LIMIT 10 * $3
    ) one";

/// An outcome of this node.
pub(in crate::fleet) struct Lesson {
    pub(in crate::fleet) fix: String,
    /// The lease of its target, where others reach that as well.
    pub(in crate::fleet) shared: Option<String>,
    pub(in crate::fleet) document: String,
}

/// What another node learnt.
pub(in crate::fleet) struct Learnt {
    pub(in crate::fleet) node: String,
    pub(in crate::fleet) shared: Option<String>,
    pub(in crate::fleet) document: String,
}

/// What a node asks for of what others learnt.
pub(in crate::fleet) struct Question<'a> {
    /// Who asks.
    pub(in crate::fleet) node: &'a str,
    /// From which transaction on; 0 for all.
    pub(in crate::fleet) since: u64,
    /// Of what these leases stand for; `None` for all of everybody.
    pub(in crate::fleet) leases: Option<&'a [String]>,
    /// So many of a kind, the newest; of a lease ten times as many.
    pub(in crate::fleet) most: u32,
}

impl Server {
    /// What this node has told of its outcomes: the SHA-256 of each document, in hexadecimal.
    pub(in crate::fleet) async fn told(&self, node: &str) -> sqlx::Result<BTreeSet<String>> {
        let sql = "SELECT encode(sha256(convert_to(document, 'UTF8')), 'hex') FROM outcome
                   WHERE node = $1";
        let query = sqlx::query_scalar(sql).bind(node);
        let told: Vec<String> = self.within(async |on| query.fetch_all(on).await).await?;
        Ok(told.into_iter().collect())
    }

    /// Tells the others outcomes, each once; no two are of one fix.
    pub(in crate::fleet) async fn teach(&self, node: &str, lessons: &[Lesson]) -> sqlx::Result<()> {
        let sql = "INSERT INTO outcome (fix, node, shared, document)
             SELECT fix, $1, shared, document
             FROM UNNEST($2::text[], $3::text[], $4::text[]) AS lesson (fix, shared, document)
             ON CONFLICT (fix) DO UPDATE SET shared = excluded.shared,
                 document = excluded.document, xact = pg_current_xact_id()
             WHERE outcome.node = excluded.node AND outcome.document <> excluded.document";
        let of = |field: fn(&Lesson) -> &str| lessons.iter().map(field).collect::<Vec<_>>();
        let shared: Vec<Option<&str>> = lessons.iter().map(|one| one.shared.as_deref()).collect();
        let query = sqlx::query(sql).bind(node).bind(of(|one| &one.fix)).bind(shared);
        let query = query.bind(of(|one| &one.document));
        self.within(async |on| query.execute(on).await).await.map(drop)
    }

    /// Takes out what this node told, but for the newest of each kind, and of a shared target its own.
    pub(in crate::fleet) async fn take_out_old(&self, node: &str, keep: u32) -> sqlx::Result<()> {
        let sql = "DELETE FROM outcome WHERE fix IN (
                 SELECT fix FROM (
                     SELECT fix, row_number() OVER (PARTITION BY kind, shared ORDER BY
                         (document::json ->> 'timestamp')::timestamptz DESC, fix DESC) AS nth
                     FROM outcome WHERE node = $1
                 ) ranked
                 WHERE nth > $2)";
        let query = sqlx::query(sql).bind(node).bind(i64::from(keep));
        self.within(async |on| query.execute(on).await).await.map(drop)
    }

    /// What others learnt, and the transaction from which on to ask next: 0 where the server was set
    /// up anew and counts from the beginning.
    pub(in crate::fleet) async fn learn(
        &self,
        question: &Question<'_>,
    ) -> sqlx::Result<(Vec<Learnt>, u64)> {
        let Question { node, since, leases, most } = *question;
        if since == 0 {
            self.age_what_was_put_back().await?;
        }
        let lessons = if leases.is_some() { OF_TARGETS } else { OF_ALL };
        let sql = format!(
            "SELECT now, node, shared, document
             FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS now) always
             LEFT JOIN ({lessons}) lesson ON true"
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(since.to_string())
            .bind(node)
            .bind(i64::from(most));
        let query = leases.into_iter().fold(query, sqlx::query::Query::bind);
        let rows = self.within(async |on| query.fetch_all(on).await).await?;
        let now = rows.first().map_or(Ok(String::new()), |row| row.try_get("now"))?;
        let now = now.parse::<u64>().unwrap_or_default();
        let learnt = rows.iter().filter_map(|row| learnt(row).transpose());
        Ok((learnt.collect::<sqlx::Result<_>>()?, if now < since { 0 } else { now }))
    }

    /// What a dump brought from a server that had counted further would be newer than whatever is
    /// learnt from then on: it becomes the oldest.
    async fn age_what_was_put_back(&self) -> sqlx::Result<()> {
        let sql = "UPDATE outcome SET xact = '0'
                   WHERE xact >= pg_snapshot_xmax(pg_current_snapshot())";
        self.within(async |on| sqlx::query(sql).execute(on).await).await.map(drop)
    }
}

/// The outcome in a row; there is one row without any where nothing was learnt.
fn learnt(row: &PgRow) -> sqlx::Result<Option<Learnt>> {
    let Some(node) = row.try_get::<Option<String>, _>("node")? else { return Ok(None) };
    Ok(Some(Learnt { node, shared: row.try_get("shared")?, document: row.try_get("document")? }))
}
