use super::*;
use crate::cli::output::Style;
use crate::coordinator::{CycleReport, CycleStatus, Freeze, Standing, TargetSummary, Trigger};
use crate::http::body::{Checked, IncidentDetail, IncidentList, IncidentRow, Status, TargetList};
use chrono::{Duration, TimeZone, Utc};
use selfheal_agents::fix_engineer::actions::{Action, ContainerStart};
use selfheal_agents::learning_engine::Statistics;
use selfheal_agents::model::{
    Actor, Category, Confidence, Considered, Diagnosis, Finding, FindingSource, Fix, FixId, Hold,
    Incident, IncidentId, Ledger, LedgerSource, Mode, Rehearsal, RehearsalVerdict, Severity, Step,
    StepRole, TargetId, Trend,
};
use uuid::Uuid;

fn start() -> Timestamp {
    Utc.with_ymd_and_hms(2026, 1, 31, 12, 0, 0).unwrap()
}

fn style(terminal: bool) -> Style {
    Style { terminal, color: false, width: 90, now: start() + Duration::minutes(3) }
}

fn target(name: &str, verdict: Verdict, detail: &str) -> TargetSummary {
    TargetSummary {
        id: TargetId::container(name),
        verdict,
        detail: detail.to_owned(),
        mode: Mode::Auto,
        excluded: false,
        external: false,
        depends_on: vec![],
        needs: vec![],
        observations: vec![],
        incident: None,
        symptom_of: None,
        holds: vec![],
        notes: vec![],
        turned: vec![],
    }
}

fn standing() -> Standing {
    Standing {
        mode: Mode::Auto,
        freezes: vec![],
        last_check: Some(start()),
        next_check: Some(start() + Duration::minutes(5)),
        check_interval_minutes: 5.0,
        cycles: 3,
        last_cycle_ms: Some(41.0),
        targets: vec![
            target("db", Verdict::Ok, "running, healthy"),
            target("web", Verdict::Critical, "exited with code 1, nobody asked for it"),
        ],
        blind: vec![],
        runtime_connected: true,
        applying: 0,
        validating: 0,
    }
}

fn finding() -> Finding {
    let web = TargetId::container("web");
    Finding {
        key: Finding::check_key(&web, "container.state"),
        target: web,
        source: FindingSource::Check {
            check: "container.state".to_owned(),
            value: "exited".to_owned(),
        },
        category: Category::Crash,
        severity: Severity::Critical,
        message: "it ended by itself with code 1".to_owned(),
        samples: vec!["panic: out of cheese \u{1b}[2J".to_owned()],
        count: 1,
        first_seen: start(),
        last_seen: start(),
        trend: Trend::Steady,
    }
}

