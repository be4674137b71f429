//! What is told and read of outcomes: each by its node alone, all by every node.

use std::collections::BTreeSet;

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::Server;

/// So many outcomes of other nodes are read at a time, the newest.
const LEARNT_AT_ONCE: i64 = 10_000;

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

    /// What others learnt since that transaction, and the one from which on to ask next.
    pub(in crate::fleet) async fn learn(
        &self,
        node: &str,
        since: u64,
    ) -> sqlx::Result<(Vec<Learnt>, u64)> {
        let sql = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text";
        let now: String =
            self.within(async |on| sqlx::query_scalar(sql).fetch_one(on).await).await?;
        let now = now.parse::<u64>().unwrap_or_default();
        // A server that was set up anew counts from the beginning.
        let since = if now < since { 0 } else { since };
        // However much was learnt: so many a node reads at its start, what may be its own as well and
        // the newest first.
        let sql = "SELECT node, shared, document FROM outcome
                    WHERE xact >= $1::text::xid8 AND node <> $2
                    ORDER BY shared IS NULL, xact DESC LIMIT $3";
        let query = sqlx::query(sql).bind(since.to_string()).bind(node).bind(LEARNT_AT_ONCE);
        let rows = self.within(async |on| query.fetch_all(on).await).await?;
        let learnt = rows.iter().map(learnt).collect::<sqlx::Result<_>>()?;
        Ok((learnt, now))
    }
}

fn learnt(row: &PgRow) -> sqlx::Result<Learnt> {
    Ok(Learnt {
        node: row.try_get("node")?,
        shared: row.try_get("shared")?,
        document: row.try_get("document")?,
    })
}
