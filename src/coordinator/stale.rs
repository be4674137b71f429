//! Says what has changed between a decision and its carrying out, if anything.

use selfheal_agents::model::{Category, Course, Fix, Incident, RestartPolicy};
use selfheal_agents::root_cause;

use super::policy::{self, ApprovedFix};
use super::state::Inner;

impl Inner {
    /// What makes the diagnosis stale, if anything.
    pub(super) async fn changed_since(
        &self,
        incident: &Incident,
        approved: &ApprovedFix,
    ) -> Option<String> {
        let changed = self.target_changed(incident, approved.fix()).await;
        // After the look, which may have taken its time; or the machine has slept.
        let now = self.world.clock.now();
        let lifetime = self.rules().plan_lifetime;
        changed.or_else(|| policy::too_old(approved.decided_at(), now, lifetime))
    }

    async fn target_changed(&self, incident: &Incident, fix: &Fix) -> Option<String> {
        let name = fix.target.container_name()?;
        let now = match self.world.runtime.container(name).await {
            Ok(now) => now,
            Err(error) => return Some(error.to_string()),
        };
        let diagnosis = incident.diagnosis.as_ref()?;
        let basis = root_cause::basis_of_container(&now);
        let same = diagnosis.blamed != fix.target || diagnosis.basis == basis;
        // What a restart policy starts again and again is not mended by that; where the
        // trouble is a hang, somebody's restart may have been the cure.
        let by_itself =
            now.restart_policy != RestartPolicy::No && diagnosis.category != Category::Hang;
        // The step before this one may have restarted it.
        let before = incident.validation.as_ref().filter(|_| fix.course != Course::First);
        let known = before.map_or(diagnosis.at, |window| diagnosis.at.max(window.started_at));
        let restarted = !by_itself && now.started_at.is_some_and(|at| at > known);
        if !same {
            Some(format!("`{}` was made anew", fix.target))
        } else if restarted && now.is_up() {
            Some(format!("`{}` was started by somebody else", fix.target))
        } else {
            None
        }
    }
}
