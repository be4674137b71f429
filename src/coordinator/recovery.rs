//! After a crash of Selfheal: finishes or undoes every fix that was under way.
//!
//! Runs before the first cycle. The journal, not the incident, is the truth: an incident may
//! be one write behind it. Until this is done nothing is healed but what has nothing to do with any
//! of these fixes (see `left`), and nothing that a person asks for is applied or taken back. Only
//! what runs a person's command, which may take as long as its limit, goes on beside the first
//! cycles, as any repair does: under a lease on what it touches. What a restored snapshot says of
//! fixes under way is old: see `restored`.

use std::sync::Arc;

use selfheal_agents::fix_engineer::actions::Action;
use selfheal_agents::health_monitor::{Inventory, take_inventory};
use selfheal_agents::model::{
    Actor, FixId, Hold, Incident, IncidentState, ResultStatus, ValidationVerdict,
};
use selfheal_agents::ports::{StoreResult, WorldResult};

use super::last_looks::Moment;
use super::leases::Lease;
use super::progress::{Phase, Progress};
use super::restored::is_under_way;
use super::state::Inner;
use super::steps::{is_try, together};
use super::validation;

/// A fix that was being applied or undone.
struct Interrupted {
    incident: Incident,
    progress: Progress,
    /// Nobody else works there meanwhile.
    lease: Lease,
}

impl Interrupted {
    /// Whether it may take longer than a cycle can wait.
    fn takes_its_time(&self) -> bool {
        let steps = &self.progress.fix.steps;
        steps.iter().any(|step| matches!(step.action, Action::RunCommand(_)))
    }
}

impl Inner {
    /// Brings every interrupted fix to an end or back into its window.
    ///
    /// Answers whether it did: without the container runtime it cannot, and is to be asked again.
    pub(super) async fn recover(self: &Arc<Self>) -> StoreResult<bool> {
        self.hand_over().await?;
        let left = self.left_by_the_last_run().await?;
        if !left.fixes.is_empty()
            && let Err(error) = self.see_containers().await
        {
            tracing::warn!(%error, "an interrupted fix waits for the container runtime");
            self.let_wait(left, &error).await;
            return Ok(false);
        }
        let mut beside = vec![];
        for fix in &left.fixes {
            beside.extend(self.recover_fix(*fix).await?);
        }
        for incident in &left.incidents {
            if let Some(mut incident) = self.store.incident(*incident).await? {
                self.agree_with_journal(&mut incident).await?;
            }
        }
        self.free_what_was_taken_back().await?;
        // Begun last: nothing above may meet an incident that one of them is about to write.
        for interrupted in beside {
            let inner = Arc::clone(self);
            self.tracker.spawn(async move { inner.go_on(interrupted).await });
        }
        self.nothing_waits();
        self.set_taken_up(true);
        Ok(true)
    }

    /// Looks at what is there: where servers are, and their passwords, is not stored with a fix.
    async fn see_containers(&self) -> WorldResult<()> {
        let all = self.world.runtime.containers().await?;
        let away = self.world.runtime.away();
        let inventory = take_inventory(&all, &self.rules().declared);
        self.inventory.send_replace(Arc::new(Inventory { away, ..inventory }));
        Ok(())
    }

