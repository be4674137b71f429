//! What people ask for: approve, dismiss, take back, freeze.
//!
//! Each is checked against what is true now, recorded with who asked, and refused with what
//! to do instead when it cannot be done.

use std::sync::Arc;
use std::time::Duration;

use selfheal_agents::backup as backup_agent;
use selfheal_agents::model::{
    Actor, Backup, BackupId, Hold, Incident, IncidentId, IncidentState, Outcome, ResultStatus,
    TargetId, Timestamp, ValidationStatus,
};
use selfheal_agents::ports::{StoreError, StoreResult};
use tokio::sync::MutexGuard;

use super::allowed::{self, Word};
use super::execution::RollbackEnd;
use super::look::{Seen, Senses};
use super::progress::Phase;
use super::state::Inner;
use super::{
    Freeze, RequestError, RollbackDone, Rules, Scope, Trigger, freezes, policy, steps, trial,
};

/// How long a request waits for the start to be over before it is refused. Mostly there is nothing
/// to take up, and a start takes milliseconds.
const START: Duration = Duration::from_secs(1);

impl From<StoreError> for RequestError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Inner {
    pub(super) async fn incident_or_error(&self, id: IncidentId) -> Result<Incident, RequestError> {
        let found = self.store.incident(id).await?;
        found.ok_or_else(|| RequestError::NotFound(format!("there is no incident {id}")))
    }

    pub(super) async fn backup_or_error(&self, id: &BackupId) -> Result<Backup, RequestError> {
        let found = self.store.backup(id).await?;
        found.ok_or_else(|| RequestError::NotFound(format!("there is no backup {id}")))
    }

    /// Refuses while a fix of the last run may still be half done: what is asked for might
    /// touch the same thing, or be the very fix that is about to be finished or undone.
    async fn refuse_before_taken_up(&self) -> Result<(), RequestError> {
        if self.taken_up_within(START).await {
            return Ok(());
        }
        Err(RequestError::NotYet(
            "Selfheal has just started and has not yet taken up what its last run left: that waits \
             for the container runtime or the store, as its log says; try again in a moment"
                .to_owned(),
        ))
    }

    /// Applies the proposed fix of a held incident, after looking again.
    pub(super) async fn approve(
        self: &Arc<Self>,
        id: IncidentId,
        who: &str,
        word: Word,
    ) -> Result<(), RequestError> {
        let target = self.incident_or_error(id).await?.target;
        self.refuse_before_taken_up().await?;
        let rules = self.rules();
        let (_senses, seen) = self.look_until_answered(&target, &rules).await;
        let _writing = self.writing.lock().await;
        let mut incident = self.incident_or_error(id).await?;
        let (Some(fix), Some(diagnosis)) = (incident.fix.clone(), incident.diagnosis.clone())
        else {
            return Err(RequestError::Conflict(format!(
                "incident {id} has no fix to approve; `selfheal explain {id}` says what to do"
            )));
        };
        if incident.state() != IncidentState::Held {
            let state = incident.state();
            return Err(RequestError::Conflict(format!("incident {id} is {state}, not held")));
        }
        if seen.put_off.contains(&incident.target) || incident.target != target {
            return Err(RequestError::NotYet(format!(
                "`{}` is still being looked at; try again in a moment",
                incident.target
            )));
        }
        let mut trouble = seen.findings.iter().filter(|f| f.is_own_trouble());
        let still = trouble.any(|f| incident.findings.iter().any(|k| k.key == f.key));
        if !still {
            return Err(RequestError::Conflict(format!(
                "`{}` works again; nothing is left to fix",
                incident.target
            )));
        }
        let facts = self.facts_now(&incident, &diagnosis, &fix, &seen).await?;
        if word == Word::Always {
            allowed::refuse_for_good(&incident, &fix, &facts)?;
        }
        let approved = policy::decide_for(who, fix.clone(), &facts)
            .map_err(|holds| self.refuse_approval(&incident, &holds))?;
        self.release(&fix.fix_type, &fix.target).await?;
        let shadow = incident.shadow.take();
        let begun = self.begin_repair(incident, approved).await;
        if begun.state() == IncidentState::Fixing {
            self.approved_out_of(shadow, &begun).await;
        } else {
            return Err(RequestError::NotYet(format!(
                "`{}` is being worked on; try again in a moment",
                begun.target
            )));
        }
        Ok(())
    }

    /// Why even a person cannot have it done now. A plan that is too old is made anew at once:
    /// what is approved must be what is true.
    fn refuse_approval(&self, incident: &Incident, holds: &[Hold]) -> RequestError {
        let why = holds.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        if !holds.iter().any(|hold| matches!(hold, Hold::StaleDiagnosis { .. })) {
            return RequestError::Conflict(format!("it still cannot be done: {why}"));
        }
        self.queue.add(Scope::target(incident.target.clone()), Trigger::Api, false, None);
        RequestError::Conflict(format!(
            "it cannot be done as it was proposed: {why}. It is being made anew: look at \
             `selfheal explain {}` in a moment, and approve what it says then",
            incident.id
        ))
    }

