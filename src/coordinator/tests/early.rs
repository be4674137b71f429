//! Stories of fixes that lack nothing but time.

use selfheal_agents::model::DatabaseFacts;
use selfheal_agents::root_cause::Unmet;

use super::super::early;
use super::remains::{forgotten, postgres, reached_at};
use super::*;

/// A server without a free connection, five of which were forgotten so many seconds ago.
fn exhausted(idle_secs: f64) -> DatabaseFacts {
    DatabaseFacts {
        reachable: true,
        connections: Some(30),
        max_connections: Some(30),
        idle_in_transaction: (1..=5).map(|pid| forgotten(pid, idle_secs)).collect(),
        blocked: Some(0),
        ..DatabaseFacts::default()
    }
}

/// It lets nobody in, for this reason.
fn answers_nobody(stage: &Stage, why: &str) {
    let error = Some(why.to_owned());
    let facts = DatabaseFacts { reachable: false, error, ..DatabaseFacts::default() };
    stage.fake.answers(&Endpoint::Postgres(reached_at()), Facts::Postgres(facts));
}

/// Sessions that were forgotten 20 s ago, and an incident that waits until they are old enough.
async fn waiting() -> Stage {
    let stage = postgres(exhausted(0.1));
    stage.look().await;
    assert_eq!(ended_after(&stage, 20, |second| second as f64).await, None);
    stage
}

/// Lets so many seconds pass in which the sessions grow older by as many, and answers after how
/// many the first was ended.
async fn ended_after(stage: &Stage, seconds: u64, age: impl Fn(u64) -> f64) -> Option<u64> {
    for second in 1..=seconds {
        let facts = Facts::Postgres(exhausted(age(second)));
        stage.fake.answers(&Endpoint::Postgres(reached_at()), facts);
        stage.pass(1).await;
        if !stage.fake.effects().is_empty() {
            return Some(second);
        }
    }
    None
}

#[tokio::test(start_paused = true)]
async fn what_is_too_young_to_be_ended_is_looked_at_when_it_is_old_enough_and_not_by_chance() {
    let stage = postgres(exhausted(0.1));
    stage.look().await;
    let held = ended_after(&stage, 40, |second| second as f64).await;
    assert_eq!(held, None, "it may be between two statements");
    let names = |incident: &Incident| incident.holds.iter().map(Hold::name).collect::<Vec<_>>();
    assert_eq!(names(only(&stage.incidents().await)), ["too_early"]);
    let ended = ended_after(&stage, 60, |second| 40.0 + second as f64).await;
    assert!(ended.is_some_and(|after| (20..=23).contains(&after)), "60 s and a moment: {ended:?}");
    assert_eq!(stage.alerts().await, Vec::<String>::new(), "nobody gets up for that");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_be_asked_for_a_moment_wakes_nobody_before_the_time_has_come() {
    let stage = waiting().await;
    answers_nobody(&stage, "too_many_connections");
    stage.look().await;
    assert_eq!(stage.alerts().await, Vec::<String>::new());
    let ended = ended_after(&stage, 80, |second| 20.0 + second as f64).await;
    assert!(ended.is_some_and(|after| (40..=43).contains(&after)), "60 s and a moment: {ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_nobody_any_more_is_told_of_when_the_time_has_come() {
    let stage = waiting().await;
    answers_nobody(&stage, "too_many_connections");
    stage.look().await;
    assert_eq!(stage.alerts().await, Vec::<String>::new());
    stage.pass(60).await;
    assert_eq!(stage.alerts().await, ["held"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_waited_for_ends_with_the_trouble_it_would_have_mended() {
    let stage = waiting().await;
    // Something else is wrong with it now.
    answers_nobody(&stage, "invalid_password");
    stage.look().await;
    let incident = only(&stage.incidents().await).clone();
    let waits = incident.holds.iter().any(|hold| matches!(hold, Hold::TooEarly { .. }));
    assert!(!waits, "{:#?}", (incident.diagnosis.map(|d| d.issue_type), incident.holds));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_was_told_of_yet_may_still_wait_for_its_fix() {
    let stage = waiting().await;
    let mut incident = only(&stage.incidents().await).clone();
    let now = stage.fake.clock().now();
    let unmet = || Unmet { why: "too young".to_owned(), from: now + Duration::from_secs(40) };
    let names = |incident: &Incident| {
        early::holds(incident, unmet(), now).iter().map(Hold::name).collect::<Vec<_>>()
    };
    // Its server could not be asked, and what held it besides is over.
    incident.hold_for(vec![Hold::NoFixKnown], now);
    assert_eq!(names(&incident), ["too_early"]);
    incident.told = true;
    assert_eq!(names(&incident), ["no_fix_known", "too_early"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_always_young_is_told_to_a_person() {
    let stage = postgres(exhausted(0.1));
    stage.look().await;
    // A pool whose sessions come and go: none is ever forgotten.
    assert_eq!(ended_after(&stage, 55, |second| (second % 7) as f64 + 0.1).await, None);
    assert_eq!(stage.alerts().await, Vec::<String>::new());
    assert_eq!(ended_after(&stage, 25, |second| (second % 7) as f64 + 0.1).await, None);
    assert_eq!(stage.alerts().await, ["held"], "the time came, and nothing was old enough");
    let incident = only(&stage.incidents().await).clone();
    assert_eq!(incident.holds[0], Hold::NoFixKnown);
    // And then one is forgotten after all.
    let ended = ended_after(&stage, 130, |second| second as f64).await;
    assert!(ended.is_some(), "{incident:#?}");
}

#[tokio::test(start_paused = true)]
async fn where_waiting_was_in_vain_it_is_looked_at_ever_more_rarely_and_told_once() {
    let stage = postgres(exhausted(0.1));
    stage.look().await;
    // Each time the one that is about to be old enough ends, and another one is nearly as old.
    let lapse = async |seconds| {
        let before = stage.coordinator.standing().cycles;
        assert_eq!(ended_after(&stage, seconds, |second| 58.0 + (second % 2) as f64).await, None);
        stage.coordinator.standing().cycles - before
    };
    lapse(120).await;
    let told = only(&stage.incidents().await).timeline.len();
    let later = lapse(600).await;
    assert!((5..=25).contains(&later), "one a minute, and those of the schedule: {later}");
    // Now and then there is no session at all.
    let calm = DatabaseFacts { idle_in_transaction: vec![], ..exhausted(0.1) };
    for _ in 0..10 {
        stage.fake.answers(&Endpoint::Postgres(reached_at()), Facts::Postgres(calm.clone()));
        stage.look().await;
        let young = Facts::Postgres(exhausted(0.1));
        stage.fake.answers(&Endpoint::Postgres(reached_at()), young);
        stage.look().await;
    }
    let incident = only(&stage.incidents().await).clone();
    assert_eq!(incident.timeline.len(), told, "{:#?}", incident.timeline);
}
