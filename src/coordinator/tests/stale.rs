//! Stories of decisions that were not carried out at once.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_plan_that_waited_too_long_for_a_person_is_made_anew_before_it_is_carried_out() {
    let stage = Stage::new(shop(), Rules { mode: Mode::Approve, ..Rules::default() });
    stage.fake.crash("web", 1);
    stage.pass(10).await;
    let id = only(&stage.incidents().await).id;
    stage.fake.clock().advance_secs(601);
    let refused = stage.coordinator.approve(id, "ada").await;
    let Err(RequestError::Conflict(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("healing.plan_lifetime") && why.contains("made anew"), "{why}");
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
    stage.pass(2).await;
    stage.coordinator.approve(id, "ada").await.unwrap();
    stage.pass(10).await;
    assert_eq!(stage.fake.effects(), ["start web"]);
}

#[tokio::test(start_paused = true)]
async fn a_decision_that_the_machine_slept_over_is_not_carried_out_but_made_anew() {
    let fake = shop();
    let stage = Stage::new(fake.clone(), Rules::default());
    stage.look().await;
    let (clock, slept) = (fake.clock().clone(), AtomicBool::default());
    fake.stall("container web", move |_| {
        if !slept.swap(true, Ordering::Relaxed) {
            clock.advance_secs(601);
        }
        Box::pin(async { true })
    });
    fake.crash("web", 1);
    stage.pass(3).await;
    let incidents = stage.incidents().await;
    let holds: Vec<&str> = only(&incidents).holds.iter().map(Hold::name).collect();
    assert_eq!((holds, fake.effects()), (vec!["stale_diagnosis"], vec![]));
    stage.pass(10).await;
    assert_eq!(fake.effects(), ["start web"]);
}
