//! Decides whether a fix may run now, by itself.
//!
//! Pure: it sees facts gathered before, never the world. Every guard that lacks its facts
//! holds. It does not rank fixes (that is the fix engineer's work) and it does not apply
//! them; but only it can make an [`ApprovedFix`], and only that can be applied.

mod guards;

use std::collections::BTreeMap;
use std::time::Duration;

use selfheal_agents::model::{Confidence, Fix, Hold, Mode, TargetId, TargetPolicy, Timestamp};

use super::Freeze;

/// A fix that passed every guard. Only [`decide`] can make one.
#[derive(Debug, Clone)]
pub struct ApprovedFix {
    fix: Fix,
    decided_at: Timestamp,
    approved_by: Option<String>,
}

impl ApprovedFix {
    /// The fix.
    pub const fn fix(&self) -> &Fix {
        &self.fix
    }

    /// When it was approved.
    pub const fn decided_at(&self) -> Timestamp {
        self.decided_at
    }

    /// The person who approved it; `None` when the gate did.
    pub fn approved_by(&self) -> Option<&str> {
        self.approved_by.as_deref()
    }
}

/// Upper limits on how much is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budgets {
    /// Fixes on one target within an hour.
    pub per_target: u32,
    /// Fixes of one type within an hour.
    pub per_action: u32,
    /// Fixes in all within an hour.
    pub per_host: u32,
    /// Steps of one declared setting that one trouble is met with, while each helps in part.
    pub steps: u32,
    /// Failed fixes in a row on a target that stop everything there until a person approves
    /// one.
    pub failures_in_a_row: u32,
    /// Share of targets failing at once, without a shared cause, above which nothing is
    /// done; 0 to 1.
    pub common_cause_share: f64,
}

/// What a fix still has to earn before it runs by itself on a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unearned {
    /// How often it was confirmed since it last failed.
    pub confirmed: usize,
    /// How often it must be.
    pub needed: usize,
}

/// Fixes applied within the last hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// On this target.
    pub target: u32,
    /// Of this type.
    pub action: u32,
    /// In all.
    pub host: u32,
}

/// Everything the guards look at, gathered before.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Now.
    pub now: Timestamp,
    /// The mode in force for this target and runbook.
    pub mode: Mode,
    /// How sure a fix must be.
    pub threshold: Confidence,
    /// What people said about each target the fix touches; a missing one holds.
    pub policies: BTreeMap<TargetId, TargetPolicy>,
    /// Whether the cause is outside.
    pub external: bool,
    /// Whether a person stopped the target; `None` when that is not known.
    pub stopped_by_person: Option<bool>,
    /// Whether something that needs the target fails.
    pub dependents_suffer: bool,
    /// End of the target's start period, if it is in it and has not ended by itself.
    pub starting_until: Option<Timestamp>,
    /// Something the target needs that has only just come back.
    pub came_back: Option<TargetId>,
    /// The reason to hold for a deployment or image update under way.
    pub deployment: Option<Hold>,
    /// A backup under way, in words.
    pub backup: Option<String>,
    /// What of these two could not be found out.
    pub unknown: Option<String>,
    /// Another healer that owns the target.
    pub healer: Option<String>,
    /// Why a step of it is left to whoever made the container it changes.
    pub managed: Option<Hold>,
    /// Another node that looks after something the fix touches, or why it is not known which.
    pub elsewhere: Option<Hold>,
    /// Freezes in force.
    pub freezes: Vec<Freeze>,
    /// The maintenance window that is open, if any.
    pub maintenance: Option<String>,
    /// Whether a quiet hour is open for the target; `None` when the settings name none.
    pub quiet: Option<bool>,
    /// Fixes within the last hour.
    pub spent: Spent,
    /// How much is allowed.
    pub budgets: Budgets,
    /// What of the target flaps, and by how many percent.
    pub flapping: Option<(TargetId, u32)>,
    /// Targets failing at once, of those watched, beside what this diagnosis explains.
    pub failing: u32,
    /// Targets watched.
    pub watched: u32,
    /// Failed fixes in a row on this target.
    pub failures_in_a_row: u32,
    /// What makes the decision stale, if anything.
    pub changed: Option<String>,
    /// Whether the touched database recovers; `None` when it is a database and that is
    /// not known, `Some(false)` when it is none.
    pub database_in_recovery: Option<bool>,
    /// Why the learning engine does not trust this fix here.
    pub distrust: Option<String>,
    /// What it has not earned yet, if it must.
    pub unearned: Option<Unearned>,
    /// What became of the clone this very fix was tried on lately, if that failed.
    pub failed_rehearsal: Option<String>,
    /// Whether it would touch Selfheal's own container.
    pub touches_selfheal: bool,
    /// Percent of time something waited for a processor, if the host is overloaded and the
    /// trouble is not an exit.
    pub overload: Option<u32>,
    /// Whether this is only a rehearsal of the decision.
    pub dry_run: bool,
}

/// Holds, or approves. All reasons are given, not only the first.
pub fn decide(fix: Fix, facts: &Facts) -> Result<ApprovedFix, Vec<Hold>> {
    let holds = guards::holds(&fix, facts);
    if holds.is_empty() {
        Ok(ApprovedFix { fix, decided_at: facts.now, approved_by: None })
    } else {
        Err(holds)
    }
}

/// A person's word: what only asks for a person yields, what protects from harm does not.
pub fn decide_for(person: &str, fix: Fix, facts: &Facts) -> Result<ApprovedFix, Vec<Hold>> {
    let mut holds = guards::holds(&fix, facts);
    holds.retain(|hold| !yields_to_a_person(hold));
    if holds.is_empty() {
        Ok(ApprovedFix { fix, decided_at: facts.now, approved_by: Some(person.to_owned()) })
    } else {
        Err(holds)
    }
}

/// Why what was decided at that time is too old to be carried out; `None` if it is not.
pub fn too_old(decided_at: Timestamp, now: Timestamp, lifetime: Duration) -> Option<String> {
    let age = (now - decided_at).to_std().ok().filter(|age| *age > lifetime)?;
    let (age, most) = (age.as_secs() / 60, lifetime.as_secs() / 60);
    Some(format!(
        "it was decided {age} min ago, and after {most} min (healing.plan_lifetime) it has to be \
         decided anew"
    ))
}

/// Whether the hold says no more than that a person is to be asked.
pub const fn only_asks(hold: &Hold) -> bool {
    matches!(hold, Hold::Mode { mode: Mode::Approve })
}

const fn yields_to_a_person(hold: &Hold) -> bool {
    matches!(
        hold,
        Hold::Mode { .. }
            | Hold::ConfidenceTooLow { .. }
            | Hold::StoppedByPerson { .. }
            | Hold::InStartPeriod { .. }
            | Hold::WaitsForDependency { .. }
            | Hold::OtherHealer { .. }
            | Hold::MaintenanceWindow { .. }
            | Hold::QuietHour { .. }
            | Hold::BudgetSpent { .. }
            | Hold::Flapping { .. }
            | Hold::CommonCause { .. }
            | Hold::SafetyStop { .. }
            | Hold::SafetyStopInAll { .. }
            | Hold::Quarantined { .. }
            | Hold::Shadow { .. }
            | Hold::Irreversible { .. }
            | Hold::UnderPressure { .. }
            | Hold::RehearsalFailed { .. }
    )
}

#[cfg(test)]
impl ApprovedFix {
    /// An approval for tests of what comes after the gate.
    pub(super) fn for_test(fix: Fix) -> Self {
        Self { decided_at: fix.proposed_at, fix, approved_by: None }
    }
}

#[cfg(test)]
mod tests;
