//! Stories of a Selfheal that looks after the engines of other hosts as well.

use selfheal_agents::fakes::Failure;

use super::*;

/// These of the own engine and of another, all of them well.
pub(super) fn two_hosts(own: &[&str], there: usize) -> FakeWorld {
    old_world(|w| {
        for name in own {
            w.add(healthy(name));
        }
        for nth in 0..there {
            w.add(healthy(&format!("nas/c{nth}")));
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_fix_interrupted_on_an_engine_that_is_away_waits_until_it_is_back() {
    let fake = two_hosts(&["web"], 1);
    let stage = Stage::new(fake.clone(), Rules::default());
    stage.look().await;
    // The restart is done, and that it is done is not written down.
    stage.store.interrupt(2, Interruption::BeforeWrite);
    fake.hang("nas/c0");
    stage.look().await;
    while !stage.store.was_interrupted() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stage.cancel.cancel();
    fake.engine_answers("nas", false);

    let next = Stage::on(fake.clone(), Rules::default(), stage.store.clone());
    next.pass(60).await;
    let waiting = next.incidents().await;
    let waits = only(&waiting);
    assert_eq!(waits.state(), IncidentState::Fixing, "{:#?}", waits.timeline);
    assert!(next.coordinator.taken_up_within(Duration::ZERO).await, "all else goes on");

    fake.engine_answers("nas", true);
    next.pass(400).await;
    let incidents = next.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Resolved, "{incidents:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_fix_whose_engine_goes_away_in_its_midst_waits_until_that_is_back() {
    let fake = two_hosts(&["web"], 1);
    let stage = Stage::new(fake.clone(), Rules::default());
    stage.look().await;
    // The first try fails, and before the next one the engine is gone.
    fake.fail_next("restart", &Failure::Unreachable, 1);
    fake.hang("nas/c0");
    stage.look().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    fake.engine_answers("nas", false);
    stage.pass(60).await;
    let waiting = stage.incidents().await;
    let waits = only(&waiting);
    assert_eq!(waits.state(), IncidentState::Fixing, "{:#?}", waits.timeline);

    fake.engine_answers("nas", true);
    stage.pass(400).await;
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Resolved, "{incidents:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_others_hold_is_healed_while_the_own_engine_is_away() {
    let fake = two_hosts(&["web"], 2);
    let stage = Stage::new(fake.clone(), Rules::default());
    stage.look().await;
    fake.fail_next("containers", &Failure::Unreachable, 1000);
    fake.hang("nas/c0").hang("web");
    let report = stage.look().await;
    assert!(report.blind[0].contains("containers"), "{:?}", report.blind);
    stage.pass(200).await;
    assert_eq!(fake.effects(), ["restart nas/c0"], "{:#?}", stage.incidents().await);
}

#[tokio::test(start_paused = true)]
async fn what_fails_together_on_one_host_is_no_common_cause_on_another() {
    let fake = two_hosts(&["web", "a", "b", "c"], 4);
    let stage = Stage::new(fake.clone(), Rules::default());
    stage.look().await;
    for name in ["web", "nas/c0", "nas/c1", "nas/c2", "nas/c3"] {
        fake.hang(name);
    }
    stage.look().await;
    stage.pass(10).await;
    assert_eq!(fake.effects(), ["restart web"], "all of the other fail at once");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_not_seen_makes_no_common_cause_of_this_one_the_smaller() {
    let fake = two_hosts(&["a", "b", "c", "d", "e"], 20);
    let stage = Stage::new(fake.clone(), Rules::default());
    stage.look().await;
    fake.engine_answers("nas", false);
    for name in ["a", "b", "c", "d"] {
        fake.hang(name);
    }
    stage.look().await;
    stage.pass(10).await;
    assert_eq!(fake.effects(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_of_containers_is_kept_while_their_engine_is_away() {
    let fake = two_hosts(&["web", "db"], 1);
    let stage = Stage::new(fake.clone(), Rules::default());
    stage.look().await;
    let store = stage.store.clone();
    let forgotten = async || store.value("gone").await.unwrap().unwrap_or_default();
    // As at a start at which it does not answer: nobody knows what it holds.
    fake.engine_answers("nas", false).remove("nas/c0").remove("db");
    stage.look().await;
    let gone = forgotten().await;
    assert!(gone.get("remembered.db").is_some(), "{gone}");
    assert!(gone.get("remembered.nas/c0").is_none(), "{gone}");

    fake.engine_answers("nas", true);
    stage.look().await;
    let gone = forgotten().await;
    assert!(gone.get("remembered.nas/c0").is_some(), "it answers and has it no more: {gone}");
}
