//! Judges a fix from outside: the service works again for the length of the window, or not.
//!
//! Pure: samples in, a verdict out. The window is a durable record on the incident, so a
//! restart of Selfheal goes on with it. It lasts as long as the service needs to start and
//! be probed, and ends early on clear failure. Only watched time counts: neither a clock that is
//! set nor a while in which Selfheal was away makes it shorter. It does not take the samples.

use std::time::Duration;

use chrono::TimeDelta;
use selfheal_agents::model::{
    ContainerFacts, ErrorCount, HealthCheck, HealthStatus, Timestamp, Validation, ValidationSample,
    ValidationVerdict,
};

use super::error_rate;
use super::last_looks::Passed;
use super::latency;
use super::remains::Remains;

/// Failed samples in a row, after the grace time, that end the window early.
const FAILURES: u32 = 3;
/// Time a program without a health check gets to come up.
const LEAST_GRACE: Duration = Duration::from_secs(10);
/// A clock that goes so much wrong between two looks was set; less is its own drift.
const DRIFT: TimeDelta = TimeDelta::seconds(1);
/// Samples kept for the chart.
const SAMPLES_KEPT: usize = 240;
/// Between samples while it is not yet, or no longer, well.
const CLOSE_LOOK: Duration = Duration::from_secs(1);
/// Between samples while all is well.
const EASY_LOOK: Duration = Duration::from_secs(5);
/// At the end, more error lines than usual that chance brings once in a hundred windows count as a
/// failure ...
pub(super) const END_LEVEL: f64 = 1e-2;
/// ... and before it, where each look asks anew, only what chance never brings.
const EARLY_LEVEL: f64 = 1e-6;

/// How the repaired target looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// It works.
    Well,
    /// It has not had its time yet.
    Starting,
    /// It is broken.
    Bad,
    /// It could not be looked at.
    Unknown,
}

/// One look from outside.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Look {
    pub(super) at: Timestamp,
    pub(super) condition: Condition,
    /// Deaths of the container since the fix, our own stops left out.
    pub(super) deaths: u32,
    pub(super) error_lines: u64,
    /// How long the slowest endpoint took, in milliseconds.
    pub(super) latency_ms: Option<f64>,
    /// Trouble of another kind since the fix, in words.
    pub(super) new_trouble: Option<String>,
    /// Lines of the log that say again what the diagnosis was made from.
    pub(super) said: u64,
    /// Whether its log was read as a whole since the look before.
    pub(super) heard_all: bool,
    /// What checks still tell of what was to be mended.
    pub(super) remains: Remains,
    pub(super) detail: String,
}

/// How long a window must be at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeastWindow {
    /// All of it.
    pub(super) window: Duration,
    /// What this service usually takes to start; zero where that is not known.
    pub(super) warm_up: Duration,
}

impl From<Duration> for LeastWindow {
    /// The window of a service of which nothing is known.
    fn from(window: Duration) -> Self {
        Self { window, warm_up: Duration::ZERO }
    }
}

/// Opens the window of a fix just applied.
///
/// The container's own start period and health checks lengthen what is the least.
pub(super) fn open(
    now: Timestamp,
    least: LeastWindow,
    container: Option<&ContainerFacts>,
    baseline: Option<ErrorCount>,
) -> Validation {
    let probing = container
        .and_then(|facts| facts.health_check.as_ref())
        .map_or(Duration::ZERO, until_docker_knows);
    let window = least.window.max(probing);
    let grace = LEAST_GRACE.max(probing).max(least.warm_up).min(window);
    Validation {
        fix: None,
        started_at: now,
        ends_at: now + window,
        grace_until: now + grace,
        grace_secs: grace.as_secs(),
        window_secs: window.as_secs(),
        baseline_errors_per_minute: baseline.map(|usual| 60.0 * usual.lines as f64 / usual.secs),
        baseline,
        latency_baseline: None,
        errors: ErrorCount::default(),
        said: ErrorCount::default(),
        before: None,
        went_further: false,
        recovered_at: None,
        failing_in_a_row: 0,
        last_signature_at: None,
        last_remains_at: None,
        taken_up_at: None,
        deaths: 0,
        samples: vec![],
        verdict: None,
        why: None,
    }
}

/// The longest time until Docker calls a container that never comes up unhealthy: the next run
/// of the check begins an interval after the end of the one before, which may take its whole
/// time limit (<https://docs.docker.com/reference/dockerfile/#healthcheck>).
fn until_docker_knows(check: &HealthCheck) -> Duration {
    check.start_period + (check.interval + check.timeout) * check.retries.max(1)
}

