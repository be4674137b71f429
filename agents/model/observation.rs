//! One value of one check on one target at one time, and the report of them all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Pressure, TargetId, TargetState, Timestamp};

/// What a check thinks of a value. Ordered by how bad it is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// The value could not be had; guards hold on it.
    Unknown,
    /// Worth a look.
    Warning,
    /// Broken.
    Critical,
}

impl Verdict {
    /// Whether it is worse than unknown.
    pub fn is_bad(self) -> bool {
        self >= Self::Warning
    }
}

/// The name of a check, such as `container.state`; the part before the dot is the kind
/// of target.
pub type CheckName = String;

/// A measured value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ObservedValue {
    /// A number in the check's unit.
    Number(f64),
    /// A word, such as `exited`.
    Text(String),
    /// Nothing could be read.
    Missing,
}

impl fmt::Display for ObservedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) if n.fract() == 0.0 => write!(f, "{n:.0}"),
            Self::Number(n) => write!(f, "{n:.1}"),
            Self::Text(t) => f.write_str(t),
            Self::Missing => f.write_str("unknown"),
        }
    }
}

/// One value of one check on one target at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Observation {
    /// On what.
    pub target: TargetId,
    /// By which check.
    pub check: CheckName,
    /// What was seen.
    pub value: ObservedValue,
    /// The unit of a number: `%`, `ms`, `s` (how long it has lasted), `bytes`, or empty.
    pub unit: String,
    /// What the check thinks of it, after hold time and hysteresis.
    pub verdict: Verdict,
    /// One sentence a person understands.
    pub detail: String,
    /// When.
    pub at: Timestamp,
    /// Since when the verdict is what it is.
    pub since: Timestamp,
}

impl Observation {
    /// The unit of a number that tells for how many seconds something has lasted: while it does,
    /// the number grows by one each second. No other number is in seconds.
    pub const AGE: &str = "s";

    /// For how long what it tells of has lasted; `None` where it tells of no such thing, or there is
    /// none now.
    pub fn age_secs(&self) -> Option<f64> {
        match self.value {
            ObservedValue::Number(secs) if self.unit == Self::AGE && secs > 0.0 => Some(secs),
            _ => None,
        }
    }
}

/// One target with what its checks said.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetReport {
    /// The facts judged.
    pub state: TargetState,
    /// What the checks said.
    pub observations: Vec<Observation>,
}

impl TargetReport {
    /// The target's name.
    pub fn id(&self) -> &TargetId {
        &self.state.target.id
    }

    /// The worst verdict; unknown without any observation.
    pub fn verdict(&self) -> Verdict {
        self.observations.iter().map(|o| o.verdict).max().unwrap_or(Verdict::Unknown)
    }

    /// The observation of one check.
    pub fn observation(&self, check: &str) -> Option<&Observation> {
        self.observations.iter().find(|o| o.check == check)
    }
}

/// A value on its way to count as too high.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rising {
    /// The check that measured it.
    pub check: CheckName,
    /// When to look again, to know whether it lasts.
    pub look_at: Timestamp,
}

/// What the health monitor hands on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HealthReport {
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// Every target looked at.
    pub targets: Vec<TargetReport>,
    /// Those that have not answered yet: nothing is known of them, good or bad.
    pub late: BTreeSet<TargetId>,
    /// Those with a value above a limit that has not been there for long enough to count.
    pub rising: BTreeMap<TargetId, Rising>,
    /// The host's pressure; under a high one only exits are believed.
    pub pressure: Pressure,
    /// Whether `pressure` is so high that slow answers prove nothing.
    pub under_pressure: bool,
    /// Parts of the world that could not be seen at all, such as the container
    /// runtime, each with its reason and remedy.
    pub blind: Vec<String>,
}

impl HealthReport {
    /// The report on one target.
    pub fn target(&self, id: &TargetId) -> Option<&TargetReport> {
        // In order as a rule: where a thousand fail, each asks for each.
        let placed = self.targets.binary_search_by(|t| t.id().cmp(id));
        placed
            .map_or_else(|_| self.targets.iter().find(|t| t.id() == id), |at| self.targets.get(at))
    }
}