fn held() -> Incident {
    let web = TargetId::container("web");
    let id = IncidentId("01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap());
    let mut incident = Incident::open(id, web.clone(), vec![finding()], start());
    let mut ledger = Ledger::with_base(80, "the runbook's base");
    ledger.add(5, "its last lines show a panic", LedgerSource::Evidence);
    ledger.add(-6, "it was fixed in vain before", LedgerSource::History);
    incident.diagnosis = Some(Diagnosis {
        issue_type: "container-exited".to_owned(),
        title: "The container ended".to_owned(),
        category: Category::Crash,
        blamed: web.clone(),
        summary: "Its program ended with code 1 and no restart policy brings it back.".to_owned(),
        confidence: ledger.total(),
        ledger: ledger.clone(),
        affected: vec![],
        external: false,
        elsewhere: false,
        hearsay: false,
        expected_fix_secs: 5,
        changes: vec![],
        ways: vec![],
        considered: vec![Considered {
            target: web.clone(),
            runbook: "container-oom".to_owned(),
            confidence: Confidence::clamped(62),
            why_not: "less sure than `container-exited`".to_owned(),
        }],
        basis: String::new(),
        at: start(),
    });
    incident.fix = Some(Fix {
        id: FixId(Uuid::nil()),
        fix_type: "container.start".to_owned(),
        target: web.clone(),
        issue_type: "container-exited".to_owned(),
        summary: "Start the container".to_owned(),
        steps: vec![Step {
            action: Action::ContainerStart(ContainerStart { container: "web".to_owned() }),
            role: StepRole::Repair,
        }],
        original_confidence: Confidence::clamped(85),
        confidence: ledger.total(),
        ledger,
        interruption_secs: 0,
        course: selfheal_agents::model::Course::First,
        quiet: false,
        warnings: vec!["never remove it: its data would be gone".to_owned()],
        proposed_at: start(),
    });
    let (diagnosed, held) = (IncidentState::Diagnosed, IncidentState::Held);
    incident.become_state(diagnosed, start(), Actor::RootCause, "blames itself").unwrap();
    incident.become_state(held, start(), Actor::PolicyGate, "not sure enough").unwrap();
    incident.rehearsal = Some(Rehearsal {
        fix: "Start the container".to_owned(),
        basis: String::new(),
        started_at: start(),
        took_secs: 5.31,
        verdict: RehearsalVerdict::Failed,
        why: "the clone ended with exit code 1, as the container does".to_owned(),
        lines: vec!["panic: out of cheese \u{1b}[2J".to_owned()],
    });
    incident.holds = vec![Hold::ConfidenceTooLow {
        confidence: Confidence::clamped(79),
        threshold: Confidence::clamped(85),
    }];
    incident
}

fn screen(daemon: Option<&str>, standing: &Standing, open: &[Incident]) -> Overview {
    Overview {
        daemon: daemon.map(str::to_owned),
        status: Status::of(standing, Statistics::default(), &[]),
        targets: standing.targets.clone(),
        open_incidents: open.iter().map(IncidentRow::from).collect(),
    }
}

#[test]
fn status_says_in_one_screen_what_is_wrong_and_what_to_type() {
    let view = screen(Some("http://127.0.0.1:8003"), &standing(), &[held()]);
    insta::assert_snapshot!(overview(&view, &style(true)));
}

#[test]
fn status_of_a_healthy_host_is_short() {
    let mut standing = standing();
    standing.targets.truncate(1);
    let view = screen(Some("http://127.0.0.1:8003"), &standing, &[]);
    insta::assert_snapshot!(overview(&view, &style(true)));
}

#[test]
fn status_of_a_host_whose_containers_cannot_be_seen_is_not_well() {
    let mut standing = standing();
    standing.targets.retain(|target| !target.verdict.is_bad());
    standing.blind = vec!["containers cannot be seen: nobody listens".to_owned()];
    let text = overview(&screen(Some("http://127.0.0.1:8003"), &standing, &[]), &style(true));
    assert!(text.starts_with("Not everything can be seen"), "{text}");
    assert!(!text.contains("All is well") && text.contains("nobody listens"), "{text}");
}

#[test]
fn status_of_a_frozen_and_of_an_absent_daemon_says_so() {
    let mut frozen = standing();
    frozen.freezes.push(Freeze {
        target: None,
        until: None,
        reason: "upgrade".to_owned(),
        by: "ada".to_owned(),
        safety_stop: false,
        stuck: None,
    });
    let view = screen(Some("http://127.0.0.1:8003"), &frozen, &[]);
    let text = overview(&view, &style(true));
    assert!(text.contains("mode    frozen: no automatic fixes"), "{text}");
    let line = "frozen  everything, by ada: upgrade (`selfheal unfreeze` ends it)";
    assert!(text.contains(line), "{text}");
    let absent = screen(None, &Standing { targets: vec![], ..standing() }, &[]);
    assert!(overview(&absent, &style(true)).contains("not running"));
}

#[test]
fn explaining_shows_evidence_fix_holds_and_the_next_command() {
    let detail = IncidentDetail::new(&held(), vec![]);
    insta::assert_snapshot!(incident(&detail, true, &style(true)));
}

#[test]
fn what_strangers_wrote_cannot_steer_the_terminal() {
    let text = incident(&IncidentDetail::new(&held(), vec![]), true, &style(true));
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

fn report(dry_run: bool) -> Checked {
    let incident = held();
    let row = IncidentRow::from(&incident);
    Checked::from(CycleReport {
        cycle_id: Uuid::nil(),
        trigger: Trigger::CommandLine,
        dry_run,
        started_at: start(),
        took_ms: 41.3,
        status: CycleStatus::IssuesFound,
        agents: vec![],
        targets: standing().targets,
        late: vec![],
        rising: vec![],
        findings: incident.findings.clone(),
        incidents: vec![crate::coordinator::IncidentSummary {
            id: row.id,
            state: row.state,
            severity: row.severity,
            target: row.target,
            issue_type: row.issue_type,
            title: row.title,
            confidence: row.confidence,
            fix: row.fix,
            holds: incident.holds,
            opened_at: row.opened_at,
            began_at: None,
            closed_at: None,
        }],
        blind: vec![],
    })
}

#[test]
fn a_symptom_names_its_cause() {
    let mut shown = report(true);
    let text = checked(&shown, &style(true));
    assert!(!text.contains("symptom"), "{text}");
    let mut web = target("web", Verdict::Critical, "unhealthy");
    web.symptom_of = Some(TargetId::container("db"));
    shown.report.targets.push(web);
    let text = checked(&shown, &style(true));
    assert!(text.contains("unhealthy (a symptom of container:db)"), "{text}");
}

#[test]
fn a_check_shows_targets_diagnoses_and_what_would_be_done() {
    insta::assert_snapshot!(checked(&report(true), &style(true)));
}

#[test]
fn a_program_gets_whole_ids_and_times() {
    let list = IncidentList { incidents: vec![IncidentRow::from(&held())], next_cursor: None };
    insta::assert_snapshot!(incidents(&list, &style(false)));
}

#[test]
fn an_empty_list_says_what_to_do() {
    let none = IncidentList { incidents: vec![], next_cursor: None };
    assert!(incidents(&none, &style(true)).contains("selfheal demo"));
    let none = TargetList { targets: vec![], total: 0, blind: vec![] };
    assert!(targets(&none, &style(true)).contains("selfheal run"));
}

#[test]
fn the_shadow_report_says_what_came_without_each_fix() {
    use selfheal_agents::learning_engine::{ShadowReport, ShadowRow};
    use selfheal_agents::model::Autonomy;

    let row = |name: &str, would_have_acted, same_way, confirmed| ShadowRow {
        target: TargetId::container(name),
        issue_type: "container-unhealthy".to_owned(),
        fix_type: "container.restart".to_owned(),
        since: start(),
        would_have_acted,
        same_way,
        came_back: 0,
        by_itself: would_have_acted - same_way,
        approved: 0,
        dismissed: 0,
        under_way: 0,
        confirmed,
    };
    let rows = vec![row("web", 14, 13, 13), row("worker", 1, 0, 0)];
    let report = ShadowReport { autonomy: Autonomy::Earned, needed: 3, rows };
    let text = shadow(&report, &style(true));
    assert!(text.contains("container:web: `container.restart` would have acted 14 times, 13 recovered the same way without it"), "{text}");
    assert!(text.contains("0 of 3"), "{text}");
    let empty = ShadowReport { rows: vec![], ..report };
    assert!(shadow(&empty, &style(true)).starts_with("Nothing yet"));
}
