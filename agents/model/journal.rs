//! The journal: intent before each step, result after it.
//!
//! A fix without a final record was interrupted; recovery reads its records and goes on
//! or undoes. A record is never changed.

use serde::{Deserialize, Serialize};

use super::{BackupId, Captured, Fix, FixId, IncidentId, Timestamp};

/// One record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalRecord {
    /// Position, given by the store; rises by one.
    pub sequence: i64,
    /// When.
    pub at: Timestamp,
    /// Of which fix.
    pub fix: FixId,
    /// Of which incident.
    pub incident: IncidentId,
    /// What.
    pub entry: JournalEntry,
}

/// What is recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum JournalEntry {
    /// The whole fix, with the backup that was written to disk before.
    Planned {
        /// What will be done.
        fix: Box<Fix>,
        /// What undoes it.
        backup: BackupId,
    },
    /// A step is about to be applied.
    Intent {
        /// Index of the step.
        step: usize,
    },
    /// A step was applied.
    Applied {
        /// Index of the step.
        step: usize,
        /// What it left behind, to recognise a stranger's later change; what a command said.
        left_behind: Option<String>,
    },
    /// A step failed.
    Failed {
        /// Index of the step.
        step: usize,
        /// Why.
        error: String,
        /// Whether nobody can tell how far it came.
        #[serde(default)]
        untold: bool,
    },
    /// All steps are applied; the validation window runs.
    AllApplied,
    /// Undoing begins.
    RollbackStarted {
        /// Why.
        reason: String,
    },
    /// A step is about to be undone.
    UndoIntent {
        /// Index of the step.
        step: usize,
    },
    /// A step was undone.
    Undone {
        /// Index of the step.
        step: usize,
    },
    /// Undoing a step failed.
    UndoFailed {
        /// Index of the step.
        step: usize,
        /// Why.
        error: String,
    },
    /// An activating step is about to run again after the undo, with what it finds.
    ReactivateIntent {
        /// Index of the step.
        step: usize,
        /// The state just before, by which a repeat is recognised.
        before: Captured,
    },
    /// It ran.
    Reactivated {
        /// Index of the step.
        step: usize,
    },
    /// The fix has proved itself and is not undone any more; what was kept for that goes.
    Proven,
    /// The fix is kept. Final.
    Kept,
    /// The fix is taken back. Final.
    RolledBack,
    /// Neither: a person must look. Final.
    Stuck {
        /// Why, and where the state before is.
        reason: String,
        /// What a person has to run in its place, in order.
        #[serde(default)]
        by_hand: Vec<String>,
    },
}

impl JournalEntry {
    /// Whether nothing follows it.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Kept | Self::RolledBack | Self::Stuck { .. })
    }
}