    /// Looks at a target, once more if it answers late; cycles go on while it is waited for.
    pub(super) async fn look_until_answered(
        &self,
        target: &TargetId,
        rules: &Rules,
    ) -> (MutexGuard<'_, Senses>, Seen) {
        let scope = Scope::target(target.clone());
        let late = {
            let mut senses = self.senses.lock().await;
            let seen = self.look(&mut senses, &scope, rules).await;
            if !seen.put_off.contains(target) {
                return (senses, seen);
            }
            seen.report.late
        };
        self.asked.ended(&Vec::from_iter(late)).await;
        let mut senses = self.senses.lock().await;
        let seen = self.look(&mut senses, &scope, rules).await;
        (senses, seen)
    }

    /// Closes an incident that waits, and is silent about it until it is gone and back.
    pub(super) async fn dismiss(
        &self,
        id: IncidentId,
        who: &str,
        why: &str,
    ) -> Result<(), RequestError> {
        let _writing = self.writing.lock().await;
        let mut incident = self.incident_or_error(id).await?;
        let now = self.world.clock.now();
        let actor = Actor::Person(who.to_owned());
        let why = selfheal_agents::model::clean(why.trim(), 300);
        let text =
            if why.is_empty() { "dismissed".to_owned() } else { format!("dismissed: {why}") };
        incident.become_state(IncidentState::Resolved, now, actor, text).map_err(|_| {
            let state = incident.state();
            RequestError::Conflict(format!(
                "incident {id} is {state}; only one that waits can be dismissed"
            ))
        })?;
        self.remember_dismissal(&incident).await?;
        self.write_down(incident).await;
        Ok(())
    }

    /// Takes back what was done for an incident, newest first.
    pub(super) async fn rollback_incident(
        self: &Arc<Self>,
        id: IncidentId,
        who: &str,
        force: bool,
    ) -> Result<RollbackDone, RequestError> {
        let incident = self.incident_or_error(id).await?;
        let Some(newest) = incident.backups.last() else {
            return Err(RequestError::Conflict(format!(
                "nothing was done for incident {id}, so nothing can be taken back"
            )));
        };
        let mut left = vec![];
        for id in incident.backups.iter().rev() {
            if self.backup_or_error(id).await?.rolled_back_at.is_none() {
                left.push(id);
            }
        }
        // One that was taken back already is named.
        if left.is_empty() {
            left.push(newest);
        }
        let mut done = RollbackDone::new(left[0]);
        for backup in left {
            let force = Force { parts: true, changes: force };
            done.undone.extend(self.rollback_one(backup, who, force).await?.undone);
        }
        Ok(done)
    }

    /// Takes back one fix by its backup; one of several steps that only helped together unless
    /// `force` says so is not.
    pub(super) async fn rollback(
        self: &Arc<Self>,
        id: &BackupId,
        who: &str,
        force: bool,
    ) -> Result<RollbackDone, RequestError> {
        self.rollback_one(id, who, Force { parts: force, changes: force }).await
    }

    /// Takes back one fix, unless somebody else did or it would harm.
    async fn rollback_one(
        self: &Arc<Self>,
        id: &BackupId,
        who: &str,
        force: Force,
    ) -> Result<RollbackDone, RequestError> {
        let incident = self.backup_or_error(id).await?.incident;
        self.refuse_before_taken_up().await?;
        // No window may judge, or write its incident, while its fix is taken back.
        let _turn = self.turns.wait_for(incident).await;
        let backup = self.backup_or_error(id).await?;
        if let Some(at) = backup.rolled_back_at {
            return Err(RequestError::Conflict(trial::rolled_back_already(id, at)));
        }
        let progress = self.executor.progress(backup.fix).await?;
        let mut progress =
            progress.ok_or_else(|| RequestError::Conflict(trial::never_begun(id)))?;
        let incident = self.incident_or_error(backup.incident).await?;
        if let Some(why) = trial::one_of_several(&backup, &incident).filter(|_| !force.parts) {
            return Err(RequestError::Conflict(why));
        }
        let mut targets = progress.fix.touches();
        targets.push(incident.target.clone());
        targets.sort();
        targets.dedup();
        // From here on it is under way: what is asked for is not given away again.
        let lease = self
            .leases
            .take(targets.clone(), &self.world.clock)
            .ok_or_else(|| RequestError::Conflict(trial::under_repair(&backup)))?;
        self.ask_for_leave(&targets).await?;
        if !force.changes {
            self.refuse_if_overtaken(&progress.fix, &backup).await?;
        }
        let reason = format!("asked for by {who}");
        let end = match self.executor.rollback(&mut progress, &reason).await {
            Ok(end) => end,
            Err(error) if !matches!(progress.phase, Phase::RollingBack { .. }) => {
                return Err(error.into());
            }
            Err(error) => {
                // It may be half undone: the next look goes on with it.
                self.watch(incident.id);
                return Err(RequestError::NotYet(format!(
                    "it is not taken back to its end, which Selfheal goes on with by itself: {error}"
                )));
            }
        };
        let result = self.after_rollback(&backup, &progress.fix, end, who).await;
        drop(lease);
        result
    }

