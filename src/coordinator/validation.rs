//! Judges a fix from outside: the service works again for the length of the window, or not.
//!
//! Pure: samples in, a verdict out. The window is a durable record on the incident, so a
//! restart of Selfheal goes on with it. It lasts as long as the service needs to start and
//! be probed, and ends early on clear failure. It does not take the samples.

use std::time::Duration;

use chrono::TimeDelta;
use selfheal_agents::model::{
    ContainerFacts, HealthCheck, Timestamp, Validation, ValidationSample, ValidationVerdict,
};

/// Failed samples in a row, after the grace time, that end the window early.
const FAILURES: u32 = 3;
/// Time a program without a health check gets to come up.
const LEAST_GRACE: Duration = Duration::from_secs(10);
/// Samples kept for the chart; the oldest healthy ones make room.
const SAMPLES_KEPT: usize = 240;
/// Between samples while it is not yet, or no longer, well.
const CLOSE_LOOK: Duration = Duration::from_secs(1);
/// Between samples while all is well.
const EASY_LOOK: Duration = Duration::from_secs(5);
/// Error lines a minute may rise to this multiple of the baseline ...
const ERROR_FACTOR: f64 = 3.0;
/// ... and by this many in the window, before the fix counts as failed.
const ERROR_SLACK: f64 = 10.0;

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
    /// Whether the log said again what the diagnosis was made from.
    pub(super) signature_again: bool,
    pub(super) detail: String,
}

/// Opens the window of a fix just applied.
///
/// `window` is the configured least length; the container's own start period and health
/// checks lengthen it.
pub(super) fn open(
    now: Timestamp,
    window: Duration,
    container: Option<&ContainerFacts>,
    baseline_errors_per_minute: Option<f64>,
) -> Validation {
    let probing = container
        .and_then(|facts| facts.health_check.as_ref())
        .map_or(Duration::ZERO, until_docker_knows);
    let window = window.max(probing);
    let grace = LEAST_GRACE.max(probing).min(window);
    Validation {
        started_at: now,
        ends_at: now + window,
        grace_until: now + grace,
        window_secs: window.as_secs(),
        baseline_errors_per_minute,
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

/// Takes in one look and decides, if it can.
pub(super) fn judge(validation: &mut Validation, look: Look) -> Option<ValidationVerdict> {
    validation.deaths = look.deaths;
    if look.signature_again && look.at > validation.grace_until {
        validation.last_signature_at = Some(look.at);
    }
    match look.condition {
        Condition::Well => {
            validation.failing_in_a_row = 0;
            validation.recovered_at.get_or_insert(look.at);
        }
        Condition::Bad if look.at > validation.grace_until || validation.recovered_at.is_some() => {
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

fn verdict(validation: &Validation, look: &Look) -> Option<(ValidationVerdict, String)> {
    let after = (look.at - validation.started_at).num_seconds();
    if look.deaths > 0 {
        let why = format!("it died again {after} s after the fix");
        return Some((ValidationVerdict::RolledBack, why));
    }
    if validation.failing_in_a_row >= FAILURES {
        let why = format!("{after} s after the fix: {}", look.detail);
        return Some((ValidationVerdict::RolledBack, why));
    }
    if look.at < validation.ends_at {
        return None;
    }
    match look.condition {
        // Fails closed: as long as nothing can be seen, nothing is proven either way.
        Condition::Unknown => None,
        Condition::Well => Some(at_the_end(validation, look)),
        Condition::Starting | Condition::Bad => {
            let why = format!("it does not work at the end of the window: {}", look.detail);
            Some((ValidationVerdict::RolledBack, why))
        }
    }
}

fn at_the_end(validation: &Validation, look: &Look) -> (ValidationVerdict, String) {
    let errors: u64 =
        validation.samples.iter().map(|s| s.error_lines).sum::<u64>() + look.error_lines;
    let minutes = (look.at - validation.started_at).as_seconds_f64() / 60.0;
    if let Some(baseline) = validation.baseline_errors_per_minute {
        let expected = baseline * minutes;
        if errors as f64 > expected * ERROR_FACTOR + ERROR_SLACK {
            let why = format!(
                "it answers, but logged {errors} error lines where {expected:.0} are usual"
            );
            return (ValidationVerdict::RolledBack, why);
        }
    }
    let half = validation.started_at + (validation.ends_at - validation.started_at) / 2;
    if validation.last_signature_at.is_some_and(|at| at > half) {
        let why = "its log still says what the diagnosis was made from".to_owned();
        return (ValidationVerdict::RolledBack, why);
    }
    (ValidationVerdict::Kept, format!("it worked for the length of the window ({minutes:.1} min)"))
}

fn keep_sample(validation: &mut Validation, look: Look) {
    if validation.samples.len() >= SAMPLES_KEPT {
        validation.samples.remove(1);
    }
    validation.samples.push(ValidationSample {
        at: look.at,
        healthy: look.condition == Condition::Well,
        error_lines: look.error_lines,
        detail: look.detail,
    });
}

/// When to look again.
pub(super) fn next_look(validation: &Validation) -> Timestamp {
    let Some(last) = validation.samples.last() else {
        return validation.started_at;
    };
    let wait = if last.healthy { EASY_LOOK } else { CLOSE_LOOK };
    let next = last.at + TimeDelta::from_std(wait).unwrap_or_default();
    // The last look falls on the end of the window, not after it.
    if last.at < validation.ends_at { next.min(validation.ends_at) } else { next }
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
            signature_again: false,
            detail: "seen".to_owned(),
        }
    }

    fn window() -> Validation {
        open(at(0), Duration::from_mins(2), None, None)
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
        let validation = open(at(0), Duration::from_mins(2), Some(&facts), None);
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

    #[test]
    fn more_errors_than_before_are_no_success_although_it_answers() {
        let mut validation = open(at(0), Duration::from_mins(2), None, Some(1.0));
        let noisy = |s| Look { error_lines: 20, ..look(s, Condition::Well) };
        judge(&mut validation, noisy(60));
        assert_eq!(judge(&mut validation, noisy(120)), Some(ValidationVerdict::RolledBack));
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
    fn looks_come_close_until_it_is_well_and_one_falls_on_the_end() {
        let mut validation = window();
        assert_eq!(next_look(&validation), at(0));
        judge(&mut validation, look(1, Condition::Starting));
        assert_eq!(next_look(&validation), at(2));
        judge(&mut validation, look(118, Condition::Well));
        assert_eq!(next_look(&validation), at(120));
    }

    #[test]
    fn samples_are_bounded_and_the_first_is_kept() {
        let mut validation = open(at(0), Duration::from_secs(100_000), None, None);
        for second in 1..1000 {
            judge(&mut validation, look(second, Condition::Well));
        }
        assert_eq!(validation.samples.len(), SAMPLES_KEPT);
        assert_eq!(validation.samples[0].at, at(1));
    }
}
