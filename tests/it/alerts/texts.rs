//! What alerts say, as somebody reads it who was just woken.

use std::path::Path;

use selfheal::alerts::{AlertEvent, alert_for, blind, damaged, stopped, unreadable};
use selfheal_agents::fix_engineer::actions::{Action, ContainerStart};
use selfheal_agents::model::{
    Actor, Backup, Category, Diagnosis, Fix, Hold, Incident, IncidentState, Ledger, LedgerSource,
    Mode, Severity, Step, StepRole, TargetId, Validation, ValidationVerdict,
};
use selfheal_agents::ports::Alert;

use crate::store::samples::*;

fn ledger() -> Ledger {
    let mut ledger = Ledger::with_base(70, "the container ended by itself with an error");
    ledger.add(20, "a client that used it cannot reach it", LedgerSource::Evidence);
    ledger.add(-4, "it was deployed 20 minutes ago", LedgerSource::Evidence);
    ledger.add(6, "worked 8 of 10 times", LedgerSource::History);
    ledger
}

pub(super) fn crashed() -> Incident {
    let mut incident = incident(1, &web(), 0);
    incident.diagnosis = Some(Diagnosis {
        issue_type: "container-crash".to_owned(),
        title: "The container crashed and nothing restarts it".to_owned(),
        category: Category::Crash,
        blamed: web(),
        summary: "`web` ended with exit code 1 at 16:59:58 and has no restart policy.".to_owned(),
        ledger: ledger(),
        confidence: ledger().total(),
        affected: vec![TargetId::container("proxy")],
        external: false,
        elsewhere: false,
        hearsay: false,
        expected_fix_secs: 3,
        changes: vec![],
        ways: vec![],
        considered: vec![],
        basis: String::new(),
        at: at(1),
    });
    let start = ContainerStart { container: "web".to_owned() };
    incident.fix = Some(Fix {
        fix_type: "container.start".to_owned(),
        summary: "start container `web`".to_owned(),
        steps: vec![Step { action: Action::ContainerStart(start), role: StepRole::Repair }],
        ledger: ledger(),
        course: selfheal_agents::model::Course::First,
        quiet: false,
        warnings: vec!["remove the container: its data is inside".to_owned()],
        ..fix(1)
    });
    let Backup { id, .. } = backup(1, 2, "");
    incident.backups = vec![id];
    incident.validation = Some(Validation {
        started_at: at(3),
        ends_at: at(123),
        grace_until: at(8),
        window_secs: 120,
        recovered_at: Some(at(5)),
        verdict: Some(ValidationVerdict::Kept),
        ..validation()
    });
    incident
}

fn validation() -> Validation {
    serde_json::from_value(serde_json::json!({
        "started_at": at(0), "ends_at": at(0), "grace_until": at(0), "window_secs": 0,
        "baseline_errors_per_minute": null, "recovered_at": null, "failing_in_a_row": 0,
        "deaths": 0, "samples": [], "verdict": null, "why": null,
    }))
    .unwrap()
}

fn shown(alert: &Alert) -> String {
    format!("[{} {:?}] {}\n\n{}", alert.event, alert.severity, alert.title, alert.body)
}

#[test]
fn a_held_fix_says_why_and_how_to_approve() {
    let mut incident = crashed();
    incident.holds = vec![Hold::Mode { mode: Mode::Approve }];
    insta::assert_snapshot!(shown(&alert_for(&incident, AlertEvent::Held)));
}

#[test]
fn a_fault_without_a_fix_says_that_a_person_must_act() {
    let mut incident = crashed();
    incident.fix = None;
    incident.holds = vec![Hold::NoFixKnown];
    insta::assert_snapshot!(shown(&alert_for(&incident, AlertEvent::Held)));
}

#[test]
fn a_fault_not_yet_diagnosed_still_says_what_is_broken() {
    let mut incident = incident(1, &web(), 0);
    incident.holds = vec![Hold::FactsMissing { what: "docker did not answer".to_owned() }];
    insta::assert_snapshot!(shown(&alert_for(&incident, AlertEvent::Held)));
}

#[test]
fn a_fix_that_was_kept_says_that_nothing_is_to_be_done() {
    insta::assert_snapshot!(shown(&alert_for(&crashed(), AlertEvent::Resolved)));
}

#[test]
fn a_recovery_by_itself_claims_no_credit() {
    insta::assert_snapshot!(shown(&alert_for(&crashed(), AlertEvent::Recovered)));
}

#[test]
fn a_fix_that_was_taken_back_says_why() {
    let mut incident = crashed();
    if let Some(validation) = &mut incident.validation {
        validation.why = Some("it ended again after 4 s".to_owned());
    }
    insta::assert_snapshot!(shown(&alert_for(&incident, AlertEvent::RolledBack)));
}

