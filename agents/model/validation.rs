//! The window in which a fix must prove itself, judged from outside.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FixId, Timestamp};

/// Error lines counted over a time.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ErrorCount {
    /// How many.
    pub lines: u64,
    /// In how many seconds.
    pub secs: f64,
}

/// How long a service usually takes to answer, asked from outside.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyBaseline {
    /// The median, in milliseconds.
    pub median_ms: f64,
    /// The median of the distances from it, in milliseconds.
    pub distance_ms: f64,
    /// One in ten took longer, in milliseconds.
    #[serde(default)]
    pub ninth_decile_ms: f64,
    /// Of how many answers.
    pub answers: u32,
}

/// How bad a trouble was before its fix, by its log.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trouble {
    /// Lines that say what the diagnosis was made from.
    pub said: ErrorCount,
    /// All error lines.
    pub errors: ErrorCount,
}

/// One look at the service during the window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ValidationSample {
    /// When.
    pub at: Timestamp,
    /// Whether the target and everything that depended on it worked.
    pub healthy: bool,
    /// Error lines in the target's log since the previous sample.
    pub error_lines: u64,
    /// How long the slowest of its endpoints took to answer, in milliseconds; `None` where it has
    /// none, none answered, or the host was overloaded.
    #[serde(default)]
    pub latency_ms: Option<f64>,
    /// What was seen, in one sentence.
    pub detail: String,
}

/// What the window decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValidationVerdict {
    /// The fix stays.
    Kept,
    /// The fix is taken back.
    RolledBack,
}

/// The durable timer of an incident in validation, with what was seen so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Validation {
    /// Which fix it is about; `None` in records from before this was kept.
    #[serde(default)]
    pub fix: Option<FixId>,
    /// When the last step was applied.
    pub started_at: Timestamp,
    /// When the window ends: once its whole length has been watched, so it is put off by every
    /// while in which nobody watched, and moves with a clock that is set.
    pub ends_at: Timestamp,
    /// Until then failures do not count: the service is starting.
    pub grace_until: Timestamp,
    /// Length of that time, in seconds.
    #[serde(default)]
    pub grace_secs: u64,
    /// Length of the window, in seconds.
    pub window_secs: u64,
    /// Error lines a minute before the fault; `None` when unknown.
    pub baseline_errors_per_minute: Option<f64>,
    /// The same as it was counted; of calm times only.
    #[serde(default)]
    pub baseline: Option<ErrorCount>,
    /// How it answered before the fault, in calm times; `None` when unknown.
    #[serde(default)]
    pub latency_baseline: Option<LatencyBaseline>,
    /// Error lines in the window once the start was over.
    #[serde(default)]
    pub errors: ErrorCount,
    /// Lines in the window that say what the diagnosis was made from, once the start was over.
    #[serde(default)]
    pub said: ErrorCount,
    /// How bad it was before the fix; only where another step of it is possible and it is known.
    #[serde(default)]
    pub before: Option<Trouble>,
    /// Whether the next step was gone about already; it is not gone about twice.
    #[serde(default)]
    pub went_further: bool,
    /// When it first worked again; `None` until then.
    pub recovered_at: Option<Timestamp>,
    /// Failed samples in a row, after the grace time.
    pub failing_in_a_row: u32,
    /// When the log last said what the diagnosis was made from, after the grace time.
    #[serde(default)]
    pub last_signature_at: Option<Timestamp>,
    /// When what the fix was to mend was last seen.
    #[serde(default)]
    pub last_remains_at: Option<Timestamp>,
    /// When a new start of Selfheal went on with it; `None` once it was looked at since.
    #[serde(default)]
    pub taken_up_at: Option<Timestamp>,
    /// Deaths of the target since the fix.
    pub deaths: u32,
    /// What was seen, oldest first, bounded.
    pub samples: Vec<ValidationSample>,
    /// What the window decided; `None` while it runs.
    pub verdict: Option<ValidationVerdict>,
    /// Why.
    pub why: Option<String>,
}
