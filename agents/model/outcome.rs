//! What became of a fix: the food of the learning engine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Confidence, Fix, FixId, IncidentId, TargetId, Timestamp};

/// How applying it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResultStatus {
    /// Every step was applied.
    Applied,
    /// A step failed; what was done is undone.
    ApplyFailed,
    /// Undoing failed too; a person must look.
    Stuck,
}

/// How validation went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValidationStatus {
    /// The service worked again for the length of the window.
    Passed,
    /// It did not; the fix was rolled back.
    Failed,
    /// It was never reached.
    NotReached,
    /// It passed, and the fault was back within the hour.
    CameBack,
    /// A person took the fix back later.
    RolledBackByPerson,
}

/// What became of one fix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// When it was known.
    pub timestamp: Timestamp,
    /// Of which fix.
    pub fix: FixId,
    /// Of which incident.
    pub incident: IncidentId,
    /// On which target.
    pub target: TargetId,
    /// The runbook's id.
    pub issue_type: String,
    /// The action's name.
    pub fix_type: String,
    /// Before history moved it.
    pub original_confidence: Confidence,
    /// As the gate saw it.
    pub confidence: Confidence,
    /// How applying went.
    pub result_status: ResultStatus,
    /// How validation went.
    pub validation_status: ValidationStatus,
    /// Only proven success is success.
    pub success: bool,
    /// Error lines counted in the window after the fix.
    pub error_count_after: u64,
    /// Seconds from the first finding to the service working again; `None` on failure.
    pub time_to_repair_secs: Option<f64>,
}

impl Outcome {
    /// What became of `fix`; errors and the time to repair are not known yet.
    pub fn of(
        fix: &Fix,
        incident: IncidentId,
        timestamp: Timestamp,
        result_status: ResultStatus,
        validation_status: ValidationStatus,
    ) -> Self {
        Self {
            timestamp,
            fix: fix.id,
            incident,
            target: fix.target.clone(),
            issue_type: fix.issue_type.clone(),
            fix_type: fix.fix_type.clone(),
            original_confidence: fix.original_confidence,
            confidence: fix.confidence,
            result_status,
            validation_status,
            success: validation_status == ValidationStatus::Passed,
            error_count_after: 0,
            time_to_repair_secs: None,
        }
    }
}
