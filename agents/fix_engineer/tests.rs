use chrono::TimeDelta;
use uuid::Uuid;

use super::actions::ContainerStart;
use super::*;
use crate::model::{Category, IncidentId, Outcome, Provenance, ResultStatus, ValidationStatus};

fn web() -> TargetId {
    TargetId::container("web")
}

fn diagnosis(ledger: Ledger) -> Diagnosis {
    Diagnosis {
        issue_type: "web-down".to_owned(),
        title: "It is down".to_owned(),
        category: Category::Crash,
        blamed: web(),
        summary: "It is down.".to_owned(),
        confidence: ledger.total(),
        ledger,
        affected: vec![],
        external: false,
        elsewhere: false,
        hearsay: false,
        expected_fix_secs: 1,
        changes: vec![],
        ways: vec![],
        considered: vec![],
        basis: String::new(),
        at: Timestamp::UNIX_EPOCH,
    }
}

/// A history in which starting it helped so many times, and always.
fn helped(times: i64) -> History {
    let outcome = |minute: i64| Outcome {
        timestamp: Timestamp::UNIX_EPOCH + TimeDelta::minutes(minute),
        fix: FixId(Uuid::nil()),
        incident: IncidentId(Uuid::nil()),
        target: web(),
        issue_type: "web-down".to_owned(),
        fix_type: "container.start".to_owned(),
        original_confidence: Confidence::clamped(84),
        confidence: Confidence::clamped(84),
        result_status: ResultStatus::Applied,
        validation_status: ValidationStatus::Passed,
        success: true,
        error_count_after: 0,
        time_to_repair_secs: Some(1.0),
    };
    History::new((0..times).map(outcome).collect(), vec![])
}

/// How sure a start is, with this base, evidence and `adjust`, after it helped so many times.
fn confidence(status: Provenance, base: u8, evidence: i32, adjust: i32, times: i64) -> u8 {
    let mut ledger = Ledger::with_base(base, "runbook");
    if evidence != 0 {
        ledger.add(evidence, "seen", LedgerSource::Evidence);
    }
    let template: FixTemplate =
        toml::from_str(&format!("action = \"container.start\"\nadjust = {adjust}\nwhy = \"w\""))
            .unwrap();
    let action = Action::ContainerStart(ContainerStart { container: "web".to_owned() });
    let steps = vec![Step { action, role: StepRole::Repair }];
    let diagnosis = diagnosis(ledger);
    let fix = fix(&diagnosis, status, &template, steps, Timestamp::UNIX_EPOCH, &helped(times));
    assert_eq!(fix.confidence, fix.ledger.total(), "the ledger says it all");
    fix.confidence.percent()
}

#[test]
fn what_was_never_reproduced_acts_alone_only_with_history_and_evidence_together() {
    use Provenance::{Documented, Reproduced};
    for (status, base, evidence, adjust, times, percent) in [
        // History alone lifts what was reproduced, and not what was read of.
        (Reproduced, 80, 0, 0, 8, 90),
        (Documented, 80, 0, 0, 8, 84),
        (Documented, 70, -5, 0, 8, 75),
        // Neither does a fix that suits it well, nor evidence alone.
        (Documented, 80, 4, 10, 0, 84),
        (Documented, 80, 0, 10, 8, 84),
        (Reproduced, 80, 4, 10, 0, 94),
        // What was seen and has helped often enough is known.
        (Documented, 75, 5, 0, 8, 90),
        (Documented, 75, 5, 0, 4, 80),
    ] {
        let seen = confidence(status, base, evidence, adjust, times);
        assert_eq!(seen, percent, "{status:?}, {base}, {evidence}, {adjust}, {times} times");
    }
}

#[test]
fn a_change_shortly_before_makes_no_fix_sure_enough_to_act_alone() {
    for (base, adjust, sure) in [(78, 6, 84), (84, 0, 84), (60, 10, 76), (80, 6, 92), (90, 0, 96)] {
        let mut ledger = Ledger::with_base(base, "runbook");
        ledger.add(6, "12 s before: its image changed", LedgerSource::Change);
        let template = format!("action = \"container.start\"\nadjust = {adjust}\nwhy = \"w\"");
        let template: FixTemplate = toml::from_str(&template).unwrap();
        let start = Action::ContainerStart(ContainerStart { container: "web".to_owned() });
        let steps = vec![Step { action: start, role: StepRole::Repair }];
        let at = Timestamp::UNIX_EPOCH;
        let status = Provenance::Reproduced;
        let fix = fix(&diagnosis(ledger), status, &template, steps, at, &helped(0));
        // What is sure enough without it stays so.
        assert_eq!(fix.confidence.percent(), sure, "{base} {adjust}");
    }
}

#[test]
fn what_needs_the_files_or_the_measure_of_a_host_is_not_done_on_that_of_another_engine() {
    let unfit = |container| {
        let held = |name: &&&str| plan::unfit_beside(container, name).is_some();
        Action::NAMES.iter().filter(held).copied().collect::<Vec<_>>()
    };
    assert!(unfit("web").is_empty());
    let expected = [
        "container.set_memory",
        "container.set_cpu",
        "container.stop",
        "container.recreate",
        "config.set",
        "config.restore",
        "logs.trim",
        "build_cache.prune",
        "postgres.alter_system",
        "redis.set_memory",
    ];
    assert_eq!(unfit("nas/web"), expected);
}
