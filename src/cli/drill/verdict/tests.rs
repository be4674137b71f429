use std::time::Duration;

use chrono::TimeDelta;

use super::*;

const WELL: End = End::WellAgain(Duration::from_secs(2));

fn web() -> TargetId {
    TargetId::container("web")
}

fn app() -> TargetId {
    TargetId::container("app")
}

/// A fix of `target` that was begun so many seconds after the fault.
fn fixed(target: &TargetId, after: i64, state: IncidentState) -> Did {
    Did {
        incident: IncidentId(uuid::Uuid::nil()),
        target: target.clone(),
        title: "it is broken".to_owned(),
        state,
        fix_type: Some("container.start".to_owned()),
        fix_target: Some(target.clone()),
        applied_at: Some(Timestamp::UNIX_EPOCH + TimeDelta::seconds(after)),
        holds: vec![],
    }
}

fn held(target: &TargetId) -> Did {
    let holds = vec!["not sure enough".to_owned()];
    Did { applied_at: None, holds, ..fixed(target, 0, IncidentState::Held) }
}

fn judged(kind: Kind, end: End, suffered: &[TargetId], did: &[Did]) -> Verdict {
    let (target, suffered) = (web(), suffered.iter().cloned().collect());
    let policy = RestartPolicy::No;
    Course { kind, target: &target, policy, end, suffered: &suffered, did }.judge().0
}

#[test]
fn a_kept_fix_heals_and_one_that_was_taken_back_does_not() {
    let kept = [fixed(&web(), 1, IncidentState::Resolved)];
    assert_eq!(judged(Kind::Crash, WELL, &[], &kept), Verdict::Healed);
    let undone = [fixed(&web(), 1, IncidentState::RolledBack)];
    assert_eq!(judged(Kind::Crash, WELL, &[], &undone), Verdict::NotHealed);
    assert_eq!(judged(Kind::Crash, End::TimeOver, &[], &kept), Verdict::NotHealed);
}

#[test]
fn what_came_back_without_a_fix_is_not_selfheals_merit() {
    let (target, suffered) = (web(), BTreeSet::new());
    let by = |policy, did: &[Did]| {
        let kind = Kind::Crash;
        Course { kind, target: &target, policy, end: WELL, suffered: &suffered, did }.judge().0
    };
    assert_eq!(by(RestartPolicy::Always, &[]), Verdict::HealedByDocker);
    assert_eq!(by(RestartPolicy::No, &[]), Verdict::HealedByItself);
    assert_eq!(by(RestartPolicy::No, &[held(&web())]), Verdict::HealedByItself);
}

#[test]
fn a_stopped_container_is_started_only_for_somebody_who_fails() {
    let started = [fixed(&web(), 1, IncidentState::Resolved)];
    assert_eq!(judged(Kind::Stop, WELL, &[], &started), Verdict::TouchedWrongly);
    assert_eq!(judged(Kind::Stop, WELL, &[app()], &started), Verdict::Healed);
    assert_eq!(judged(Kind::Stop, End::Untouched, &[], &[]), Verdict::LeftAlone);
    assert_eq!(judged(Kind::Stop, End::TimeOver, &[app()], &[]), Verdict::NotHealed);
}

#[test]
fn who_worked_must_not_be_changed_before_the_cause_is_mended() {
    let cause = |after| fixed(&web(), after, IncidentState::Resolved);
    let other = |after| fixed(&app(), after, IncidentState::Resolved);
    let touched = |suffered: &[TargetId], did: &[Did]| judged(Kind::Hang, WELL, suffered, did);
    assert_eq!(touched(&[], &[other(1), cause(5)]), Verdict::TouchedWrongly);
    assert_eq!(touched(&[], &[cause(1), other(5)]), Verdict::Healed);
    assert_eq!(touched(&[app()], &[other(1), cause(5)]), Verdict::Healed);
    assert_eq!(touched(&[], &[other(1)]), Verdict::TouchedWrongly);
}

#[test]
fn what_nobody_missed_need_only_be_told() {
    assert_eq!(judged(Kind::Network, End::Untouched, &[], &[held(&web())]), Verdict::Told);
    assert_eq!(judged(Kind::Network, End::TimeOver, &[app()], &[held(&web())]), Verdict::NotHealed);
}

#[test]
fn a_fix_that_was_held_is_told_with_its_reason() {
    let (target, suffered) = (web(), BTreeSet::new());
    let did = [held(&app()), held(&web())];
    let course = Course {
        kind: Kind::Crash,
        target: &target,
        policy: RestartPolicy::No,
        end: End::TimeOver,
        suffered: &suffered,
        did: &did,
    };
    assert_eq!(course.tells().unwrap().target, web());
    assert_eq!(course.judge(), (Verdict::NotHealed, Some("held: not sure enough".to_owned())));
    let unseen = Course { did: &[], ..course };
    let why = unseen.judge().1.unwrap();
    assert_eq!(why, "no incident was opened");
}
