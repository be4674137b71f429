//! Stories of a start that finds a fix under way and cannot finish it yet.

use super::*;
use selfheal_agents::fakes::Failure;

/// A start after Selfheal was interrupted in the midst of a fix, with the runtime away for so
/// many questions.
pub(super) async fn interrupted(away: usize) -> (FakeWorld, Stage) {
    let (fake, mut rules) = rate_limited();
    rules.channels.push("email".to_owned());
    let stage = Stage::new(fake.clone(), rules.clone());
    stage.look().await;
    complain(&stage).await;
    // The plan is written and its first step begun.
    stage.store.interrupt(2, Interruption::BeforeWrite);
    stage.look().await;
    stage.pass(2).await;
    stage.cancel.cancel();
    stage.pass(1).await;
    fake.fail_next("containers", &Failure::Unreachable, away);
    let next = Stage::on(fake.clone(), rules, stage.store.clone());
    (fake, next)
}

fn refused<T: std::fmt::Debug>(answer: Result<T, RequestError>) {
    match answer {
        Err(RequestError::NotYet(why)) => {
            assert!(why.contains("has not yet taken up what its last run left"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_interferes_with_an_interrupted_fix_until_it_is_taken_up() {
    let (fake, stage) = interrupted(40).await;
    let incidents = stage.incidents().await;
    let incident = only(&incidents);
    let backup = incident.backups.last().expect("it was made before the first step").clone();
    let before = fake.text("/srv/worker/config.json");
    refused(stage.coordinator.approve(incident.id, "ada").await);
    refused(stage.coordinator.rollback(&backup, "ada", true).await);
    refused(stage.coordinator.rollback_incident(incident.id, "ada", true).await);
    assert_eq!(fake.text("/srv/worker/config.json"), before, "nothing was touched");
    let none = "backup_20200101_000000".parse().unwrap();
    let unknown = stage.coordinator.rollback(&none, "ada", false).await;
    assert!(matches!(unknown, Err(RequestError::NotFound(_))), "{unknown:?}");

    assert!(stage.coordinator.taken_up_within(Duration::from_mins(10)).await);
    let done = stage.coordinator.rollback(&backup, "ada", false).await.unwrap();
    assert_eq!(done.backup_id, backup.to_string());
    assert_eq!(fake.text("/srv/worker/config.json"), "{\"delay_s\": 1.0}\n");
}

#[tokio::test(start_paused = true)]
async fn a_blind_start_with_a_fix_under_way_is_told_to_people_at_once_and_not_again_in_the_log() {
    let (_, stage) = interrupted(40).await;
    let blind = stage.look().await;
    assert!(blind.blind[0].contains("containers cannot be seen"), "{:?}", blind.blind);
    let due = stage.store.due(stage.fake.clock().now(), 100).await.unwrap();
    let told = due.iter().filter(|d| d.alert.event == "blind").map(|d| d.channel.as_str());
    // The first lines of the log name the runtime that does not answer.
    assert_eq!(told.collect::<Vec<_>>(), ["email"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_ends_a_freeze_right_at_the_start_ends_no_other() {
    let (fake, rules) = rate_limited();
    let stage = Stage::new(fake.clone(), rules.clone());
    let worker = TargetId::container("worker");
    stage.coordinator.freeze(Some(worker.clone()), None, "moving house", "ada").await.unwrap();
    stage.cancel.cancel();
    stage.pass(1).await;
    let next = Stage::on(fake, rules, stage.store.clone());
    assert!(!next.coordinator.are_freezes_known(), "nothing has had its turn yet");
    assert!(!next.coordinator.unfreeze(None, "ada").await.unwrap());
    let left = freezes::read(next.store.as_ref()).await.unwrap();
    assert_eq!(
        left.iter().map(|freeze| freeze.target.as_ref()).collect::<Vec<_>>(),
        [Some(&worker)]
    );
}
