//! How far a fix has come, read from its journal.
//!
//! Pure: the records in order are folded into one value, and everything that applies,
//! undoes or recovers starts from it. So a fix interrupted anywhere goes on exactly there.

use std::collections::BTreeMap;

use selfheal_agents::fix_engineer::actions::Act;
use selfheal_agents::model::{
    BackupId, Captured, Fix, IncidentId, JournalEntry, JournalRecord, Step, Timestamp,
};

/// What is known of one step.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct StepProgress {
    /// It was begun.
    pub(super) intended: bool,
    /// It was applied, for certain.
    pub(super) applied: bool,
    /// It ended badly, for certain.
    pub(super) failed: bool,
    /// Why nobody can tell how it ended.
    pub(super) untold: Option<String>,
    /// What it left behind.
    pub(super) left_behind: Option<String>,
    /// Its undoing was begun.
    pub(super) undo_intended: bool,
    /// It was undone, for certain.
    pub(super) undone: bool,
    /// It was begun again after an undo, with what was found before.
    pub(super) reactivating_from: Option<Captured>,
    /// It ran again after an undo, for certain.
    pub(super) reactivated: bool,
}

/// Where a fix stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// Steps are being applied.
    Applying,
    /// All are; the window runs.
    Validating,
    /// It is being taken back.
    RollingBack {
        /// Why.
        reason: String,
    },
    /// It stays; what was kept for an undo is being cleared away.
    Settling,
    /// It stays.
    Kept,
    /// It is taken back.
    RolledBack,
    /// A person must look.
    Stuck {
        /// Why.
        reason: String,
        /// What a person has to run in its place, in order.
        by_hand: Vec<String>,
    },
}

/// How far a fix has come.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Progress {
    pub(super) incident: IncidentId,
    pub(super) fix: Fix,
    pub(super) backup: BackupId,
    pub(super) planned_at: Timestamp,
    pub(super) steps: BTreeMap<usize, StepProgress>,
    pub(super) phase: Phase,
}

impl Progress {
    /// Folds the records of one fix; `None` if it was never planned.
    pub(super) fn of(records: &[JournalRecord]) -> Option<Self> {
        let mut progress: Option<Self> = None;
        for record in records {
            match (&mut progress, &record.entry) {
                (None, JournalEntry::Planned { fix, backup }) => {
                    progress = Some(Self {
                        incident: record.incident,
                        fix: (**fix).clone(),
                        backup: backup.clone(),
                        planned_at: record.at,
                        steps: BTreeMap::new(),
                        phase: Phase::Applying,
                    });
                }
                (Some(progress), entry) => progress.take(entry),
                (None, _) => {}
            }
        }
        progress
    }

    /// What is known of a step.
    pub(super) fn step(&self, index: usize) -> StepProgress {
        self.steps.get(&index).cloned().unwrap_or_default()
    }

    /// Whether any step was begun.
    pub(super) fn is_begun(&self) -> bool {
        self.steps.values().any(|step| step.intended)
    }

    /// Whether a step was begun, and nobody can tell how far it came.
    pub(super) fn is_in_doubt(&self, index: usize, step: &Step) -> bool {
        let known = self.step(index);
        let interrupted = known.intended && !known.applied && !known.failed;
        known.untold.is_some() || (interrupted && step.action.is_unknowable())
    }

    fn entry(&mut self, index: usize) -> &mut StepProgress {
        self.steps.entry(index).or_default()
    }

    /// Takes in one more record.
    pub(super) fn take(&mut self, entry: &JournalEntry) {
        match entry {
            JournalEntry::Failed { step, error, untold: true } => {
                self.entry(*step).untold = Some(error.clone());
            }
            JournalEntry::Failed { step, .. } => self.entry(*step).failed = true,
            JournalEntry::Planned { .. } | JournalEntry::UndoFailed { .. } => {}
            JournalEntry::Intent { step } => self.entry(*step).intended = true,
            JournalEntry::UndoIntent { step } => self.entry(*step).undo_intended = true,
            JournalEntry::Applied { step, left_behind } => {
                let known = self.entry(*step);
                known.applied = true;
                known.left_behind.clone_from(left_behind);
            }
            JournalEntry::AllApplied => self.phase = Phase::Validating,
            JournalEntry::RollbackStarted { reason } => {
                self.phase = Phase::RollingBack { reason: reason.clone() };
            }
            JournalEntry::Undone { step } => self.entry(*step).undone = true,
            JournalEntry::ReactivateIntent { step, before } => {
                self.entry(*step).reactivating_from = Some(before.clone());
            }
            JournalEntry::Reactivated { step } => self.entry(*step).reactivated = true,
            JournalEntry::Proven => self.phase = Phase::Settling,
            JournalEntry::Kept => self.phase = Phase::Kept,
            JournalEntry::RolledBack => self.phase = Phase::RolledBack,
            JournalEntry::Stuck { reason, by_hand } => {
                self.phase = Phase::Stuck { reason: reason.clone(), by_hand: by_hand.clone() };
            }
        }
    }
}
