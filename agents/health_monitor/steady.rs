//! Keeps verdicts steady: a level counts only after its hold time, and is over only well
//! below it.
//!
//! One [`Steady`] for each target and check. A clock that jumps backwards restarts the
//! hold time; it never shortens it.

use std::time::Duration;

use super::Limit;
use crate::model::{Timestamp, Verdict};

/// What is remembered of one check on one target.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Steady {
    warning: Level,
    critical: Level,
    last: Option<(Verdict, Timestamp)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Level {
    above_since: Option<Timestamp>,
    raised: bool,
}

impl Steady {
    /// The verdict on a number.
    pub(super) fn judge(&mut self, value: f64, limit: &Limit, now: Timestamp) -> Verdict {
        let critical = self.critical.judge(value, limit.critical, limit, now);
        let warning = self.warning.judge(value, limit.warning, limit, now);
        match (critical, warning) {
            (true, _) => Verdict::Critical,
            (false, true) => Verdict::Warning,
            (false, false) => Verdict::Ok,
        }
    }

    /// Since when the verdict is what it is now.
    pub(super) fn since(&mut self, verdict: Verdict, now: Timestamp) -> Timestamp {
        match self.last {
            Some((last, since)) if last == verdict && since <= now => since,
            _ => {
                self.last = Some((verdict, now));
                now
            }
        }
    }
}

impl Level {
    fn judge(&mut self, value: f64, level: Option<f64>, limit: &Limit, now: Timestamp) -> bool {
        let Some(level) = level else {
            *self = Self::default();
            return false;
        };
        if value > level {
            let since = self.above_since.filter(|since| *since <= now).unwrap_or(now);
            self.above_since = Some(since);
            let held = (now - since).to_std().unwrap_or(Duration::ZERO);
            self.raised |= held >= Duration::from_secs(limit.hold_secs);
        } else {
            self.above_since = None;
            self.raised &= value > level - limit.hysteresis;
        }
        self.raised
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::start_time;

    const LIMIT: Limit =
        Limit { warning: Some(80.0), critical: Some(90.0), hysteresis: 5.0, hold_secs: 30 };

    fn judge_all(values: &[(u64, f64)]) -> Vec<Verdict> {
        let mut steady = Steady::default();
        let at = |secs: &u64| start_time() + Duration::from_secs(*secs);
        values.iter().map(|(secs, value)| steady.judge(*value, &LIMIT, at(secs))).collect()
    }

    #[test]
    fn a_level_counts_only_after_its_hold_time() {
        let seen = judge_all(&[(0, 95.0), (29, 95.0), (30, 95.0)]);
        assert_eq!(seen, [Verdict::Ok, Verdict::Ok, Verdict::Critical]);
    }

    #[test]
    fn a_short_peak_starts_the_hold_time_anew() {
        let seen = judge_all(&[(0, 85.0), (20, 70.0), (25, 85.0), (50, 85.0), (55, 85.0)]);
        assert_eq!(seen.last(), Some(&Verdict::Warning));
        assert!(seen[..4].iter().all(|v| *v == Verdict::Ok));
    }

    #[test]
    fn a_raised_level_is_over_only_well_below_it() {
        use Verdict::{Critical, Ok, Warning};
        let values = [(0, 95.0), (30, 95.0), (31, 86.0), (32, 84.0), (33, 76.0), (34, 75.0)];
        let seen = judge_all(&values);
        assert_eq!(seen, [Ok, Critical, Critical, Warning, Warning, Ok]);
    }

    #[test]
    fn a_clock_set_back_restarts_the_hold_time() {
        let seen = judge_all(&[(100, 95.0), (10, 95.0), (39, 95.0), (40, 95.0)]);
        assert_eq!(seen[2], Verdict::Ok);
        assert_eq!(seen[3], Verdict::Critical);
    }

    #[test]
    fn the_verdict_dates_from_its_last_change() {
        let mut steady = Steady::default();
        let at = |secs| start_time() + Duration::from_secs(secs);
        assert_eq!(steady.since(Verdict::Ok, at(1)), at(1));
        assert_eq!(steady.since(Verdict::Ok, at(5)), at(1));
        assert_eq!(steady.since(Verdict::Critical, at(6)), at(6));
    }
}
