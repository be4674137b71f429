//! Takes a success back when the fault returns: what is broken again within the hour was not
//! mended, however well it went through its window, and whoever did it.
//!
//! Asked in every cycle before it decides, so that the decision knows. It judges only the fix: why
//! the fault returned, the new diagnosis says.

use chrono::TimeDelta;
use selfheal_agents::fix_engineer::actions::Action;
use selfheal_agents::model::{
    Actor, Fix, Incident, Outcome, RuntimeEventKind, ShadowEnd, ShadowRun, TargetId, Timestamp,
    ValidationStatus,
};
use selfheal_agents::ports::StoreResult;
use selfheal_agents::root_cause::Explained;

use super::look::Seen;
use super::repair::fixes;
use super::shadow;
use super::state::Inner;
use super::window::stopped_by_person;

/// A fault that returns after longer than this is another one.
const RETURNS_WITHIN: TimeDelta = TimeDelta::hours(1);

impl Inner {
    /// Counts kept fixes of the last hour as failures where their fault is back.
    pub(super) async fn take_back_successes(
        &self,
        explained: &[Explained],
        seen: &Seen,
    ) -> StoreResult<()> {
        if explained.is_empty() {
            return Ok(());
        }
        let recent = self.store.outcomes(Some(seen.now - RETURNS_WITHIN)).await?;
        for outcome in recent.into_iter().filter(|outcome| outcome.success) {
            let Some(incident) = self.store.incident(outcome.incident).await? else { continue };
            let back = explained.iter().find(|one| is_back(one, &incident, &outcome, seen));
            let Some(back) = back else { continue };
            if !self.is_dismissed(back).await? {
                self.came_back(incident, outcome, seen.now).await?;
            }
        }
        self.take_back_confirmations(explained, seen).await
    }

    /// The same where somebody else had done what a fix in shadow would have: it would have failed,
    /// too.
    async fn take_back_confirmations(
        &self,
        explained: &[Explained],
        seen: &Seen,
    ) -> StoreResult<()> {
        for back in explained {
            let (blamed, issue_type) = (&back.diagnosis.blamed, &back.diagnosis.issue_type);
            let runs = shadow::runs_about(self.store.as_ref(), blamed, issue_type).await?;
            for run in runs {
                let confirmed =
                    run.end == ShadowEnd::SameWay && seen.now - run.ended_at <= RETURNS_WITHIN;
                if !confirmed || somebody_elses(blamed, run.ended_at, seen) {
                    continue;
                }
                let Some(incident) = self.store.incident(run.incident).await? else { continue };
                let relieves = |f: &Fix| f.fix_type == run.fix_type && only_relieves(f);
                if !fixes(&incident).iter().any(relieves) && !self.is_dismissed(back).await? {
                    self.came_back_to_others(incident, run, seen.now).await;
                }
            }
        }
        Ok(())
    }

    async fn came_back_to_others(&self, mut incident: Incident, run: ShadowRun, now: Timestamp) {
        let minutes = (now - run.ended_at).num_minutes();
        let text = format!(
            "it came back {minutes} min after somebody had done what `{}` would have: that counts \
             as a failure",
            run.fix_type
        );
        self.keep_run(&ShadowRun { end: ShadowEnd::CameBack, ..run }).await;
        incident.note(now, Actor::LearningEngine, text);
        self.save(&mut incident).await;
    }

    async fn came_back(
        &self,
        mut incident: Incident,
        outcome: Outcome,
        now: Timestamp,
    ) -> StoreResult<()> {
        let minutes = (now - outcome.timestamp).num_minutes();
        let text = format!(
            "it came back {minutes} min after `{}` was kept: that counts as a failure",
            outcome.fix_type
        );
        let failed = Outcome {
            timestamp: now,
            validation_status: ValidationStatus::CameBack,
            success: false,
            time_to_repair_secs: None,
            ..outcome
        };
        self.store.record_outcome(&failed).await?;
        incident.note(now, Actor::LearningEngine, text);
        self.save(&mut incident).await;
        Ok(())
    }
}

/// Whether this is the fault that the fix of `outcome` was to mend.
fn is_back(one: &Explained, incident: &Incident, outcome: &Outcome, seen: &Seen) -> bool {
    let blamed = &one.diagnosis.blamed;
    let same = incident.state().is_closed()
        && incident.target == *blamed
        && outcome.issue_type == one.diagnosis.issue_type;
    let promised = || fixes(incident).iter().any(|f| f.id == outcome.fix && !only_relieves(f));
    same && promised() && !somebody_elses(blamed, outcome.timestamp, seen)
}

/// Whether the fix makes room for a while and mends nothing: that it is needed again is no surprise,
/// and the budget bounds how often.
pub(super) fn only_relieves(fix: &Fix) -> bool {
    fix.quiet || fix.steps.iter().all(|step| matches!(step.action, Action::LogsTrim(_)))
}

/// Whether others stopped the target or made it anew since: then it is not the fix that failed.
fn somebody_elses(target: &TargetId, since: Timestamp, seen: &Seen) -> bool {
    let Some(name) = target.container_name() else { return false };
    let events = seen.events_of(target).iter();
    let mut later = events.filter(|event| event.at > since && !event.by_selfheal);
    later.any(|event| event.kind == RuntimeEventKind::Create)
        || stopped_by_person(&seen.report, name)
}

#[cfg(test)]
mod tests {
    use selfheal_agents::fix_engineer::actions::{ContainerStart, LogsTrim};
    use selfheal_agents::model::{Confidence, FixId, Ledger, LogFolder, Step, StepRole};

    use super::*;

    fn fix(actions: Vec<Action>, quiet: bool) -> Fix {
        let role = StepRole::Repair;
        Fix {
            id: FixId(uuid::Uuid::nil()),
            fix_type: "x".to_owned(),
            target: TargetId::container("web"),
            issue_type: "x".to_owned(),
            summary: String::new(),
            steps: actions.into_iter().map(|action| Step { action, role }).collect(),
            ledger: Ledger::with_base(90, "base"),
            original_confidence: Confidence::literal(90),
            confidence: Confidence::literal(90),
            interruption_secs: 0,
            course: selfheal_agents::model::Course::First,
            quiet,
            warnings: vec![],
            proposed_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn to_be_needed_again_is_held_against_what_promised_a_cure_and_not_against_what_makes_room() {
        let start = || Action::ContainerStart(ContainerStart { container: "web".to_owned() });
        let trim = || {
            let folder = LogFolder { root: "/host/log".to_owned(), below: String::new() };
            let container = "web".to_owned();
            Action::LogsTrim(LogsTrim { container, folder, files: vec![], keep_bytes: 0 })
        };
        assert!(!only_relieves(&fix(vec![start()], false)));
        assert!(only_relieves(&fix(vec![start()], true)));
        assert!(only_relieves(&fix(vec![trim()], false)));
        assert!(!only_relieves(&fix(vec![trim(), start()], false)));
    }
}
