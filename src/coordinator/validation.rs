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
const END_LEVEL: f64 = 1e-2;
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
    /// Whether the log said again what the diagnosis was made from.
    pub(super) signature_again: bool,
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
        started_at: now,
        ends_at: now + window,
        grace_until: now + grace,
        grace_secs: grace.as_secs(),
        window_secs: window.as_secs(),
        baseline_errors_per_minute: baseline.map(|usual| 60.0 * usual.lines as f64 / usual.secs),
        baseline,
        errors: ErrorCount::default(),
        recovered_at: None,
        failing_in_a_row: 0,
        last_signature_at: None,
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
/// look; answers how long somebody watched since the last one.
pub(super) fn keep_time(validation: &mut Validation, passed: Passed) -> Duration {
    let watched = TimeDelta::from_std(passed.watched).unwrap_or_default();
    let unwatched = passed.by_clock - watched;
    if unwatched.abs() > DRIFT {
        validation.ends_at += unwatched;
        validation.grace_until += unwatched;
        validation.last_signature_at = validation.last_signature_at.map(|at| at + unwatched);
    }
    passed.watched
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

/// When it was last looked at, or opened.
fn last_look(validation: &Validation) -> Timestamp {
    validation.samples.last().map_or(validation.started_at, |sample| sample.at)
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

/// Takes in one look and decides, if it can; `watched` is how long somebody watched since the last.
pub(super) fn judge(
    validation: &mut Validation,
    look: Look,
    watched: Duration,
) -> Option<ValidationVerdict> {
    validation.deaths = look.deaths;
    if look.signature_again && look.at > validation.grace_until {
        validation.last_signature_at = Some(look.at);
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
            Remains::Nothing => Some(at_the_end(validation, look)),
            Remains::Untold => None,
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

/// Counts the error lines since the start was over: programs that come up complain. Where the grace
/// time is most of the window, its second half must do. What was written while nobody watched is
/// of an unknown length of time.
fn count_errors(validation: &mut Validation, look: &Look, watched: Duration) {
    let from = validation.grace_until.min(half_time(validation));
    if watched > Duration::ZERO && look.at - watched >= from {
        validation.errors.lines += look.error_lines;
        validation.errors.secs += watched.as_secs_f64();
    }
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
    if validation.last_signature_at.is_some_and(|at| at > half_time(validation)) {
        let why = "its log still says what the diagnosis was made from".to_owned();
        return (ValidationVerdict::RolledBack, why);
    }
    (ValidationVerdict::Kept, format!("it worked for the length of the window ({minutes:.1} min)"))
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
mod tests {
    use selfheal_agents::fakes::healthy;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn look(seconds: i64, condition: Condition) -> Look {
        Look {
            at: at(seconds),
            condition,
            deaths: 0,
            error_lines: 0,
            latency_ms: None,
            new_trouble: None,
            signature_again: false,
            remains: Remains::Nothing,
            detail: "seen".to_owned(),
        }
    }

    /// Takes in a look where somebody watched all the time.
    fn judge(validation: &mut Validation, look: Look) -> Option<ValidationVerdict> {
        let watched = (look.at - last_look(validation)).to_std().unwrap();
        super::judge(validation, look, watched)
    }

    fn window() -> Validation {
        open(at(0), Duration::from_mins(2).into(), None, None)
    }

    #[test]
    fn what_works_to_the_end_of_the_window_is_kept() {
        let mut validation = window();
        assert_eq!(judge(&mut validation, look(1, Condition::Well)), None);
        assert_eq!(judge(&mut validation, look(119, Condition::Well)), None);
        let verdict = judge(&mut validation, look(120, Condition::Well));
        assert_eq!(verdict, Some(ValidationVerdict::Kept));
        assert_eq!(validation.recovered_at, Some(at(1)));
    }

    #[test]
    fn a_window_leaves_every_run_of_the_health_check_its_whole_time() {
        let mut facts = healthy("web");
        facts.health_check = Some(HealthCheck {
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(20),
            start_period: Duration::from_secs(10),
            retries: 3,
            test: vec![],
        });
        let validation = open(at(0), Duration::from_mins(2).into(), Some(&facts), None);
        assert_eq!(validation.window_secs, 10 + 3 * (30 + 20));
        assert_eq!(validation.grace_until, validation.ends_at);
    }

    #[test]
    fn starting_is_neither_well_nor_failing() {
        let mut validation = window();
        for second in 1..120 {
            assert_eq!(judge(&mut validation, look(second, Condition::Starting)), None);
        }
        let verdict = judge(&mut validation, look(120, Condition::Starting));
        assert_eq!(verdict, Some(ValidationVerdict::RolledBack), "it never came up");
    }

    #[test]
    fn a_death_after_the_fix_ends_the_window_at_once() {
        let mut validation = window();
        let dead = Look { deaths: 1, ..look(3, Condition::Starting) };
        assert_eq!(judge(&mut validation, dead), Some(ValidationVerdict::RolledBack));
    }

    #[test]
    fn failing_after_recovery_ends_the_window_after_three_looks() {
        let mut validation = window();
        judge(&mut validation, look(1, Condition::Well));
        assert_eq!(judge(&mut validation, look(30, Condition::Bad)), None);
        assert_eq!(judge(&mut validation, look(31, Condition::Bad)), None);
        assert_eq!(
            judge(&mut validation, look(32, Condition::Bad)),
            Some(ValidationVerdict::RolledBack)
        );
    }

    #[test]
    fn failures_within_the_grace_time_do_not_count() {
        let mut validation = window();
        for second in 1..=10 {
            assert_eq!(judge(&mut validation, look(second, Condition::Bad)), None);
        }
        judge(&mut validation, look(11, Condition::Bad));
        judge(&mut validation, look(12, Condition::Bad));
        let verdict = judge(&mut validation, look(13, Condition::Bad));
        assert_eq!(verdict, Some(ValidationVerdict::RolledBack));
    }

    #[test]
    fn nothing_is_decided_while_nothing_can_be_seen() {
        let mut validation = window();
        judge(&mut validation, look(1, Condition::Well));
        assert_eq!(judge(&mut validation, look(500, Condition::Unknown)), None);
        assert_eq!(
            judge(&mut validation, look(510, Condition::Well)),
            Some(ValidationVerdict::Kept)
        );
    }

    /// A window after an hour with so many error lines.
    fn after_an_hour_with(lines: u64) -> Validation {
        let usual = ErrorCount { lines, secs: 3600.0 };
        open(at(0), Duration::from_mins(2).into(), None, Some(usual))
    }

    fn noisy(seconds: i64, error_lines: u64) -> Look {
        Look { error_lines, ..look(seconds, Condition::Well) }
    }

    #[test]
    fn more_errors_than_before_are_no_success_although_it_answers() {
        let mut validation = after_an_hour_with(60);
        for (seconds, lines) in [(10, 0), (60, 4), (100, 4)] {
            assert_eq!(judge(&mut validation, noisy(seconds, lines)), None);
        }
        assert_eq!(judge(&mut validation, noisy(120, 3)), Some(ValidationVerdict::RolledBack));
        let why = validation.why.unwrap();
        assert_eq!(why, "it answers, but it logged 11 error lines where 2 are usual");
    }

    #[test]
    fn as_many_errors_as_before_are_usual() {
        let mut validation = after_an_hour_with(360);
        for (seconds, lines) in [(10, 0), (60, 4), (100, 4)] {
            assert_eq!(judge(&mut validation, noisy(seconds, lines)), None);
        }
        assert_eq!(judge(&mut validation, noisy(120, 3)), Some(ValidationVerdict::Kept));
    }

    #[test]
    fn the_complaints_of_a_start_do_not_count() {
        let mut validation = after_an_hour_with(0);
        assert_eq!(judge(&mut validation, noisy(10, 500)), None);
        assert_eq!(judge(&mut validation, noisy(60, 3)), None);
        assert_eq!(judge(&mut validation, noisy(120, 3)), Some(ValidationVerdict::Kept));
    }

    #[test]
    fn a_flood_of_errors_ends_the_window_at_once() {
        let mut validation = after_an_hour_with(60);
        judge(&mut validation, noisy(11, 0));
        assert_eq!(judge(&mut validation, noisy(16, 50)), Some(ValidationVerdict::RolledBack));
        let why = validation.why.unwrap();
        assert!(why.starts_with("16 s after the fix: it logged 50 error lines"), "{why}");
    }

    #[test]
    fn without_a_baseline_error_lines_prove_nothing() {
        let mut validation = window();
        judge(&mut validation, noisy(11, 0));
        judge(&mut validation, noisy(60, 500));
        assert_eq!(judge(&mut validation, noisy(120, 500)), Some(ValidationVerdict::Kept));
    }

    #[test]
    fn a_log_that_still_complains_at_the_end_is_no_success_although_it_answers() {
        let complains = |s| Look { signature_again: true, ..look(s, Condition::Well) };
        let mut early_only = window();
        judge(&mut early_only, complains(30));
        judge(&mut early_only, look(90, Condition::Well));
        let verdict = judge(&mut early_only, look(120, Condition::Well));
        assert_eq!(verdict, Some(ValidationVerdict::Kept), "it calmed down");

        let mut late = window();
        judge(&mut late, complains(90));
        let verdict = judge(&mut late, look(120, Condition::Well));
        assert_eq!(verdict, Some(ValidationVerdict::RolledBack));
    }

    #[test]
    fn what_was_found_must_be_gone_at_the_end_and_only_then() {
        let still = |seconds| {
            let remains = Remains::Trouble("it uses 90 MiB of 100 MiB".to_owned());
            Look { remains, ..look(seconds, Condition::Well) }
        };
        let mut validation = window();
        assert_eq!(judge(&mut validation, still(119)), None);
        let untold = Look { remains: Remains::Untold, ..look(120, Condition::Well) };
        assert_eq!(judge(&mut validation, untold), None, "it may be back, and may be not");
        let mut gone = validation.clone();
        let verdict = judge(&mut gone, look(125, Condition::Well));
        assert_eq!(verdict, Some(ValidationVerdict::Kept));
        assert_eq!(judge(&mut validation, still(125)), Some(ValidationVerdict::RolledBack));
        let why = validation.why.unwrap();
        assert_eq!(why, "what was found is still there: it uses 90 MiB of 100 MiB");
    }

    #[test]
    fn looks_come_close_until_it_is_well_and_one_falls_on_the_end() {
        let mut validation = window();
        assert_eq!(wait(&validation), Duration::ZERO);
        judge(&mut validation, look(1, Condition::Starting));
        assert_eq!(wait(&validation), CLOSE_LOOK);
        judge(&mut validation, look(5, Condition::Well));
        assert_eq!(wait(&validation), EASY_LOOK);
        judge(&mut validation, look(118, Condition::Well));
        assert_eq!(wait(&validation), Duration::from_secs(2));
    }

    #[test]
    fn what_nobody_watched_puts_the_end_off_and_a_clock_set_back_brings_it_near() {
        let hour = TimeDelta::hours(1);
        for by_clock in [hour, -hour] {
            let mut validation = window();
            judge(&mut validation, look(20, Condition::Well));
            let watched = Duration::from_secs(5);
            let passed = Passed { by_clock: by_clock + TimeDelta::seconds(5), watched };
            assert_eq!(keep_time(&mut validation, passed), watched);
            assert_eq!(validation.ends_at, at(120) + by_clock);
            assert_eq!(validation.grace_until, at(10) + by_clock);
            assert_eq!(since(&validation), at(0).min(at(0) + by_clock));
            assert_eq!(is_set_back(&validation), by_clock < TimeDelta::zero());
        }
    }

    #[test]
    fn errors_written_while_nobody_watched_prove_nothing() {
        let mut validation = after_an_hour_with(0);
        judge(&mut validation, noisy(30, 0));
        take_up(&mut validation, at(3600), None);
        let verdict = super::judge(&mut validation, noisy(3600, 500), Duration::ZERO);
        assert_eq!(verdict, None);
    }

    #[test]
    fn only_what_was_started_while_selfheal_was_away_gets_its_start_anew() {
        for (started_at, fails) in [(at(-1), true), (at(3590), false)] {
            let mut facts = healthy("web");
            facts.started_at = Some(started_at);
            let mut validation = window();
            judge(&mut validation, look(100, Condition::Well));
            take_up(&mut validation, at(3600), Some(&facts));
            for second in 3600..=3609 {
                super::judge(&mut validation, look(second, Condition::Bad), CLOSE_LOOK);
            }
            assert_eq!(validation.verdict.is_some(), fails, "started at {started_at}");
        }
    }

    #[test]
    fn samples_are_thinned_evenly_and_what_was_not_well_is_kept() {
        let mut validation = open(at(0), Duration::from_secs(100_000).into(), None, None);
        for second in 1..1000 {
            let condition = if second < 90 { Condition::Starting } else { Condition::Well };
            let error_lines = 1;
            judge(&mut validation, Look { error_lines, ..look(second, condition) });
        }
        let samples = &validation.samples;
        assert_eq!(samples.len(), SAMPLES_KEPT);
        assert_eq!(samples.iter().filter(|sample| !sample.healthy).count(), 89);
        assert_eq!((samples[0].at, samples[SAMPLES_KEPT - 1].at), (at(1), at(999)));
        let widest = samples.windows(2).map(|pair| pair[1].at - pair[0].at).max().unwrap();
        assert!(widest <= TimeDelta::seconds(2 * 910 / 151), "an even chart: {widest}");
        assert_eq!(samples.iter().map(|sample| sample.error_lines).sum::<u64>(), 999);
    }

    #[test]
    fn a_window_in_which_nothing_is_well_is_bounded_too() {
        let mut validation = open(at(0), Duration::from_secs(100_000).into(), None, None);
        for second in 1..1000 {
            judge(&mut validation, look(second, Condition::Starting));
        }
        assert_eq!(validation.samples.len(), SAMPLES_KEPT);
        assert_eq!(validation.samples[0].at, at(1));
    }
}
