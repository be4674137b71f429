//! Stories in which Selfheal has failed too often on a target, and stops there.

use selfheal_agents::model::{Confidence, FixId, IncidentId, ResultStatus};
use uuid::Uuid;

use super::*;

/// As many failed fixes of `web` in a row, each of another type, as stop everything there.
async fn fail_in_a_row(store: &MemoryStore, at: Timestamp) {
    for n in 0..3_u128 {
        let failed = Outcome {
            timestamp: at,
            fix: FixId(Uuid::from_u128(n)),
            incident: IncidentId(Uuid::nil()),
            target: TargetId::container("web"),
            issue_type: "x".to_owned(),
            fix_type: format!("fix.{n}"),
            original_confidence: Confidence::literal(90),
            confidence: Confidence::literal(90),
            result_status: ResultStatus::Applied,
            validation_status: ValidationStatus::Failed,
            success: false,
            error_count_after: 0,
            time_to_repair_secs: None,
        };
        store.record_outcome(&failed).await.unwrap();
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
