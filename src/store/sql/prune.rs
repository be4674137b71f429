//! Forgets what is old. Whatever an open incident or an unfinished fix needs stays.

use std::collections::BTreeSet;
use std::time::Duration;

use selfheal_agents::model::{FixId, IncidentId, Timestamp};
use selfheal_agents::ports::{Incidents, Journal, OBSERVATIONS_KEPT, StoreResult};

use super::change::Change;
use super::{SqlStore, Urgency, encode, time_text};

/// Positions in logs of containers that are long gone cost little, but not nothing; a
/// quiet container's is as old as its last line, so age cannot decide.
const LOG_CURSORS_KEPT: i64 = 20_000;

impl SqlStore {
    pub(super) async fn prune_older(&self, now: Timestamp, keep: Duration) -> StoreResult<u64> {
        let before = now - keep;
        let observed = now - keep.min(OBSERVATIONS_KEPT);
        let open: BTreeSet<IncidentId> =
            self.open_incidents().await?.into_iter().map(|incident| incident.id).collect();
        let unfinished: BTreeSet<FixId> = self.unfinished_fixes().await?.into_iter().collect();
        let changes = changes(before, observed, &encode(&unfinished)?);
        let results = self.commit(Urgency::Refusable, &changes).await?;
        let rows: u64 = results.iter().map(|done| done.rows).sum();
        let backups = self
            .in_vault(move |vault| {
                vault.remove_where(|backup| {
                    backup.at < before
                        && !open.contains(&backup.incident)
                        && !unfinished.contains(&backup.fix)
                })
            })
            .await?;
        Ok(rows + backups)
    }
}

fn changes(before: Timestamp, observed: Timestamp, unfinished: &str) -> Vec<Change> {
    let before = time_text(before);
    vec![
        Change::new(
            "DELETE FROM incident
             WHERE open = 0 AND COALESCE(closed_at, updated_at) < $1
               AND id NOT IN (
                   SELECT incident FROM journal
                   WHERE fix IN (SELECT value FROM json_each($2)))",
        )
        .with(before.as_str())
        .with(unfinished),
        Change::new(
            "DELETE FROM journal
             WHERE at < $1 AND incident NOT IN (SELECT id FROM incident)
               AND fix NOT IN (SELECT value FROM json_each($2))",
        )
        .with(before.as_str())
        .with(unfinished),
        Change::new("DELETE FROM observation WHERE at < $1").with(time_text(observed)),
        Change::new("DELETE FROM event WHERE at < $1").with(before.as_str()),
        Change::new("DELETE FROM change WHERE at < $1").with(before.as_str()),
        Change::new(
            "DELETE FROM delivery
             WHERE state <> 'waiting' AND at < $1
               AND (incident IS NULL OR incident NOT IN (SELECT id FROM incident))",
        )
        .with(before.as_str()),
        Change::new("DELETE FROM message WHERE at < $1").with(before.as_str()),
        Change::new("DELETE FROM job WHERE at < $1").with(before.as_str()),
        Change::new(
            "DELETE FROM log_cursor WHERE rowid NOT IN (
                 SELECT rowid FROM log_cursor ORDER BY rowid DESC LIMIT $1)",
        )
        .with(LOG_CURSORS_KEPT),
    ]
}
