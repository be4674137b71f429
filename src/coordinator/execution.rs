//! Applies and undoes fixes, one journalled step at a time.
//!
//! The invariant: intent is on disk before an effect, the result after it, and the backup
//! before both. Every function here starts from the journal, so calling it again after a
//! crash goes on where it stopped. It does not decide; it takes only an [`ApprovedFix`].

use std::sync::Arc;
use std::time::Duration;

use selfheal_agents::backup;
use selfheal_agents::fix_engineer::actions::{Act, Reversal};
use selfheal_agents::health_monitor::Inventory;
use selfheal_agents::model::{
    Backup, Captured, Fix, FixId, IncidentId, JournalEntry, Step, StepRole, TargetId, TargetKind,
};
use selfheal_agents::ports::{Fleet, Permit, Store, StoreError, World, WorldError, WorldResult};
use tokio::sync::watch;

use super::memories::{recall_from, remembered_name};
use super::policy::ApprovedFix;
use super::progress::{Phase, Progress};
use crate::leave;

/// Tries of one step or undo before it counts as failed.
const TRIES: u32 = 3;
/// Wait before the second try; doubles.
const FIRST_RETRY: Duration = Duration::from_millis(500);

/// Why a call is not made that was allowed a moment ago.
const RAN_OUT: &str = "its lease has just run out";

/// How applying ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ApplyEnd {
    /// Every step is in effect.
    Applied,
    /// A step failed; nothing was undone yet.
    Failed {
        /// Why.
        why: String,
    },
}

/// How taking back ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RollbackEnd {
    /// Everything is as before; a sentence a step.
    RolledBack {
        /// What was undone.
        undone: Vec<String>,
    },
    /// A person must look.
    Stuck {
        /// Why, and where the state before is.
        reason: String,
        /// What a person has to run in its place, in order.
        by_hand: Vec<String>,
    },
}

