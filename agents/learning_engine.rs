//! Learns from outcomes: moves confidence, quarantines what fails, keeps the statistics.
//!
//! Pure: it is given every outcome that is kept and answers questions about them. Only a
//! proven success counts as one; everything else counts against.
//!
//! The documented adjustment alone is unsafe, since it moves a confidence by at most ten
//! points: a base of 95 that always fails would stay at 85 and be applied for ever. That
//! is why [`History::distrust`] can hold a fix whatever its confidence. Upwards, it moves by ten
//! points after a single success: that is why a few outcomes lift nothing.

mod safety_stop;
mod shadow;
mod statistics;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::model::{
    Confidence, FixId, Ledger, LedgerSource, Outcome, ShadowRun, TargetId, ValidationStatus,
};

pub use safety_stop::{StopLimits, TooManyFailures};
pub use shadow::{ShadowReport, ShadowRow};
pub use statistics::{CalibrationBin, Statistics, TypeStatistics};

/// Outcomes of one pair of issue and fix that are enough to judge by their rate.
pub const ENOUGH: usize = 5;

/// Failures in a row on one target that quarantine a fix type there.
pub const QUARANTINE_AFTER: usize = 2;

/// z for a two-sided confidence of 95 %.
const Z_95: f64 = 1.959_963_985;

/// Lower end of the Wilson score interval (E. B. Wilson, 1927) for a success rate, 95 %.
///
/// `successes` of `total` trials; 0 without any trial. The result is a share, 0 to 1.
pub fn wilson_lower_bound(successes: usize, total: usize) -> f64 {
    if total == 0 {
        return 0.0;
    }
    let n = total as f64;
    let p = successes as f64 / n;
    let z2 = Z_95 * Z_95;
    let centre = p + z2 / (2.0 * n);
    let margin = Z_95 * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    ((centre - margin) / (1.0 + z2 / n)).max(0.0)
}

/// `clamp(base + (success_rate - 0.5) * 20, 50, 100)`, rounded half away from zero.
///
/// `success_rate` is a share, 0 to 1.
pub fn adjusted(base: Confidence, success_rate: f64) -> Confidence {
    let moved = f64::from(base.percent()) + (success_rate - 0.5) * 20.0;
    #[expect(clippy::cast_possible_truncation, reason = "clamped to 50..=100 just before")]
    Confidence::clamped(moved.clamp(50.0, 100.0).round() as i64)
}

/// Every outcome that is kept, oldest first, with what people released.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Shared by all that are cloned from one.
    outcomes: Arc<[Outcome]>,
    /// With those of other nodes, where there are any.
    everywhere: Option<Vec<Outcome>>,
    releases: Vec<Release>,
    shadows: Vec<ShadowRun>,
}

/// A person's word that a fix type may be tried again on a target.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Release {
    /// The fix type.
    pub fix_type: String,
    /// The target.
    pub target: TargetId,
    /// When.
    pub at: DateTime<Utc>,
}

impl History {
    /// A history of these outcomes; they may come in any order.
    pub fn new(mut outcomes: Vec<Outcome>, releases: Vec<Release>) -> Self {
        outcomes.sort_by_key(|o| o.timestamp);
        Self { outcomes: outcomes.into(), everywhere: None, releases, shadows: vec![] }
    }

    /// The same with what people released.
    #[must_use]
    pub fn with_releases(self, releases: Vec<Release>) -> Self {
        Self { releases, ..self }
    }

    /// The same with the outcomes of other nodes. What only they reach bears their name, so that
    /// it speaks for a fix and of no target here.
    #[must_use]
    pub fn with_others(mut self, others: &[Outcome]) -> Self {
        if others.is_empty() {
            return self;
        }
        let own: BTreeSet<FixId> = self.outcomes.iter().map(|outcome| outcome.fix).collect();
        let others = others.iter().filter(|other| !own.contains(&other.fix));
        let mut everywhere: Vec<Outcome> = self.outcomes.iter().chain(others).cloned().collect();
        everywhere.sort_by_key(|outcome| outcome.timestamp);
        self.everywhere = Some(everywhere);
        self
    }

    /// Those of this node and of all others, oldest first.
    fn everywhere(&self) -> &[Outcome] {
        self.everywhere.as_deref().unwrap_or(&self.outcomes)
    }

