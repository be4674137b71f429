//! Stories of who is told what, and when.

use selfheal_agents::model::Severity;
use selfheal_agents::ports::Alert;

use super::*;
use crate::config::{ChannelName, Route};

/// Everything that needs a person is critical, and pushed; nothing else is.
fn pushed_if_critical() -> Rules {
    let route = Route {
        severity: Some(Severity::Critical),
        target: None,
        event: vec![],
        channels: vec![ChannelName::Ntfy],
    };
    let channels = ["log", "email", "ntfy"].map(str::to_owned).to_vec();
    Rules { mode: Mode::Approve, channels, routes: vec![route], ..Rules::default() }
}

/// The events that were queued for a channel and not yet taken from it, as they are taken now.
async fn taken(stage: &Stage, channel: &str) -> Vec<String> {
    carried(stage, channel).await.into_iter().map(|alert| alert.event).collect()
}

/// What was queued for a channel and not yet taken from it, as it is taken now.
async fn carried(stage: &Stage, channel: &str) -> Vec<Alert> {
    let now = stage.fake.clock().now();
    let mut alerts = vec![];
    loop {
        let due = stage.store.due(now, 100).await.unwrap();
        if due.is_empty() {
            return alerts;
        }
        for delivery in due {
            stage.store.delivered(delivery.id, now).await.unwrap();
            if delivery.channel == channel {
                alerts.push(delivery.alert);
            }
        }
    }
}

/// How often each event was queued, of what was queued so far.
fn count(events: &[String], event: &str) -> usize {
    events.iter().filter(|queued| *queued == event).count()
}

/// Each fix waits for a person, who is reminded after an hour.
fn asked_for_each() -> Rules {
    Rules { mode: Mode::Approve, remind_after: Duration::from_hours(1), ..Rules::default() }
}