#[test]
fn a_stuck_fix_calls_for_a_person_at_once() {
    let mut incident = crashed();
    incident.severity = Severity::Warning;
    let why = "`set delay_s` could not be taken back: the file is read-only; the state before is in \
               backup_20251019_170002";
    incident.by_hand = vec!["edit /srv/web.json: set delay_s back to 0.5".to_owned()];
    for state in [IncidentState::Diagnosed, IncidentState::Fixing, IncidentState::Stuck] {
        incident.become_state(state, at(2), Actor::FixEngineer, why).unwrap();
    }
    insta::assert_snapshot!(shown(&alert_for(&incident, AlertEvent::Stuck)));
}

#[test]
fn blindness_names_its_remedy() {
    let what = "Docker at unix:///var/run/docker.sock: permission denied; add the user to the \
                group `docker`.";
    insta::assert_snapshot!(shown(&blind(what, at(0))));
}

#[test]
fn what_strangers_wrote_cannot_steer_the_reader() {
    let mut incident = incident(1, &web(), 0);
    incident.findings[0].message =
        "\u{1b}[2J\u{202e}evil\r\nPASSWORD=c4n4ryc4n4ry https://u:c4n4ryc4n4ry@h/".to_owned();
    for event in [AlertEvent::Held, AlertEvent::Resolved, AlertEvent::Stuck] {
        let alert = alert_for(&incident, event);
        let text = format!("{}\n{}", alert.title, alert.body);
        assert!(!text.contains("c4n4ry"), "{text}");
        assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text}");
        assert!(!alert.title.contains('\n'));
    }
}

#[test]
fn an_incident_with_very_much_in_it_still_makes_a_short_alert() {
    let mut incident = crashed();
    incident.findings = (0..500).map(|_| finding(&web(), 0)).collect();
    let alert = alert_for(&incident, AlertEvent::Held);
    assert!(alert.body.len() < 8000, "{}", alert.body.len());
    assert!(alert.body.contains("more"));
}

#[test]
fn each_event_of_an_incident_has_a_key_of_its_own() {
    let incident = crashed();
    let key = |event| alert_for(&incident, event).key;
    assert_eq!(key(AlertEvent::Held), format!("{} held", incident.id));
    assert_ne!(key(AlertEvent::Held), key(AlertEvent::Resolved));
    assert_ne!(blind("docker", at(0)).key, blind("docker", at(1)).key);
}

#[test]
fn a_damaged_database_says_what_took_its_place_and_what_is_not_known() {
    let aside = Path::new("/var/lib/selfheal/selfheal.db.corrupt-20251019_180000");
    let restored = damaged(Some(aside), Some(at(0)), &[], at(3600));
    for words in [
        "selfheal.db.corrupt-20251019_180000",
        "the snapshot of 2025-10-19 17:00:00 UTC is restored",
        "what happened since is not known",
        "`selfheal unfreeze`",
    ] {
        assert!(restored.title.contains(words), "{}", restored.title);
    }
    assert!(restored.body.contains("nothing was done about them"), "{}", restored.body);
    let empty = damaged(Some(aside), None, &[], at(3600));
    assert!(empty.title.contains("a new one is begun"), "{}", empty.title);
    assert!(!empty.title.contains("snapshot"), "{}", empty.title);
    let gone = damaged(None, Some(at(0)), &[], at(3600));
    assert!(gone.title.starts_with("Selfheal's database was gone; the snapshot"), "{}", gone.title);
    assert!(!gone.title.contains("set aside"), "{}", gone.title);
}

#[test]
fn a_damaged_database_names_the_fixes_of_which_only_the_backup_is_left() {
    let mut begun = backup(1, 60, "delay = 0.1\n");
    begun.reason = "restart container `web`".to_owned();
    let alert = damaged(None, Some(at(0)), &[begun.clone()], at(3600));
    for words in
        ["Begun since", "restart container `web`", &format!("selfheal rollback {}", begun.id)]
    {
        assert!(alert.body.contains(words), "{}", alert.body);
    }
    assert!(!damaged(None, Some(at(0)), &[], at(3600)).body.contains("Begun since"));
}

#[test]
fn a_journal_that_cannot_be_read_says_what_to_do() {
    insta::assert_snapshot!(shown(&unreadable("the store holds something unreadable", at(0))));
}

#[test]
fn a_stop_after_too_many_failures_names_what_failed_and_how_to_end_it() {
    let alert = stopped("5 fixes failed within an hour", at(0));
    assert_eq!(
        alert.title,
        "Selfheal has stopped healing: 5 fixes failed within an hour. It watches and reports, and \
         nothing is changed until you have looked and typed `selfheal unfreeze`."
    );
    assert_eq!(alert.severity, Severity::Critical);
    assert_eq!(stopped("6 fixes failed within an hour", at(0)).key, alert.key, "told once");
    assert_ne!(stopped("5 fixes failed within an hour", at(1)).key, alert.key, "again is news");
}
