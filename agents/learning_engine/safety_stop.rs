//! Says when so many fixes failed, wherever, that Selfheal must not go on by itself.
//!
//! One target that cannot be mended has its own stop. This one is for the case that Selfheal
//! understands the whole host wrongly. It does not pass with time: whoever keeps it does so until
//! a person ends it, and the count begins anew then.

use chrono::TimeDelta;

use super::History;
use crate::model::{Outcome, Timestamp};

/// How many of the newest fixes are looked at for their share of failures.
const NEWEST: usize = 10;

/// When too much failed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StopLimits {
    /// Failed fixes within an hour, on all targets together.
    pub failures_an_hour: u32,
    /// Share of failures among the last ten fixes, 0 to 1.
    pub failed_share: f64,
}

impl Default for StopLimits {
    fn default() -> Self {
        Self { failures_an_hour: 5, failed_share: 0.5 }
    }
}

/// Too much failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooManyFailures {
    /// What failed, in words.
    pub why: String,
    /// When the last of it did.
    pub at: Timestamp,
}

impl History {
    /// Whether too many fixes failed since a person ended the last stop at `lifted_at`.
    pub fn too_many_failures(
        &self,
        limits: StopLimits,
        lifted_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<TooManyFailures> {
        let counted = |o: &&Outcome| lifted_at.is_none_or(|at| o.timestamp > at);
        let newest: Vec<&Outcome> = self.outcomes.iter().rev().take_while(counted).collect();
        let at = newest.iter().find(|o| !o.success)?.timestamp;
        let why = in_the_last_hour(&newest, limits, now).or_else(|| of_the_last(&newest, limits));
        why.map(|why| TooManyFailures { why, at })
    }
}

fn in_the_last_hour(newest: &[&Outcome], limits: StopLimits, now: Timestamp) -> Option<String> {
    let failed = newest
        .iter()
        .take_while(|o| now - o.timestamp < TimeDelta::hours(1))
        .filter(|o| !o.success)
        .count();
    let too_many = u32::try_from(failed).unwrap_or(u32::MAX) >= limits.failures_an_hour;
    too_many.then(|| format!("{failed} fixes failed within an hour"))
}

fn of_the_last(newest: &[&Outcome], limits: StopLimits) -> Option<String> {
    let last = newest.get(..NEWEST)?;
    let failed = last.iter().filter(|o| !o.success).count();
    let share = failed as f64 / NEWEST as f64;
    (share >= limits.failed_share).then(|| format!("{failed} of the last {NEWEST} fixes failed"))
}
