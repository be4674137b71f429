//! Stories of windows whose clock is set, and of hosts that were away for longer than they last.

use selfheal_agents::model::{ContainerStatus, HealthStatus};

use super::*;

/// Sets the clock on, or back.
fn set_clock(stage: &Stage, by: chrono::TimeDelta) {
    let clock = stage.fake.clock();
    clock.set(clock.now() + by);
}

/// A container just started, in its window.
async fn in_its_window() -> Stage {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(20).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Validating);
    stage
}

async fn first_state(stage: &Stage) -> IncidentState {
    stage.incidents().await.iter().min_by_key(|i| i.opened_at).unwrap().state()
}

fn an_hour_either_way() -> [chrono::TimeDelta; 2] {
    [chrono::TimeDelta::hours(1), chrono::TimeDelta::hours(-1)]
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_makes_no_window_shorter_or_longer() {
    for by in an_hour_either_way() {
        let stage = in_its_window().await;
        set_clock(&stage, by);
        stage.pass(90).await;
        assert_eq!(first_state(&stage).await, IncidentState::Validating, "{by}");
        stage.pass(20).await;
        assert_eq!(first_state(&stage).await, IncidentState::Resolved, "{by}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_after_the_clock_was_set_is_taken_back_as_soon_as_ever() {
    for by in an_hour_either_way() {
        let stage = in_its_window().await;
        set_clock(&stage, by);
        stage.fake.hang("web");
        stage.pass(10).await;
        let incidents = stage.incidents().await;
        let states: Vec<_> = incidents.iter().map(Incident::state).collect();
        assert!(states.contains(&IncidentState::RolledBack), "{by}: {states:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_death_after_the_clock_was_set_back_is_one_although_it_is_up_again() {
    let stage = in_its_window().await;
    set_clock(&stage, chrono::TimeDelta::hours(-1));
    stage.pass(20).await;
    assert_eq!(first_state(&stage).await, IncidentState::Validating);
    stage.fake.crash("web", 1);
    stage.fake.change("web", |facts| facts.status = ContainerStatus::Running);
    stage.pass(6).await;
    let incidents = stage.incidents().await;
    let states: Vec<_> = incidents.iter().map(Incident::state).collect();
    assert!(states.contains(&IncidentState::RolledBack), "{states:?}");
}

/// The host is started again after an hour, and its container is still starting.
async fn rebooted() -> Stage {
    let stage = in_its_window().await;
    stage.pass(90).await;
    stage.cancel.cancel();
    stage.pass(1).await;
    set_clock(&stage, chrono::TimeDelta::hours(1));
    let now = stage.fake.clock().now();
    stage.fake.change("web", |facts| {
        facts.started_at = Some(now);
        facts.health = Some(HealthStatus::Starting);
    });
    let next = Stage::on(stage.fake.clone(), Rules::default(), stage.store.clone());
    next.pass(8).await;
    assert_eq!(only(&next.incidents().await).state(), IncidentState::Validating);
    next
}

#[tokio::test(start_paused = true)]
async fn after_a_reboot_a_container_gets_its_start_anew_and_the_window_its_rest() {
    let stage = rebooted().await;
    stage.fake.change("web", |facts| facts.health = Some(HealthStatus::Healthy));
    stage.pass(30).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_come_up_after_a_reboot_is_taken_back() {
    let stage = rebooted().await;
    stage.pass(60).await;
    assert_eq!(first_state(&stage).await, IncidentState::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn what_a_window_had_still_to_last_is_watched_after_an_hour_without_selfheal() {
    let stage = in_its_window().await;
    stage.cancel.cancel();
    stage.pass(1).await;
    set_clock(&stage, chrono::TimeDelta::hours(1));
    let next = Stage::on(stage.fake.clone(), Rules::default(), stage.store.clone());
    next.pass(80).await;
    assert_eq!(only(&next.incidents().await).state(), IncidentState::Validating);
    next.pass(40).await;
    assert_eq!(only(&next.incidents().await).state(), IncidentState::Resolved);
}

#[tokio::test(start_paused = true)]
async fn two_starts_in_a_row_leave_a_window_what_it_had_still_to_last() {
    let mut stage = in_its_window().await;
    for _ in 0..2 {
        stage.cancel.cancel();
        stage.pass(1).await;
        set_clock(&stage, chrono::TimeDelta::hours(1));
        stage = Stage::on(stage.fake.clone(), Rules::default(), stage.store.clone());
        // Too short for a look.
        stage.pass(2).await;
    }
    stage.pass(78).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Validating);
    stage.pass(40).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
}