    /// Brings a fix to its end; answers the one that is to go on beside the cycles.
    async fn recover_fix(self: &Arc<Self>, fix: FixId) -> StoreResult<Option<Interrupted>> {
        let Some(mut progress) = self.executor.progress(fix).await? else {
            return Ok(None);
        };
        let Some(mut incident) = self.store.incident(progress.incident).await? else {
            tracing::error!(fix.id = %fix, "a fix in the journal belongs to no incident");
            return Ok(None);
        };
        if progress.phase == Phase::Applying && !progress.is_begun() {
            self.recover_unbegun(incident, progress).await?;
            return Ok(None);
        }
        let earlier = incident.earlier_fixes.iter().any(|known| known.id == fix);
        if earlier && progress.phase == Phase::Validating {
            self.recover_root(incident, progress).await?;
            return Ok(None);
        }
        if !together(&incident).iter().any(|known| known.id == fix) {
            incident.fix = Some(progress.fix.clone());
        }
        match progress.phase {
            Phase::Applying | Phase::RollingBack { .. } => {
                return Ok(self.take_in_hand(incident, progress).await);
            }
            Phase::Validating => self.back_into_window(&mut incident, &progress).await,
            Phase::Settling => self.executor.keep(&mut progress).await?,
            Phase::Kept | Phase::RolledBack | Phase::Stuck { .. } => {}
        }
        Ok(None)
    }

    /// Goes on with a fix at once, or answers it where nobody can wait for it.
    async fn take_in_hand(
        self: &Arc<Self>,
        mut incident: Incident,
        progress: Progress,
    ) -> Option<Interrupted> {
        let reached = self.is_within_reach(&progress.fix);
        let take = || self.leases.take(progress.fix.touches(), &self.world.clock);
        let Some(lease) = reached.then(take).flatten() else {
            // Somebody works there, on this one or on another, or its engine is away; whoever is
            // left comes after them.
            self.save(&mut incident).await;
            self.watch(incident.id);
            return None;
        };
        let interrupted = Interrupted { incident, progress, lease };
        if interrupted.takes_its_time() {
            return Some(interrupted);
        }
        self.go_on(interrupted).await;
        None
    }

    async fn go_on(self: &Arc<Self>, interrupted: Interrupted) {
        let Interrupted { mut incident, mut progress, lease } = interrupted;
        match progress.phase.clone() {
            Phase::Applying => self.finish_applying(&mut incident, &mut progress).await,
            Phase::RollingBack { reason } => {
                let now = self.world.clock.now();
                incident.note(now, Actor::Recovery, "interrupted while undoing; going on");
                self.take_back(&mut incident, &reason, ResultStatus::Applied).await;
            }
            _ => {}
        }
        drop(lease);
    }

    /// Goes on applying a fix that was interrupted, or takes it back where that was too long ago.
    pub(super) async fn finish_applying(
        self: &Arc<Self>,
        incident: &mut Incident,
        progress: &mut Progress,
    ) {
        let now = self.world.clock.now();
        let age = (now - progress.planned_at).to_std().unwrap_or_default();
        if age > self.rules().plan_lifetime {
            // The world it was meant for is gone: it is taken back rather than finished.
            let why = "it was interrupted for too long while it was applied";
            incident.note(now, Actor::Recovery, why);
            self.take_back(incident, why, ResultStatus::ApplyFailed).await;
        } else {
            incident.note(now, Actor::Recovery, "interrupted while applying; going on");
            self.carry_out(incident, progress).await;
        }
    }

    /// A fix of which no step was begun is decided anew: a freeze, a mode or a person may
    /// have come between.
    async fn recover_unbegun(
        self: &Arc<Self>,
        mut incident: Incident,
        mut progress: Progress,
    ) -> StoreResult<()> {
        let why = "Selfheal was interrupted before anything was touched";
        self.executor.leave(&mut progress, why, &[]).await?;
        let waits = incident.fix.as_ref().is_some_and(|fix| fix.id == progress.fix.id);
        if waits && incident.state() == IncidentState::Fixing {
            self.give_up(&mut incident, vec![Hold::StaleDiagnosis { changed: why.to_owned() }])
                .await;
        }
        Ok(())
    }