const MINUTE: u64 = 60;

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_person_is_told_again_once_a_day() {
    let stage = Stage::new(shop(), asked_for_each());
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(58 * MINUTE).await;
    assert_eq!(taken(&stage, "log").await, ["held"]);
    stage.pass(4 * MINUTE).await;
    assert_eq!(taken(&stage, "log").await, ["reminder"]);
    stage.pass(30 * MINUTE).await;
    assert_eq!(taken(&stage, "log").await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_decision_ends_the_reminders() {
    let stage = Stage::new(shop(), asked_for_each());
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(70).await;
    let id = only(&stage.incidents().await).id;
    stage.coordinator.dismiss(id, "ada", "").await.unwrap();
    stage.pass(70 * MINUTE).await;
    assert_eq!(count(&taken(&stage, "log").await, "reminder"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_person_closed_is_told_with_the_reason_and_not_as_over_by_itself() {
    let stage = Stage::new(shop(), asked_for_each());
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(70).await;
    let id = only(&stage.incidents().await).id;
    stage.coordinator.dismiss(id, "ada", "it is meant to be off").await.unwrap();
    let told = carried(&stage, "log").await.pop().unwrap().title;
    assert!(told.contains("ada closed it (dismissed: it is meant to be off)"), "{told}");
    assert!(!told.contains("works again"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_restart_neither_loses_nor_doubles_a_reminder() {
    let stage = Stage::new(shop(), asked_for_each());
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(30 * MINUTE).await;
    assert_eq!(count(&taken(&stage, "log").await, "reminder"), 0);
    stage.cancel.cancel();
    let next = Stage::on(stage.fake.clone(), asked_for_each(), Arc::clone(&stage.store));
    next.pass(35 * MINUTE).await;
    assert_eq!(count(&taken(&next, "log").await, "reminder"), 1);
    next.cancel.cancel();
    let last = Stage::on(stage.fake.clone(), asked_for_each(), Arc::clone(&stage.store));
    last.pass(10 * MINUTE).await;
    assert_eq!(count(&taken(&last, "log").await, "reminder"), 0);
}

#[tokio::test(start_paused = true)]
async fn who_wants_no_reminders_gets_none() {
    let rules = Rules { remind_after: Duration::ZERO, ..asked_for_each() };
    let stage = Stage::new(shop(), rules);
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(70 * MINUTE).await;
    assert_eq!(taken(&stage, "log").await, ["held"]);
}

#[tokio::test(start_paused = true)]
async fn the_digest_comes_once_a_slot_also_over_a_restart() {
    // The world begins at a full hour.
    let often = Rules { digest: Some("*/30 * * * *".to_owned()), ..Rules::default() };
    let stage = Stage::new(shop(), often.clone());
    stage.look().await;
    stage.pass(2 * MINUTE).await;
    stage.fake.crash("web", 1);
    stage.pass(5 * MINUTE).await;
    assert_eq!(taken(&stage, "log").await, ["resolved"]);
    stage.pass(25 * MINUTE).await;
    let due = stage.store.due(stage.fake.clock().now(), 10).await.unwrap();
    let [digest] = &due[..] else { panic!("{due:#?}") };
    let title = &digest.alert.title;
    assert!(title.starts_with("1 incident since "), "{title}");
    assert!(title.ends_with("1 fault healed without you. You need to do nothing."), "{title}");
    assert!(digest.alert.body.contains("container:web: container.start"), "{}", digest.alert.body);
    let head = stage.coordinator.audit().witness().await.unwrap();
    assert!(
        digest.alert.body.contains(&format!("newest entry\n  {head}")),
        "{}",
        digest.alert.body
    );
    assert_eq!(taken(&stage, "log").await, ["digest"]);
    stage.cancel.cancel();
    let next = Stage::on(stage.fake.clone(), often, Arc::clone(&stage.store));
    next.pass(10 * MINUTE).await;
    assert_eq!(taken(&next, "log").await, Vec::<String>::new());
    next.pass(20 * MINUTE).await;
    let due = next.store.due(next.fake.clock().now(), 10).await.unwrap();
    let (title, body) = (&due[0].alert.title, &due[0].alert.body);
    assert!(title.starts_with("Nothing broke since "), "{title}");
    assert_eq!((due.len(), body.as_str()), (1, ""));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_critical_is_told_after_the_time_that_was_set() {
    let (fake, rules) = rate_limited();
    let half_an_hour = Duration::from_mins(30);
    let rules = Rules { mode: Mode::Approve, tell_after: half_an_hour, ..rules };
    let stage = Stage::new(fake, rules);
    stage.look().await;
    for minute in 0..35 {
        complain(&stage).await;
        stage.look().await;
        stage.pass(40).await;
        let told = taken(&stage, "log").await;
        assert_eq!(told.is_empty(), minute != 30, "{told:?} in minute {minute}");
    }
    assert_eq!(only(&stage.incidents().await).severity, Severity::Warning);
}

#[tokio::test(start_paused = true)]
async fn whoever_was_called_by_a_route_is_told_that_it_is_over() {
    let stage = Stage::new(shop(), pushed_if_critical());
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(70).await;
    let told = stage.store.told(only(&stage.incidents().await).id).await.unwrap();
    assert_eq!(told, ["log", "ntfy"], "no route leads to the mail");
    assert_eq!(taken(&stage, "ntfy").await, ["held"]);
    stage.fake.world().runtime.start("web").await.unwrap();
    stage.pass(60).await;
    assert_eq!(taken(&stage, "ntfy").await, ["recovered"], "though that is critical to nobody");
}

/// A fix that did not help was taken back.
async fn taken_back() -> Stage {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.behaves("web", Behaviour::DiesOnStart { exit_code: 1 });
    stage.fake.crash("web", 1);
    stage.pass(60).await;
    stage.look().await;
    stage
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_back_is_told_to_be_over_once_it_works_again() {
    let stage = taken_back().await;
    let over = |titles: Vec<String>| titles.iter().filter(|event| *event == "recovered").count();
    assert!(stage.alerts().await.contains(&"rolled_back".to_owned()));
    assert_eq!(over(stage.alerts().await), 0);
    // Somebody mends it.
    stage.fake.behaves("web", Behaviour::Works);
    stage.fake.world().runtime.start("web").await.unwrap();
    stage.pass(700).await;
    stage.look().await;
    let is_taken_back = |incident: &&Incident| incident.state() == IncidentState::RolledBack;
    let incidents = stage.incidents().await;
    let owed = incidents.iter().filter(is_taken_back).count();
    let told: Vec<&Incident> = incidents.iter().filter(|incident| incident.told_over).collect();
    assert_eq!((owed > 0, told.len()), (true, owed), "{:#?}", incidents[0].timeline);
    let count = over(stage.alerts().await);
    stage.look().await;
    assert_eq!(over(stage.alerts().await), count, "once");
}

#[tokio::test(start_paused = true)]
async fn that_it_is_over_is_told_later_where_the_alert_could_not_be_queued() {
    let stage = taken_back().await;
    stage.fake.behaves("web", Behaviour::Works);
    stage.fake.world().runtime.start("web").await.unwrap();
    stage.store.refuse_alerts(Some("the disk is full"));
    stage.pass(700).await;
    stage.look().await;
    let told =
        async || stage.incidents().await.iter().filter(|incident| incident.told_over).count();
    assert_eq!(told().await, 0);
    stage.store.refuse_alerts(None);
    stage.look().await;
    assert!(told().await > 0);
}
