use super::*;
use selfheal_agents::model::{Confidence, Hold, TargetId};

use crate::http::body::HoldRow;

fn standing(verdicts: &[(&str, Verdict)]) -> Standing {
    let target = |(name, verdict): &(&str, Verdict)| TargetSummary {
        id: TargetId::container(name),
        verdict: *verdict,
        detail: "exited with code 1".to_owned(),
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
    };
    Standing {
        mode: Mode::Auto,
        freezes: vec![],
        last_check: None,
        next_check: None,
        check_interval_minutes: 5.0,
        cycles: 1,
        last_cycle_ms: None,
        targets: verdicts.iter().map(target).collect(),
        blind: vec![],
        runtime_connected: true,
        applying: 0,
        validating: 0,
    }
}

fn row(state: IncidentState) -> IncidentRow {
    let hold = Hold::ConfidenceTooLow {
        confidence: Confidence::clamped(70),
        threshold: Confidence::clamped(85),
    };
    IncidentRow {
        id: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
        state,
        severity: Severity::Critical,
        target: TargetId::container("web"),
        issue_type: None,
        title: "<script>alert(1)</script>".to_owned(),
        confidence: Some(Confidence::clamped(70)),
        fix: Some("Start the container.".to_owned()),
        applied: false,
        holds: vec![HoldRow::from(&hold)],
        opened_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        closed_at: None,
    }
}

fn page(standing: &Standing, open: &[IncidentRow]) -> String {
    let days = BTreeMap::new();
    OverviewPage::new(standing, open, &[], true, &days, Timestamp::UNIX_EPOCH).render().unwrap()
}

#[test]
fn the_sentence_on_top_says_how_it_stands() {
    let held = [row(IncidentState::Held)];
    for (standing, open, text) in [
        (standing(&[]), &[][..], "Selfheal is taking its first look."),
        (standing(&[("a", Verdict::Ok)]), &[], "All is well: 1 target watched."),
        (
            standing(&[("a", Verdict::Ok), ("b", Verdict::Critical)]),
            &held,
            "1 of 2 targets not well; 1 incident waits for you.",
        ),
    ] {
        assert_eq!(Headline::new(&standing, open).text, text);
    }
}

#[test]
fn a_symptom_names_its_cause() {
    let mut standing = standing(&[("db", Verdict::Critical), ("web", Verdict::Critical)]);
    standing.targets[1].symptom_of = Some(TargetId::container("db"));
    let html = page(&standing, &[]);
    assert_eq!(html.matches("A symptom of <strong>container:db</strong>").count(), 1, "{html}");
}

#[test]
fn being_blind_is_never_called_well() {
    let mut standing = standing(&[("a", Verdict::Ok)]);
    standing.blind.push("Docker cannot be reached".to_owned());
    let headline = Headline::new(&standing, &[]);
    assert_eq!(headline.tone, "warning");
    assert!(headline.text.starts_with("What can be seen"));
}

#[test]
fn what_strangers_wrote_cannot_become_markup() {
    let html = page(&standing(&[("web", Verdict::Critical)]), &[row(IncidentState::Held)]);
    assert!(!html.contains("<script>alert"), "{html}");
    assert!(html.contains("alert(1)"));
}

#[test]
fn the_page_loads_nothing_from_elsewhere_and_has_nothing_inline() {
    let html = page(&standing(&[("web", Verdict::Ok)]), &[]);
    for forbidden in ["http://", "https://", "style=", "onclick", "<style"] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn a_held_incident_says_why_and_what_it_would_do() {
    assert_eq!(
        said(&row(IncidentState::Held)),
        "Waits: only 70 % sure; 85 % is needed to act alone. It would start the container (70 % \
         sure)."
    );
}

#[test]
fn broken_targets_come_first() {
    let html = page(&standing(&[("aaa", Verdict::Ok), ("zzz", Verdict::Critical)]), &[]);
    assert!(html.find("container:zzz") < html.find("container:aaa"));
}

#[test]
fn times_are_said_as_a_person_says_them() {
    assert_eq!(ago(59), "59 s ago");
    assert_eq!(ago(60), "1 min ago");
    assert_eq!(ago(-300), "in 5 min");
    assert_eq!(ago(7200), "2 h ago");
    assert_eq!(ago(3 * 86_400), "3 days ago");
}

#[test]
fn a_stop_after_too_many_failures_is_told_from_a_freeze_of_somebodys() {
    let by_ada = Freeze {
        target: None,
        until: None,
        reason: "moving house".to_owned(),
        by: "ada".to_owned(),
        safety_stop: false,
        stuck: None,
    };
    let stopped = Freeze { safety_stop: true, ..by_ada.clone() };
    let shown = |freezes: Vec<Freeze>| page(&Standing { freezes, ..standing(&[]) }, &[]);
    let text = shown(vec![by_ada.clone()]);
    assert!(text.contains("a person stopped all automatic fixes"), "{text}");
    let text = shown(vec![by_ada, stopped]);
    assert!(text.contains("It stopped itself"), "{text}");
}
