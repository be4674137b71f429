//! What follows from an approved fix: backup, steps, window, verdict, outcome.
//!
//! From the moment an incident is `fixing` until it is closed, only this module writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use selfheal_agents::fix_engineer::actions::Action;
use selfheal_agents::health_monitor::take_inventory;
use selfheal_agents::model::{
    Actor, ContainerFacts, Fix, Hold, Incident, IncidentState, LatencyBaseline, Outcome,
    ResultStatus, TargetId, Timestamp, Validation, ValidationStatus, ValidationVerdict,
};
use selfheal_agents::ports::StoreResult;

use super::cycle;
use super::execution::ApplyEnd;
use super::last_looks::Moment;
use super::leases::Lease;
use super::policy::ApprovedFix;
use super::progress::{Phase, Progress};
use super::state::Inner;
use super::steps;
use super::validation;
use super::window::View;
use super::{Scope, Trigger};

impl Inner {
    /// Writes an incident that is going to be fixed and lets the repair run beside the
    /// cycle. Returns the incident as written.
    pub(super) async fn begin_repair(
        self: &Arc<Self>,
        mut incident: Incident,
        approved: ApprovedFix,
    ) -> Incident {
        let now = self.world.clock.now();
        let mut targets = approved.fix().touches();
        targets.push(incident.target.clone());
        targets.sort();
        targets.dedup();
        let Some(lease) = self.leases.take(targets.clone(), &self.world.clock) else {
            let busy = targets.into_iter().find(|target| self.leases.is_busy(target));
            let target = busy.unwrap_or_else(|| incident.target.clone());
            // One in its window stays there: its own next look tries again.
            if incident.state() != IncidentState::Validating {
                cycle::hold(&mut incident, vec![Hold::RepairUnderWay { target }], now);
            }
            return self.write_down(incident).await;
        };
        let (actor, by) = match approved.approved_by() {
            Some(person) => (Actor::Person(person.to_owned()), "approved: "),
            None => (Actor::PolicyGate, ""),
        };
        let text = format!("{by}{} ({} sure)", approved.fix().summary, approved.fix().confidence);
        if let Err(error) = incident.become_state(IncidentState::Fixing, now, actor, text) {
            tracing::error!(incident.id = %incident.id, %error, "the repair is not begun");
            return self.write_down(incident).await;
        }
        let incident = self.write_down(incident).await;
        let inner = Arc::clone(self);
        let mut repaired = incident.clone();
        self.tracker.spawn(async move {
            inner.repair(&mut repaired, &approved, &lease).await;
            drop(lease);
        });
        incident
    }

    async fn repair(
        self: &Arc<Self>,
        incident: &mut Incident,
        approved: &ApprovedFix,
        lease: &Lease,
    ) {
        if let Some(changed) = self.changed_since(incident, approved).await {
            return self.give_up(incident, vec![Hold::StaleDiagnosis { changed }]).await;
        }
        let approved = &match self.rehearse(incident, approved, lease).await {
            Ok(approved) => approved,
            Err(holds) => return self.give_up(incident, holds).await,
        };
        let mut progress = match self.executor.prepare(incident.id, approved).await {
            Ok(progress) => progress,
            Err(error) => {
                self.forget_plan(approved.fix()).await;
                return self
                    .give_up(incident, vec![Hold::CouldNotApply { why: error.to_string() }])
                    .await;
            }
        };
        let now = self.world.clock.now();
        incident.backups.push(progress.backup.clone());
        incident.note(now, Actor::Backup, format!("{} holds what it touches", progress.backup));
        self.save(incident).await;
        self.carry_out(incident, &mut progress).await;
    }

    /// A plan whose writing failed may stand in the journal all the same; nobody may go on
    /// with it after the next start.
    async fn forget_plan(&self, fix: &Fix) {
        let ended = match self.executor.progress(fix.id).await {
            Ok(Some(mut plan)) => self.executor.leave(&mut plan, "it was given up", &[]).await,
            Ok(None) => return,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::error!(fix.id = %fix.id, %error, "a plan stays in the journal until the next start");
        }
    }

    /// Applies what is left of a fix and opens its window, or takes it back.
    pub(super) async fn carry_out(
        self: &Arc<Self>,
        incident: &mut Incident,
        progress: &mut Progress,
    ) {
        match self.executor.apply(progress).await {
            Ok(ApplyEnd::Applied) => {
                self.note_what_commands_said(incident, progress);
                self.open_window(incident, &progress.fix).await;
            }
            Ok(ApplyEnd::Failed { why }) => {
                let now = self.world.clock.now();
                incident.note(now, Actor::FixEngineer, format!("a step failed: {why}"));
                self.take_back(incident, &why, ResultStatus::ApplyFailed).await;
            }
            Err(error) => {
                // The journal failed, or another node has the target: it stays as it is, and the
                // next look or the next start goes on from there.
                tracing::error!(incident.id = %incident.id, %error, "applying is not finished; going on with it later");
                self.watch(incident.id);
            }
        }
    }

