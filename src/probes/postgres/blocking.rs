//! Who waits for whom in PostgreSQL.

use std::collections::{BTreeMap, BTreeSet};

use selfheal_agents::model::Backend;
use sqlx::postgres::PgConnection;

use super::{BackendRow, backend};

/// A waiting process and one it waits for.
type Edge = (i32, i32);

/// The sessions others wait for, most waited-for first, and how many sessions wait.
pub(super) async fn blockers(
    session: &mut PgConnection,
) -> Result<(Vec<Backend>, Option<u32>), sqlx::Error> {
    // Ungranted locks are visible to every user, unlike the activity of others.
    let edges: Vec<Edge> = sqlx::query_as(
        "SELECT waiting.pid, blocker
           FROM (SELECT DISTINCT pid FROM pg_locks WHERE NOT granted LIMIT 1000) AS waiting,
                LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocker",
    )
    .fetch_all(&mut *session)
    .await?;
    let waiting: BTreeSet<i32> = edges.iter().map(|(waiting, _)| *waiting).collect();
    let mut counts = waiters(&edges);
    // A prepared transaction has no process: there is nobody to end.
    counts.remove(&0);
    let pids: Vec<i32> = counts.keys().copied().collect();
    if pids.is_empty() {
        return Ok((Vec::new(), u32::try_from(waiting.len()).ok()));
    }
    let rows: Vec<BackendRow> = sqlx::query_as(
        "SELECT pid, (extract(epoch FROM backend_start) * 1000000)::int8, state,
                extract(epoch FROM clock_timestamp() - state_change)::float8,
                usename::text, application_name
           FROM pg_stat_activity
          WHERE pid = ANY($1) AND pid <> pg_backend_pid()",
    )
    .bind(pids)
    .fetch_all(session)
    .await?;
    let mut blockers: Vec<Backend> = rows
        .into_iter()
        .map(|row| {
            let blocks = counts.get(&row.0).copied().unwrap_or(0);
            backend(row, blocks)
        })
        .collect();
    blockers.sort_by_key(|blocker| (std::cmp::Reverse(blocker.blocks), blocker.pid));
    Ok((blockers, u32::try_from(waiting.len()).ok()))
}

/// How many sessions wait for each, directly or through others.
fn waiters(edges: &[Edge]) -> BTreeMap<i32, u32> {
    let mut waiting_for: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for (waiting, blocker) in edges {
        waiting_for.entry(*blocker).or_default().push(*waiting);
    }
    let count = |blocker: i32| {
        let mut seen = BTreeSet::from([blocker]);
        let mut next = vec![blocker];
        while let Some(pid) = next.pop() {
            let waiting = waiting_for.get(&pid).into_iter().flatten();
            next.extend(waiting.copied().filter(|pid| seen.insert(*pid)));
        }
        u32::try_from(seen.len() - 1).unwrap_or(u32::MAX)
    };
    waiting_for.keys().map(|blocker| (*blocker, count(*blocker))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_through_others_counts_too_and_once() {
        // 2 and 3 wait for 1; 4 waits for both; 5 for 4.
        let counts = waiters(&[(2, 1), (3, 1), (4, 2), (4, 3), (5, 4)]);
        assert_eq!(counts, BTreeMap::from([(1, 4), (2, 2), (3, 2), (4, 1)]));
    }

    #[test]
    fn a_deadlock_is_counted_and_does_not_hang() {
        assert_eq!(waiters(&[(1, 2), (2, 1)]), BTreeMap::from([(1, 1), (2, 1)]));
    }
}