    /// The root's fix of a repair whose dependents were being followed up: it is judged with
    /// the follow-up, or goes on alone where that was never begun.
    async fn recover_root(
        self: &Arc<Self>,
        mut incident: Incident,
        mut root: Progress,
    ) -> StoreResult<()> {
        let newest = match &incident.fix {
            Some(fix) => self.executor.progress(fix.id).await?,
            None => None,
        };
        let goes_with_newest = together(&incident).iter().any(|known| known.id == root.fix.id);
        match newest.map(|progress| progress.phase) {
            None => {
                incident.fix = incident.earlier_fixes.pop();
                self.back_into_window(&mut incident, &root).await;
            }
            // What goes with it has gone already.
            Some(Phase::RolledBack) if goes_with_newest && !incident.state().is_closed() => {
                match self.lease_for(&incident) {
                    Some(_lease) => self.finish_taking_back(&mut incident).await,
                    None => self.watch(incident.id),
                }
            }
            // The root worked before the follow-up ended; its repair stands.
            Some(Phase::Settling | Phase::Kept | Phase::RolledBack | Phase::Stuck { .. }) => {
                self.executor.keep(&mut root).await?;
            }
            // Recovered on its own.
            Some(_) => {}
        }
        Ok(())
    }

    async fn back_into_window(self: &Arc<Self>, incident: &mut Incident, progress: &Progress) {
        if incident.state() == IncidentState::Validating {
            let now = Moment::now(self.world.clock.as_ref());
            let container = self.container_of(&progress.fix).await;
            if let Some(window) = &mut incident.validation {
                validation::take_up(window, now.at, container.as_ref());
            }
            self.last_looks.note(incident.id, now);
            incident.note(now.at, Actor::Recovery, "the window goes on");
            self.save(incident).await;
            self.watch(incident.id);
        } else {
            // The crash fell between the journal and the incident.
            self.open_window(incident, &progress.fix).await;
        }
    }

    /// An incident whose fix ended in the journal, or never began, ends or waits as well.
    async fn agree_with_journal(self: &Arc<Self>, incident: &mut Incident) -> StoreResult<()> {
        if !is_under_way(incident) || self.is_watched(incident.id) {
            return Ok(());
        }
        let progress = match &incident.fix {
            Some(fix) => self.executor.progress(fix.id).await?,
            None => None,
        };
        if progress.is_none() {
            self.unstage_clones_of(incident).await;
        }
        // Given up before its first step, it was not taken back.
        let phase = progress
            .filter(|progress| progress.is_begun() || progress.phase != Phase::RolledBack)
            .map(|progress| progress.phase);
        if is_try(incident) && matches!(phase, None | Some(Phase::RolledBack)) {
            let text = "interrupted while a smaller change was tried; it is undone";
            self.stay_with_proven(incident, text).await;
            return Ok(());
        }
        match phase {
            Some(Phase::Settling | Phase::Kept) => self.close_kept(incident).await,
            Some(Phase::RolledBack) => {
                let applying = incident.state() == IncidentState::Fixing;
                let result =
                    if applying { ResultStatus::ApplyFailed } else { ResultStatus::Applied };
                let text = "taken back, as the journal says".to_owned();
                self.close_taken_back(incident, result, Actor::Recovery, text).await;
            }
            Some(Phase::Stuck { reason, by_hand }) => {
                self.get_stuck(incident, &reason, by_hand).await;
            }
            // Still under way: whoever works on it writes the incident.
            Some(_) => {}
            None => {
                let text = "interrupted before anything was touched".to_owned();
                self.go(incident, IncidentState::Held, Actor::Recovery, text);
                self.tell_who_approved(incident).await;
                self.save(incident).await;
            }
        }
        Ok(())
    }

    /// Closes an incident whose fix is kept, as the journal says.
    async fn close_kept(&self, incident: &mut Incident) {
        if incident.state() == IncidentState::Fixing {
            self.go(incident, IncidentState::Validating, Actor::Recovery, "applied".to_owned());
        }
        if let Some(window) = &mut incident.validation {
            window.verdict.get_or_insert(ValidationVerdict::Kept);
            window.why.get_or_insert_with(|| "the journal says so".to_owned());
        }
        self.learn_proven(incident).await;
        self.resolve(incident).await;
    }
}
