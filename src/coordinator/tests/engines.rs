//! Stories of a Selfheal that looks after the engines of other hosts as well.

use super::*;

/// These of the own engine and of another, all of them well.
fn two_hosts(own: &[&str], there: usize) -> FakeWorld {
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
