//! Stories of targets that change again and again.

use super::*;

/// Rules under which nothing is repaired, so that all changes are the target's own.
fn observing() -> Rules {
    Rules { mode: Mode::Observe, ..Rules::default() }
}

async fn breaks(stage: &Stage) {
    stage.fake.change("web", |facts| {
        facts.health = Some(selfheal_agents::model::HealthStatus::Unhealthy);
    });
    stage.look().await;
}

async fn recovers(stage: &Stage) {
    stage.fake.change("web", |facts| {
        facts.health = Some(selfheal_agents::model::HealthStatus::Healthy);
    });
    stage.look().await;
}

/// Breaks and recovers by itself so often, with a minute in between, and is broken at the end.
async fn flap(stage: &Stage, times: usize) {
    stage.look().await;
    for _ in 0..times {
        breaks(stage).await;
        stage.pass(60).await;
        recovers(stage).await;
        stage.pass(20).await;
    }
    breaks(stage).await;
}

async fn told(stage: &Stage, event: &str) -> usize {
    stage.alerts().await.iter().filter(|told| *told == event).count()
}

fn is_held_for_it(incident: &Incident) -> bool {
    incident.holds.iter().any(|hold| matches!(hold, Hold::Flapping { .. }))
}

#[tokio::test(start_paused = true)]
async fn what_flaps_is_told_once_and_left_alone_until_it_calms_down_also_after_a_new_start() {
    let fake = shop();
    let stage = Stage::new(fake.clone(), observing());
    flap(&stage, 6).await;
    assert!(is_held_for_it(stage.incidents().await.first().unwrap()));
    assert_eq!(told(&stage, "flapping").await, 1);
    stage.cancel.cancel();
    stage.pass(1).await;

    let next = Stage::on(fake.clone(), Rules::default(), stage.store.clone());
    next.look().await;
    next.pass(300).await;
    assert_eq!(fake.effects(), Vec::<String>::new());
    let incidents = next.incidents().await;
    assert!(is_held_for_it(&incidents[0]), "{:?}", incidents[0].holds);
    let words = incidents[0].holds.last().unwrap().to_string();
    assert!(words.starts_with("`container:web` flaps: its state changed at "), "{words}");
    let held = told(&next, "held").await;

    // It stays broken: that is a fault like any other.
    next.pass(1800).await;
    assert_eq!(fake.effects(), ["restart web"]);
    assert_eq!((told(&next, "flapping").await, told(&next, "held").await), (1, held));
}

#[tokio::test(start_paused = true)]
async fn what_breaks_a_few_times_does_not_flap() {
    let stage = Stage::new(shop(), observing());
    flap(&stage, 3).await;
    assert!(!is_held_for_it(stage.incidents().await.first().unwrap()));
    assert_eq!(told(&stage, "flapping").await, 0);
}

#[tokio::test(start_paused = true)]
async fn changes_under_a_freeze_and_by_repairs_are_no_flapping() {
    let frozen = Stage::new(shop(), observing());
    frozen.coordinator.freeze(None, None, "moving house", "ada").await.unwrap();
    flap(&frozen, 10).await;
    assert_eq!(told(&frozen, "flapping").await, 0);

    let mut rules =
        Rules { threshold: selfheal_agents::model::Confidence::literal(50), ..Rules::default() };
    rules.budgets.per_target = 100;
    let mended = Stage::new(shop(), rules);
    mended.look().await;
    for _ in 0..6 {
        mended.fake.crash("web", 1);
        mended.pass(4000).await;
    }
    assert_eq!(mended.fake.effects().len(), 6);
    assert_eq!(told(&mended, "flapping").await, 0);
}
