//! Why a fix was not applied automatically: always a reason a person can read.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Confidence, Mode, TargetId, Timestamp};

/// One reason to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Hold {
    /// The mode asks a person, or nobody, to act.
    Mode {
        /// The mode in force for this target.
        mode: Mode,
    },
    /// Not sure enough.
    ConfidenceTooLow {
        /// How sure.
        confidence: Confidence,
        /// How sure it must be.
        threshold: Confidence,
    },
    /// Nothing is known that would repair it.
    NoFixKnown,
    /// `selfheal.enable=false`.
    TargetExcluded {
        /// Which.
        target: TargetId,
    },
    /// The cause is outside: only a person can mend it.
    TargetExternal {
        /// Which.
        target: TargetId,
    },
    /// A person stopped it.
    StoppedByPerson {
        /// Which.
        target: TargetId,
    },
    /// It has not had its time to start.
    InStartPeriod {
        /// Which.
        target: TargetId,
        /// When that time is over.
        until: Timestamp,
    },
    /// A deployment or image update is under way.
    DeploymentUnderWay {
        /// What was seen.
        seen: String,
        /// When it is over unless something more is seen, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// A backup or its restore is under way, which a fix would cut off.
    BackupUnderWay {
        /// What was seen.
        seen: String,
    },
    /// Another healer owns it.
    OtherHealer {
        /// Which.
        healer: String,
    },
    /// Another program makes its container, and makes it again.
    ManagedElsewhere {
        /// Which, and what a person may type.
        why: String,
    },
    /// Frozen by a person.
    Frozen {
        /// Until when; `None` for ever.
        until: Option<Timestamp>,
        /// Why.
        why: String,
    },
    /// Inside a maintenance window.
    MaintenanceWindow {
        /// Its cron expression.
        window: String,
    },
    /// It can wait for a quiet hour, and this is none.
    QuietHour {
        /// Whether the settings name any.
        configured: bool,
    },
    /// Leased to another node.
    LeasedElsewhere {
        /// The node.
        node: String,
    },
    /// Another repair is at work on something that this fix touches.
    RepairUnderWay {
        /// On what.
        target: TargetId,
    },
    /// Enough was done here lately.
    BudgetSpent {
        /// Whose budget: `target`, `action`, `host`.
        scope: String,
        /// How many in the last hour.
        used: u32,
        /// How many are allowed.
        allowed: u32,
    },
    /// The target changes between well and broken again and again.
    Flapping {
        /// Which.
        target: TargetId,
        /// The weighted share of changes among its last samples, in percent.
        percent: u32,
    },
    /// Too many targets fail at once and no shared cause was found.
    CommonCause {
        /// How many fail.
        failing: u32,
        /// Of how many.
        watched: u32,
    },
    /// Fixes of this target failed in a row; until a person approves one, or one succeeds,
    /// none is applied there by itself.
    SafetyStop {
        /// How many.
        failures: u32,
    },
    /// Too many fixes failed, wherever; until a person ends that, none is applied by itself.
    SafetyStopInAll {
        /// What failed.
        why: String,
    },
    /// The world changed since the diagnosis.
    StaleDiagnosis {
        /// What changed.
        changed: String,
    },
    /// The database is in recovery.
    DatabaseInRecovery {
        /// Which.
        target: TargetId,
    },
    /// This fix failed here before, or is not proven.
    Quarantined {
        /// The fix type.
        fix_type: String,
        /// Why.
        why: String,
    },
    /// It has not yet earned here that it runs by itself: what comes without it is watched.
    Shadow {
        /// How often it was confirmed since it last failed.
        confirmed: usize,
        /// How often it must be.
        needed: usize,
    },
    /// It would touch Selfheal itself.
    TouchesSelfheal,
    /// The machine is so loaded that only an exit is believed.
    UnderPressure {
        /// Percent of time something waited for a processor.
        cpu_percent: u32,
    },
    /// An action that can be neither undone nor checked.
    Irreversible {
        /// Which.
        action: String,
    },
    /// A guard lacked the facts it needs.
    FactsMissing {
        /// Which facts.
        what: String,
    },
    /// Something it needs has only just come back, and it may get over that by itself.
    WaitsForDependency {
        /// Which.
        dependency: TargetId,
    },
    /// What a fix waits for has not lasted long enough.
    TooEarly {
        /// What, in words.
        what: String,
        /// When it will have, if it lasts.
        until: Timestamp,
    },
    /// The fix could not be prepared or applied.
    CouldNotApply {
        /// Why.
        why: String,
    },
    /// It was tried on a clone of the container, and the clone does not work.
    RehearsalFailed {
        /// What became of the clone.
        why: String,
    },
    /// A dry run decides, and applies nothing.
    DryRun,
}

