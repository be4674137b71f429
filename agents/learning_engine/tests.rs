use chrono::TimeDelta;
use uuid::Uuid;

use super::*;
use crate::model::{FixId, IncidentId, ResultStatus, Timestamp, ValidationStatus};

fn outcome(minute: i64, target: &str, fix_type: &str, success: bool) -> Outcome {
    Outcome {
        timestamp: Timestamp::UNIX_EPOCH + TimeDelta::minutes(minute),
        fix: FixId(Uuid::from_u128(u128::from(minute.unsigned_abs()))),
        incident: IncidentId(Uuid::nil()),
        target: TargetId::container(target),
        issue_type: "container-unhealthy".to_owned(),
        fix_type: fix_type.to_owned(),
        original_confidence: Confidence::clamped(95),
        confidence: Confidence::clamped(95),
        result_status: ResultStatus::Applied,
        validation_status: if success {
            ValidationStatus::Passed
        } else {
            ValidationStatus::Failed
        },
        success,
        error_count_after: 0,
        time_to_repair_secs: success.then_some(4.0),
    }
}

fn web() -> TargetId {
    TargetId::container("web")
}

#[test]
fn the_documented_examples_of_the_adjustment_hold() {
    let base = Confidence::clamped(70);
    assert_eq!(adjusted(base, 0.80).percent(), 76);
    assert_eq!(adjusted(base, 0.85).percent(), 77);
}

#[test]
fn the_adjustment_stays_within_fifty_and_a_hundred() {
    assert_eq!(adjusted(Confidence::clamped(98), 1.0).percent(), 100);
    assert_eq!(adjusted(Confidence::clamped(20), 0.0).percent(), 50);
}

#[test]
fn the_wilson_bound_agrees_with_published_values() {
    // Wilson 95 % for 8 of 10: 0.490 to 0.943; for 10 of 10 from 0.722
    // (Brown, Cai, DasGupta 2001, and every table since).
    assert!((wilson_lower_bound(8, 10) - 0.490).abs() < 0.001);
    assert!((wilson_lower_bound(10, 10) - 0.722).abs() < 0.001);
    assert!(wilson_lower_bound(0, 0).abs() < f64::EPSILON);
}

#[test]
fn a_fix_that_always_fails_is_not_applied_for_ever() {
    // Failures on different targets, so that no quarantine hides the point.
    let outcomes = (0..6).map(|i| outcome(i, &format!("c{i}"), "container.restart", false));
    let history = History::new(outcomes.collect(), vec![]);
    let mut ledger = Ledger::with_base(95, "runbook");
    let confidence =
        history.adjust(&mut ledger, "container-unhealthy", "container.restart", &web());
    assert_eq!(confidence.percent(), 85, "the formula alone would still apply it");
    assert!(history.distrust("container-unhealthy", "container.restart", &web()).is_some());
}

#[test]
fn two_failures_in_a_row_on_one_target_quarantine_the_fix_there_only() {
    let history = History::new(
        vec![
            outcome(1, "web", "container.restart", false),
            outcome(2, "web", "container.restart", false),
        ],
        vec![],
    );
    assert!(history.distrust("x", "container.restart", &web()).is_some());
    assert!(history.distrust("x", "container.restart", &TargetId::container("api")).is_none());
    assert!(history.distrust("x", "container.start", &web()).is_none());
}

#[test]
fn a_success_elsewhere_or_a_person_releases_the_quarantine() {
    let failures = vec![
        outcome(1, "web", "container.restart", false),
        outcome(2, "web", "container.restart", false),
    ];
    let mut helped_elsewhere = failures.clone();
    helped_elsewhere.push(outcome(3, "api", "container.restart", true));
    assert!(
        History::new(helped_elsewhere, vec![]).distrust("x", "container.restart", &web()).is_none()
    );

    let release = Release {
        fix_type: "container.restart".to_owned(),
        target: web(),
        at: Timestamp::UNIX_EPOCH + TimeDelta::minutes(5),
    };
    let history = History::new(failures, vec![release]);
    assert!(history.distrust("x", "container.restart", &web()).is_none());
}

#[test]
fn a_success_or_a_persons_approval_ends_a_row_of_failures_on_a_target() {
    let failures: Vec<Outcome> =
        (1..=3).map(|n| outcome(n, "web", &format!("fix.{n}"), false)).collect();
    let approved = |minute| Release {
        fix_type: "container.restart".to_owned(),
        target: web(),
        at: Timestamp::UNIX_EPOCH + TimeDelta::minutes(minute),
    };
    let row = |outcomes: &[Outcome], releases| {
        History::new(outcomes.to_vec(), releases).failures_in_a_row(&web())
    };
    assert_eq!(row(&failures, vec![]), 3);
    assert_eq!(row(&failures, vec![approved(5)]), 0, "whatever was approved, somebody looked");
    assert_eq!(row(&failures, vec![approved(2), approved(1)]), 1, "those since count");
    let elsewhere = Release { target: TargetId::container("api"), ..approved(5) };
    assert_eq!(row(&failures, vec![elsewhere]), 3);
    let then_helped = [failures, vec![outcome(4, "web", "fix.4", true)]].concat();
    assert_eq!(row(&then_helped, vec![]), 0);
}

