//! Compares how many error lines a service writes after a fix with how many it wrote before the
//! fault.
//!
//! Both are taken for Poisson counts. Given their sum, how many of them fall into the window is
//! binomial with the window's share of the time, if nothing changed (Przyborowski and Wilenski,
//! 1940): exact, also for a handful of lines. Only "worse" is ever concluded: silence proves
//! nothing. The fault's own lines are no part of what is usual.

use std::collections::VecDeque;

use chrono::TimeDelta;
use selfheal_agents::model::{ErrorCount, Timestamp};
use serde::{Deserialize, Serialize};

/// Fewer lines in the window are too few to speak of.
const LEAST_LINES: u64 = 10;
/// However sure the difference is, less than this multiple of the usual rate is no trouble.
const LEAST_FACTOR: f64 = 2.0;
/// Fewer lines before are too few to say how bad it was ...
const LEAST_LINES_BEFORE: u64 = 5;
/// ... and with more than this share of their rate left nothing has helped.
const MOST_LEFT: f64 = 0.8;
/// What is usual is what was so lately.
const LATELY: TimeDelta = TimeDelta::hours(6);
/// Spans kept of one target at most.
const SPANS: usize = 100;

/// Error lines of one target in the times when nothing was wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct CalmErrors {
    /// Not written down: how much was read since, the next run cannot know.
    #[serde(skip)]
    read_to: Option<Timestamp>,
    /// When this run wrote it down; `None` as long as it did not.
    #[serde(skip)]
    written_at: Option<Timestamp>,
    spans: VecDeque<Span>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Span {
    from: Timestamp,
    to: Timestamp,
    lines: u64,
}

impl CalmErrors {
    /// Takes in how many error lines there were since the last reading; `ill` leaves them out.
    pub(super) fn read(&mut self, lines: u64, ill: bool, now: Timestamp) {
        let Some(from) = self.read_to.replace(now) else { return };
        if ill || from >= now {
            return;
        }
        self.spans.push_back(Span { from, to: now, lines });
        while self.spans.len() > SPANS || self.spans.front().is_some_and(|s| now - s.to > LATELY) {
            self.spans.pop_front();
        }
    }

    /// What was usual before the fault that began at `onset`; `None` when that is not known.
    pub(super) fn before(&self, onset: Timestamp) -> Option<ErrorCount> {
        let is_lately = |span: &&Span| span.to <= onset && onset - span.to <= LATELY;
        let calm = self.spans.iter().filter(is_lately);
        let count = calm.fold(ErrorCount::default(), |sum, span| ErrorCount {
            lines: sum.lines + span.lines,
            secs: sum.secs + (span.to - span.from).as_seconds_f64(),
        });
        (count.secs > 0.0).then_some(count)
    }

    /// Whether it says something that was not written down for so long, or never by this run.
    pub(super) fn is_unwritten_for(&self, long: TimeDelta, now: Timestamp) -> bool {
        let written_lately = |at: Timestamp| at <= now && now - at < long;
        !self.spans.is_empty() && !self.written_at.is_some_and(written_lately)
    }

    /// It is written down.
    pub(super) fn written(&mut self, now: Timestamp) {
        self.written_at = Some(now);
    }
}

/// Whether there are more error lines in the window than usual: by chance, less than once in
/// `1 / level` windows.
pub(super) fn is_worse(window: ErrorCount, usual: ErrorCount, level: f64) -> bool {
    let much_more = window.lines >= LEAST_LINES
        && window.lines as f64 * usual.secs > LEAST_FACTOR * usual.lines as f64 * window.secs;
    much_more && by_chance(window, usual) < level
}

/// Whether there are clearly fewer lines in the window than before: by chance, less than once in
/// `1 / level` windows.
pub(super) fn is_less(window: ErrorCount, before: ErrorCount, level: f64) -> bool {
    let much_less = before.lines >= LEAST_LINES_BEFORE
        && window.lines as f64 * before.secs < MOST_LEFT * before.lines as f64 * window.secs;
    much_less && by_chance(before, window) < level
}

/// How probable so many lines or more in the window are, if the rate is the usual one; 0 to 1.
fn by_chance(window: ErrorCount, usual: ErrorCount) -> f64 {
    if window.secs <= 0.0 || usual.secs <= 0.0 {
        return 1.0;
    }
    let share = window.secs / (window.secs + usual.secs);
    at_least(window.lines, window.lines + usual.lines, share)
}

