//! Stories of chains: who needs whom decides in which order what gave up is restarted.

use selfheal_agents::model::ContainerFacts;

use super::*;

/// Each needs the one before it; the names are in the opposite order.
const CHAIN: [&str; 4] = ["store", "orders", "gateway", "edge"];

fn chain() -> FakeWorld {
    old_world(|w| {
        w.add(container(CHAIN[0]));
        for pair in CHAIN.windows(2) {
            let labels = labels(&[("selfheal.depends-on", pair[0])]);
            w.add(ContainerFacts { labels, ..healthy(pair[1]) });
        }
    })
}

/// From now on it works only if it is started while what it needs works.
fn gives_up(fake: &FakeWorld, name: &str, needs: &'static str) {
    fake.works_if_started_when(name, move |scene| scene.is_up(needs));
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_gave_up_is_restarted_in_the_order_of_its_needs() {
    let stage = Stage::new(chain(), Rules::default());
    stage.look().await;
    stage.fake.crash(CHAIN[0], 1);
    for pair in CHAIN.windows(2) {
        gives_up(&stage.fake, pair[1], pair[0]);
    }
    stage.pass(900).await;
    let expected = ["start store", "restart orders", "restart gateway", "restart edge"];
    assert_eq!(stage.fake.effects(), expected);
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Resolved, "{:#?}", incidents[0].timeline);
    assert!(stage.outcomes().await.iter().all(|outcome| outcome.success));
}

#[tokio::test(start_paused = true)]
async fn of_two_that_need_one_another_the_first_by_name_is_restarted_first() {
    let stage = Stage::new(
        old_world(|w| {
            w.add(container("store"));
            for (name, needs) in [("gateway", "store,orders"), ("orders", "store,gateway")] {
                let labels = labels(&[("selfheal.depends-on", needs)]);
                w.add(ContainerFacts { labels, ..healthy(name) });
            }
        }),
        Rules::default(),
    );
    stage.look().await;
    stage.fake.crash("store", 1);
    for name in ["gateway", "orders"] {
        gives_up(&stage.fake, name, "store");
    }
    stage.pass(900).await;
    assert_eq!(stage.fake.effects(), ["start store", "restart gateway", "restart orders"]);
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Resolved, "{:#?}", incidents[0].timeline);
}

#[tokio::test(start_paused = true)]
async fn a_level_that_does_not_come_well_ends_the_chain() {
    let stage = Stage::new(chain(), Rules::default());
    stage.look().await;
    stage.fake.crash(CHAIN[0], 1);
    for pair in CHAIN.windows(2) {
        gives_up(&stage.fake, pair[1], pair[0]);
    }
    stage.fake.works_while("gateway", |_| false);
    stage.pass(900).await;
    let effects = stage.fake.effects();
    assert_eq!(effects[..3], ["start store", "restart orders", "restart gateway"]);
    assert!(!effects.contains(&"restart edge".to_owned()), "{effects:?}");
}

#[tokio::test(start_paused = true)]
async fn who_recovers_once_the_level_before_it_works_is_left_alone() {
    let stage = Stage::new(chain(), Rules::default());
    stage.look().await;
    stage.fake.crash(CHAIN[0], 1);
    gives_up(&stage.fake, "orders", "store");
    let clock = stage.fake.clock().clone();
    stage.fake.works_while("gateway", move |scene| {
        let since = scene.container("orders").and_then(|facts| facts.started_at);
        scene.is_up("orders")
            && since.is_some_and(|at| clock.now() - at >= chrono::TimeDelta::seconds(4))
    });
    stage.fake.works_while("edge", |scene| scene.is_up("store"));
    stage.pass(900).await;
    assert_eq!(stage.fake.effects(), ["start store", "restart orders"]);
}

#[tokio::test(start_paused = true)]
async fn who_gave_up_is_left_while_much_else_fails_at_once() {
    const OTHERS: [&str; 5] = ["ads", "bills", "cards", "deals", "events"];
    let stage = Stage::new(
        old_world(|w| {
            w.add(container("store"));
            let needs = labels(&[("selfheal.depends-on", "store")]);
            w.add(ContainerFacts { labels: needs, ..healthy("orders") });
            for name in OTHERS {
                let labels = labels(&[("selfheal.external", "true")]);
                w.add(ContainerFacts { labels, ..container(name) });
            }
        }),
        Rules::default(),
    );
    stage.look().await;
    stage.fake.crash("store", 1);
    gives_up(&stage.fake, "orders", "store");
    stage.pass(2).await;
    assert_eq!(stage.fake.effects(), ["start store"]);
    for name in OTHERS {
        stage.fake.crash(name, 1);
    }
    stage.pass(100).await;
    assert_eq!(stage.fake.effects(), ["start store"]);
}