#[test]
fn a_targets_own_outcomes_count_once_there_are_enough() {
    let mut outcomes: Vec<Outcome> =
        (0..20).map(|i| outcome(i, "other", "container.restart", true)).collect();
    outcomes.extend((30..35).map(|i| outcome(i, "web", "container.restart", i % 2 == 0)));
    let history = History::new(outcomes, vec![]);
    let mut ledger = Ledger::with_base(80, "runbook");
    history.adjust(&mut ledger, "container-unhealthy", "container.restart", &web());
    assert!(ledger.entries[1].what.contains("3 of 5"), "{:?}", ledger.entries);
}

#[test]
fn without_outcomes_the_ledger_is_untouched() {
    let mut ledger = Ledger::with_base(90, "runbook");
    let before = ledger.clone();
    assert_eq!(History::default().adjust(&mut ledger, "a", "b", &web()).percent(), 90);
    assert_eq!(ledger, before);
}

#[test]
fn statistics_count_by_type_and_show_calibration() {
    let statistics = History::new(
        vec![
            outcome(1, "web", "container.restart", true),
            outcome(2, "web", "container.restart", false),
            outcome(3, "web", "container.start", true),
        ],
        vec![],
    )
    .statistics();
    assert_eq!(statistics.total_fixes, 3);
    assert_eq!(statistics.by_type["container.restart"].successes, 1);
    let bin = statistics.calibration[0];
    assert_eq!((bin.from, bin.to, bin.total), (90, 100, 3));
    assert!((bin.achieved - 2.0 / 3.0).abs() < 1e-9);
}

#[test]
fn what_a_person_took_back_is_quarantined_at_once_until_they_approve_it() {
    let mut taken_back = outcome(1, "web", "container.restart", false);
    taken_back.validation_status = ValidationStatus::RolledBackByPerson;
    let release = Release {
        fix_type: "container.restart".to_owned(),
        target: web(),
        at: Timestamp::UNIX_EPOCH + TimeDelta::minutes(2),
    };
    let trusted = |releases| {
        let history = History::new(vec![taken_back.clone()], releases);
        history.distrust("container-unhealthy", "container.restart", &web()).is_none()
    };
    assert!(!trusted(vec![]));
    assert!(trusted(vec![release]));
}

#[test]
fn a_few_outcomes_lift_nothing_and_lower_by_their_share_of_enough() {
    let adjusted = |successes: usize, failures: usize| {
        let outcomes = (0..successes + failures).map(|i| {
            let minute = i64::try_from(i).unwrap();
            outcome(minute, "web", "container.restart", i < successes)
        });
        let mut ledger = Ledger::with_base(80, "runbook");
        History::new(outcomes.collect(), vec![])
            .adjust(&mut ledger, "container-unhealthy", "container.restart", &web())
            .percent()
    };
    for (successes, failures, percent) in
        [(1, 0, 80), (4, 0, 80), (5, 0, 90), (3, 1, 80), (0, 1, 78), (1, 3, 76), (8, 2, 86)]
    {
        let seen = adjusted(successes, failures);
        assert_eq!(seen, percent, "{successes} successes, {failures} failures");
    }
}

#[test]
fn outcomes_that_are_too_few_to_lift_still_stand_in_the_ledger() {
    let history = History::new(vec![outcome(1, "web", "container.restart", true)], vec![]);
    let mut ledger = Ledger::with_base(80, "runbook");
    history.adjust(&mut ledger, "container-unhealthy", "container.restart", &web());
    let told = &ledger.entries[1];
    assert_eq!(told.points, 0);
    assert!(told.what.contains("1 of 1 times; fewer than 5 lift nothing"), "{}", told.what);
}

#[test]
fn what_other_nodes_learnt_speaks_for_a_fix_and_of_no_target_here() {
    let own = vec![outcome(1, "web", "container.restart", true)];
    let failed: Vec<Outcome> =
        (2..8).map(|minute| outcome(minute, "web@nas", "container.restart", false)).collect();
    let history = History::new(own.clone(), vec![]).with_others(&failed);
    let issue = &own[0].issue_type;
    assert!(history.distrust(issue, "container.restart", &web()).is_some());
    assert_eq!(history.failures_in_a_row(&web()), 0);
    assert_eq!(history.statistics().total_fixes, 1, "those of others are theirs");
    assert!(history.too_many_failures(StopLimits::default(), None, own[0].timestamp).is_none());
    // What comes back as another's was counted already.
    let twice = History::new(own.clone(), vec![]).with_others(&own);
    assert_eq!(twice.everywhere().len(), 1);
}
