//! Takes a fix back, one journalled undo at a time, newest step first.
//!
//! Its invariant: what cannot be undone, or of which nobody knows whether it ran, makes the fix stuck
//! with the commands for a person; nothing after it is tried. It does not judge whether to take back.

use selfheal_agents::backup;
use selfheal_agents::fix_engineer::actions::{Act, Reversal};
use selfheal_agents::model::{Backup, Captured, JournalEntry, Step, StepRole};
use selfheal_agents::ports::{StoreError, WorldError, WorldResult};

use super::super::progress::{Phase, Progress};
use super::Executor;

/// How taking back ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::coordinator) enum RollbackEnd {
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

impl Executor {
    /// What somebody changed since the fix, a sentence each. Nothing once the undoing has
    /// begun, nor where it cannot be found out: then undoing says what is in its way.
    pub(in crate::coordinator) async fn overtaken(
        &self,
        progress: &Progress,
    ) -> Result<Vec<String>, StoreError> {
        if progress.phase != Phase::Validating {
            return Ok(vec![]);
        }
        let backup = self.backup_of(progress).await?;
        Ok(backup::overtaken(&self.world, &progress.fix, &backup).await.unwrap_or_default())
    }

    /// Ends a fix that somebody's own change has overtaken: that change stays, and so does
    /// the backup, for a person who wants the old state after all.
    pub(in crate::coordinator) async fn leave(
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
    pub(in crate::coordinator) async fn rollback(
        &self,
        progress: &mut Progress,
        reason: &str,
    ) -> Result<RollbackEnd, StoreError> {
        self.undo_all(progress, reason, true).await
    }

    /// The same where a fix under it is taken back next: that one's rollback lets the old state
    /// take effect, once for both.
    pub(in crate::coordinator) async fn rollback_before_another(
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
    pub(in crate::coordinator) async fn all_by_hand(&self, progress: &Progress) -> Vec<String> {
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
    pub(in crate::coordinator) async fn hand_over(
        &self,
        progress: &mut Progress,
        reason: &str,
        by_hand: Vec<String>,
    ) -> Result<(), StoreError> {
        let reason = format!("{reason}; the state before is in {}", progress.backup);
        self.record(progress, JournalEntry::Stuck { reason, by_hand }).await
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