/// Why a fix could not be prepared. Nothing was touched.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrepareError {
    /// What it would touch could not be read.
    #[error("what it would touch could not be backed up: {0}")]
    Capture(#[from] WorldError),
    /// The store failed; without a journal nothing is done.
    #[error("no fix without a backup and a journal: {0}")]
    Store(#[from] StoreError),
}

/// Applies and undoes.
#[derive(Clone)]
pub(super) struct Executor {
    world: World,
    store: Arc<dyn Store>,
    fleet: Arc<dyn Fleet>,
    /// How servers are reached now: what was stored of a fix holds no passwords.
    inventory: watch::Receiver<Arc<Inventory>>,
}

impl Executor {
    pub(super) fn new(
        world: World,
        store: Arc<dyn Store>,
        fleet: Arc<dyn Fleet>,
        inventory: watch::Receiver<Arc<Inventory>>,
    ) -> Self {
        Self { world, store, fleet, inventory }
    }

    /// Backs up and plans.
    pub(super) async fn prepare(
        &self,
        incident: IncidentId,
        approved: &ApprovedFix,
    ) -> Result<Progress, PrepareError> {
        let fix = self.ready(approved.fix().clone()).await?;
        let now = self.world.clock.now();
        let taken = backup::take(&self.world, incident, &fix, now).await?;
        let id = self.store.save_backup(&taken).await?;
        let entry = JournalEntry::Planned { fix: Box::new(fix.clone()), backup: id };
        let record = self.store.append(now, incident, fix.id, &entry).await?;
        Ok(Progress::of(&[record]).expect("the record just written plans the fix"))
    }

    /// How far a fix has come; `None` if it was never planned.
    pub(super) async fn progress(&self, fix: FixId) -> Result<Option<Progress>, StoreError> {
        let mut progress = Progress::of(&self.store.journal(fix).await?);
        if let Some(progress) = &mut progress {
            progress.fix = self.reached(progress.fix.clone());
        }
        Ok(progress)
    }

    /// The fix with everything that stands in no record: how servers are reached, and what is
    /// remembered of its containers.
    pub(super) async fn ready(&self, fix: Fix) -> Result<Fix, StoreError> {
        self.recalled(self.reached(fix)).await
    }

    /// The fix with its servers as they are reached now.
    fn reached(&self, mut fix: Fix) -> Fix {
        let inventory = Arc::clone(&self.inventory.borrow());
        for step in &mut fix.steps {
            step.action.reach(&inventory.targets);
        }
        fix
    }

    /// The fix with what is remembered of its containers and stands in no record.
    async fn recalled(&self, mut fix: Fix) -> Result<Fix, StoreError> {
        for step in &mut fix.steps {
            let target = step.action.target();
            let Some(container) = target.container_name() else { continue };
            let name = remembered_name(container);
            if let Some(remembered) = recall_from(self.store.as_ref(), &name).await? {
                step.action.recall(&remembered);
            }
        }
        Ok(fix)
    }

    /// Applies every step that is not applied yet.
    pub(super) async fn apply(&self, progress: &mut Progress) -> Result<ApplyEnd, StoreError> {
        let mut backup = self.backup_of(progress).await?;
        let fix = progress.fix.clone();
        for (index, step) in fix.steps.iter().enumerate() {
            if progress.step(index).applied {
                continue;
            }
            if progress.is_in_doubt(index, step) {
                return Ok(ApplyEnd::Failed { why: untold(step) });
            }
            let before = &backup.captured[index];
            if let Err(error) = self.apply_step(progress, index, step, before).await? {
                let why = format!("{}: {error}", step.action.describe());
                let untold = matches!(error, WorldError::Untold { .. });
                let failed = JournalEntry::Failed { step: index, error: why.clone(), untold };
                self.record(progress, failed).await?;
                return Ok(ApplyEnd::Failed { why });
            }
        }
        for (index, left) in backup.left_behind.iter_mut().enumerate() {
            *left = progress.step(index).left_behind;
        }
        self.store.update_backup(&backup).await?;
        self.record(progress, JournalEntry::AllApplied).await?;
        Ok(ApplyEnd::Applied)
    }

    async fn apply_step(
        &self,
        progress: &mut Progress,
        index: usize,
        step: &Step,
        before: &Captured,
    ) -> Result<WorldResult<()>, StoreError> {
        let in_doubt = progress.step(index).intended;
        // Before the intent: what is not ours to touch is not even begun.
        let permit = self.permit(step).await?;
        if !in_doubt {
            self.record(progress, JournalEntry::Intent { step: index }).await?;
        }
        let made = self.effect(step, before, in_doubt, permit).await?;
        let left_behind = match self.unless_away(step, made).await? {
            Ok(left_behind) => left_behind,
            Err(error) => return Ok(Err(error)),
        };
        self.record(progress, JournalEntry::Applied { step: index, left_behind }).await?;
        Ok(Ok(()))
    }

    /// Leave to make one effect. Where another node looks after the target, the fix stays as it is
    /// in the journal, and whoever called goes on with it later.
    async fn permit(&self, step: &Step) -> Result<Arc<dyn Permit>, StoreError> {
        let target = step.action.target();
        let permit = self.fleet.permit(&target, step.action.limit()).await;
        permit.map(Arc::from).map_err(|why| not_ours(&target, &why))
    }

    /// Makes the effect, unless it is there already after an interruption.
    async fn effect(
        &self,
        step: &Step,
        before: &Captured,
        mut in_doubt: bool,
        mut permit: Arc<dyn Permit>,
    ) -> Result<WorldResult<Option<String>>, StoreError> {
        let mut wait = FIRST_RETRY;
        let mut tries = 1;
        loop {
            let is_there = if in_doubt {
                step.action.is_applied(&self.world, before).await
            } else {
                Ok(false)
            };
            let result = match is_there {
                Ok(true) => self.checksum_now(before).await,
                Ok(false) if permit.is_valid() => {
                    let effect = step.action.apply(&self.world, before);
                    leave::under(Arc::clone(&permit), effect).await
                }
                Ok(false) => return Err(not_ours(&step.action.target(), RAN_OUT)),
                Err(error) => return Ok(Err(error)),
            };
            match result {
                Err(WorldError::NoLeave { .. }) => {
                    return Err(not_ours(&step.action.target(), RAN_OUT));
                }
                Err(error) if error.is_transient() && tries < TRIES => {
                    tracing::warn!(action = step.action.name(), %error, "step failed, trying again");
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                    tries += 1;
                    // It may have arrived although the answer did not.
                    in_doubt = true;
                    permit = self.permit(step).await?;
                }
                other => return Ok(other),
            }
        }
    }

    /// Does what may be repeated, a few times where it fails.
    async fn patiently<F: Future<Output = WorldResult<()>>>(
        &self,
        step: &Step,
        call: impl Fn() -> F,
    ) -> Result<WorldResult<()>, StoreError> {
        let mut wait = FIRST_RETRY;
        for _ in 1..TRIES {
            match self.permitted(step, &call).await? {
                Ok(()) => return Ok(Ok(())),
                Err(error) => {
                    tracing::warn!(action = step.action.name(), %error, "it failed, trying again");
                }
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        self.permitted(step, &call).await
    }

    async fn permitted<F: Future<Output = WorldResult<()>>>(
        &self,
        step: &Step,
        call: &impl Fn() -> F,
    ) -> Result<WorldResult<()>, StoreError> {
        let permit = self.permit(step).await?;
        if !permit.is_valid() {
            return Err(not_ours(&step.action.target(), RAN_OUT));
        }
        match leave::under(permit, call()).await {
            Err(WorldError::NoLeave { .. }) => Err(not_ours(&step.action.target(), RAN_OUT)),
            done => Ok(done),
        }
    }

    async fn checksum_now(&self, before: &Captured) -> WorldResult<Option<String>> {
        match before {
            Captured::File(file) => Ok(Some(self.world.files.read(&file.path).await?.sha256)),
            _ => Ok(None),
        }
    }

    /// The fix stays, and what was kept to undo it goes. From the first record on nothing is
    /// undone any more; where clearing away fails, the next start tries it again.
    pub(super) async fn keep(&self, progress: &mut Progress) -> Result<(), StoreError> {
        if progress.phase == Phase::Validating {
            self.record(progress, JournalEntry::Proven).await?;
        }
        let captured = match self.backup_of(progress).await {
            Ok(backup) => backup.captured,
            // What is proven stays proven; at worst something is left over.
            Err(error @ StoreError::Corrupt(_)) => {
                tracing::error!(fix.id = %progress.fix.id, %error, "what was kept for a rollback is not looked for");
                vec![]
            }
            Err(error) => return Err(error),
        };
        for (step, before) in progress.fix.steps.iter().zip(&captured) {
            if let Err(error) = self.settle(step, before).await? {
                tracing::error!(
                    fix.id = %progress.fix.id, action = step.action.name(), %error,
                    "what was kept for a rollback is not cleared away; the next start tries again"
                );
                return Ok(());
            }
        }
        self.record(progress, JournalEntry::Kept).await
    }

    async fn settle(&self, step: &Step, before: &Captured) -> Result<WorldResult<()>, StoreError> {
        if step.action.target().kind() == TargetKind::Container {
            return self.patiently(step, || step.action.settle(&self.world, before)).await;
        }
        // Nothing of a server is kept: that a fix has proved itself needs nobody's leave.
        Ok(step.action.settle(&self.world, before).await)
    }

    /// What somebody changed since the fix, a sentence each. Nothing once the undoing has
    /// begun, nor where it cannot be found out: then undoing says what is in its way.
    pub(super) async fn overtaken(&self, progress: &Progress) -> Result<Vec<String>, StoreError> {
        if progress.phase != Phase::Validating {
            return Ok(vec![]);
        }
        let backup = self.backup_of(progress).await?;
        Ok(backup::overtaken(&self.world, &progress.fix, &backup).await.unwrap_or_default())
    }

    /// Ends a fix that somebody's own change has overtaken: that change stays, and so does
    /// the backup, for a person who wants the old state after all.
    pub(super) async fn leave(
        &self,
        progress: &mut Progress,
        reason: &str,
        changed: &[String],
    ) -> Result<RollbackEnd, StoreError> {
        let reason = reason.to_owned();
        self.record(progress, JournalEntry::RollbackStarted { reason }).await?;
        self.record(progress, JournalEntry::RolledBack).await?;
        let undone = changed.iter().map(|what| format!("nothing was undone: {what}")).collect();
        Ok(RollbackEnd::RolledBack { undone })
    }

    /// Undoes every step that was begun, newest first, and lets the old state take effect.
    pub(super) async fn rollback(
        &self,
        progress: &mut Progress,
        reason: &str,
    ) -> Result<RollbackEnd, StoreError> {
        self.undo_all(progress, reason, true).await
    }

    /// The same where a fix under it is taken back next: that one's rollback lets the old state
    /// take effect, once for both.
    pub(super) async fn rollback_before_another(
        &self,
        progress: &mut Progress,
        reason: &str,
    ) -> Result<RollbackEnd, StoreError> {
        self.undo_all(progress, reason, false).await
    }

    async fn undo_all(
        &self,
        progress: &mut Progress,
        reason: &str,
        activate: bool,
    ) -> Result<RollbackEnd, StoreError> {
        if !matches!(progress.phase, Phase::RollingBack { .. }) {
            let reason = reason.to_owned();
            self.record(progress, JournalEntry::RollbackStarted { reason }).await?;
        }
        let backup = self.backup_of(progress).await?;
        let fix = progress.fix.clone();
        let mut undone = vec![];
        for (index, step) in fix.steps.iter().enumerate().rev() {
            let known = progress.step(index);
            if step.action.reversal() != Reversal::Undo && progress.is_in_doubt(index, step) {
                let unchecked = || "it has no check, so that is not known".to_owned();
                let why = known.untold.unwrap_or_else(unchecked);
                let error = WorldError::Refused { what: "telling whether it ran".to_owned(), why };
                return self.stuck(progress, &backup, index, &error).await;
            }
            if !known.intended || step.action.reversal() != Reversal::Undo {
                continue;
            }
            // A step that never took effect has nothing to undo; what is there instead may
            // be somebody's own change.
            let before = &backup.captured[index];
            if !known.applied
                && matches!(step.action.is_begun(&self.world, before).await, Ok(false))
            {
                continue;
            }
            undone.push(format!("undid: {}", step.action.describe()));
            if known.undone {
                continue;
            }
            // What was refused for want of a lease is tried again and again, and intended once.
            if !known.undo_intended {
                self.record(progress, JournalEntry::UndoIntent { step: index }).await?;
            }
            let taken_back = self.undo(step, before).await?;
            if let Err(error) = self.unless_away(step, taken_back).await? {
                return self.stuck(progress, &backup, index, &error).await;
            }
            self.record(progress, JournalEntry::Undone { step: index }).await?;
        }
        if activate && let Some(stuck) = self.reactivate(progress, &backup, &mut undone).await? {
            return Ok(stuck);
        }
        self.record(progress, JournalEntry::RolledBack).await?;
        let rolled_back_at = Some(self.world.clock.now());
        self.store.update_backup(&Backup { rolled_back_at, ..backup }).await?;
        Ok(RollbackEnd::RolledBack { undone })
    }

    /// Runs the activating steps again, so that what was restored takes effect.
    async fn reactivate(
        &self,
        progress: &mut Progress,
        backup: &Backup,
        undone: &mut Vec<String>,
    ) -> Result<Option<RollbackEnd>, StoreError> {
        if undone.is_empty() {
            return Ok(None);
        }
        let fix = progress.fix.clone();
        for (index, step) in fix.steps.iter().enumerate() {
            let known = progress.step(index);
            let due = step.role == StepRole::Activate && known.intended;
            if !due || known.reactivated {
                continue;
            }
            let in_doubt = known.reactivating_from.is_some();
            let before = match known.reactivating_from {
                Some(before) => before,
                None => match self.captured(step).await? {
                    Ok(before) => before,
                    // Whoever makes it anew starts it with what was restored.
                    Err(WorldError::NotFound { .. }) => continue,
                    Err(error) => {
                        return self.stuck(progress, backup, index, &error).await.map(Some);
                    }
                },
            };
            if !in_doubt {
                let entry = JournalEntry::ReactivateIntent { step: index, before: before.clone() };
                self.record(progress, entry).await?;
            }
            let permit = self.permit(step).await?;
            let made = self.effect(step, &before, in_doubt, permit).await?;
            if let Err(error) = self.unless_away(step, made).await? {
                return self.stuck(progress, backup, index, &error).await.map(Some);
            }
            self.record(progress, JournalEntry::Reactivated { step: index }).await?;
            undone.push(format!("again: {}", step.action.describe()));
        }
        Ok(None)
    }

    async fn captured(&self, step: &Step) -> Result<WorldResult<Captured>, StoreError> {
        self.unless_away(step, step.action.capture(&self.world).await).await
    }

    /// What became of a step, unless its engine went away meanwhile: then nobody knows that, the fix
    /// stays as it is in the journal, and whoever called goes on with it once the engine is back.
    async fn unless_away<T>(
        &self,
        step: &Step,
        done: WorldResult<T>,
    ) -> Result<WorldResult<T>, StoreError> {
        let target = step.action.target();
        let failed_for_now = done.as_ref().is_err_and(WorldError::is_transient);
        let Some(engine) = target.engine().filter(|_| failed_for_now) else { return Ok(done) };
        // That it is away is known once all that it holds is asked for.
        drop(self.world.runtime.containers().await);
        match self.world.runtime.away().get(engine) {
            Some(why) => Err(not_ours(&target, why)),
            None => Ok(done),
        }
    }

    async fn undo(&self, step: &Step, before: &Captured) -> Result<WorldResult<()>, StoreError> {
        self.patiently(step, || async {
            let undone = step.action.undo(&self.world, before).await;
            if undone.is_err() {
                // A full disk may be what is in its way.
                self.store.make_room().await;
            }
            undone
        })
        .await
    }

    async fn stuck(
        &self,
        progress: &mut Progress,
        backup: &Backup,
        index: usize,
        error: &WorldError,
    ) -> Result<RollbackEnd, StoreError> {
        let step = progress.fix.steps[index].clone();
        let failed = JournalEntry::UndoFailed { step: index, error: error.to_string() };
        self.record(progress, failed).await?;
        let reason = format!(
            "`{}` could not be taken back: {error}; the state before is in {}",
            step.action.describe(),
            progress.backup
        );
        let by_hand = left_to_do(progress, backup);
        let entry = JournalEntry::Stuck { reason: reason.clone(), by_hand: by_hand.clone() };
        self.record(progress, entry).await?;
        Ok(RollbackEnd::Stuck { reason, by_hand })
    }

    /// What a person has to run to take back whatever of a fix is in effect, of which nobody knows
    /// what became. Nothing, where its backup cannot be read.
    pub(super) async fn all_by_hand(&self, progress: &Progress) -> Vec<String> {
        match self.backup_of(progress).await {
            Ok(backup) => {
                // Any step may have been begun by now, whatever the record says.
                let mut whole = progress.clone();
                whole.steps.clear();
                for step in 0..whole.fix.steps.len() {
                    whole.take(&JournalEntry::Intent { step });
                }
                left_to_do(&whole, &backup)
            }
            // Also where it may be read later: all healing waits for this.
            Err(error) => {
                tracing::error!(fix.id = %progress.fix.id, %error, "what takes a fix back is not known");
                vec![]
            }
        }
    }

    /// Ends a fix of which nobody knows what became: a person is to look, and nothing is touched.
    pub(super) async fn hand_over(
        &self,
        progress: &mut Progress,
        reason: &str,
        by_hand: Vec<String>,
    ) -> Result<(), StoreError> {
        let reason = format!("{reason}; the state before is in {}", progress.backup);
        self.record(progress, JournalEntry::Stuck { reason, by_hand }).await
    }

    async fn backup_of(&self, progress: &Progress) -> Result<Backup, StoreError> {
        self.store.backup(&progress.backup).await?.ok_or_else(|| {
            StoreError::Corrupt(format!("{} is in the journal but not kept", progress.backup))
        })
    }

    async fn record(&self, progress: &mut Progress, entry: JournalEntry) -> Result<(), StoreError> {
        let now = self.world.clock.now();
        self.store.append(now, progress.incident, progress.fix.id, &entry).await?;
        progress.take(&entry);
        Ok(())
    }
}

/// What a person has to run where undoing stopped: the undo of each step that was begun, newest
/// first, and then what lets the old state take effect.
fn left_to_do(progress: &Progress, backup: &Backup) -> Vec<String> {
    let steps = || progress.fix.steps.iter().enumerate();
    let undos = steps().rev().filter_map(|(index, step)| {
        let known = progress.step(index);
        let is_due = known.intended && !known.undone;
        is_due.then(|| step.action.undo_by_hand(&backup.captured[index])).flatten()
    });
    let activates = steps().filter_map(|(index, step)| {
        let known = progress.step(index);
        let is_due = step.role == StepRole::Activate && known.intended && !known.reactivated;
        is_due.then(|| step.action.by_hand())
    });
    undos.chain(activates).collect()
}

fn untold(step: &Step) -> String {
    format!(
        "{}: it was interrupted, and has no check that tells whether it ran; it is not run again",
        step.action.describe()
    )
}

fn not_ours(target: &TargetId, why: &str) -> StoreError {
    StoreError::Conflict(format!("`{target}` is not touched from here now: {why}"))
}

#[cfg(test)]
mod tests;
