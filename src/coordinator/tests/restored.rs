//! Stories of a start on a store that a snapshot took the place of.

use selfheal_agents::ports::Journal;

use super::*;
use crate::coordinator::restored;

/// Interrupted at the `nth` record of a repair, and then that store, restored, for the next start.
async fn restored_at(nth: usize) -> (FakeWorld, Stage) {
    let (fake, mut rules) = rate_limited();
    rules.channels.push("email".to_owned());
    let stage = Stage::new(fake.clone(), rules.clone());
    stage.look().await;
    complain(&stage).await;
    stage.store.interrupt(nth, Interruption::AfterWrite);
    stage.look().await;
    stage.pass(2).await;
    stage.cancel.cancel();
    stage.pass(1).await;
    restored::note(stage.store.as_ref(), fake.clock().now()).await.unwrap();
    let next = Stage::on(fake.clone(), rules, stage.store.clone());
    assert!(next.coordinator.taken_up_within(Duration::from_mins(1)).await);
    (fake, next)
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_about_a_fix_that_was_under_way_in_a_restored_snapshot() {
    // Before the first step was begun the run itself gives its plan up.
    for nth in 1..6 {
        let (fake, stage) = restored_at(nth).await;
        let text = fake.text("/srv/worker/config.json");
        let effects = fake.effects();
        stage.pass(400).await;
        assert_eq!(fake.text("/srv/worker/config.json"), text, "{nth}");
        assert_eq!(fake.effects(), effects, "{nth}");
        let incidents = stage.incidents().await;
        let incident = only(&incidents);
        assert_eq!(incident.state(), IncidentState::Stuck, "{nth}: {:#?}", incident.timeline);
        let why = &incident.timeline.last().unwrap().text;
        assert!(why.contains("is not known"), "{why}");
        assert!(
            incident.by_hand.iter().any(|command| command.contains("/srv/worker/config.json")),
            "{nth}: {:?}",
            incident.by_hand
        );
        assert_eq!(stage.store.unfinished_fixes().await.unwrap(), [], "{nth}");
        assert!(stage.alerts().await.contains(&"stuck".to_owned()), "{nth}");
        let frozen = stage.coordinator.standing().freezes;
        let worker = TargetId::container("worker");
        assert!(frozen.iter().any(|freeze| freeze.target.as_ref() == Some(&worker)), "{nth}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_handed_over_is_handed_over_once_and_a_person_may_take_it_back() {
    let (fake, stage) = restored_at(3).await;
    stage.cancel.cancel();
    stage.pass(1).await;
    let next = Stage::on(fake.clone(), Rules::default(), stage.store.clone());
    assert!(next.coordinator.taken_up_within(Duration::from_mins(1)).await);
    let incidents = next.incidents().await;
    let incident = only(&incidents);
    let stuck = incident.timeline.iter().filter(|e| e.state == Some(IncidentState::Stuck));
    assert_eq!(stuck.count(), 1);
    next.coordinator.rollback_incident(incident.id, "ada", false).await.unwrap();
    assert_eq!(fake.text("/srv/worker/config.json"), "{\"delay_s\": 1.0}\n");
    assert_eq!(only(&next.incidents().await).state(), IncidentState::RolledBack);
}
