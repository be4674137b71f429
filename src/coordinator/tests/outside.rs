//! Alerts of other programs: what becomes of them, and what never does.

use selfheal_agents::fakes::labels;
use selfheal_agents::model::{Finding, OutsideAlert, Severity};
use selfheal_agents::root_cause::OUTSIDE_ALERT;

use super::*;

fn firing(stage: &Stage, pairs: &[(&str, &str)]) -> Heard {
    let at = stage.fake.clock().now();
    Heard::Firing(OutsideAlert::heard("", &labels(pairs), &BTreeMap::new(), at))
}

fn over(pairs: &[(&str, &str)]) -> Heard {
    Heard::Over(OutsideAlert::fingerprint_of("", &labels(pairs)))
}

const SLOW: [(&str, &str); 3] =
    [("alertname", "Slow"), ("container", "web"), ("severity", "critical")];

#[tokio::test(start_paused = true)]
async fn an_alert_that_nothing_explains_waits_for_a_person_and_ends_when_it_is_resolved() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    for _ in 0..3 {
        let taken = stage.coordinator.hear(vec![firing(&stage, &SLOW)]).await.unwrap();
        assert_eq!(taken.firing[0].1, Some(TargetId::container("web")));
        stage.pass(600).await;
    }
    let incidents = stage.incidents().await;
    let incident = only(&incidents);
    assert_eq!(incident.diagnosis.as_ref().unwrap().issue_type, OUTSIDE_ALERT);
    assert_eq!((incident.state(), incident.severity), (IncidentState::Held, Severity::Critical));
    assert_eq!((incident.holds.as_slice(), incident.findings.len()), (&[Hold::NoFixKnown][..], 1));
    assert_eq!(stage.alerts().await, ["held"], "told three times, it is said once");
    let taken = stage.coordinator.hear(vec![over(&SLOW)]).await.unwrap();
    assert_eq!(taken.over, 1);
    stage.pass(5).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_alert_on_what_selfheal_sees_broken_joins_that_incident_and_does_not_open_it_anew() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(1).await;
    stage.coordinator.hear(vec![firing(&stage, &SLOW)]).await.unwrap();
    stage.pass(300).await;
    stage.look().await;
    assert_eq!(stage.fake.effects(), ["start web"], "it is mended by what Selfheal sees itself");
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Resolved, "{incidents:#?}");
}

#[tokio::test(start_paused = true)]
async fn while_it_is_held_the_alert_stands_in_the_incident_that_selfheal_found() {
    let stage = Stage::new(shop(), Rules { mode: Mode::Observe, ..Rules::default() });
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(5).await;
    let before = only(&stage.incidents().await).diagnosis.clone().unwrap();
    stage.coordinator.hear(vec![firing(&stage, &SLOW)]).await.unwrap();
    stage.pass(5).await;
    let incidents = stage.incidents().await;
    let incident = only(&incidents);
    assert!(incident.findings.iter().any(Finding::is_alert), "{incident:#?}");
    let now = incident.diagnosis.as_ref().unwrap();
    assert_eq!((&now.issue_type, now.confidence), (&before.issue_type, before.confidence));
}

#[tokio::test(start_paused = true)]
async fn a_person_s_word_silences_what_was_told_by_then_and_nothing_that_comes_later() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    let nowhere = [("alertname", "Elsewhere"), ("job", "node")];
    stage.coordinator.hear(vec![firing(&stage, &nowhere)]).await.unwrap();
    stage.pass(5).await;
    let id = only(&stage.incidents().await).id;
    stage.coordinator.dismiss(id, "anna", "known").await.unwrap();
    stage.pass(60).await;
    stage.coordinator.hear(vec![firing(&stage, &nowhere)]).await.unwrap();
    stage.pass(60).await;
    assert_eq!(stage.incidents().await.len(), 1);
    let other = [("alertname", "Another"), ("job", "node")];
    stage.coordinator.hear(vec![firing(&stage, &other)]).await.unwrap();
    stage.pass(5).await;
    assert_eq!(stage.incidents().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_told_again_for_a_day_is_over_and_a_flood_is_bounded() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    let names: Vec<String> = (0..300).map(|n| format!("Flood{n}")).collect();
    let flood = names.iter().map(|name| firing(&stage, &[("alertname", name)])).collect();
    let taken = stage.coordinator.hear(flood).await.unwrap();
    assert_eq!((taken.firing.len(), taken.dropped), (200, 100));
    stage.pass(120).await;
    assert_eq!(only(&stage.incidents().await).target, TargetId::host());
    assert_eq!(stage.alerts().await, ["held"]);
    stage.fake.clock().advance_secs(25 * 3600);
    stage.look().await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
}

#[tokio::test(start_paused = true)]
async fn of_what_one_message_says_several_times_the_last_counts() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    let said = vec![firing(&stage, &SLOW), over(&SLOW), firing(&stage, &SLOW)];
    let taken = stage.coordinator.hear(said).await.unwrap();
    assert_eq!((taken.firing.len(), taken.over), (1, 0));
    let taken = stage.coordinator.hear(vec![firing(&stage, &SLOW), over(&SLOW)]).await.unwrap();
    assert_eq!((taken.firing.len(), taken.over), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn however_many_alert_what_selfheal_sees_broken_is_mended() {
    let names = ["a", "b", "c", "d", "e", "web"];
    let stage = Stage::new(
        old_world(|w| {
            for name in names {
                w.add(healthy(name));
            }
        }),
        Rules::default(),
    );
    stage.look().await;
    let of = |name| firing(&stage, &[("alertname", "Slow"), ("container", name)]);
    let taken = stage.coordinator.hear(names[..5].iter().copied().map(of).collect()).await.unwrap();
    assert_eq!(taken.firing.len(), 5);
    stage.pass(5).await;
    stage.fake.crash("web", 1);
    stage.pass(10).await;
    assert_eq!(stage.fake.effects(), ["start web"]);
}
