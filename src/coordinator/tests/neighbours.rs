//! Stories of what a container needs from another node.

use std::collections::BTreeSet;
use std::sync::Mutex;

use selfheal_agents::fakes::environment;
use selfheal_agents::model::{
    ContainerFacts, HostPort, Neighbour, NeighbourState, Silence, Sought, TcpFacts,
};
use selfheal_agents::ports::{Alone, Fleet, Ownership, Permit};

use super::*;

/// Another node, which has the database.
#[derive(Default)]
struct Nas {
    database: Mutex<Option<Neighbour>>,
    sought: Mutex<BTreeSet<Sought>>,
}

impl Nas {
    fn says(&self, state: NeighbourState, silence: Option<Silence>) {
        let sought = self.sought.lock().unwrap().first().cloned();
        *self.database.lock().unwrap() = Some(Neighbour {
            sought: sought.expect("nothing is sought"),
            target: TargetId::container("db").at_node("nas"),
            node: "nas".to_owned(),
            tried_at: vec![HostPort::new("nas.lan", 5432)],
            blames: None,
            state,
            detail: "it ended with status 1".to_owned(),
            silence,
        });
    }
}

#[async_trait::async_trait]
impl Fleet for Nas {
    fn ownership(&self, _: &TargetId) -> Ownership {
        Ownership::Ours
    }
    async fn permit(&self, _: &TargetId, _: Duration) -> Result<Box<dyn Permit>, String> {
        Ok(Box::new(Alone))
    }
    fn seek(&self, sought: BTreeSet<Sought>) {
        *self.sought.lock().unwrap() = sought;
    }
    fn neighbours(&self) -> Option<Vec<Neighbour>> {
        Some(self.database.lock().unwrap().iter().cloned().collect())
    }
    fn outcomes(&self) -> Arc<Vec<Outcome>> {
        Arc::default()
    }
}

/// Its place answers, or does not.
fn answers(fake: &FakeWorld, reachable: bool) {
    answers_at("nas.lan", fake, reachable);
}

fn answers_at(host: &str, fake: &FakeWorld, reachable: bool) {
    let place = Endpoint::Tcp { host: host.to_owned(), port: 5432 };
    fake.answers(&place, Facts::Tcp(TcpFacts { reachable, ..TcpFacts::default() }));
}

/// A shop that names the database of another node in its environment, as does a worker, as of a first
/// look.
async fn shop_beyond(nas: &Arc<Nas>) -> Stage {
    let fake = old_world(|w| {
        for name in ["web", "worker"] {
            let url = environment(&[("DATABASE_URL", "postgres://me@nas.lan/shop")]);
            w.add(ContainerFacts { environment: url, ..healthy(name) });
        }
    });
    answers(&fake, true);
    let store: Arc<MemoryStore> = Arc::default();
    let (audit, world) = (Arc::new(Audit::in_memory(store.clone())), fake.world());
    let parts = (audit, built_in());
    let stage = Stage::among(nas.clone(), parts, fake, world, Rules::default(), store);
    stage.look().await;
    nas.says(NeighbourState::Works, None);
    stage.look().await;
    stage
}

