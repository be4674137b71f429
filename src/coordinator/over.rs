//! Tells that what a fix did not mend works again: whoever keeps an open case for it, such as a pager,
//! would keep it for ever.
//!
//! The incident stays closed as it was: how it ended says what the fix was worth, and that it works
//! again later says nothing about it.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use selfheal_agents::model::{
    Actor, Incident, IncidentId, IncidentState, TargetId, TimelineEntry, Timestamp, Verdict,
};
use selfheal_agents::ports::IncidentQuery;

use super::look::Seen;
use super::state::Inner;
use crate::alerts::AlertEvent;

/// What has been open for longer, nobody expects to be closed by itself.
const BACK: TimeDelta = TimeDelta::days(30);
/// How many are looked at: the newest.
const MOST: usize = 100;

impl Inner {
    /// Says of each incident whose fix was taken back that it works again, once it does.
    pub(super) async fn tell_what_is_over(&self, seen: &Seen) {
        if !seen.report.blind.is_empty() {
            return;
        }
        let query = IncidentQuery {
            states: vec![IncidentState::RolledBack],
            since: Some(seen.now - BACK),
            limit: MOST,
            ..IncidentQuery::default()
        };
        let (taken_back, open) =
            match (self.store.incidents(&query).await, self.store.open_incidents().await) {
                (Ok(taken_back), Ok(open)) => (taken_back, open),
                (Err(error), _) | (_, Err(error)) => {
                    tracing::error!(%error, "whether something works again is not told");
                    return;
                }
            };
        let in_trouble: BTreeSet<TargetId> = open.iter().flat_map(Incident::targets).collect();
        let ill = |id: &TargetId| in_trouble.contains(id) || !is_well(seen, id);
        for incident in taken_back {
            if is_owed(&incident) && !incident.targets().iter().any(ill) {
                self.tell_that_it_is_over(incident.id, seen.now).await;
            }
        }
    }

    /// Tells it of one. Not where the alert cannot be queued: then the next look does.
    async fn tell_that_it_is_over(&self, id: IncidentId, now: Timestamp) {
        let _writing = self.writing.lock().await;
        // A person may have had it in hand since it was read.
        let Ok(Some(mut incident)) = self.store.incident(id).await else { return };
        if incident.state() != IncidentState::RolledBack || !is_owed(&incident) {
            return;
        }
        // First: what is told is dated by it.
        incident.note(now, Actor::HealthMonitor, "it works again");
        if self.alert(&incident, AlertEvent::Recovered).await {
            incident.told_over = true;
            self.save(&mut incident).await;
        }
    }
}

/// Whether somebody was told that its fix was taken back, and not that it works again. Whoever took
/// it back himself was told by himself.
fn is_owed(incident: &Incident) -> bool {
    let taken_back = |entry: &&TimelineEntry| entry.state == Some(IncidentState::RolledBack);
    let by = incident.timeline.iter().rfind(taken_back).map(|entry| &entry.actor);
    !incident.told_over && by.is_some_and(|actor| !matches!(actor, Actor::Person(_)))
}

/// Whether it was looked at and is well, or is gone for good.
fn is_well(seen: &Seen, id: &TargetId) -> bool {
    if seen.findings.iter().any(|finding| finding.target == *id && finding.is_own_trouble()) {
        return false;
    }
    match seen.report.target(id) {
        Some(report) => matches!(report.verdict(), Verdict::Ok | Verdict::Warning),
        None => seen.inventory.is_gone(id),
    }
}