    pub(super) async fn give_up(&self, incident: &mut Incident, holds: Vec<Hold>) {
        let now = self.world.clock.now();
        let why = holds.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let text = format!("nothing was touched: {why}");
        if steps::is_try(incident) {
            return self.stay_with_proven(incident, &text).await;
        }
        if let Some(root) = incident.earlier_fixes.pop() {
            // Only the dependent is left alone; the root's window goes on.
            incident.fix = Some(root);
            self.go(incident, IncidentState::Validating, Actor::FixEngineer, text);
            self.save(incident).await;
            return self.watch(incident.id);
        }
        incident.hold_for(holds, now);
        incident.told |= !incident.can_wait();
        self.go(incident, IncidentState::Held, Actor::FixEngineer, text);
        tracing::warn!(incident.id = %incident.id, at = %now, "the fix was not begun");
        // They were answered that it would be done, whatever is in its way now.
        if !self.tell_who_approved(incident).await && !incident.can_wait() {
            self.alert(incident, crate::alerts::AlertEvent::Held).await;
        }
        self.save(incident).await;
    }

    /// Opens the window of a fix whose steps are all applied.
    pub(super) async fn open_window(&self, incident: &mut Incident, fix: &Fix) {
        let moment = Moment::now(self.world.clock.as_ref());
        let now = moment.at;
        let name = self.container_behind(&fix.target);
        let container = self.container_of(fix).await;
        let onset = incident.findings.iter().map(|finding| finding.first_seen).min();
        let onset = onset.unwrap_or(incident.opened_at).min(incident.opened_at);
        let logs_of = name.as_deref().map(TargetId::container);
        let baseline = self.error_baseline(logs_of.as_ref().unwrap_or(&fix.target), onset).await;
        let latency_baseline = self.usual_latency(fix, name.as_deref(), onset).await;
        let window = self.least_window(fix, name.as_deref(), now).await;
        let before = self.trouble_before(incident, fix, onset).await;
        let opened = validation::open(now, window, container.as_ref(), baseline);
        let text = format!("applied; watching for {} s", opened.window_secs);
        // A follow-up does not forget when the root began to work.
        let recovered_at = incident.validation.as_ref().and_then(|v| v.recovered_at);
        incident.validation = Some(Validation {
            fix: Some(fix.id),
            recovered_at,
            before,
            latency_baseline,
            ..opened
        });
        self.go(incident, IncidentState::Validating, Actor::FixEngineer, text);
        self.save(incident).await;
        self.senses_forget(&fix.target).await;
        self.asked.forget();
        self.last_looks.note(incident.id, moment);
        self.watch(incident.id);
    }

    /// How it answered before the fault; not for one that is made slower on purpose, for the good of
    /// all others.
    async fn usual_latency(
        &self,
        fix: &Fix,
        container: Option<&str>,
        onset: Timestamp,
    ) -> Option<LatencyBaseline> {
        if fix.steps.iter().any(|step| matches!(step.action, Action::ContainerSetCpu(_))) {
            return None;
        }
        self.latency_baseline(container?, onset).await
    }

    /// One look at an incident in its window; decides when it can.
    pub(super) async fn look_at_window(self: &Arc<Self>, incident: &mut Incident) {
        let Some(fix) = incident.fix.clone() else {
            return;
        };
        let Some(mut opened) = incident.validation.clone() else {
            return;
        };
        let now = Moment::now(self.world.clock.as_ref());
        let passed = self.last_looks.passed(incident.id, now);
        let watched = passed.map_or(Duration::ZERO, |p| validation::keep_time(&mut opened, p));
        let view = self.view(incident, &fix, &opened).await;
        let (healthy, detail) =
            (view.look.condition == validation::Condition::Well, view.look.detail.clone());
        self.tell(super::Happening::Validation { incident: incident.id, healthy, detail });
        let mut window = opened;
        let was_recovered = window.recovered_at.is_some();
        let verdict = validation::judge(&mut window, view.look.clone(), watched);
        let recovered_now = !was_recovered && window.recovered_at.is_some();
        incident.validation = Some(window);
        match verdict {
            Some(ValidationVerdict::Kept) => {
                self.last_looks.note(incident.id, now);
                self.keep(incident, &view).await;
            }
            Some(ValidationVerdict::RolledBack) if self.step_further(incident, &view).await => {}
            Some(ValidationVerdict::RolledBack) => {
                // Whoever works there now is done soon; the next look judges again.
                let Some(_lease) = self.lease_for(incident) else { return };
                let why = incident.validation.as_ref().and_then(|v| v.why.clone());
                let why = why.unwrap_or_else(|| "it did not help".to_owned());
                self.take_back(incident, &why, ResultStatus::Applied).await;
            }
            None => {
                self.last_looks.note(incident.id, now);
                if recovered_now {
                    self.learn_repaired_start(incident, &view).await;
                    self.look_again(incident);
                }
                self.save_quietly(incident).await;
                if !steps::is_try(incident) {
                    self.follow_up(incident, &view).await;
                }
            }
        }
    }

