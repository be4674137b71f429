//! Keeps verdicts steady: a level counts only after its hold time, and is over only well
//! below it.
//!
//! What lies between two looks is not known, so looks far apart prove nothing held: while a
//! level is being held, [`Climb::look_at`] says when to look again.
//!
//! One [`Steady`] for each target and check. A clock that jumps backwards restarts the
//! hold time; it never shortens it.

use std::time::Duration;

use chrono::TimeDelta;

use super::Limit;
use crate::model::{Timestamp, Verdict};

/// Looks further apart than this say nothing of the time between them.
const LAPSE: TimeDelta = TimeDelta::seconds(90);
/// How often a value above a level is looked at until its hold time ends.
const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(30);

/// What is remembered of one check on one target.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Steady {
    warning: Level,
    critical: Level,
    last: Option<(Verdict, Timestamp)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Level {
    above: Option<Above>,
    raised: bool,
}

/// A spell above a level.
#[derive(Debug, Clone, Copy)]
struct Above {
    since: Timestamp,
    last: Timestamp,
}

/// A value above a level, but not for long enough to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Climb {
    /// For how long.
    pub(super) held: Duration,
    /// For how long it must be.
    pub(super) hold: Duration,
    /// When to look again.
    pub(super) look_at: Timestamp,
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

    /// What the newest value is on the way to, if it is above a level that does not count yet.
    pub(super) fn climb(&self, limit: &Limit) -> Option<Climb> {
        [self.critical, self.warning].iter().find_map(|level| level.climb(limit))
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
            let goes_on = |above: &Above| above.last <= now && now - above.last <= LAPSE;
            let since = self.above.filter(goes_on).map_or(now, |above| above.since);
            let above = Above { since, last: now };
            self.above = Some(above);
            self.raised |= above.held() >= Duration::from_secs(limit.hold_secs);
        } else {
            self.above = None;
            self.raised &= value > level - limit.hysteresis;
        }
        self.raised
    }

    fn climb(&self, limit: &Limit) -> Option<Climb> {
        let above = self.above.filter(|_| !self.raised)?;
        let hold = Duration::from_secs(limit.hold_secs);
        let left = TimeDelta::from_std(hold.saturating_sub(above.held())).unwrap_or(LOOK_AGAIN);
        Some(Climb { held: above.held(), hold, look_at: above.last + left.min(LOOK_AGAIN) })
    }
}

impl Above {
    fn held(&self) -> Duration {
        (self.last - self.since).to_std().unwrap_or(Duration::ZERO)
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
    fn two_peaks_far_apart_are_not_one_that_lasts() {
        let seen = judge_all(&[(0, 95.0), (300, 95.0), (330, 95.0)]);
        assert_eq!(seen, [Verdict::Ok, Verdict::Ok, Verdict::Critical]);
    }

    #[test]
    fn a_level_that_does_not_count_yet_says_when_to_look_again() {
        let mut steady = Steady::default();
        let at = |secs| start_time() + Duration::from_secs(secs);
        let limit = Limit { hold_secs: 70, ..LIMIT };
        let mut climb = |secs, value| {
            steady.judge(value, &limit, at(secs));
            steady.climb(&limit).map(|climb| (climb.held.as_secs(), climb.look_at))
        };
        assert_eq!(climb(0, 50.0), None);
        assert_eq!(climb(10, 85.0), Some((0, at(40))));
        assert_eq!(climb(40, 95.0), Some((0, at(70))), "critical begins later");
        assert_eq!(climb(70, 85.0), Some((60, at(80))), "never later than the hold time ends");
        assert_eq!(climb(80, 85.0), None, "now it counts");
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
