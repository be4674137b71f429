//! Stories of a start on a store that a snapshot took the place of.

use selfheal_agents::ports::Journal;

use super::*;
use crate::coordinator::restored;

/// The next start on a store that was restored, once it took up what it found.
async fn next_on(fake: &FakeWorld, rules: Rules, store: &Arc<MemoryStore>) -> Stage {
    let next = Stage::on(fake.clone(), rules, Arc::clone(store));
    assert!(next.coordinator.taken_up_within(Duration::from_mins(1)).await);
    next
}

/// Interrupted at the `nth` record of a repair, and then that store, restored, for the next start.
async fn restored_at(nth: usize) -> (FakeWorld, Stage) {
    let (fake, rules, store) = left_at(nth).await;
    let next = next_on(&fake, rules, &store).await;
    (fake, next)
}

/// The same, before that start.
async fn left_at(nth: usize) -> (FakeWorld, Rules, Arc<MemoryStore>) {
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
    (fake, rules, Arc::clone(&stage.store))
}

#[tokio::test(start_paused = true)]
async fn a_start_that_dies_while_it_hands_over_loses_no_command() {
    for nth in 0..30 {
        let (fake, rules, store) = left_at(3).await;
        store.die(nth, Interruption::AfterWrite);
        let dying = Stage::on(fake.clone(), rules.clone(), Arc::clone(&store));
        dying.pass(5).await;
        let is_over = !store.is_dead();
        dying.cancel.cancel();
        dying.pass(1).await;
        store.revive();
        let next = next_on(&fake, rules, &store).await;
        let incidents = next.incidents().await;
        let incident = only(&incidents);
        assert_eq!(incident.state(), IncidentState::Stuck, "{nth}");
        let path = "/srv/worker/config.json";
        let commands = &incident.by_hand;
        assert!(commands.iter().any(|command| command.contains(path)), "{nth}: {commands:?}");
        assert_eq!(store.unfinished_fixes().await.unwrap(), [], "{nth}");
        if is_over {
            assert!(nth > 3, "it died in between");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_backup_can_be_read_it_is_handed_over_without_commands() {
    let (fake, rules, store) = left_at(3).await;
    store.refuse_backups(Some("the disk does not answer"));
    let next = next_on(&fake, rules, &store).await;
    let incidents = next.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Stuck);
    assert_eq!(only(&incidents).by_hand, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_incident_that_says_nothing_of_the_fix_in_its_journal_is_stuck_as_well() {
    let (fake, rules, store) = left_at(3).await;
    let known = store.incidents(&IncidentQuery::default()).await.unwrap();
    // As the snapshot has it where it was taken just before.
    let open =
        Incident::open(only(&known).id, only(&known).target.clone(), vec![], fake.clock().now());
    store.save_incident(&open).await.unwrap();
    let next = next_on(&fake, rules, &store).await;
    let incidents = next.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Stuck);
    assert_ne!(only(&incidents).by_hand, Vec::<String>::new());
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
