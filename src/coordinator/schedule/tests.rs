use proptest::prelude::*;

use super::*;

fn schedule(cron: &str, timezone: &str) -> CronSchedule {
    jittered(cron, timezone, Duration::ZERO, "host")
}

fn jittered(cron: &str, timezone: &str, jitter: Duration, seed: &str) -> CronSchedule {
    let settings = Schedule {
        cron: cron.to_owned(),
        timezone: timezone.to_owned(),
        jitter,
        ..Schedule::default()
    };
    CronSchedule::new(&settings, seed).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The nominal moments that run when the clock is looked at every `step` from `from` to `to`.
fn runs(schedule: &CronSchedule, from: &str, to: &str, step: TimeDelta) -> Vec<String> {
    let (mut now, to) = (at(from), at(to));
    let (mut last, mut runs) = (now, vec![]);
    while now <= to {
        if let Some(slot) = schedule.due(last, now) {
            assert!(slot.nominal > last, "{} ran twice", slot.nominal);
            last = slot.nominal;
            runs.push(slot.nominal.format("%m-%dT%H:%M").to_string());
        }
        now += step;
    }
    runs
}

#[test]
fn six_fields_begin_with_seconds() {
    let every_ten = schedule("*/10 * * * * *", "UTC");
    let next = every_ten.next_slot(at("2026-01-01T00:00:01Z")).unwrap();
    assert_eq!(next.nominal, at("2026-01-01T00:00:10Z"));
    assert_eq!(every_ten.interval(at("2026-01-01T00:00:01Z")), Some(Duration::from_secs(10)));
    let five = schedule("*/5 * * * *", "UTC");
    assert_eq!(
        five.next_slot(at("2026-01-01T00:00:00Z")).unwrap().nominal,
        at("2026-01-01T00:05:00Z")
    );
}

#[test]
fn day_of_month_or_day_of_week_is_enough_as_in_cron() {
    let both = schedule("0 0 13 * FRI", "UTC");
    let next = both.next_slot(at("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(next.nominal, at("2026-01-02T00:00:00Z"), "a friday that is not the 13th");
}

#[test]
fn many_missed_slots_are_made_up_by_one_run() {
    let five = schedule("*/5 * * * *", "UTC");
    let last = at("2026-01-01T00:00:00Z");
    let slot = five.due(last, at("2026-01-01T07:03:00Z")).unwrap();
    assert_eq!(slot.nominal, at("2026-01-01T07:00:00Z"));
    assert_eq!(five.due(slot.nominal, at("2026-01-01T07:04:59Z")), None);
}

#[test]
fn a_slot_never_runs_twice_when_the_clock_is_set_back_an_hour_or_forward() {
    let five = schedule("*/5 * * * *", "UTC");
    let last = at("2026-01-01T12:00:00Z");
    assert_eq!(five.due(last, at("2026-01-01T11:00:00Z")), None);
    assert_eq!(five.due(last, at("2026-01-01T12:00:00Z")), None);
    let after = five.due(last, at("2026-01-01T13:00:01Z")).unwrap();
    assert_eq!(after.nominal, at("2026-01-01T13:00:00Z"));
}

#[test]
fn a_clock_that_was_years_ahead_does_not_stop_the_schedule() {
    let five = schedule("*/5 * * * *", "UTC");
    let slot = five.due(at("2099-01-01T00:00:00Z"), at("2026-01-01T12:00:00Z")).unwrap();
    assert_eq!(slot.nominal, at("2026-01-01T12:00:00Z"));
}

// Europe/Berlin 2026: forward on 29 March at 02:00 CET (01:00 UTC), back on 25 October at
// 03:00 CEST (01:00 UTC). America/New_York 2026: forward on 8 March at 02:00 EST (07:00
// UTC), back on 1 November at 02:00 EDT (06:00 UTC).

#[test]
fn a_daily_slot_inside_the_hour_that_is_left_out_runs_once() {
    let minute = TimeDelta::minutes(1);
    let berlin = schedule("30 2 * * *", "Europe/Berlin");
    assert_eq!(
        runs(&berlin, "2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z", minute),
        ["03-28T01:30", "03-29T01:00", "03-30T00:30"]
    );
    let new_york = schedule("30 2 * * *", "America/New_York");
    assert_eq!(
        runs(&new_york, "2026-03-07T00:00:00Z", "2026-03-09T12:00:00Z", minute),
        ["03-07T07:30", "03-08T07:00", "03-09T06:30"]
    );
}

#[test]
fn a_daily_slot_inside_the_hour_that_comes_twice_runs_once() {
    let minute = TimeDelta::minutes(1);
    let berlin = schedule("30 2 * * *", "Europe/Berlin");
    let berlin = runs(&berlin, "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z", minute);
    assert_eq!(berlin, ["10-25T00:30", "10-26T01:30"]);
    let new_york = schedule("30 1 * * *", "America/New_York");
    let new_york = runs(&new_york, "2026-10-31T12:00:00Z", "2026-11-02T12:00:00Z", minute);
    assert_eq!(new_york, ["11-01T05:30", "11-02T06:30"]);
}

#[test]
fn a_slot_every_half_hour_goes_on_evenly_over_both_changes() {
    for (zone, from, to) in [
        ("Europe/Berlin", "2026-03-28T23:15:00Z", "2026-03-29T05:15:00Z"),
        ("Europe/Berlin", "2026-10-24T23:15:00Z", "2026-10-25T05:15:00Z"),
        ("America/New_York", "2026-03-08T04:15:00Z", "2026-03-08T10:15:00Z"),
        ("America/New_York", "2026-11-01T03:15:00Z", "2026-11-01T09:15:00Z"),
    ] {
        let half_hours = runs(&schedule("*/30 * * * *", zone), from, to, TimeDelta::seconds(30));
        assert_eq!(half_hours.len(), 12, "{zone} {half_hours:?}");
    }
}

#[test]
fn jitter_is_the_same_for_a_slot_and_differs_between_hosts() {
    let jitter = Duration::from_mins(2);
    let of = |seed| jittered("0 * * * *", "UTC", jitter, seed);
    let after = at("2026-01-01T00:00:00Z");
    let (a, b) = (of("a").next_slot(after).unwrap(), of("b").next_slot(after).unwrap());
    assert_eq!(of("a").next_slot(after), Some(a));
    assert_eq!(a.nominal, b.nominal);
    assert_ne!(a.starts, b.starts);
    assert!(a.starts < a.nominal + TimeDelta::minutes(2));
}

#[test]
fn a_slot_with_jitter_waits_for_its_start_and_then_runs_once() {
    let schedule = jittered("0 * * * *", "UTC", Duration::from_mins(30), "a");
    let last = at("2026-01-01T00:00:00Z");
    let slot = schedule.next_slot(last).unwrap();
    assert!(slot.starts > slot.nominal, "the seed gives this slot some jitter");
    assert_eq!(schedule.due(last, slot.starts - TimeDelta::milliseconds(1)), None);
    assert_eq!(schedule.due(last, slot.starts), Some(slot));
    assert_eq!(schedule.due(slot.nominal, slot.starts), None);
}

#[test]
fn a_maintenance_window_is_open_for_its_length_in_its_time_zone() {
    let windows = [Maintenance {
        cron: "0 3 * * SUN".to_owned(),
        duration: Duration::from_hours(2),
        target: Some(TargetId::container("web")),
    }];
    let open = |target: &str, now: &str| {
        open_window(&windows, "Europe/Berlin", &TargetId::container(target), at(now)).is_some()
    };
    // Sunday, 11 January 2026, 03:00 CET is 02:00 UTC.
    assert!(!open("web", "2026-01-11T01:59:59Z"));
    assert!(open("web", "2026-01-11T02:00:00Z"));
    assert!(open("web", "2026-01-11T03:59:59Z"));
    assert!(!open("web", "2026-01-11T04:00:00Z"));
    assert!(!open("db", "2026-01-11T02:30:00Z"));
}

proptest! {
    #[test]
    fn whatever_the_clock_does_within_an_hour_no_slot_runs_twice(
        steps in prop::collection::vec(-3600i64..3600, 1..60),
        jitter in 0u64..600,
    ) {
        let schedule =
            jittered("*/5 * * * *", "Europe/Berlin", Duration::from_secs(jitter), "host");
        let start = at("2026-10-24T22:00:00Z");
        let (mut last, mut truth) = (start, start);
        let mut seen = std::collections::BTreeSet::new();
        for step in steps {
            // Each reading is off by up to an hour from a time that moves on.
            truth += TimeDelta::minutes(7);
            let now = truth + TimeDelta::seconds(step);
            if let Some(slot) = schedule.due(last, now) {
                prop_assert!(seen.insert(slot.nominal));
                prop_assert!(slot.starts <= now);
                last = slot.nominal;
            }
        }
    }
}

#[test]
fn a_quiet_hour_is_open_or_closed_for_those_it_is_set_for_and_closed_when_unreadable() {
    let quiet = |cron: &str| {
        [Maintenance {
            cron: cron.to_owned(),
            duration: Duration::from_hours(2),
            target: Some(TargetId::container("web")),
        }]
    };
    let asked = |cron: &str, target: &str| {
        let now = at("2026-01-11T02:30:00Z");
        in_quiet_hour(&quiet(cron), "Europe/Berlin", &TargetId::container(target), now)
    };
    assert_eq!(asked("0 3 * * *", "web"), Some(true));
    assert_eq!(asked("0 5 * * *", "web"), Some(false));
    assert_eq!(asked("0 3 * * *", "db"), None);
    assert_eq!(asked("no cron line", "web"), Some(false));
}
