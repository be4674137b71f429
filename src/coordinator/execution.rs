//! Applies and undoes fixes, one journalled step at a time.
//!
//! The invariant: intent is on disk before an effect, the result after it, and the backup
//! before both. Every function here starts from the journal, so calling it again after a
//! crash goes on where it stopped. It does not decide; it takes only an [`ApprovedFix`].
//! Here a fix is planned, applied and kept; `effects` makes each effect, `undoing` takes a fix back.

mod effects;
mod undoing;

use std::sync::Arc;

use selfheal_agents::backup;
use selfheal_agents::fix_engineer::actions::Act;
use selfheal_agents::health_monitor::Inventory;
use selfheal_agents::model::{
    Backup, Captured, Fix, FixId, IncidentId, JournalEntry, Step, TargetKind,
};
use selfheal_agents::ports::{Fleet, Store, StoreError, World, WorldError, WorldResult};
use tokio::sync::watch;

use super::memories::{recall_from, remembered_name};
use super::policy::ApprovedFix;
use super::progress::{Phase, Progress};
pub(super) use undoing::RollbackEnd;

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

fn untold(step: &Step) -> String {
    format!(
        "{}: it was interrupted, and has no check that tells whether it ran; it is not run again",
        step.action.describe()
    )
}

#[cfg(test)]
mod tests;
