//! What a fix would have done where it may not act, and what came without it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Captured, Fix, IncidentId, TargetId, Timestamp};

/// When a fix that every other guard lets through may run by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Autonomy {
    /// At once.
    #[default]
    Full,
    /// Once people have confirmed it often enough on that target.
    Earned,
}

/// A fix that would have been applied to an incident that is still open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shadow {
    /// The fix.
    pub fix: Box<Fix>,
    /// When it would have been applied.
    pub since: Timestamp,
    /// What it would have touched, as it was then, an entry a step; `None` where that cannot be
    /// told or is not to be kept.
    pub before: Option<Vec<Captured>>,
}

/// How an incident ended to which a fix would have been applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShadowEnd {
    /// It works again, and somebody else had done the same.
    SameWay,
    /// The same, and within the hour the fault was back.
    CameBack,
    /// It works again, and nobody had done that.
    ByItself,
    /// A person let the fix run: its own outcome says whether that was right.
    Approved,
    /// A person said that there was nothing to mend.
    Dismissed,
}

/// One time a fix would have been applied, and how that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowRun {
    /// To which incident.
    pub incident: IncidentId,
    /// On which target.
    pub target: TargetId,
    /// The runbook's id.
    pub issue_type: String,
    /// The action's name.
    pub fix_type: String,
    /// When it would have been applied.
    pub at: Timestamp,
    /// When the incident ended.
    pub ended_at: Timestamp,
    /// How.
    pub end: ShadowEnd,
}

impl Shadow {
    /// What became of it.
    pub fn ended(&self, incident: IncidentId, end: ShadowEnd, at: Timestamp) -> ShadowRun {
        ShadowRun {
            incident,
            target: self.fix.target.clone(),
            issue_type: self.fix.issue_type.clone(),
            fix_type: self.fix.fix_type.clone(),
            at: self.since,
            ended_at: at,
            end,
        }
    }
}
