//! Who waits for whom in PostgreSQL.

use std::collections::BTreeSet;

use selfheal_agents::model::Backend;
use sqlx::postgres::PgConnection;

use super::{BackendRow, backend};
use crate::probes::blocking::{most_waited_for, waiters};

/// The sessions others wait for, most waited-for first, and how many sessions wait.
pub(super) async fn blockers(
    session: &mut PgConnection,
) -> Result<(Vec<Backend>, Option<u32>), sqlx::Error> {
    // Ungranted locks are visible to every user, unlike the activity of others.
    let edges: Vec<(i32, i32)> = sqlx::query_as(
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
    most_waited_for(&mut blockers);
    Ok((blockers, u32::try_from(waiting.len()).ok()))
}
