use selfheal_agents::fakes::healthy;

use super::*;
use crate::coordinator::last_looks::LONGEST_PAUSE;

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
        said: 0,
        heard_all: true,
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
    assert_eq!(judge(&mut validation, look(510, Condition::Well)), Some(ValidationVerdict::Kept));
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
    let complains = |s| Look { said: 1, ..look(s, Condition::Well) };
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
fn what_cannot_be_told_is_waited_for_as_long_as_a_start_and_what_will_show_for_longer() {
    let remaining = |seconds, remains| Look { remains, ..look(seconds, Condition::Well) };
    let mut validation = window();
    assert_eq!(judge(&mut validation, remaining(129, Remains::Untold)), None);
    assert_eq!(judge(&mut validation.clone(), remaining(500, Remains::NotYet)), None);
    let verdict = judge(&mut validation, remaining(130, Remains::Untold));
    assert_eq!(verdict, Some(ValidationVerdict::Kept));
    let why = validation.why.unwrap();
    assert!(why.ends_with(", as far as can be told"), "{why}");
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

/// A window whose start is over, taken up an hour after its look at 30 s.
fn taken_up() -> Validation {
    let mut facts = healthy("web");
    facts.started_at = Some(at(-1));
    let mut validation = after_an_hour_with(600);
    judge(&mut validation, noisy(30, 5));
    take_up(&mut validation, at(3630), Some(&facts));
    validation
}

#[test]
fn errors_written_before_selfheal_was_back_are_not_those_of_the_seconds_since() {
    let mut validation = taken_up();
    let errors = validation.errors;
    assert_eq!(super::judge(&mut validation, noisy(3635, 600), EASY_LOOK), None);
    assert_eq!(validation.errors, errors);
    assert_eq!(super::judge(&mut validation, noisy(3640, 1), EASY_LOOK), None);
    assert_eq!(validation.errors.lines, errors.lines + 1);
}

#[test]
fn a_second_start_before_a_look_puts_the_end_off_by_what_passed_since_the_first() {
    let mut validation = taken_up();
    assert_eq!(validation.ends_at, at(120 + 3600));
    let mut facts = healthy("web");
    facts.started_at = Some(at(-1));
    take_up(&mut validation, at(3730), Some(&facts));
    assert_eq!(validation.ends_at, at(120 + 3600 + 100));
    assert_eq!(validation.grace_until, at(10 + 3600 + 100));
    judge(&mut validation, look(3735, Condition::Well));
    take_up(&mut validation, at(3745), Some(&facts));
    assert_eq!(validation.ends_at, at(120 + 3600 + 100 + 10), "since the look");
}

#[test]
fn of_a_pause_that_is_watched_in_part_neither_lines_nor_seconds_count() {
    for (by_clock, watched, counts) in [(600, LONGEST_PAUSE, false), (50, EASY_LOOK * 10, true)] {
        let mut validation = after_an_hour_with(600);
        judge(&mut validation, noisy(30, 5));
        let errors = validation.errors;
        let passed = Passed { by_clock: TimeDelta::seconds(by_clock), watched };
        let watched = keep_time(&mut validation, passed);
        let usual = u64::try_from(by_clock / 6).unwrap();
        let verdict = super::judge(&mut validation, noisy(30 + by_clock, usual), watched);
        assert_eq!(verdict, None, "that many are usual");
        assert_eq!(validation.errors != errors, counts, "{by_clock} s");
    }
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
