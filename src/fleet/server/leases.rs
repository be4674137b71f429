//! What is asked of the leases: how they are, and changes to any number of them in one statement. One
//! after the other the first would lapse while the last is asked for, on a long way to the server.

use std::collections::BTreeMap;
use std::time::Duration;

use selfheal_agents::lease::{Ask, Mark, Row};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::Line;

/// The leases as they are.
pub(in crate::fleet) struct Rows {
    /// Since when the server forgot nothing.
    pub(in crate::fleet) era: String,
    pub(in crate::fleet) leases: BTreeMap<String, Row>,
    /// What other nodes tell of what they have frozen, by their names.
    pub(in crate::fleet) frozen: BTreeMap<String, String>,
}

/// What is asked for some leases.
#[derive(Clone, Copy)]
pub(in crate::fleet) struct Asking<'a> {
    /// As which nothing was forgotten since.
    pub(in crate::fleet) era: &'a str,
    /// By whom.
    pub(in crate::fleet) me: &'a str,
    /// For how long whoever one is passed to has it.
    pub(in crate::fleet) usual: Duration,
    /// What, by target.
    pub(in crate::fleet) asks: &'a BTreeMap<String, Ask>,
}

/// Since when the server goes on without a break, and with which table: another after a restart, on
/// one that took its place, and where the tables were put back from a dump.
const ERA: &str =
    "extract(epoch FROM pg_postmaster_start_time())::text || '/' || 'lease'::regclass::oid::text";

/// Each lease is changed only where it still is as it was seen, and answered with its new mark. Locked
/// by name first: of two nodes that ask for the same ones, none waits for what the other waits for. The
/// names come by themselves as well: of a document the server does not know how many they are, and would
/// read the leases of all nodes.
const CHANGE: &str = "WITH asked AS (
        SELECT * FROM json_to_recordset($2::text::json) AS asked (target text,
            seen_fence bigint, seen_beat bigint, seen_holder text,
            holder text, fence bigint, beat bigint, length_ms bigint, wanted_by text)
        WHERE {ERA} = $1
    ), made AS (
        INSERT INTO lease (target, holder, fence, beat, length_ms)
        SELECT target, holder, fence, beat, length_ms FROM asked
        WHERE seen_fence IS NULL ORDER BY target
        ON CONFLICT DO NOTHING RETURNING target, fence, beat
    ), locked AS (
        SELECT target FROM lease WHERE target = ANY($3) ORDER BY target FOR UPDATE
    ), changed AS (
        UPDATE lease SET holder = COALESCE(asked.holder, lease.holder), fence = asked.fence,
            beat = asked.beat, length_ms = COALESCE(asked.length_ms, lease.length_ms),
            wanted_by = NULLIF(COALESCE(asked.wanted_by, lease.wanted_by), asked.holder)
        FROM asked JOIN locked USING (target)
        WHERE lease.target = ANY($3) AND lease.target = asked.target
            AND lease.fence = asked.seen_fence
            AND lease.beat = asked.seen_beat
            AND lease.holder = COALESCE(asked.seen_holder, lease.holder)
        RETURNING lease.target, lease.fence, lease.beat
    )
    SELECT target, fence, beat FROM made UNION ALL SELECT target, fence, beat FROM changed";