    /// Refuses while another node looks after one of them, and asks that one for it.
    async fn ask_for_leave(&self, targets: &[TargetId]) -> Result<(), RequestError> {
        for target in targets {
            if let Err(why) = self.fleet.permit(target, Duration::ZERO).await {
                return Err(RequestError::NotYet(format!(
                    "`{target}` is not touched from here yet: {why}. It is asked for, and comes here \
                     as soon as nothing is under way there; try again in a moment"
                )));
            }
        }
        Ok(())
    }

    async fn refuse_if_overtaken(
        &self,
        fix: &selfheal_agents::model::Fix,
        backup: &Backup,
    ) -> Result<(), RequestError> {
        let changed = backup_agent::overtaken(&self.world, fix, backup)
            .await
            .map_err(|error| RequestError::Failed(error.to_string()))?;
        if changed.is_empty() {
            return Ok(());
        }
        Err(RequestError::Conflict(trial::overwrites(&changed)))
    }

    async fn after_rollback(
        &self,
        backup: &Backup,
        fix: &selfheal_agents::model::Fix,
        end: RollbackEnd,
        who: &str,
    ) -> Result<RollbackDone, RequestError> {
        let _writing = self.writing.lock().await;
        let mut incident = self.incident_or_error(backup.incident).await?;
        let undone = match end {
            RollbackEnd::Stuck { reason, by_hand } => {
                self.get_stuck(&mut incident, &reason, by_hand).await;
                return Err(RequestError::Failed(reason));
            }
            RollbackEnd::RolledBack { undone } => undone,
        };
        let text = format!("{} rolled back; {}", backup.id, undone.join("; "));
        let person = Actor::Person(who.to_owned());
        self.was_taken_back(&mut incident, fix, person, text).await;
        self.save(&mut incident).await;
        self.unwatch(incident.id);
        if steps::answers(&incident).iter().any(|answer| answer.id == fix.id) {
            let (now, by_person) = (self.world.clock.now(), ValidationStatus::RolledBackByPerson);
            let outcome = Outcome::of(fix, incident.id, now, ResultStatus::Applied, by_person);
            self.store.record_outcome(&outcome).await?;
        }
        let undone = if undone.is_empty() {
            vec!["nothing had to be undone: a restart leaves nothing behind".to_owned()]
        } else {
            undone
        };
        Ok(RollbackDone { undone, ..RollbackDone::new(&backup.id) })
    }

    /// An earlier fix of a repair changes nothing about where its incident stands.
    async fn was_taken_back(
        &self,
        incident: &mut Incident,
        fix: &selfheal_agents::model::Fix,
        who: Actor,
        text: String,
    ) {
        let is_newest = incident.fix.as_ref().is_some_and(|newest| newest.id == fix.id);
        let is_stuck = incident.state() == IncidentState::Stuck;
        if is_stuck && is_newest {
            self.come_unstuck(incident).await;
        }
        if (is_stuck && !is_newest) || incident.state() == IncidentState::RolledBack {
            incident.note(self.world.clock.now(), who, text);
        } else {
            self.go(incident, IncidentState::RolledBack, who, text);
        }
    }

    /// Stops automatic fixes; a second freeze of the same target replaces the first.
    pub(super) async fn set_freeze(
        &self,
        target: Option<TargetId>,
        until: Option<Timestamp>,
        reason: &str,
        who: &str,
    ) -> Result<Freeze, RequestError> {
        let freeze = Freeze {
            target,
            until,
            reason: selfheal_agents::model::clean(reason, 300),
            by: selfheal_agents::model::clean(who, 80),
            safety_stop: false,
            stuck: None,
        };
        self.freezes_are_known().await?;
        self.add_freeze(freeze.clone()).await?;
        tracing::info!(by = who, reason, "automatic fixes are frozen");
        Ok(freeze)
    }

    pub(super) async fn add_freeze(&self, freeze: Freeze) -> StoreResult<()> {
        let _freezing = self.freezing.lock().await;
        self.change_freezes(freezes::with(self.freezes_in_force(), freeze)).await
    }

    /// Ends a freeze; returns whether there was one.
    pub(super) async fn end_freeze(
        &self,
        target: Option<&TargetId>,
        who: &str,
    ) -> Result<bool, RequestError> {
        self.freezes_are_known().await?;
        let _freezing = self.freezing.lock().await;
        let before = self.freezes_in_force();
        let now = self.world.clock.now();
        let after = freezes::end(self.store.as_ref(), &before, target, now).await?;
        let ended = after.len() < before.len();
        self.are_frozen(after);
        if ended {
            tracing::info!(by = who, "a freeze is ended");
            // What was held for it may go on.
            let scope = target.map_or(Scope::All, |target| Scope::target(target.clone()));
            self.queue.add(scope, Trigger::Api, false, None);
        }
        Ok(ended)
    }

    pub(super) fn freezes_in_force(&self) -> Vec<Freeze> {
        freezes::in_force(self.freezes(), self.world.clock.now())
    }
}

/// What a rollback passes over.
#[derive(Debug, Clone, Copy)]
struct Force {
    /// That it is one of several steps which only helped together.
    parts: bool,
    /// What somebody changed since.
    changes: bool,
}