/// Moves the deadlines by what the clock went on, or was set back, while nobody watched. Before a
/// look; answers how long it took to write what was logged since the last one, where that is known.
pub(super) fn keep_time(validation: &mut Validation, passed: Passed) -> Duration {
    let watched = TimeDelta::from_std(passed.watched).unwrap_or_default();
    let unwatched = passed.by_clock - watched;
    if unwatched.abs() > DRIFT {
        validation.ends_at += unwatched;
        validation.grace_until += unwatched;
        validation.last_signature_at = validation.last_signature_at.map(|at| at + unwatched);
        validation.last_remains_at = validation.last_remains_at.map(|at| at + unwatched);
    }
    passed.logged()
}

/// Goes on with a window that the last run of Selfheal left: what it had still to last, it lasts
/// from now on. A container that was started meanwhile gets the time of its start anew.
pub(super) fn take_up(
    validation: &mut Validation,
    now: Timestamp,
    container: Option<&ContainerFacts>,
) {
    let left_at = last_look(validation);
    keep_time(validation, Passed { by_clock: now - left_at, watched: Duration::ZERO });
    // It may be left again before it is looked at.
    validation.taken_up_at = Some(now);
    let starts_anew = container.is_none_or(|facts| {
        facts.health == Some(HealthStatus::Starting)
            || facts.started_at.is_some_and(|started_at| started_at > left_at)
    });
    if starts_anew {
        validation.grace_until = now + Duration::from_secs(validation.grace_secs);
        validation.ends_at = validation.ends_at.max(validation.grace_until);
        validation.failing_in_a_row = 0;
    }
}

/// When it was last looked at, opened or taken up.
fn last_look(validation: &Validation) -> Timestamp {
    let sample = validation.samples.last();
    validation.taken_up_at.unwrap_or_else(|| sample.map_or(validation.started_at, |s| s.at))
}

/// When the window would have been opened if it had been watched all the time, by the clock as it
/// goes now.
fn opened_at(validation: &Validation) -> Timestamp {
    validation.ends_at - Duration::from_secs(validation.window_secs)
}

/// Whether the clock was set back since the window was opened.
pub(super) fn is_set_back(validation: &Validation) -> bool {
    opened_at(validation) < validation.started_at
}

/// What happened from then on, happened after the fix, by the clock as it goes now.
pub(super) fn since(validation: &Validation) -> Timestamp {
    opened_at(validation).min(validation.started_at)
}

/// Takes in one look and decides, if it can; `watched` is how long it took to write what was logged
/// since the last, zero where nobody knows.
pub(super) fn judge(
    validation: &mut Validation,
    look: Look,
    watched: Duration,
) -> Option<ValidationVerdict> {
    validation.deaths = look.deaths;
    if look.said > 0 && look.at > validation.grace_until {
        validation.last_signature_at = Some(look.at);
    }
    if matches!(look.remains, Remains::Trouble(_) | Remains::NotYet) {
        validation.last_remains_at = Some(look.at);
    }
    count_errors(validation, &look, watched);
    match look.condition {
        Condition::Well => {
            validation.failing_in_a_row = 0;
            validation.recovered_at.get_or_insert(look.at);
        }
        Condition::Bad if look.at > validation.grace_until || has_come_up(validation) => {
            validation.failing_in_a_row += 1;
        }
        Condition::Bad | Condition::Starting | Condition::Unknown => {}
    }
    let verdict = verdict(validation, &look);
    validation.taken_up_at = None;
    keep_sample(validation, look);
    if let Some((verdict, why)) = verdict {
        validation.verdict = Some(verdict);
        validation.why = Some(why);
    }
    validation.verdict
}

/// Whether it worked already since its start.
fn has_come_up(validation: &Validation) -> bool {
    let from = validation.grace_until - Duration::from_secs(validation.grace_secs);
    validation.recovered_at.is_some_and(|at| at >= from)
        || validation.samples.iter().any(|sample| sample.healthy && sample.at >= from)
}

fn verdict(validation: &Validation, look: &Look) -> Option<(ValidationVerdict, String)> {
    let after = (look.at - since(validation)).num_seconds();
    if look.deaths > 0 {
        let why = format!("it died again {after} s after the fix");
        return Some((ValidationVerdict::RolledBack, why));
    }
    if validation.failing_in_a_row >= FAILURES {
        let why = format!("{after} s after the fix: {}", look.detail);
        return Some((ValidationVerdict::RolledBack, why));
    }
    if let Some(trouble) = &look.new_trouble {
        let why = format!("{after} s after the fix there is new trouble: {trouble}");
        return Some((ValidationVerdict::RolledBack, why));
    }
    if look.at < validation.ends_at {
        let why = complains(validation, EARLY_LEVEL)?;
        return Some((ValidationVerdict::RolledBack, format!("{after} s after the fix: {why}")));
    }
    match look.condition {
        // Fails closed: as long as nothing can be seen, nothing is proven either way.
        Condition::Unknown => None,
        Condition::Well => match &look.remains {
            Remains::NotYet => None,
            Remains::Untold if look.at < waits_until(validation) => None,
            Remains::Nothing | Remains::Untold => Some(at_the_end(validation, look)),
            Remains::Trouble(what) => {
                let why = format!("what was found is still there: {what}");
                Some((ValidationVerdict::RolledBack, why))
            }
        },
        Condition::Starting | Condition::Bad => {
            let why = format!("it does not work at the end of the window: {}", look.detail);
            Some((ValidationVerdict::RolledBack, why))
        }
    }
}