impl Hold {
    /// The reason's name, as in the API.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Mode { .. } => "mode",
            Self::ConfidenceTooLow { .. } => "confidence_too_low",
            Self::NoFixKnown => "no_fix_known",
            Self::TargetExcluded { .. } => "target_excluded",
            Self::TargetExternal { .. } => "target_external",
            Self::StoppedByPerson { .. } => "stopped_by_person",
            Self::InStartPeriod { .. } => "in_start_period",
            Self::DeploymentUnderWay { .. } => "deployment_under_way",
            Self::BackupUnderWay { .. } => "backup_under_way",
            Self::OtherHealer { .. } => "other_healer",
            Self::ManagedElsewhere { .. } => "managed_elsewhere",
            Self::Frozen { .. } => "frozen",
            Self::MaintenanceWindow { .. } => "maintenance_window",
            Self::QuietHour { .. } => "quiet_hour",
            Self::LeasedElsewhere { .. } => "leased_elsewhere",
            Self::RepairUnderWay { .. } => "repair_under_way",
            Self::BudgetSpent { .. } => "budget_spent",
            Self::Flapping { .. } => "flapping",
            Self::CommonCause { .. } => "common_cause",
            Self::SafetyStop { .. } => "safety_stop",
            Self::SafetyStopInAll { .. } => "safety_stop_in_all",
            Self::StaleDiagnosis { .. } => "stale_diagnosis",
            Self::DatabaseInRecovery { .. } => "database_in_recovery",
            Self::Quarantined { .. } => "quarantined",
            Self::Shadow { .. } => "shadow",
            Self::TouchesSelfheal => "touches_selfheal",
            Self::UnderPressure { .. } => "under_pressure",
            Self::Irreversible { .. } => "irreversible",
            Self::FactsMissing { .. } => "facts_missing",
            Self::WaitsForDependency { .. } => "waits_for_dependency",
            Self::TooEarly { .. } => "too_early",
            Self::CouldNotApply { .. } => "could_not_apply",
            Self::RehearsalFailed { .. } => "rehearsal_failed",
            Self::DryRun => "dry_run",
        }
    }

    /// Whether it passes by itself, so that the next cycle may try again.
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::InStartPeriod { .. }
                | Self::DeploymentUnderWay { .. }
                | Self::BackupUnderWay { .. }
                | Self::Frozen { .. }
                | Self::MaintenanceWindow { .. }
                | Self::QuietHour { configured: true }
                | Self::LeasedElsewhere { .. }
                | Self::RepairUnderWay { .. }
                | Self::BudgetSpent { .. }
                | Self::Flapping { .. }
                | Self::StaleDiagnosis { .. }
                | Self::DatabaseInRecovery { .. }
                | Self::UnderPressure { .. }
                | Self::WaitsForDependency { .. }
                | Self::TooEarly { .. }
                | Self::FactsMissing { .. }
        )
    }

    /// Whether a person asked that nothing be done now: whoever did knows, and wants silence. Of
    /// what another node looks after that one tells.
    pub const fn is_asked_for(&self) -> bool {
        matches!(
            self,
            Self::Frozen { .. }
                | Self::MaintenanceWindow { .. }
                | Self::QuietHour { .. }
                | Self::LeasedElsewhere { .. }
        )
    }

    /// Whether what is seen may be the work of whoever is busy there, so that it says little until
    /// they are done.
    pub const fn excuses(&self) -> bool {
        matches!(
            self,
            Self::DeploymentUnderWay { .. }
                | Self::MaintenanceWindow { .. }
                | Self::LeasedElsewhere { .. }
        )
    }

    /// When it passes, where that is known.
    pub const fn until(&self) -> Option<Timestamp> {
        match self {
            Self::InStartPeriod { until, .. } | Self::TooEarly { until, .. } => Some(*until),
            Self::Frozen { until, .. } | Self::DeploymentUnderWay { until, .. } => *until,
            _ => None,
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode { mode: Mode::Observe } => {
                f.write_str("mode is `observe`: it only reports what it would have done")
            }
            Self::Mode { mode } => write!(f, "mode is `{}`: a person must approve", mode.as_str()),
            Self::ConfidenceTooLow { confidence, threshold } => {
                write!(f, "only {confidence} sure; {threshold} is needed to act alone")
            }
            Self::NoFixKnown => f.write_str("no safe automatic fix is known for this"),
            Self::TargetExcluded { target } => {
                write!(f, "`{target}` is labelled selfheal.enable=false: never touched")
            }
            Self::TargetExternal { target } => {
                write!(f, "the cause is outside this host's control ({target})")
            }
            Self::StoppedByPerson { target } => {
                write!(f, "a person stopped `{target}`; that is respected")
            }
            Self::InStartPeriod { target, until } => {
                write!(f, "`{target}` is still starting (until {})", until.format("%H:%M:%S UTC"))
            }
            Self::DeploymentUnderWay { seen, .. } => write!(f, "a deployment is under way: {seen}"),
            Self::BackupUnderWay { seen } => write!(f, "a backup is under way: {seen}"),
            Self::OtherHealer { healer } => {
                write!(f, "another healer ({healer}) looks after it; two would fight")
            }
            Self::ManagedElsewhere { why } => f.write_str(why),
            Self::Frozen { until: Some(until), why } => {
                write!(f, "frozen until {}: {why}", until.format("%Y-%m-%d %H:%M UTC"))
            }
            Self::Frozen { until: None, why } => write!(f, "frozen: {why}"),
            Self::MaintenanceWindow { window } => write!(f, "maintenance window `{window}`"),
            Self::QuietHour { configured: true } => {
                f.write_str("it can wait for the next quiet hour (healing.quiet_hours)")
            }
            Self::QuietHour { configured: false } => f.write_str(
                "it can wait for a quiet hour, and none is set (healing.quiet_hours): choose the \
                 time yourself",
            ),
            Self::LeasedElsewhere { node } => write!(f, "node `{node}` looks after it"),
            Self::RepairUnderWay { target } => {
                write!(f, "another repair is at work on `{target}`")
            }
            Self::BudgetSpent { scope, used, allowed } => {
                write!(f, "{used} fixes in the last hour for this {scope}; {allowed} are allowed")
            }
            Self::Flapping { target, percent } => write!(
                f,
                "`{target}` flaps: its state changed at {percent} % of its last looks; it is left \
                 alone until that calms down"
            ),
            Self::CommonCause { failing, watched } => write!(
                f,
                "{failing} of {watched} targets fail at once and no shared cause was found"
            ),
            Self::SafetyStop { failures } => {
                write!(
                    f,
                    "{failures} fixes in a row failed here; a person must approve the next one"
                )
            }
            Self::SafetyStopInAll { why } => write!(
                f,
                "safety stop: {why}; it only reports until a person looks and ends that \
                 (`selfheal unfreeze`)"
            ),
            Self::StaleDiagnosis { changed } => write!(f, "the diagnosis is stale: {changed}"),
            Self::DatabaseInRecovery { target } => {
                write!(f, "`{target}` is recovering; touching it now could do harm")
            }
            Self::Quarantined { fix_type, why } => {
                write!(f, "`{fix_type}` is not trusted here: {why}")
            }
            Self::Shadow { confirmed, needed } => write!(
                f,
                "in shadow: it was confirmed {confirmed} of {needed} times on this target \
                 (healing.earned_after), and until then a person decides"
            ),
            Self::TouchesSelfheal => f.write_str("the fix would touch Selfheal itself"),
            Self::UnderPressure { cpu_percent } => write!(
                f,
                "the host is overloaded (something waits {cpu_percent} % of the time); slow answers prove nothing"
            ),
            Self::Irreversible { action } => {
                write!(f, "`{action}` can be neither undone nor checked")
            }
            Self::FactsMissing { what } => write!(f, "not enough is known: {what}"),
            Self::WaitsForDependency { dependency } => {
                write!(f, "`{dependency}` has only just come back: it may get over that by itself")
            }
            Self::TooEarly { what, until } => {
                write!(f, "too early: {what} (looked at again {})", until.format("%H:%M:%S UTC"))
            }
            Self::CouldNotApply { why } => write!(f, "it could not be applied: {why}"),
            Self::RehearsalFailed { why } => {
                write!(f, "it was tried on a clone first, which does not work: {why}")
            }
            Self::DryRun => f.write_str("dry run: nothing was applied"),
        }
    }
}
