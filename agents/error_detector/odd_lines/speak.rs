//! Says what is odd, in a finding for each oddity of a container.
//!
//! The severity comes from the level a line carries, how many there are, for how long, and how
//! well the container is known. It is a note unless all of them speak for more.

use std::fmt::Write;

use chrono::TimeDelta;

use super::batch::Grade;
use super::known::{DAY, KnownLines, LINGERS, Raised, Remembered, hour_of_day};
use crate::model::{
    Category, ContainerFacts, Finding, FindingSource, Oddity, Severity, TargetId, Timestamp, Trend,
};

/// Lines in so many different minutes of the last ten are no single event.
const LEAST_MINUTES: usize = 3;
/// Lines within ten minutes that are worth more than a note ...
const MANY: u32 = 10;
/// ... if each of them says that the program cannot go on ...
const MANY_FATAL: u32 = 3;
/// ... and if such lines are nothing new.
const MANY_MORE: u32 = 30;
/// After a new image was deployed, whoever did it is still there.
const DEPLOYED: TimeDelta = TimeDelta::minutes(15);
/// A change is told of if it was so long before.
const JUST_BEFORE: TimeDelta = TimeDelta::minutes(10);
/// Patterns named by one finding.
const NAMED: usize = 5;

impl KnownLines {
    /// What is odd now; at most one finding an oddity.
    pub(super) fn speak(
        &mut self,
        container: &TargetId,
        facts: &ContainerFacts,
        ill: bool,
        now: Timestamp,
    ) -> Vec<Finding> {
        let may_raise = self.is_well_known()
            && self.image_since().is_none_or(|at| now - at >= DEPLOYED)
            && !self.is_crowded(now);
        self.compare(now);
        let crowded = self.is_crowded(now);
        let learnt = self.has_learnt();
        for pattern in self.patterns_mut() {
            raise(pattern, may_raise, now);
        }
        let mut findings = vec![];
        let new = |pattern: &&Remembered| learnt && !crowded && is_new(pattern, ill, now);
        let news: Vec<&Remembered> = self.patterns().iter().filter(new).collect();
        findings.extend(self.finding(container, facts, Oddity::New, news, now));
        let rising = |pattern: &&Remembered| pattern.rising.is_some_and(|at| now - at < DAY);
        let rising: Vec<&Remembered> = self.patterns().iter().filter(rising).collect();
        findings.extend(self.finding(container, facts, Oddity::Rising, rising, now));
        findings
    }

    /// When the last of what is odd now began.
    pub(super) fn began(&self, now: Timestamp) -> Option<Timestamp> {
        let odd = |pattern: &&Remembered| {
            let new = self.has_learnt() && !self.is_crowded(now) && is_new(pattern, false, now);
            new || pattern.rising.is_some()
        };
        self.patterns()
            .iter()
            .filter(odd)
            .filter_map(|pattern| pattern.rising.or(pattern.since))
            .max()
    }

    /// Compares what came lately with what is usual.
    fn compare(&mut self, now: Timestamp) {
        let (hour, traffic) = (hour_of_day(now), self.traffic(now));
        for pattern in self.patterns_mut().iter_mut().filter(|pattern| pattern.accepted) {
            let count = pattern.steady.count();
            match (pattern.usual.exceeded(hour, count, traffic), pattern.rising) {
                (Some(_), None) => pattern.rising = pattern.steady.begun().or(Some(now)),
                (None, Some(since)) if count == 0 || now - since >= DAY => pattern.rising = None,
                _ => {}
            }
        }
    }

