//! A fix: typed steps that can be taken back.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Confidence, Ledger, TargetId, Timestamp};
use crate::fix_engineer::actions::Action;

/// Names one fix.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct FixId(pub Uuid);

impl fmt::Display for FixId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a step is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepRole {
    /// It repairs. A rollback undoes it.
    Repair,
    /// It lets a repair take effect (a restart after a changed file). A rollback runs
    /// it again after the repairs are undone.
    Activate,
}

/// One journalled step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// Why.
    pub role: StepRole,
}

/// What a fix is to the one before it in the same incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    /// An answer of its own.
    #[default]
    First,
    /// The next step of the same setting in the same direction: the one before it helped in part.
    /// Both stay together or go together.
    Further,
    /// A try of a smaller change than the one before it, which is proven and stays if this fails.
    Back,
}

/// A proposed repair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fix {
    /// Its name.
    pub id: FixId,
    /// The kind of the repairing action, such as `container.restart`; learning counts by
    /// it.
    pub fix_type: String,
    /// The target it changes.
    pub target: TargetId,
    /// The issue it answers.
    pub issue_type: String,
    /// What it does, in one sentence.
    pub summary: String,
    /// In order.
    pub steps: Vec<Step>,
    /// The diagnosis' ledger, continued with the fix and its history.
    pub ledger: Ledger,
    /// Before history.
    pub original_confidence: Confidence,
    /// After history; this is what the gate compares.
    pub confidence: Confidence,
    /// Expected interruption of the service, in seconds.
    pub interruption_secs: u64,
    /// What it is to the fix before it.
    #[serde(default)]
    pub course: Course,
    /// Whether it can wait: done by itself only in a quiet hour of the settings.
    #[serde(default)]
    pub quiet: bool,
    /// What must never be done here, from the runbook.
    pub warnings: Vec<String>,
    /// When it was proposed.
    pub proposed_at: Timestamp,
}

impl Fix {
    /// Every target it changes.
    pub fn touches(&self) -> Vec<TargetId> {
        let mut targets: Vec<TargetId> =
            self.steps.iter().map(|step| step.action.target()).collect();
        targets.sort();
        targets.dedup();
        targets
    }
}
