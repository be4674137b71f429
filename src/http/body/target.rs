//! Bodies of `/api/targets`.

use schemars::JsonSchema;
use selfheal_agents::model::{Change, Hold, TargetId};
use serde::{Deserialize, Serialize};

use crate::coordinator::{Standing, TargetSummary};

/// Changes shown of one target.
const MOST_CHANGES: usize = 50;

/// A reason to hold, with its sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HoldRow {
    /// The reason with its figures.
    #[serde(flatten)]
    pub hold: Hold,
    /// The reason in words.
    pub text: String,
    /// Whether it passes by itself, so that the next cycle tries again.
    pub passes: bool,
}

impl From<&Hold> for HoldRow {
    fn from(hold: &Hold) -> Self {
        Self { text: hold.to_string(), passes: hold.is_transient(), hold: hold.clone() }
    }
}

/// Everything that is watched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetList {
    /// By name.
    pub targets: Vec<TargetSummary>,
    /// How many.
    pub total: usize,
    /// What could not be seen, with the remedy.
    pub blind: Vec<String>,
}

impl TargetList {
    /// What the coordinator saw last.
    pub fn of(standing: &Standing) -> Self {
        Self {
            total: standing.targets.len(),
            targets: standing.targets.clone(),
            blind: standing.blind.clone(),
        }
    }
}

/// One target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetDetail {
    /// As in the list.
    #[serde(flatten)]
    pub summary: TargetSummary,
    /// Who needs it.
    pub needed_by: Vec<TargetId>,
    /// What changed on its container within the time history is kept, newest first, at most 50.
    #[serde(default)]
    pub changes: Vec<Change>,
    /// Why nothing is done about it at the moment, in words.
    pub holds_in_words: Vec<String>,
}

impl TargetDetail {
    /// The same with these changes, which come oldest first.
    #[must_use]
    pub fn with_changes(self, changes: Vec<Change>) -> Self {
        Self { changes: changes.into_iter().rev().take(MOST_CHANGES).collect(), ..self }
    }

    /// One of `targets` with its place among the others.
    pub fn of(id: &TargetId, targets: &[TargetSummary]) -> Option<Self> {
        let summary = targets.iter().find(|t| t.id == *id)?.clone();
        let needed_by =
            targets.iter().filter(|t| t.depends_on.contains(id)).map(|t| t.id.clone()).collect();
        let holds_in_words = summary.holds.iter().map(ToString::to_string).collect();
        Some(Self { summary, needed_by, changes: vec![], holds_in_words })
    }
}
