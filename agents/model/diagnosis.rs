//! Whom an incident is blamed on, and why.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Category, Confidence, Ledger, TargetId, Timestamp};

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
    /// What else was considered.
    pub considered: Vec<Considered>,
    /// Digest of what the diagnosis rests on: if it changes before the fix is applied,
    /// the diagnosis is stale.
    pub basis: String,
    /// When.
    pub at: Timestamp,
}