impl Line {
    /// The leases of these targets, the era of all of them, and what nodes other than `me` have frozen.
    pub(in crate::fleet) async fn rows(
        &mut self,
        me: &str,
        targets: &[String],
    ) -> sqlx::Result<Rows> {
        let sql = format!(
            "SELECT {ERA} AS era, target, holder, fence, beat, length_ms, wanted_by,
                 CASE WHEN row_number() OVER () = 1 THEN
                     (SELECT json_object_agg(name, frozen)::text FROM node
                      WHERE frozen <> '' AND name <> $2) END AS frozen
             FROM (SELECT 1) always LEFT JOIN lease ON target = ANY($1)"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(targets).bind(me);
        let rows = self.within(async |on| query.fetch_all(on).await).await?;
        let era = rows.first().map_or(Ok(String::new()), |row| row.try_get("era"))?;
        let frozen =
            rows.first().map_or(Ok(None), |row| row.try_get::<Option<&str>, _>("frozen"))?;
        // What cannot be read is not that nothing is frozen.
        let frozen = frozen.map_or(Ok(BTreeMap::new()), serde_json::from_str);
        let frozen = frozen.map_err(|error| sqlx::Error::Decode(error.into()))?;
        let leases = rows.iter().filter_map(|found| row(found).transpose());
        Ok(Rows { era, leases: leases.collect::<sqlx::Result<_>>()?, frozen })
    }

    /// Asks for leases in an era; answers the new mark of each that was as thought.
    pub(in crate::fleet) async fn ask(
        &mut self,
        asking: &Asking<'_>,
    ) -> sqlx::Result<BTreeMap<String, Mark>> {
        let Asking { era, me, usual, asks } = *asking;
        let changes = asks.iter().filter_map(|(target, ask)| change(target, ask, me, usual));
        let changes: Vec<Change<'_>> = changes.collect();
        if changes.is_empty() {
            return Ok(BTreeMap::new());
        }
        let names: Vec<&str> = changes.iter().map(|change| change.target).collect();
        let changes = serde_json::to_string(&changes).expect("texts and numbers only");
        let sql = CHANGE.replace("{ERA}", ERA);
        let query = sqlx::query(AssertSqlSafe(sql)).bind(era).bind(changes).bind(names);
        let found = self.within(async |on| query.fetch_all(on).await).await?;
        found.iter().map(|row| Ok((row.try_get("target")?, mark(row)?))).collect()
    }
}

/// What is to become of one lease; what is left out stays as it is.
#[derive(Default, Serialize)]
struct Change<'a> {
    target: &'a str,
    /// As it was seen; without a fence where there was none.
    seen_fence: Option<i64>,
    seen_beat: Option<i64>,
    seen_holder: Option<&'a str>,
    holder: Option<&'a str>,
    fence: i64,
    beat: i64,
    length_ms: Option<i64>,
    wanted_by: Option<&'a str>,
}

fn change<'a>(target: &'a str, ask: &'a Ask, me: &'a str, usual: Duration) -> Option<Change<'a>> {
    let seen = |from: Mark| Change {
        target,
        seen_fence: Some(from.fence),
        seen_beat: Some(from.beat),
        fence: from.fence,
        beat: from.beat,
        ..Change::default()
    };
    let goes_to = |change: Change<'a>, holder: &'a str, above: i64, length: Duration| Change {
        holder: Some(holder),
        fence: above + 1,
        beat: 0,
        length_ms: Some(millis(length)),
        ..change
    };
    Some(match *ask {
        Ask::Nothing => return None,
        Ask::Take { from: None, above, length } => {
            goes_to(Change { target, ..Change::default() }, me, above, length)
        }
        Ask::Take { from: Some(from), above, length } => {
            goes_to(seen(from), me, above.max(from.fence), length)
        }
        Ask::Pass { from, ref to } => goes_to(seen(from), to, from.fence, usual),
        Ask::Renew { from, length } => Change {
            // Where rows were taken out by hand another may have come to the same mark.
            seen_holder: Some(me),
            beat: from.beat + 1,
            length_ms: Some(millis(length)),
            ..seen(from)
        },
        Ask::Want { from } => Change { wanted_by: Some(me), ..seen(from) },
    })
}

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

fn mark(row: &PgRow) -> sqlx::Result<Mark> {
    Ok(Mark { fence: row.try_get("fence")?, beat: row.try_get("beat")? })
}

/// The lease in a row; there is one row without any where there is no lease.
fn row(row: &PgRow) -> sqlx::Result<Option<(String, Row)>> {
    let Some(target) = row.try_get::<Option<String>, _>("target")? else { return Ok(None) };
    let length: i64 = row.try_get("length_ms")?;
    let lease = Row {
        holder: row.try_get("holder")?,
        mark: mark(row)?,
        length: Duration::from_millis(length.unsigned_abs()),
        wanted_by: row.try_get("wanted_by")?,
    };
    Ok(Some((target, lease)))
}
