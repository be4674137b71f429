//! What becomes of targets that had not answered when a cycle decided.
//!
//! The loop never waits for them. Each gets a cycle of its own when its answer, or the end of
//! its time limit, is there, and whoever asked for the first cycle is told of both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use selfheal_agents::model::TargetId;

use super::look::Seen;
use super::state::{Inner, lock};
use super::{CycleReport, CycleStatus, Scope, Trigger, record};

/// Between two such cycles over one target: two slow ones that need each other must not keep
/// the loop busy.
const PAUSE: Duration = Duration::from_secs(5);

/// Targets that are waited for, each with those whose judgement waits for it, too.
pub(super) type Waited = Mutex<BTreeMap<TargetId, BTreeSet<TargetId>>>;

impl Inner {
    /// Asks for a cycle over each late target, and over those of `scope` that need it, as soon
    /// as it has answered.
    pub(super) fn follow_late(self: &Arc<Self>, seen: &Seen, scope: &Scope, trigger: Trigger) {
        for target in &seen.report.late {
            let mut judged = seen.graph.dependents_of(target);
            judged.retain(|id| scope.contains(id) && seen.put_off.contains(id));
            judged.insert(target.clone());
            let mut waited = lock(&self.waited);
            let is_followed = waited.contains_key(target);
            waited.entry(target.clone()).or_default().extend(judged);
            if !is_followed {
                let (inner, target) = (Arc::clone(self), target.clone());
                tokio::spawn(async move {
                    let cancel = inner.cancel.clone();
                    cancel.run_until_cancelled(inner.follow(&target, trigger)).await;
                });
            }
        }
    }

    async fn follow(&self, target: &TargetId, trigger: Trigger) {
        loop {
            self.asked.ended(std::slice::from_ref(target)).await;
            let judged = lock(&self.waited).get_mut(target).map(std::mem::take).unwrap_or_default();
            self.queue.add(Scope::Targets(judged), trigger, false, None);
            tokio::time::sleep(PAUSE).await;
            let mut waited = lock(&self.waited);
            if waited.get(target).is_none_or(BTreeSet::is_empty) {
                waited.remove(target);
                return;
            }
        }
    }
}

impl CycleReport {
    /// What `scope` asked for and this report cannot tell yet.
    pub(super) fn owed(&self, scope: &Scope) -> Option<Scope> {
        let owed: BTreeSet<TargetId> =
            self.late.iter().filter(|id| scope.contains(id)).cloned().collect();
        (!owed.is_empty()).then_some(Scope::Targets(owed))
    }

    /// This report with what a later one tells of the targets it looked at.
    pub(super) fn completed_by(&self, later: &Self) -> Self {
        let mut whole = self.clone();
        let is_told = |id: &TargetId| later.targets.iter().any(|target| target.id == *id);
        record::merge(&mut whole.targets, &later.targets);
        whole.findings.retain(|finding| !is_told(&finding.target));
        whole.findings.extend(later.findings.iter().cloned());
        whole.incidents.retain(|known| later.incidents.iter().all(|new| new.id != known.id));
        whole.incidents.extend(later.incidents.iter().cloned());
        whole.blind.extend(later.blind.iter().filter(|why| !self.blind.contains(why)).cloned());
        whole.late.retain(|id| !is_told(id));
        whole.rising.retain(|id| !is_told(id));
        whole.rising.extend(later.rising.iter().cloned());
        whole.status = whole.status.max(later.status);
        whole.took_ms += later.took_ms;
        whole
    }

    /// This report where nobody waits any longer for what is late: it was not seen, so it is not well.
    pub(super) fn without_the_late(&self) -> Self {
        let mut whole = self.clone();
        let unseen = self.late.iter().map(|id| format!("{id} has not answered in time"));
        whole.blind.extend(unseen);
        whole.status = whole.status.max(CycleStatus::IssuesFound);
        whole
    }
}