    /// Asks for a cycle over what the incident is about: lists and pages show what is true
    /// now, and whatever is still wrong is news.
    pub(super) fn look_again(&self, incident: &Incident) {
        let targets = Scope::Targets(incident.targets().into_iter().collect());
        self.queue.add(targets, Trigger::Schedule, false, None);
    }

    async fn keep(self: &Arc<Self>, incident: &mut Incident, view: &View) {
        for fix in fixes(incident) {
            if let Err(error) = self.keep_one(&fix).await {
                tracing::error!(incident.id = %incident.id, %error, "the verdict is not written; looking again");
                return;
            }
        }
        self.learn_proven(incident).await;
        if !self.walk_back(incident, view).await {
            self.resolve(incident).await;
        }
    }

    /// Counts as successes what answered the incident and is kept.
    pub(super) async fn learn_proven(&self, incident: &Incident) {
        if steps::is_try(incident) {
            return;
        }
        for fix in steps::answers(incident) {
            self.learn(incident, &fix, ResultStatus::Applied, ValidationStatus::Passed).await;
            if let Err(error) = self.remember_turned(&fix).await {
                tracing::error!(%error, "a changed limit is not remembered");
            }
        }
    }

    /// Closes an incident whose fix has proved itself.
    ///
    /// The incident is written after the alert: cut off before that, the next start does both.
    pub(super) async fn resolve(&self, incident: &mut Incident) {
        let why = incident.validation.as_ref().and_then(|v| v.why.clone()).unwrap_or_default();
        self.go(incident, IncidentState::Resolved, Actor::Validation, format!("kept: {why}"));
        self.alert(incident, crate::alerts::AlertEvent::Resolved).await;
        self.save(incident).await;
        self.unwatch(incident.id);
        for target in incident.targets() {
            self.senses_forget(&target).await;
        }
        self.look_again(incident);
    }

    pub(super) async fn keep_one(&self, fix: &Fix) -> StoreResult<()> {
        match self.executor.progress(fix.id).await? {
            Some(mut progress) if matches!(progress.phase, Phase::Validating | Phase::Settling) => {
                self.executor.keep(&mut progress).await
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn learn(
        &self,
        incident: &Incident,
        fix: &Fix,
        result_status: ResultStatus,
        validation_status: ValidationStatus,
    ) {
        let now = self.world.clock.now();
        let known = Outcome::of(fix, incident.id, now, result_status, validation_status);
        let window = incident.validation.as_ref();
        let repaired_at = window.and_then(|v| v.recovered_at).filter(|_| known.success);
        let outcome = Outcome {
            error_count_after: window.map_or(0, |v| v.samples.iter().map(|s| s.error_lines).sum()),
            time_to_repair_secs: repaired_at
                .map(|at| (at - incident.opened_at).as_seconds_f64().max(0.0)),
            ..known
        };
        if let Err(error) = self.store.record_outcome(&outcome).await {
            tracing::error!(incident.id = %incident.id, %error, "the outcome is not recorded");
        }
        if !outcome.success
            && let Err(error) = self.stop_by_what_is_kept().await
        {
            tracing::error!(%error, "whether too much failed is not known; the next cycle asks again");
        }
    }

    /// Fresh facts of these containers in an inventory that is otherwise the last known.
    pub(super) async fn refreshed(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<selfheal_agents::health_monitor::Inventory, String> {
        let known = Arc::clone(&self.inventory.borrow());
        let mut containers: BTreeMap<String, ContainerFacts> = known.containers.clone();
        for name in names {
            match self.world.runtime.container(name).await {
                Ok(facts) => {
                    containers.insert(name.clone(), facts);
                }
                Err(selfheal_agents::ports::WorldError::NotFound { .. }) => {
                    containers.remove(name);
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        let all: Vec<ContainerFacts> = containers.into_values().collect();
        Ok(take_inventory(&all, &self.rules().declared))
    }

    /// The container that a fix repairs, as it is now; `None` where there is none to be seen.
    pub(super) async fn container_of(&self, fix: &Fix) -> Option<ContainerFacts> {
        let name = self.container_behind(&fix.target)?;
        self.world.runtime.container(&name).await.ok()
    }

    /// The container a target runs in, from the last inventory.
    pub(super) fn container_behind(&self, target: &TargetId) -> Option<String> {
        if let Some(name) = target.container_name() {
            return Some(name.to_owned());
        }
        self.inventory.borrow().targets.get(target)?.container.clone()
    }
}

/// Every fix of an incident, oldest first.
pub(super) fn fixes(incident: &Incident) -> Vec<Fix> {
    incident.earlier_fixes.iter().chain(incident.fix.as_ref()).cloned().collect()
}
