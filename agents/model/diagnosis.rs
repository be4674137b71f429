//! Whom an incident is blamed on, and why.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Category, Change, Confidence, Ledger, Need, TargetId, Timestamp};

/// Another explanation that was looked at, and why it lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Considered {
    /// The target it would have blamed.
    pub target: TargetId,
    /// The runbook that suggested it.
    pub runbook: String,
    /// How sure that would have been.
    pub confidence: Confidence,
    /// Why not.
    pub why_not: String,
}

/// Something that changed shortly before the trouble began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecentChange {
    /// What.
    #[serde(flatten)]
    pub change: Change,
    /// How long before the first sign of trouble, in seconds.
    pub before_secs: u64,
    /// What it is worth as evidence, in percentage points; 0 for Selfheal's own changes.
    pub points: i32,
}

impl fmt::Display for RecentChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (length, unit) = match self.before_secs {
            seconds @ 0..120 => (seconds, "s"),
            seconds => (seconds / 60, "min"),
        };
        let Change { target, what, by_selfheal, .. } = &self.change;
        let by = if *by_selfheal { " (by Selfheal)" } else { "" };
        write!(f, "{length} {unit} before: `{target}`: {what}{by}")
    }
}

/// The blamed target and issue type, with the evidence for and against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// The runbook that explains it; its id is the issue type that learning counts by.
    pub issue_type: String,
    /// The runbook's title.
    pub title: String,
    /// Its family.
    pub category: Category,
    /// The target to be repaired.
    pub blamed: TargetId,
    /// What happened, in words a tired person understands.
    pub summary: String,
    /// The sum that the confidence is.
    pub ledger: Ledger,
    /// `ledger.total()`, kept for queries.
    pub confidence: Confidence,
    /// The targets that suffer from it, the blamed one excluded.
    pub affected: Vec<TargetId>,
    /// Whether only somebody outside can mend it.
    pub external: bool,
    /// Whether the blamed target only tells, as a client, of trouble with something it needs:
    /// nothing is to be changed here for it.
    #[serde(default)]
    pub elsewhere: bool,
    /// Whether only log lines say so. Whoever can make a program write a line (a name, an address,
    /// a browser's header) can write this one too: what no check sees does not restart anything.
    #[serde(default)]
    pub hearsay: bool,
    /// Expected time to fix, in seconds.
    pub expected_fix_secs: u64,
    /// What changed on the blamed container within the hour before, the most telling first.
    #[serde(default)]
    pub changes: Vec<RecentChange>,
    /// The needs over which it reaches those that suffer, with where each was learnt.
    #[serde(default)]
    pub ways: Vec<Need>,
    /// What else was considered.
    pub considered: Vec<Considered>,
    /// Digest of what the diagnosis rests on: if it changes before the fix is applied,
    /// the diagnosis is stale.
    pub basis: String,
    /// When.
    pub at: Timestamp,
}
