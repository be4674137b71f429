//! What other programs are told, by streams.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{FixId, Timestamp};

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Findings.
    Errors,
    /// What becomes of incidents and their fixes, and how Selfheal is.
    Healing,
    /// Looks at a fix in its window, and what they decided.
    Validation,
    /// What became of fixes and of jobs.
    Results,
    /// Jobs that nobody can do.
    Dead,
}

impl Stream {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::Errors, Self::Healing, Self::Validation, Self::Results, Self::Dead];

    /// The last part of its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Healing => "healing",
            Self::Validation => "validation",
            Self::Results => "results",
            Self::Dead => "dead",
        }
    }
}

/// One message. What is told twice says the same twice, under the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Where it goes.
    pub stream: Stream,
    /// Names and values, in their order.
    pub fields: Vec<(String, String)>,
}

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedMessage {
    /// Its place: what was queued later has a greater number.
    pub id: i64,
    /// What is told.
    pub message: Message,
}

/// How much of an incident was told by streams; kept with it, so that nothing of it is left out
/// and nothing is told anew.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Announced {
    /// So many entries of its timeline.
    pub timeline: usize,
    /// Findings, by their keys.
    pub findings: BTreeSet<String>,
    /// The window whose looks were told last, by its fix.
    pub window: Option<FixId>,
    /// The newest look of it that was told.
    pub looked_at: Option<Timestamp>,
    /// Fixes whose window has decided.
    pub verdicts: BTreeSet<FixId>,
}

impl Announced {
    /// Whether nothing of it was told.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}
