//! Bodies of `/api/monitoring/*` but its health: where Selfheal stands, what a cycle saw, backups.
//!
//! Each is made of what the store and the coordinator handed over.

use chrono::Utc;
use schemars::JsonSchema;
use selfheal_agents::learning_engine::Statistics;
use selfheal_agents::model::{Backup, BackupId, BackupMetadata, Mode, Timestamp};
use serde::{Deserialize, Serialize};

use crate::coordinator::{CycleReport, Freeze, Standing};

/// How far Selfheal goes by itself now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AutonomousMode {
    /// It acts when every guard agrees.
    Enabled,
    /// It asks a person for each fix.
    Approve,
    /// It reports what it would have done.
    Observe,
    /// A person stopped all automatic fixes for a while, or Selfheal itself because too many
    /// failed.
    Frozen,
}

impl AutonomousMode {
    /// The mode in force: a freeze of everything outweighs the settings.
    pub fn of(standing: &Standing) -> Self {
        if standing.freezes.iter().any(|freeze| freeze.target.is_none()) {
            return Self::Frozen;
        }
        match standing.mode {
            Mode::Auto => Self::Enabled,
            Mode::Approve => Self::Approve,
            Mode::Observe => Self::Observe,
        }
    }
}

/// Where Selfheal stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// How far it goes by itself now.
    pub autonomous_mode: AutonomousMode,
    /// When the last cycle ended.
    pub last_check: Option<Timestamp>,
    /// The next slot of the schedule.
    pub next_check: Option<Timestamp>,
    /// What became of fixes.
    pub fix_statistics: Statistics,
    /// The newest backups, at most five.
    pub recent_backups: Vec<BackupRow>,
    /// Minutes between two slots of the schedule.
    pub check_interval_minutes: f64,
    /// Freezes in force.
    pub freezes: Vec<Freeze>,
    /// Fixes being applied.
    pub applying: usize,
    /// Validation windows running.
    pub validating: usize,
    /// Whether the container runtime answers.
    pub runtime_connected: bool,
    /// How many targets are watched.
    pub targets: usize,
    /// What could not be seen, with the remedy.
    pub blind: Vec<String>,
}

impl Status {
    /// Puts together what the coordinator, history and backups say.
    pub fn of(standing: &Standing, fix_statistics: Statistics, backups: &[Backup]) -> Self {
        Self {
            autonomous_mode: AutonomousMode::of(standing),
            last_check: standing.last_check,
            next_check: standing.next_check,
            fix_statistics,
            recent_backups: backups.iter().map(BackupRow::from).collect(),
            check_interval_minutes: standing.check_interval_minutes,
            freezes: standing.freezes.clone(),
            applying: standing.applying,
            validating: standing.validating,
            runtime_connected: standing.runtime_connected,
            targets: standing.targets.len(),
            blind: standing.blind.clone(),
        }
    }
}

/// What a cycle asked for by a person saw and decided: the report, with the two fields
/// that the contract names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Checked {
    /// How many findings.
    pub issues: usize,
    /// When the cycle began.
    pub timestamp: Timestamp,
    /// The whole report.
    #[serde(flatten)]
    pub report: CycleReport,
}

impl From<CycleReport> for Checked {
    fn from(report: CycleReport) -> Self {
        let issues = report.findings.iter().filter(|finding| finding.is_trouble()).count();
        Self { issues, timestamp: report.started_at, report }
    }
}

/// One backup in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupRow {
    /// Its name, such as `backup_20251019_170000`.
    pub backup_id: String,
    /// When it was made, such as `20251019_170000`, in UTC.
    pub timestamp: String,
    /// The same as a time.
    pub at: Timestamp,
    /// Paths of the files in it.
    pub files: Vec<String>,
    /// Why it was made.
    pub metadata: BackupMetadata,
}

impl From<&Backup> for BackupRow {
    fn from(backup: &Backup) -> Self {
        let id: &BackupId = &backup.id;
        Self {
            backup_id: id.to_string(),
            timestamp: id.stamp().to_owned(),
            at: backup.at.with_timezone(&Utc),
            files: backup.files().into_iter().map(str::to_owned).collect(),
            metadata: BackupMetadata {
                reason: backup.reason.clone(),
                confidence: backup.confidence,
                incident_id: backup.incident,
                target: backup.target.clone(),
                rolled_back_at: backup.rolled_back_at,
            },
        }
    }
}

/// Backups, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupList {
    /// The backups.
    pub backups: Vec<BackupRow>,
    /// How many.
    pub total: usize,
}

/// What a cycle is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckRequest {
    /// Only this target and what it depends on; everything without it.
    pub target: Option<selfheal_agents::model::TargetId>,
    /// Decide, but apply nothing.
    pub dry_run: bool,
}