async fn holds(stage: &Stage) -> Vec<String> {
    let incidents = stage.incidents().await;
    only(&incidents).holds.iter().map(|hold| hold.name().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_container_waits_for_what_another_node_mends_and_is_mended_itself_where_that_was_not_all()
{
    let nas: Arc<Nas> = Arc::default();
    let stage = shop_beyond(&nas).await;
    nas.says(NeighbourState::Fails, None);
    stage.fake.crash("web", 1);
    stage.pass(600).await;
    assert_eq!(holds(&stage).await, ["leased_elsewhere"]);
    assert!(stage.fake.effects().is_empty() && stage.alerts().await.is_empty());
    nas.says(NeighbourState::WorksAgain(Duration::from_secs(5)), None);
    stage.pass(120).await;
    assert!(stage.fake.effects().is_empty(), "it has some time to notice");
    nas.says(NeighbourState::WorksAgain(Duration::from_secs(200)), None);
    stage.pass(300).await;
    assert_eq!(stage.fake.effects().len(), 1, "{:?}", stage.fake.effects());
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
}

#[tokio::test(start_paused = true)]
async fn where_nothing_answers_the_other_node_has_a_minute_to_see_why_and_then_a_person_is_told() {
    let nas: Arc<Nas> = Arc::default();
    let stage = shop_beyond(&nas).await;
    answers(&stage.fake, false);
    stage.fake.crash("web", 1);
    stage.pass(30).await;
    assert_eq!(holds(&stage).await, ["leased_elsewhere"]);
    stage.pass(600).await;
    assert_eq!(holds(&stage).await, ["target_external"]);
    assert_eq!(stage.alerts().await, ["held"]);
    assert!(stage.fake.effects().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_silent_is_missed_only_where_nothing_answers_at_its_place() {
    let nas: Arc<Nas> = Arc::default();
    let stage = shop_beyond(&nas).await;
    let long = Some(Silence::Node(Duration::from_secs(40)));
    nas.says(NeighbourState::Fails, long);
    answers(&stage.fake, false);
    stage.fake.crash("web", 1);
    stage.pass(30).await;
    let incidents = stage.incidents().await;
    let diagnosis = only(&incidents).diagnosis.clone().unwrap();
    assert!(diagnosis.summary.contains("has said nothing for 40 s"), "{}", diagnosis.summary);
    assert!(stage.fake.effects().is_empty());
    answers(&stage.fake, true);
    stage.pass(600).await;
    assert_eq!(stage.fake.effects().len(), 1, "what it was told last is not believed for ever");
}

#[tokio::test(start_paused = true)]
async fn what_another_node_does_not_mend_is_told_here_as_well_after_a_while() {
    let nas: Arc<Nas> = Arc::default();
    let stage = shop_beyond(&nas).await;
    nas.says(NeighbourState::Fails, None);
    stage.fake.crash("web", 1);
    stage.pass(600).await;
    assert!(stage.alerts().await.is_empty());
    stage.pass(900).await;
    assert_eq!(holds(&stage).await, ["target_external"]);
    assert_eq!(stage.alerts().await, ["held"]);
    assert!(stage.fake.effects().is_empty());
}

#[tokio::test(start_paused = true)]
async fn while_nothing_is_heard_of_the_nodes_the_place_itself_is_asked() {
    let nas: Arc<Nas> = Arc::default();
    let stage = shop_beyond(&nas).await;
    nas.says(NeighbourState::Fails, Some(Silence::Here));
    answers(&stage.fake, false);
    stage.fake.crash("web", 1);
    stage.pass(30).await;
    assert_eq!(holds(&stage).await, ["leased_elsewhere"]);
    stage.pass(300).await;
    let incidents = stage.incidents().await;
    let summary = only(&incidents).diagnosis.clone().unwrap().summary;
    assert!(summary.contains("the fleet's PostgreSQL does not answer"), "{summary}");
    answers(&stage.fake, true);
    // As the schedule does.
    stage.look().await;
    stage.pass(300).await;
    assert_eq!(stage.fake.effects().len(), 1, "{:?}", stage.fake.effects());
}

#[tokio::test(start_paused = true)]
async fn a_trouble_that_was_over_in_time_makes_the_next_one_no_longer() {
    let nas: Arc<Nas> = Arc::default();
    let stage = shop_beyond(&nas).await;
    nas.says(NeighbourState::Fails, None);
    stage.fake.hang("web");
    stage.look().await;
    assert_eq!(holds(&stage).await, ["leased_elsewhere"]);
    // Both come back before anybody looks.
    stage.fake.recover("web");
    nas.says(NeighbourState::Works, None);
    stage.look().await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
    stage.pass(3600).await;
    nas.says(NeighbourState::Fails, None);
    stage.fake.hang("web");
    stage.look().await;
    assert!(stage.alerts().await.is_empty(), "{:?}", stage.alerts().await);
    assert!(stage.fake.effects().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_trouble_lasts_although_another_that_needs_the_same_is_seen_well() {
    let nas: Arc<Nas> = Arc::default();
    let stage = shop_beyond(&nas).await;
    nas.says(NeighbourState::Fails, None);
    stage.fake.crash("web", 1);
    let worker = || Scope::Targets([TargetId::container("worker")].into());
    for _ in 0..60 {
        stage.pass(20).await;
        stage.coordinator.check(worker(), Trigger::Schedule, false).await.unwrap();
    }
    assert_eq!(holds(&stage).await, ["target_external"]);
    assert_eq!(stage.alerts().await, ["held"]);
}

#[tokio::test(start_paused = true)]
async fn a_place_with_several_addresses_is_out_where_none_of_them_answers() {
    let nas: Arc<Nas> = Arc::default();
    let stage = shop_beyond(&nas).await;
    let places = ["nas.lan", "192.0.2.7"].map(|host| HostPort::new(host, 5432));
    nas.database.lock().unwrap().as_mut().unwrap().tried_at = places.to_vec();
    answers(&stage.fake, false);
    answers_at("192.0.2.7", &stage.fake, true);
    stage.fake.crash("web", 1);
    stage.pass(300).await;
    assert_eq!(stage.fake.effects().len(), 1, "one answers: {:?}", stage.fake.effects());
    answers_at("192.0.2.7", &stage.fake, false);
    stage.fake.crash("worker", 1);
    stage.pass(300).await;
    assert_eq!(stage.fake.effects().len(), 1, "none answers: {:?}", stage.fake.effects());
    let alert = stage.incidents().await.into_iter().find(|i| !i.state().is_closed()).unwrap();
    let told = alert.diagnosis.unwrap().summary;
    assert!(told.contains("nas.lan:5432 or 192.0.2.7:5432"), "{told}");
}
