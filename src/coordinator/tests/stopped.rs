//! Stories in which Selfheal has failed too often, on one target or in all, and stops.

use chrono::TimeDelta;
use selfheal_agents::model::{Confidence, FixId, IncidentId, ResultStatus};
use uuid::Uuid;

use super::*;

/// A failed fix of `web`.
fn failed_fix(nth: u128, timestamp: Timestamp) -> Outcome {
    Outcome {
        timestamp,
        fix: FixId(Uuid::from_u128(nth)),
        incident: IncidentId(Uuid::nil()),
        target: TargetId::container("web"),
        issue_type: "x".to_owned(),
        fix_type: format!("fix.{nth}"),
        original_confidence: Confidence::literal(90),
        confidence: Confidence::literal(90),
        result_status: ResultStatus::Applied,
        validation_status: ValidationStatus::Failed,
        success: false,
        error_count_after: 0,
        time_to_repair_secs: None,
    }
}

/// As many failed fixes of `web` in a row, each of another type, as stop everything there.
async fn fail_in_a_row(store: &MemoryStore, at: Timestamp) {
    for nth in 0..3 {
        store.record_outcome(&failed_fix(nth, at)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn after_failures_in_a_row_a_target_alone_is_left_until_a_person_approves_a_fix_there() {
    let fake = old_world(|w| {
        w.add(healthy("web")).add(healthy("api"));
    });
    // One failure alone lowers the confidence; that is not what this is about.
    let rules = Rules { threshold: Confidence::literal(60), ..Rules::default() };
    let stage = Stage::new(fake.clone(), rules);
    fail_in_a_row(&stage.store, fake.clock().now()).await;
    stage.look().await;
    fake.crash("web", 1);
    fake.crash("api", 1);
    stage.pass(10).await;
    assert_eq!(fake.effects(), ["start api"], "only there");
    let incidents = stage.incidents().await;
    let held = incidents.iter().find(|i| i.target == TargetId::container("web")).unwrap();
    assert_eq!(held.holds, [Hold::SafetyStop { failures: 3 }]);

    // What is approved does not help, and yet somebody has looked.
    fake.behaves("web", Behaviour::DiesOnStart { exit_code: 1 });
    stage.coordinator.approve(held.id, "ada").await.unwrap();
    stage.pass(60).await;
    fake.behaves("web", Behaviour::Works);
    stage.look().await;
    stage.pass(10).await;
    assert_eq!(fake.effects(), ["start api", "start web", "start web"]);
}

/// A failed or kept fix of a target of its own, so many minutes ago.
async fn past(stage: &Stage, minutes_ago: i64, success: bool) {
    let nth = stage.outcomes().await.len();
    let past = Outcome {
        timestamp: stage.fake.clock().now() - TimeDelta::minutes(minutes_ago),
        fix: FixId(Uuid::from_u128(1000 + nth as u128)),
        target: TargetId::container(&format!("gone{nth}")),
        fix_type: format!("fix.{nth}"),
        success,
        ..failed_fix(0, stage.fake.clock().now())
    };
    stage.store.record_outcome(&past).await.unwrap();
}

fn is_stopped(stage: &Stage) -> bool {
    stage.coordinator.standing().freezes.iter().any(|freeze| freeze.safety_stop)
}

#[tokio::test(start_paused = true)]
async fn five_failures_within_an_hour_stop_everything_until_a_person_ends_that() {
    let fake = shop();
    let stage = Stage::new(fake.clone(), Rules::default());
    for minutes in [61, 59, 40, 20, 1] {
        past(&stage, minutes, false).await;
    }
    stage.look().await;
    assert!(!is_stopped(&stage), "four within the hour are not five");
    past(&stage, 0, false).await;
    fake.crash("web", 1);
    stage.look().await;
    stage.pass(120).await;
    assert!(is_stopped(&stage));
    let why = "5 fixes failed within an hour".to_owned();
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).holds, [Hold::SafetyStopInAll { why }]);
    assert_eq!(fake.effects(), Vec::<String>::new());
    let alerts = stage.alerts().await;
    assert_eq!(alerts, ["safety_stop", "held"], "people hear of what is not done, too");

    stage.cancel.cancel();
    stage.pass(7200).await;
    let next = Stage::on(fake.clone(), Rules::default(), stage.store.clone());
    next.look().await;
    next.coordinator.freeze(None, Some(fake.clock().now()), "lunch", "ada").await.unwrap();
    next.pass(60).await;
    assert!(is_stopped(&next), "neither time, a new start nor a freeze of somebody's ends it");
    assert_eq!(fake.effects(), Vec::<String>::new());

    assert!(next.coordinator.unfreeze(None, "ada").await.unwrap());
    next.pass(5).await;
    assert_eq!(fake.effects(), ["start web"]);
    assert!(!is_stopped(&next), "what failed before counts no more");
    assert_eq!(next.alerts().await.iter().filter(|event| *event == "safety_stop").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn half_of_the_last_ten_fixes_stop_everything_and_fewer_or_nine_do_not() {
    for (fates, stops) in [
        (&b"fkfkfkfkfk"[..], true),
        (b"fkfkfkfkkk", false),
        (b"fkfkfkfkf", false),
        (b"fffffffkfkfkfkkkk", false),
    ] {
        let stage = Stage::new(shop(), Rules::default());
        let oldest = i64::try_from(fates.len()).unwrap();
        for (hours, fate) in (1..=oldest).rev().zip(fates) {
            past(&stage, hours * 60, *fate == b'k').await;
        }
        stage.look().await;
        assert_eq!(is_stopped(&stage), stops, "{}", String::from_utf8_lossy(fates));
    }
}

#[tokio::test(start_paused = true)]
async fn under_the_stop_a_person_may_have_one_fix_applied_and_it_stands() {
    let fake = shop();
    let stage = Stage::new(fake.clone(), Rules::default());
    for _ in 0..5 {
        past(&stage, 1, false).await;
    }
    fake.crash("web", 1);
    stage.look().await;
    let held = stage.incidents().await.remove(0);
    stage.coordinator.approve(held.id, "ada").await.unwrap();
    stage.pass(5).await;
    assert_eq!(fake.effects(), ["start web"]);
    assert!(is_stopped(&stage));
}

#[tokio::test(start_paused = true)]
async fn a_fix_that_fails_stops_everything_before_the_next_cycle() {
    let fake = shop();
    let stage = Stage::new(fake.clone(), Rules::default());
    stage.look().await;
    for _ in 0..4 {
        past(&stage, 1, false).await;
    }
    fake.behaves("web", Behaviour::DiesOnStart { exit_code: 1 });
    fake.crash("web", 1);
    let mut rolled_back = stage.coordinator.subscribe();
    loop {
        if let Happening::Frozen { freezes } = rolled_back.recv().await.unwrap().what {
            assert!(freezes.iter().any(|freeze| freeze.safety_stop));
            break;
        }
    }
    assert_eq!(fake.effects(), ["start web"]);
}
