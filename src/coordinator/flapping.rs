//! Keeps how targets change, so that what flaps is known as such, also after a restart.

use selfheal_agents::health_monitor::{Flaps, Inventory};
use selfheal_agents::model::{
    ContainerStatus, Incident, IncidentState, TargetId, TargetReport, Timestamp, Verdict,
};
use selfheal_agents::ports::StoreResult;

use super::Freeze;
use super::look::Seen;
use super::state::{Inner, lock};
use super::window::primary;
use crate::alerts;

/// Under which name the store keeps them.
const NAME: &str = "flapping";

/// Whether it can be told how the target does; one value of a container may well be missing.
fn is_known(report: &TargetReport) -> bool {
    match report.state.container() {
        Some(facts) => facts.status != ContainerStatus::Unknown,
        None => report.verdict() != Verdict::Unknown,
    }
}

impl Inner {
    /// Reads how targets changed in the last run.
    pub(super) async fn recall_flaps(&self) -> StoreResult<()> {
        let kept: Flaps = self.recall(NAME).await?.unwrap_or_default();
        *lock(&self.flaps) = kept;
        Ok(())
    }

    /// Takes in how everything that was looked at does, and tells people once of what flaps.
    pub(super) async fn sample_states(&self, seen: &Seen, open: &[Incident]) {
        let freezes = self.freezes_in_force();
        let mut begun = vec![];
        let (before, after) = {
            let mut flaps = lock(&self.flaps);
            let before = flaps.unrest();
            for report in &seen.report.targets {
                let (id, well) = (report.id(), report.verdict() != Verdict::Critical);
                let on_purpose = self.is_worked_on(id, open, &freezes, seen.now);
                if is_known(report) && flaps.sample(id, well, on_purpose, seen.now) {
                    begun.extend(flaps.of(id).map(|how| (id.clone(), how)));
                }
            }
            if seen.report.blind.is_empty() {
                flaps.keep_only(|id| !seen.inventory.is_gone(id));
            }
            (before, flaps.unrest())
        };
        for (id, how) in begun {
            tracing::warn!(target.id = %id, percent = how.percent, "{id} flaps; it is left alone until it calms down");
            let alert = alerts::flapping(&id, how.percent, how.since);
            if let Err(error) = self.queue_alert(&alert).await {
                tracing::error!(%error, "the alert is not queued: {}", alert.title);
            }
        }
        // A store that refuses must not keep the cycle from deciding: it is known until the end.
        if before != after
            && let Err(error) = self.keep_in_mind(NAME, &after).await
        {
            tracing::error!(%error, "how targets change is not kept");
        }
    }

    /// Whether somebody works on a target, so that its changes say nothing about it.
    fn is_worked_on(
        &self,
        id: &TargetId,
        open: &[Incident],
        freezes: &[Freeze],
        now: Timestamp,
    ) -> bool {
        let repaired = |incident: &Incident| {
            matches!(incident.state(), IncidentState::Fixing | IncidentState::Validating)
                && incident.targets().contains(id)
        };
        self.leases.is_busy(id)
            || open.iter().any(repaired)
            || self.maintenance_open(id, now).is_some()
            || freezes.iter().any(|f| f.target.as_ref().is_none_or(|frozen| frozen == id))
    }

    /// What of a target flaps: itself, its container, or an endpoint of that.
    pub(super) fn flapping(
        &self,
        inventory: &Inventory,
        target: &TargetId,
    ) -> Option<(TargetId, u32)> {
        let container = inventory.targets.get(target).and_then(|known| known.container.as_deref());
        let flaps = lock(&self.flaps);
        let all = primary(inventory, target, container).into_iter();
        all.filter_map(|id| flaps.of(&id).map(|how| (id, how.percent)))
            .max_by_key(|(_, percent)| *percent)
    }
}
