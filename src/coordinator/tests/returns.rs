//! Stories of faults that return after their fix was kept.

use selfheal_agents::model::{Actor, Confidence};

use super::*;

/// Lets a restart follow a failure: what is told here is what is learnt, not what is decided.
fn lenient() -> Rules {
    Rules { threshold: Confidence::literal(60), ..Rules::default() }
}

/// A container that crashed and was mended.
async fn mended(fake: FakeWorld) -> Stage {
    let stage = Stage::new(fake, lenient());
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(300).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
    stage
}

/// Passes time until so many minutes after the fix was kept.
async fn until_after_kept(stage: &Stage, minutes: i64) {
    let kept_at = stage.outcomes().await[0].timestamp;
    let left = kept_at + chrono::TimeDelta::minutes(minutes) - stage.fake.clock().now();
    stage.pass(left.num_seconds().unsigned_abs()).await;
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_returns_within_the_hour_turns_the_success_into_a_failure() {
    let stage = mended(shop()).await;
    until_after_kept(&stage, 58).await;
    stage.fake.crash("web", 1);
    stage.pass(5).await;
    let outcomes = stage.outcomes().await;
    assert_eq!(only_one(&outcomes).validation_status, ValidationStatus::CameBack);
    assert!(!outcomes[0].success);
    let earlier = stage.incidents().await.pop().unwrap();
    let told = earlier.timeline.last().unwrap();
    assert_eq!(told.actor, Actor::LearningEngine);
    assert_eq!(
        told.text,
        "it came back 58 min after `container.start` was kept: that counts as a failure"
    );
    assert_eq!(earlier.state(), IncidentState::Resolved);
    let again = stage.incidents().await.remove(0);
    let ledger = &again.fix.unwrap().ledger;
    let said =
        ledger.entries.iter().any(|e| e.what.starts_with("`container.start` helped 0 of 1 times"));
    assert!(said, "the next decision knows: {ledger:?}");

    stage.pass(300).await;
    stage.look().await;
    assert_eq!(stage.outcomes().await.iter().filter(|o| o.success).count(), 1, "the second fix");
}

fn only_one(outcomes: &[Outcome]) -> &Outcome {
    assert_eq!(outcomes.len(), 1, "{outcomes:#?}");
    &outcomes[0]
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_returns_after_the_hour_is_another_one() {
    let stage = mended(shop()).await;
    until_after_kept(&stage, 61).await;
    stage.fake.crash("web", 1);
    stage.pass(5).await;
    assert_eq!(stage.incidents().await.len(), 2);
    assert!(only_one(&stage.outcomes().await).success);
}

#[tokio::test(start_paused = true)]
async fn another_fault_and_that_of_another_target_leave_the_success() {
    let fake = old_world(|w| {
        w.add(healthy("web")).add(healthy("api"));
    });
    let stage = mended(fake).await;
    until_after_kept(&stage, 10).await;
    stage.fake.crash("api", 1);
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(5).await;
    assert_eq!(stage.incidents().await.len(), 3);
    assert!(only_one(&stage.outcomes().await).success);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_made_anew_since_did_not_come_back() {
    let stage = mended(shop()).await;
    until_after_kept(&stage, 10).await;
    stage.fake.remove("web");
    stage.pass(1).await;
    stage.fake.add(healthy("web"));
    stage.fake.emit("web", selfheal_agents::model::RuntimeEventKind::Create);
    stage.pass(120).await;
    stage.fake.crash("web", 1);
    stage.pass(5).await;
    assert_eq!(stage.incidents().await.len(), 2);
    assert!(only_one(&stage.outcomes().await).success);
}

#[tokio::test(start_paused = true)]
async fn what_did_not_help_is_followed_by_another_look_although_nothing_happens() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.behaves("web", Behaviour::StaysUnhealthy);
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(60).await;
    let incidents = stage.incidents().await;
    let count = |state| incidents.iter().filter(|i| i.state() == state).count();
    assert!(count(IncidentState::RolledBack) >= 1, "{incidents:#?}");
    let waits = incidents.iter().find(|incident| !incident.state().is_closed());
    assert!(waits.is_some(), "it is still broken: {incidents:#?}");
}
