//! Takes back what did not help: the newest fix of an incident, with those that stay or go with it.
//!
//! Its invariant: newest first, each as its own record in the journal, so that the next look or the
//! next start goes on where this one stopped.

use selfheal_agents::model::{Actor, Fix, Incident, IncidentState, ResultStatus, ValidationStatus};
use selfheal_agents::ports::StoreResult;

use super::execution::RollbackEnd;
use super::progress::Phase;
use super::state::Inner;
use super::steps;

impl Inner {
    /// Takes back the fix applied last, with those that stay or go with it; what was repaired before
    /// them stands.
    pub(super) async fn take_back(&self, incident: &mut Incident, why: &str, result: ResultStatus) {
        let together = steps::together(incident);
        let Some(undone) = self.undo_together(incident, &together, why).await else { return };
        self.asked.forget();
        let nothing = undone.is_empty().then(|| "nothing had to be undone".to_owned());
        let done = nothing.unwrap_or_else(|| undone.join("; "));
        if steps::is_try(incident) {
            let text = format!("the smaller change does not do: {why}; {done}");
            return self.stay_with_proven(incident, &text).await;
        }
        self.close_taken_back(incident, result, Actor::Validation, format!("{why}; {done}")).await;
    }

    /// Closes an incident whose newest fix, with those that go with it, is taken back.
    ///
    /// The incident is written last: cut off before that, the next start does it all again.
    pub(super) async fn close_taken_back(
        &self,
        incident: &mut Incident,
        result: ResultStatus,
        who: Actor,
        text: String,
    ) {
        let together = steps::together(incident);
        if let Some(newest) = together.first() {
            self.learn(incident, newest, result, ValidationStatus::Failed).await;
        }
        self.let_earlier_stand(incident, &together).await;
        self.go(incident, IncidentState::RolledBack, who, text);
        self.alert(incident, crate::alerts::AlertEvent::RolledBack).await;
        self.save(incident).await;
        self.unwatch(incident.id);
        if self.knows_another(incident) {
            // Nothing may happen by itself that brings it about.
            self.look_again(incident);
        }
    }

    /// Whether the runbook has a remedy of another kind than the one that did not help.
    fn knows_another(&self, incident: &Incident) -> bool {
        let Some(fix) = &incident.fix else { return false };
        let catalogue = self.catalogue();
        let runbook = catalogue.get(&fix.issue_type);
        runbook.is_some_and(|known| known.fixes.iter().any(|other| other.action != fix.fix_type))
    }

    /// What was undone of fixes that go together, newest first; `None` where that did not come to
    /// its end.
    async fn undo_together(
        &self,
        incident: &mut Incident,
        together: &[Fix],
        why: &str,
    ) -> Option<Vec<String>> {
        let mut undone = vec![];
        for (nth, fix) in (1..).zip(together) {
            match self.take_back_one(fix, why, nth < together.len()).await {
                Ok(RollbackEnd::RolledBack { undone: more }) => undone.extend(more),
                Ok(RollbackEnd::Stuck { reason, by_hand }) => {
                    if !steps::is_try(incident) {
                        let failed = ValidationStatus::Failed;
                        self.learn(incident, &together[0], ResultStatus::Stuck, failed).await;
                    }
                    steps::cut_to(incident, fix);
                    self.get_stuck(incident, &reason, by_hand).await;
                    return None;
                }
                Err(error) => {
                    tracing::error!(incident.id = %incident.id, %error, "the rollback is not finished; going on with it");
                    self.watch(incident.id);
                    return None;
                }
            }
        }
        Some(undone)
    }

    /// Takes back one fix; `another` says that one under it goes as well and lets what was take effect.
    async fn take_back_one(&self, fix: &Fix, why: &str, another: bool) -> StoreResult<RollbackEnd> {
        let nothing = RollbackEnd::RolledBack { undone: vec![] };
        let Some(mut progress) = self.executor.progress(fix.id).await? else {
            return Ok(nothing);
        };
        if progress.phase == Phase::RolledBack {
            return Ok(nothing);
        }
        let changed = self.executor.overtaken(&progress).await?;
        if !changed.is_empty() {
            self.executor.leave(&mut progress, why, &changed).await
        } else if another {
            self.executor.rollback_before_another(&mut progress, why).await
        } else {
            self.executor.rollback(&mut progress, why).await
        }
    }

    /// The root worked before its dependents were followed up; that repair stands.
    async fn let_earlier_stand(&self, incident: &Incident, taken_back: &[Fix]) {
        for earlier in &incident.earlier_fixes {
            if taken_back.iter().any(|fix| fix.id == earlier.id) {
                continue;
            }
            if let Err(error) = self.keep_one(earlier).await {
                tracing::error!(incident.id = %incident.id, %error, "an earlier verdict is not written");
            }
        }
        for earlier in steps::answers(incident) {
            if !taken_back.iter().any(|fix| fix.id == earlier.id) {
                let passed = ValidationStatus::Passed;
                self.learn(incident, &earlier, ResultStatus::Applied, passed).await;
            }
        }
    }

    /// Goes on where of several fixes that go together only some were taken back.
    pub(super) async fn finish_taking_back(&self, incident: &mut Incident) {
        let why = incident.validation.as_ref().and_then(|window| window.why.clone());
        let why = why.unwrap_or_else(|| "it did not help".to_owned());
        self.take_back(incident, &why, ResultStatus::Applied).await;
    }
}