/// What cannot be told by then, nobody waits for: it may never be told.
fn waits_until(validation: &Validation) -> Timestamp {
    validation.ends_at + Duration::from_secs(validation.grace_secs)
}

/// Counts the error lines since the start was over: programs that come up complain. Where the grace
/// time is most of the window, its second half must do. What was written while nobody watched is
/// of an unknown length of time.
fn count_errors(validation: &mut Validation, look: &Look, watched: Duration) {
    let from = settled_from(validation);
    let is_known = watched > Duration::ZERO && validation.taken_up_at.is_none();
    if is_known && look.at - watched >= from {
        let secs = watched.as_secs_f64();
        let (errors, said) = (&mut validation.errors, &mut validation.said);
        (errors.lines, errors.secs) = (errors.lines + look.error_lines, errors.secs + secs);
        if look.heard_all {
            (said.lines, said.secs) = (said.lines + look.said, said.secs + secs);
        }
    }
}

/// From when on a start is no excuse any more.
fn settled_from(validation: &Validation) -> Timestamp {
    validation.grace_until.min(half_time(validation))
}

/// Whether it answers, but clearly slower than it did before the fault, in words.
fn drags(validation: &Validation, look: &Look) -> Option<String> {
    let usual = validation.latency_baseline?;
    let from = settled_from(validation);
    let settled = validation.samples.iter().filter(|sample| sample.healthy && sample.at > from);
    let answers = settled.filter_map(|sample| sample.latency_ms).chain(look.latency_ms);
    latency::slower(answers.collect(), usual)
}

/// The middle of the window.
fn half_time(validation: &Validation) -> Timestamp {
    validation.ends_at - Duration::from_secs(validation.window_secs) / 2
}

/// Whether it complains more than usual, in words; `level` is how often chance may say so.
fn complains(validation: &Validation, level: f64) -> Option<String> {
    let (errors, usual) = (validation.errors, validation.baseline?);
    error_rate::is_worse(errors, usual, level).then(|| {
        let expected = usual.lines as f64 / usual.secs * errors.secs;
        format!("it logged {} error lines where {expected:.0} are usual", errors.lines)
    })
}

fn at_the_end(validation: &Validation, look: &Look) -> (ValidationVerdict, String) {
    let minutes = (look.at - opened_at(validation)).as_seconds_f64() / 60.0;
    if let Some(why) = complains(validation, END_LEVEL) {
        return (ValidationVerdict::RolledBack, format!("it answers, but {why}"));
    }
    if let Some(why) = drags(validation, look) {
        return (ValidationVerdict::RolledBack, format!("it answers, but {why}"));
    }
    if validation.last_signature_at.is_some_and(|at| at > half_time(validation)) {
        let why = "its log still says what the diagnosis was made from".to_owned();
        return (ValidationVerdict::RolledBack, why);
    }
    let untold = look.remains == Remains::Untold;
    let limits = if untold { ", as far as can be told" } else { "" };
    let why = format!("it worked for the length of the window ({minutes:.1} min){limits}");
    (ValidationVerdict::Kept, why)
}

fn keep_sample(validation: &mut Validation, look: Look) {
    if validation.samples.len() >= SAMPLES_KEPT {
        thin(&mut validation.samples);
    }
    validation.samples.push(ValidationSample {
        at: look.at,
        healthy: look.condition == Condition::Well,
        error_lines: look.error_lines,
        latency_ms: look.latency_ms,
        detail: look.detail,
    });
}

/// Drops the sample that is missed least: where there is one, a healthy one, and of these the one
/// whose neighbours are nearest to each other; never the first or the last. The next one takes over
/// its error lines.
fn thin(samples: &mut Vec<ValidationSample>) {
    let gap = |at: &usize| samples[at + 1].at - samples[at - 1].at;
    let between = 1..samples.len().saturating_sub(1);
    let healthy = between.clone().filter(|at| samples[*at].healthy).min_by_key(gap);
    if let Some(at) = healthy.or_else(|| between.min_by_key(gap)) {
        let dropped = samples.remove(at);
        samples[at].error_lines += dropped.error_lines;
    }
}

/// How long after the last look to look again.
pub(super) fn wait(validation: &Validation) -> Duration {
    let Some(last) = validation.samples.last() else {
        return Duration::ZERO;
    };
    let wait = if last.healthy { EASY_LOOK } else { CLOSE_LOOK };
    // The last look falls on the end of the window, not after it.
    match (validation.ends_at - last.at).to_std() {
        Ok(left) if left > Duration::ZERO => wait.min(left),
        _ => wait,
    }
}

#[cfg(test)]
mod tests;
