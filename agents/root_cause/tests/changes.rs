use super::*;
use crate::model::ChangeKind;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(seconds, 0).unwrap()
}

/// Trouble begins at second 0.
fn change(kind: ChangeKind, seconds: i64) -> Change {
    Change {
        at: at(seconds),
        target: id("container:web"),
        kind,
        what: format!("its {} changed", kind.as_str()),
        by_selfheal: false,
    }
}

fn exited_web(changes: Vec<Change>) -> Scene {
    let scene =
        Scene::default().observe("container:web", "container.state", "exited", Verdict::Critical);
    Scene { changes, ..scene }
}

fn with_base(base: u8, status: &str) -> Runbook {
    let mut runbook = exited();
    runbook.diagnosis.base = base;
    runbook.status = toml::Value::from(status).try_into().unwrap();
    runbook
}

fn only(scene: &Scene, runbook: Runbook) -> Diagnosis {
    let mut explained = scene.diagnose(&[runbook]);
    assert_eq!(explained.len(), 1);
    explained.remove(0).diagnosis
}

#[test]
fn the_nearer_a_change_the_more_it_says_and_what_came_later_says_nothing() {
    for (kind, seconds, points) in [
        (ChangeKind::Image, -12, 6),
        (ChangeKind::File, -300, 4),
        (ChangeKind::Environment, -3000, 2),
        (ChangeKind::Started, -12, 2),
        (ChangeKind::Started, -3000, 0),
        (ChangeKind::File, -3700, 0),
        (ChangeKind::File, 30, 0),
    ] {
        let found = only(&exited_web(vec![change(kind, seconds)]), with_base(60, "reproduced"));
        let told = i32::from(found.confidence.percent()) - 60;
        assert_eq!(told, points, "{kind:?} at {seconds}: {:?}", found.ledger);
    }
}

#[test]
fn several_changes_of_one_deployment_count_once_and_are_all_shown() {
    let kinds = [ChangeKind::Deployed, ChangeKind::Image, ChangeKind::Environment];
    let changes = kinds.map(|kind| change(kind, -12)).to_vec();
    let found = only(&exited_web(changes), with_base(60, "reproduced"));
    assert_eq!(found.confidence.percent(), 66);
    let shown: Vec<String> = found.changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "12 s before: `container:web`: its image changed",
            "12 s before: `container:web`: its environment changed",
            "12 s before: `container:web`: its deployed changed",
        ]
    );
    let entry = found.ledger.entries.last().unwrap();
    assert_eq!((entry.points, entry.what.as_str()), (6, shown[0].as_str()));
}

#[test]
fn a_change_never_makes_a_diagnosis_sure_enough_to_act_alone() {
    for (base, status, sure) in [
        (80, "reproduced", 84),
        (84, "reproduced", 84),
        (90, "reproduced", 96),
        (80, "documented", 84),
        (84, "documented", 84),
        (60, "documented", 66),
    ] {
        let scene = exited_web(vec![change(ChangeKind::Image, -12)]);
        let found = only(&scene, with_base(base, status));
        assert_eq!(found.confidence.percent(), sure, "{base} {status}: {:?}", found.ledger);
    }
}

#[test]
fn what_selfheal_changed_itself_is_shown_and_counts_nothing() {
    let own = Change { by_selfheal: true, ..change(ChangeKind::File, -12) };
    let found = only(&exited_web(vec![own]), with_base(60, "reproduced"));
    assert_eq!(found.confidence.percent(), 60);
    assert_eq!(
        found.changes[0].to_string(),
        "12 s before: `container:web`: its file changed (by Selfheal)"
    );
}

#[test]
fn a_change_of_another_container_is_no_evidence() {
    let other = Change { target: id("container:db"), ..change(ChangeKind::File, -12) };
    let found = only(&exited_web(vec![other]), with_base(60, "reproduced"));
    assert_eq!((found.confidence.percent(), found.changes.len()), (60, 0));
}

#[test]
fn a_runbook_may_ask_what_changed() {
    let asks = |runbook: &mut Runbook, kinds: &str| {
        let condition = format!("changed = {kinds}");
        let mut piece = runbook.evidence[0].clone();
        piece.when = toml::from_str(&condition).unwrap();
        piece.weight = -10;
        runbook.evidence.push(piece);
    };
    for (kinds, sure) in [("[\"image\"]", 56), ("[\"file\", \"environment\"]", 66)] {
        let mut runbook = with_base(60, "reproduced");
        asks(&mut runbook, kinds);
        let found = only(&exited_web(vec![change(ChangeKind::Image, -12)]), runbook);
        assert_eq!(found.confidence.percent(), sure, "{kinds}: {:?}", found.ledger);
    }
}
