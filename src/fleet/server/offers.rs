//! What nodes have for each other, in the table of it.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::Server;

/// What this node has, with every place at which it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fleet) struct OfferRow {
    pub(in crate::fleet) target: String,
    pub(in crate::fleet) places: Vec<String>,
    pub(in crate::fleet) fails: bool,
    pub(in crate::fleet) detail: String,
    /// What another node has, where that is why it fails.
    pub(in crate::fleet) blames: String,
}

/// What another node has at one place that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::fleet) struct FoundRow {
    pub(in crate::fleet) place: String,
    pub(in crate::fleet) node: String,
    pub(in crate::fleet) target: String,
    pub(in crate::fleet) fails: bool,
    pub(in crate::fleet) detail: String,
    pub(in crate::fleet) blames: String,
    /// For so many seconds it works again; `None` where it never failed.
    pub(in crate::fleet) works_secs: Option<f64>,
    /// For so many seconds its node has said nothing.
    pub(in crate::fleet) silent_secs: f64,
}

impl Server {
    /// Tells all that this node has; what it told before and does not tell now goes.
    pub(in crate::fleet) async fn offer(&self, me: &str, rows: &[OfferRow]) -> sqlx::Result<()> {
        let sql = "WITH told AS (
                 SELECT * FROM UNNEST($2::text[], $3::bool[], $4::text[], $5::text[])
                     AS told (target, fails, detail, blames)
             ), named AS (
                 SELECT * FROM UNNEST($6::text[], $7::text[]) AS named (place, target)
             ), gone AS (
                 DELETE FROM offer WHERE node = $1 AND target <> ALL($2)
             ), left_behind AS (
                 DELETE FROM offer_place WHERE node = $1
                     AND (place, target) NOT IN (SELECT place, target FROM named)
             ), changed AS (
                 INSERT INTO offer (node, target, fails, detail, blames)
                 SELECT $1, target, fails, detail, blames FROM told
                 ON CONFLICT (node, target) DO UPDATE SET fails = excluded.fails,
                     detail = excluded.detail, blames = excluded.blames,
                     works_since = CASE WHEN offer.fails AND NOT excluded.fails
                         THEN clock_timestamp() ELSE offer.works_since END
                 WHERE (offer.fails, offer.detail, offer.blames)
                     <> (excluded.fails, excluded.detail, excluded.blames)
             )
             INSERT INTO offer_place (place, node, target)
             SELECT DISTINCT place, $1, target FROM named ON CONFLICT DO NOTHING";
        let of = |field: fn(&OfferRow) -> &str| rows.iter().map(field).collect::<Vec<_>>();
        let fails: Vec<bool> = rows.iter().map(|row| row.fails).collect();
        let named = rows.iter().flat_map(|row| row.places.iter().map(|at| (&**at, &*row.target)));
        let (places, targets): (Vec<&str>, Vec<&str>) = named.unzip();
        let query = sqlx::query(sql).bind(me).bind(of(|row| &row.target)).bind(fails);
        let query = query
            .bind(of(|row| &row.detail))
            .bind(of(|row| &row.blames))
            .bind(places)
            .bind(targets);
        self.within(async |on| query.execute(on).await).await.map(drop)
    }

    /// What other nodes have at these places.
    pub(in crate::fleet) async fn find(
        &self,
        me: &str,
        places: &[&str],
    ) -> sqlx::Result<Vec<FoundRow>> {
        let sql = "SELECT place, offer.node, offer.target, fails, detail, blames,
                 extract(epoch FROM clock_timestamp() - works_since)::float8 AS works,
                 extract(epoch FROM clock_timestamp() - seen_at)::float8 AS silent
             FROM offer_place JOIN offer USING (node, target) JOIN node ON node.name = offer.node
             WHERE place = ANY($2) AND offer.node <> $1";
        let query = sqlx::query(sql).bind(me).bind(places);
        let rows = self.within(async |on| query.fetch_all(on).await).await?;
        rows.iter().map(found).collect()
    }
}

fn found(row: &PgRow) -> sqlx::Result<FoundRow> {
    Ok(FoundRow {
        place: row.try_get("place")?,
        node: row.try_get("node")?,
        target: row.try_get("target")?,
        fails: row.try_get("fails")?,
        detail: row.try_get("detail")?,
        blames: row.try_get("blames")?,
        works_secs: row.try_get("works")?,
        silent_secs: row.try_get("silent")?,
    })
}
