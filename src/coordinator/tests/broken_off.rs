//! Stories of faults of Selfheal's own: a panic in the midst of its work, a journal that cannot be
//! read.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use selfheal_agents::model::{Connection, HostFacts};
use selfheal_agents::ports::{HostSensor, WorldResult};

use super::*;

/// A host whose next look meets a fault of ours, once it is set.
struct Trap {
    host: Arc<dyn HostSensor>,
    set: AtomicBool,
}

#[async_trait]
impl HostSensor for Trap {
    async fn host(&self) -> WorldResult<HostFacts> {
        assert!(!self.set.swap(false, Ordering::SeqCst), "a fault of ours");
        self.host.host().await
    }

    async fn connections(&self, pid: u32, container_id: &str) -> WorldResult<Vec<Connection>> {
        self.host.connections(pid, container_id).await
    }
}

fn trapped(fake: FakeWorld, rules: Rules) -> (Stage, Arc<Trap>) {
    let mut world = fake.world();
    let trap = Arc::new(Trap { host: world.host.clone(), set: AtomicBool::new(false) });
    world.host = trap.clone();
    (Stage::within(fake, world, rules, Arc::default()), trap)
}

impl Stage {
    /// Meets the fault in a cycle that somebody asked for.
    async fn meets(&self, trap: &Trap) {
        trap.set.store(true, Ordering::SeqCst);
        let broken = self.coordinator.check(Scope::All, Trigger::Api, false).await;
        assert!(
            matches!(broken, Err(RequestError::Failed(_))),
            "whoever asked is told: {broken:?}"
        );
        self.pass(1).await;
        let fault = self.coordinator.fault().expect("it is told while nothing is handled");
        assert!(fault.contains("taken up again"), "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cycle_that_breaks_off_is_told_and_the_next_one_heals() {
    let (stage, trap) = trapped(shop(), Rules::default());
    stage.look().await;
    stage.meets(&trap).await;
    stage.fake.crash("web", 1);
    stage.pass(10).await;
    assert_eq!(stage.coordinator.fault(), None);
    assert_eq!(stage.fake.effects(), ["start web"]);
    stage.pass(300).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
}

#[tokio::test(start_paused = true)]
async fn what_is_applied_or_watched_meanwhile_is_brought_to_its_end_once() {
    let (stage, trap) = trapped(
        old_world(|w| {
            w.add(healthy("web")).add(healthy("db"));
        }),
        Rules::default(),
    );
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(10).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Validating);
    stage.fake.stall("restart db", |_| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            true
        })
    });
    stage.fake.hang("db");
    stage.look().await;
    stage.pass(2).await;
    trap.set.store(true, Ordering::SeqCst);
    stage.coordinator.check(Scope::All, Trigger::Api, false).await.unwrap_err();
    stage.pass(5).await;
    assert!(stage.coordinator.fault().is_some(), "nothing is taken up before it is applied");
    stage.pass(400).await;
    assert_eq!(stage.coordinator.fault(), None);
    assert_eq!(stage.fake.effects(), ["start web", "restart db"]);
    let incidents = stage.incidents().await;
    assert_eq!(incidents.len(), 2, "{incidents:#?}");
    assert!(incidents.iter().all(|i| i.state() == IncidentState::Resolved), "{incidents:#?}");
    assert_eq!(stage.outcomes().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn faults_that_come_again_are_met_ever_more_rarely() {
    let (stage, trap) = trapped(shop(), Rules::default());
    stage.look().await;
    let mut met = 0;
    for _ in 0..3600 {
        let is_met = !trap.set.swap(true, Ordering::SeqCst);
        met += u32::from(is_met);
        stage.coordinator.request(Scope::All, Trigger::Schedule);
        stage.pass(1).await;
    }
    assert!((5..=25).contains(&met), "{met}");
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_read_is_told_and_nothing_is_healed() {
    let store: Arc<MemoryStore> = Arc::default();
    store.damage(Some("a record that no version wrote"));
    let stage = Stage::on(shop(), Rules::default(), store);
    let refused = stage.coordinator.check(Scope::All, Trigger::Api, false).await;
    assert!(matches!(refused, Err(RequestError::Failed(_))), "{refused:?}");
    let fault = stage.coordinator.fault().unwrap();
    assert!(fault.contains("the journal cannot be read"), "{fault}");
    stage.store.damage(None);
    assert_eq!(stage.alerts().await, ["unreadable"]);
    stage.fake.crash("web", 1);
    stage.pass(60).await;
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
}

/// A host whose next look never ends, once it is set.
struct Pit {
    host: Arc<dyn HostSensor>,
    set: AtomicBool,
}

#[async_trait]
impl HostSensor for Pit {
    async fn host(&self) -> WorldResult<HostFacts> {
        if self.set.swap(false, Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.host.host().await
    }

    async fn connections(&self, pid: u32, container_id: &str) -> WorldResult<Vec<Connection>> {
        self.host.connections(pid, container_id).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_cycle_that_does_not_end_is_broken_off_and_the_next_one_heals() {
    let fake = shop();
    let mut world = fake.world();
    let pit = Arc::new(Pit { host: world.host.clone(), set: AtomicBool::new(false) });
    world.host = pit.clone();
    let stage = Stage::within(fake, world, Rules::default(), Arc::default());
    stage.look().await;
    pit.set.store(true, Ordering::SeqCst);
    stage.fake.crash("web", 1);
    stage.pass(14 * 60).await;
    assert_eq!(stage.fake.effects(), Vec::<String>::new(), "the cycle hangs");
    stage.pass(3 * 60).await;
    assert_eq!(stage.fake.effects(), ["start web"]);
    assert_eq!((stage.coordinator.hang(), stage.coordinator.fault()), (None, None));
    let restarts = stage.coordinator.upkeep().records();
    assert!(restarts.iter().any(|of| of.part == "the work" && of.restarts == 1), "{restarts:?}");
}

#[tokio::test(start_paused = true)]
async fn people_are_told_of_a_fault_that_comes_again_and_again() {
    let (stage, trap) = trapped(shop(), Rules::default());
    stage.look().await;
    for _ in 0..3 {
        assert_eq!(stage.alerts().await, Vec::<String>::new());
        stage.meets(&trap).await;
        stage.pass(30).await;
    }
    assert_eq!(stage.alerts().await, ["part_fails"]);
}