    fn finding(
        &self,
        container: &TargetId,
        facts: &ContainerFacts,
        oddity: Oddity,
        mut odd: Vec<&Remembered>,
        now: Timestamp,
    ) -> Option<Finding> {
        odd.sort_by_key(|p| std::cmp::Reverse((p.grade, p.recent.count(), p.last_seen)));
        let first = odd.first()?;
        let since = |pattern: &&Remembered| pattern.since.unwrap_or(pattern.last_seen);
        let begun = odd.iter().map(since).min()?;
        let mut message = match oddity {
            Oddity::Rising => rising_words(first, now),
            _ => new_words(first, begun),
        };
        if odd.len() > 1 {
            let _ = write!(message, ", and {} more kinds of lines", odd.len() - 1);
        }
        self.add_what_changed(&mut message, facts, begun);
        let raised = odd.iter().any(|pattern| matches!(pattern.raised, Raised::Since(_)));
        Some(Finding {
            key: Finding::pattern_key(container, oddity),
            target: container.clone(),
            source: FindingSource::Pattern {
                oddity,
                patterns: odd.iter().take(NAMED).map(|pattern| pattern.id.clone()).collect(),
                containers: vec![container.clone()],
            },
            category: Category::Exceptions,
            severity: if raised { Severity::Warning } else { Severity::Info },
            message,
            samples: odd.iter().take(NAMED).map(|pattern| pattern.example.clone()).collect(),
            count: odd.iter().map(|pattern| u64::from(pattern.recent.count())).sum(),
            first_seen: begun,
            last_seen: odd.iter().map(|pattern| pattern.last_seen).max()?,
            trend: if oddity == Oddity::Rising { Trend::Rising } else { first.recent.trend(now) },
        })
    }

    /// What was done to the container just before.
    fn add_what_changed(&self, message: &mut String, facts: &ContainerFacts, begun: Timestamp) {
        let before = |at: Timestamp| at <= begun && begun - at <= JUST_BEFORE;
        if let Some(at) = self.image_since().filter(|at| before(*at)) {
            let _ = write!(message, "; its image was changed at {}", clock(at));
        } else if let Some(at) = facts.started_at.filter(|at| before(*at)) {
            let _ = write!(message, "; it was started at {}", clock(at));
        }
    }
}

/// Whether a pattern is news: an error that the container did not write while it was well.
fn is_new(pattern: &Remembered, ill: bool, now: Timestamp) -> bool {
    // What belongs to a start tells something only if the start went wrong.
    let spoken = if ill { Some(pattern.last_seen) } else { pattern.last_steady };
    pattern.grade > Grade::Warning
        && !pattern.accepted
        && spoken.is_some_and(|at| now - at < LINGERS)
        && pattern.since.is_some()
}

/// Raises a pattern to more than a note, once, and lets it calm down.
fn raise(pattern: &mut Remembered, may_raise: bool, now: Timestamp) {
    let lines = pattern.steady.count();
    let least = match (pattern.grade, pattern.accepted) {
        (Grade::Fatal, false) => Some(MANY_FATAL),
        (Grade::Error, false) => Some(MANY),
        (Grade::Error | Grade::Fatal, true) if pattern.rising.is_some() => Some(MANY_MORE),
        _ => None,
    };
    pattern.raised = match pattern.raised {
        Raised::No if may_raise && least.is_some_and(|least| lines >= least) => {
            let lasts = pattern.steady.minutes() >= LEAST_MINUTES;
            if lasts { Raised::Since(now) } else { Raised::No }
        }
        Raised::Since(at) if lines == 0 => Raised::Calmed(at),
        Raised::Since(_) if least.is_none() => Raised::No,
        Raised::Calmed(at) if now - at >= DAY => Raised::No,
        same => same,
    };
}

fn new_words(pattern: &Remembered, begun: Timestamp) -> String {
    let never = if pattern.since.is_none_or(|since| pattern.first_seen >= since) {
        "a line never seen before"
    } else {
        "a line never seen while it was well"
    };
    format!(
        "since {} its log has {never}: {} ({})",
        clock(begun),
        pattern.template,
        times(pattern.recent.count())
    )
}

fn rising_words(pattern: &Remembered, now: Timestamp) -> String {
    let usual = pattern.usual.expected(hour_of_day(now)).map_or(0.0, |usual| usual.hourly);
    let since = pattern.rising.unwrap_or(now);
    format!(
        "since {} its log says far more often than usual: {} ({} in ten minutes, {usual:.1} an hour is usual)",
        clock(since),
        pattern.template,
        times(pattern.steady.count())
    )
}

fn times(count: u32) -> String {
    match count {
        0 => "not in the last ten minutes".to_owned(),
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

fn clock(at: Timestamp) -> String {
    at.format("%H:%M UTC").to_string()
}
