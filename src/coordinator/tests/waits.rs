//! Stories of what is held for reasons that pass by themselves, and do not.

use super::*;

/// Nothing may be done within this hour: that passes by itself.
fn spent() -> Rules {
    let mut rules = Rules::default();
    rules.budgets.per_host = 0;
    rules
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_quarter_of_an_hour_is_told_once() {
    let stage = Stage::new(shop(), spent());
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(14 * 60).await;
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).holds[0].name(), "budget_spent", "{incidents:#?}");
    assert_eq!(stage.alerts().await, Vec::<String>::new(), "much of it passes");
    stage.pass(70).await;
    assert_eq!(stage.alerts().await, ["held"]);
    let due = stage.store.due(stage.fake.clock().now(), 10).await.unwrap();
    let age = stage.fake.clock().now() - due[0].alert.at;
    assert!(age.num_seconds() < 70, "it is told as of now: {age}");
    stage.pass(2 * 3600).await;
    assert_eq!(stage.alerts().await, ["held"]);
    let told = |entry: &&selfheal_agents::model::TimelineEntry| entry.text.contains("is told");
    assert_eq!(only(&stage.incidents().await).timeline.iter().filter(told).count(), 1);
    stage.store.delivered(due[0].id, stage.fake.clock().now()).await.unwrap();
    stage.fake.world().runtime.start("web").await.unwrap();
    stage.pass(10).await;
    assert_eq!(stage.alerts().await, ["recovered"], "whoever was called may lie down");
}

#[tokio::test(start_paused = true)]
async fn an_overload_that_does_not_end_is_told() {
    let (fake, rules) = rate_limited();
    let stage = Stage::new(fake, rules);
    stage.look().await;
    stage.fake.change_host(|host| host.pressure.cpu_percent = Some(99.0));
    for _ in 0..60 {
        complain(&stage).await;
        stage.look().await;
    }
    let incidents = stage.incidents().await;
    let worker = incidents.iter().find(|i| i.target == TargetId::container("worker")).unwrap();
    assert_eq!(worker.holds, [Hold::UnderPressure { cpu_percent: 99 }]);
    let due = stage.store.due(stage.fake.clock().now(), 10).await.unwrap();
    let told = due.iter().filter(|delivery| delivery.alert.incident == Some(worker.id));
    assert_eq!(told.count(), 1, "{due:#?}");
    stage.fake.change_host(|host| host.pressure.cpu_percent = Some(1.0));
    complain(&stage).await;
    stage.pass(60).await;
    assert_eq!(stage.fake.text("/srv/worker/config.json"), "{\"delay_s\": 1.5}\n");
}

#[tokio::test(start_paused = true)]
async fn what_passes_within_a_quarter_of_an_hour_wakes_nobody() {
    let stage = Stage::new(shop(), spent());
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(10 * 60).await;
    stage.fake.world().runtime.start("web").await.unwrap();
    stage.pass(20 * 60).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
    assert_eq!(stage.alerts().await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn whoever_asked_for_silence_has_it() {
    let stage = Stage::new(shop(), spent());
    stage.look().await;
    let until = stage.fake.clock().now() + Duration::from_hours(2);
    stage.coordinator.freeze(None, Some(until), "moving house", "ada").await.unwrap();
    stage.fake.crash("web", 1);
    stage.pass(2 * 3600 - 10).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Held);
    assert_eq!(stage.alerts().await, Vec::<String>::new());
    stage.pass(14 * 60).await;
    assert_eq!(stage.alerts().await, Vec::<String>::new(), "it counts from the end of the freeze");
    stage.pass(2 * 60).await;
    assert_eq!(stage.alerts().await, ["held"]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_looked_at_ever_more_rarely_and_at_once_when_the_end_is_known() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    let until = stage.fake.clock().now() + Duration::from_mins(130);
    stage.coordinator.freeze(None, Some(until), "moving house", "ada").await.unwrap();
    stage.fake.crash("web", 1);
    stage.pass(60).await;
    let after_a_minute = stage.coordinator.standing().cycles;
    assert!((4..=8).contains(&after_a_minute), "{after_a_minute}");
    stage.pass(2 * 3600).await;
    let in_two_hours = stage.coordinator.standing().cycles - after_a_minute;
    assert!((115..=130).contains(&in_two_hours), "one a minute: {in_two_hours}");
    stage.pass(9 * 60 - 5).await;
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
    stage.pass(12).await;
    assert_eq!(stage.fake.effects(), ["start web"]);
}