    /// Every outcome of this node, oldest first.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// The outcomes that speak about this pair: the target's own when there are enough,
    /// else those of all targets.
    fn relevant(&self, issue_type: &str, fix_type: &str, target: &TargetId) -> Vec<&Outcome> {
        let of_pair: Vec<&Outcome> = self
            .everywhere()
            .iter()
            .filter(|o| o.issue_type == issue_type && o.fix_type == fix_type)
            .collect();
        let here: Vec<&Outcome> = of_pair.iter().copied().filter(|o| o.target == *target).collect();
        if here.len() >= ENOUGH { here } else { of_pair }
    }

    /// Adds what history says to the ledger and returns the adjusted confidence.
    ///
    /// Without any outcome nothing is added. Fewer than [`ENOUGH`] only lower it, and by their share
    /// of so many: one success may be luck, and must not carry a fix over the threshold; one
    /// failure may be bad luck, and two in a row on a target are what [`Self::distrust`] is for.
    pub fn adjust(
        &self,
        ledger: &mut Ledger,
        issue_type: &str,
        fix_type: &str,
        target: &TargetId,
    ) -> Confidence {
        let relevant = self.relevant(issue_type, fix_type, target);
        let base = ledger.total();
        if relevant.is_empty() {
            return base;
        }
        let successes = relevant.iter().filter(|o| o.success).count();
        let rate = successes as f64 / relevant.len() as f64;
        let confidence = adjusted(base, rate);
        let mut points = i32::from(confidence.percent()) - i32::from(base.percent());
        let mut what = format!("`{fix_type}` helped {successes} of {} times", relevant.len());
        if relevant.len() < ENOUGH {
            let few = i32::try_from(relevant.len()).unwrap_or_default();
            let enough = i32::try_from(ENOUGH).unwrap_or(i32::MAX);
            points = points.min(0) * few / enough;
            let _ = write!(what, "; fewer than {ENOUGH} lift nothing and lower little");
        }
        ledger.add(points, what, LedgerSource::History);
        ledger.total()
    }

    /// Why this fix type must not be applied automatically here, whatever its confidence.
    pub fn distrust(&self, issue_type: &str, fix_type: &str, target: &TargetId) -> Option<String> {
        self.quarantine(fix_type, target).or_else(|| self.unproven(issue_type, fix_type, target))
    }

    fn unproven(&self, issue_type: &str, fix_type: &str, target: &TargetId) -> Option<String> {
        let relevant = self.relevant(issue_type, fix_type, target);
        if relevant.len() < ENOUGH {
            return None;
        }
        let successes = relevant.iter().filter(|o| o.success).count();
        let bound = wilson_lower_bound(successes, relevant.len());
        (bound <= 0.5).then(|| {
            format!(
                "it helped {successes} of {} times; that is not proof that it helps more often than not",
                relevant.len()
            )
        })
    }

    /// Failures in a row, newest backwards, that nothing released: neither a person nor a
    /// success of the same fix type, here or elsewhere.
    fn quarantine(&self, fix_type: &str, target: &TargetId) -> Option<String> {
        let released_at = self.released_at(target, Some(fix_type));
        let mut failures = 0;
        for outcome in self.everywhere().iter().rev().filter(|o| o.fix_type == fix_type) {
            if released_at.is_some_and(|at| outcome.timestamp <= at) || outcome.success {
                break;
            }
            let unwanted = outcome.validation_status == ValidationStatus::RolledBackByPerson;
            if unwanted && outcome.target == *target {
                return Some(format!(
                    "a person took it back on `{target}`; their approval releases it"
                ));
            }
            if outcome.target == *target {
                failures += 1;
            }
        }
        (failures >= QUARANTINE_AFTER).then(|| {
            format!("it failed {failures} times in a row on `{target}`; a person or a success elsewhere releases it")
        })
    }

    /// Failed fixes in a row on a target, whatever their type, since the last success or since
    /// a person approved one there: who approves has looked.
    pub fn failures_in_a_row(&self, target: &TargetId) -> usize {
        let released_at = self.released_at(target, None);
        let counts = |o: &&Outcome| !o.success && released_at.is_none_or(|at| o.timestamp > at);
        self.everywhere().iter().rev().filter(|o| o.target == *target).take_while(counts).count()
    }

    /// When a person last released a fix type, or any without one, on a target.
    fn released_at(&self, target: &TargetId, fix_type: Option<&str>) -> Option<DateTime<Utc>> {
        let its = |release: &&Release| {
            release.target == *target && fix_type.is_none_or(|wanted| release.fix_type == wanted)
        };
        self.releases.iter().filter(its).map(|release| release.at).max()
    }

    /// Numbers for the statistics page.
    pub fn statistics(&self) -> Statistics {
        Statistics::of(&self.outcomes)
    }
}

#[cfg(test)]
mod tests;