/// The probability of `least` or more successes in `trials`, each with probability `p`, which lies
/// between 0 and 1 and is neither.
fn at_least(least: u64, trials: u64, p: f64) -> f64 {
    let (n, k) = (trials as f64, least as f64);
    let ways: f64 = (1..=least).map(|i| ((n - k + i as f64) / i as f64).ln()).sum();
    let mut term = (ways + k * p.ln() + (n - k) * (-p).ln_1p()).exp();
    let mut sum = 0.0;
    for i in least..=trials {
        sum += term;
        term *= (trials - i) as f64 / (i + 1) as f64 * p / (1.0 - p);
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(lines: u64, secs: f64) -> ErrorCount {
        ErrorCount { lines, secs }
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::seconds(secs)
    }

    #[test]
    fn the_tail_of_the_binomial_is_that_of_the_tables() {
        // 8, 9 and 10 heads of ten throws: (45 + 10 + 1) / 1024; three sixes of three: 1 / 216.
        assert!((at_least(8, 10, 0.5) - 56.0 / 1024.0).abs() < 1e-12);
        assert!((at_least(3, 3, 1.0 / 6.0) - 1.0 / 216.0).abs() < 1e-12);
        assert!((at_least(0, 7, 0.3) - 1.0).abs() < 1e-12);
        let many = at_least(1_000_000, 2_000_000, 0.5);
        assert!((0.5..0.501).contains(&many), "half of many throws: {many}");
    }

    #[test]
    fn only_more_than_chance_and_much_more_is_worse() {
        let hour = |lines| count(lines, 3600.0);
        let window = |lines| count(lines, 120.0);
        assert!(is_worse(window(10), hour(0), 0.01), "it was silent before");
        assert!(!is_worse(window(9), hour(0), 0.01), "too few to speak of");
        assert!(!is_worse(window(0), hour(6000), 0.01));
        assert!(!is_worse(window(11), hour(150), 0.01), "5 are usual, and 11 are chance");
        assert!(is_worse(window(15), hour(150), 0.01));
        assert!(!is_worse(window(600), hour(12_000), 0.01), "sure, and no trouble: 400 are usual");
        assert!(!is_worse(window(20), count(1, 10.0), 0.01), "ten seconds say little");
        assert!(!is_worse(window(20), count(0, 0.0), 0.01), "nothing is known");
    }

    #[test]
    fn only_less_than_chance_and_much_less_is_less() {
        let minute = |lines| count(lines, 60.0);
        assert!(is_less(minute(20), minute(60), 0.01));
        assert!(!is_less(minute(60), minute(60), 0.01), "the same");
        assert!(!is_less(minute(90), minute(60), 0.01), "more");
        assert!(!is_less(minute(3), minute(8), 0.01), "that is chance: 1 of 9");
        assert!(is_less(minute(0), minute(7), 0.01), "one half to the seventh: 1 of 128");
        assert!(!is_less(minute(0), minute(6), 0.01), "1 of 64");
        assert!(!is_less(minute(0), count(4, 1.0), 0.01), "too few to speak of");
        assert!(!is_less(minute(9000), minute(10_000), 0.01), "sure, and hardly any help");
        assert!(!is_less(minute(0), count(9, 0.0), 0.01), "nothing is known");
    }

    #[test]
    fn what_is_usual_is_of_calm_times_before_the_fault() {
        let mut calm = CalmErrors::default();
        calm.read(1000, false, at(0));
        assert_eq!(calm.before(at(9999)), None, "since when, nobody knows");
        calm.read(3, false, at(60));
        calm.read(500, true, at(120));
        calm.read(2, false, at(180));
        calm.read(70, false, at(240));
        assert_eq!(calm.before(at(200)), Some(count(5, 120.0)));
        assert_eq!(calm.before(at(50)), None);
    }

    #[test]
    fn what_was_written_down_is_known_to_the_next_run_and_the_time_between_is_not() {
        let mut calm = CalmErrors::default();
        let often = TimeDelta::minutes(15);
        calm.read(0, false, at(0));
        assert!(!calm.is_unwritten_for(often, at(0)), "there is nothing to write");
        calm.read(5, false, at(60));
        assert!(calm.is_unwritten_for(often, at(60)));
        calm.written(at(60));
        assert!(!calm.is_unwritten_for(often, at(959)));
        assert!(calm.is_unwritten_for(often, at(960)));
        let written = serde_json::to_value(&calm).unwrap();
        let mut next: CalmErrors = serde_json::from_value(written).unwrap();
        next.read(900, false, at(300));
        assert_eq!(next.before(at(300)), Some(count(5, 60.0)));
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut calm = CalmErrors::default();
        calm.read(0, false, at(0));
        calm.read(7, false, at(60));
        calm.read(0, true, at(7 * 3600));
        calm.read(1, false, at(7 * 3600 + 60));
        assert_eq!(calm.before(at(8 * 3600)), Some(count(1, 60.0)));
    }
}
