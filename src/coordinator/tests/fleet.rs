//! Stories of targets that several nodes reach.

use std::sync::atomic::{AtomicBool, Ordering};

use selfheal_agents::ports::{Alone, Fleet, Ownership, Permit};

use super::*;

/// Another node, which may have everything, or let nothing be done.
#[derive(Default)]
struct Other {
    has_it: AtomicBool,
    refuses: AtomicBool,
}

#[async_trait::async_trait]
impl Fleet for Other {
    fn ownership(&self, _: &TargetId) -> Ownership {
        if self.has_it.load(Ordering::Relaxed) {
            return Ownership::Elsewhere { node: "nas".to_owned() };
        }
        Ownership::Ours
    }
    async fn permit(&self, _: &TargetId, _: Duration) -> Result<Box<dyn Permit>, String> {
        if self.refuses.load(Ordering::Relaxed) {
            return Err("node `nas` looks after it".to_owned());
        }
        Ok(Box::new(Alone))
    }
    fn outcomes(&self) -> Arc<Vec<Outcome>> {
        Arc::default()
    }
}

fn beside(other: &Arc<Other>) -> Stage {
    let fake = shop();
    let store: Arc<MemoryStore> = Arc::default();
    let audit = Arc::new(Audit::in_memory(store.clone()));
    let world = fake.world();
    Stage::among(other.clone(), (audit, built_in()), fake, world, Rules::default(), store)
}

#[tokio::test(start_paused = true)]
async fn what_another_node_looks_after_is_left_to_it_in_silence_until_that_one_is_gone() {
    let other: Arc<Other> = Arc::default();
    let stage = beside(&other);
    stage.look().await;
    other.has_it.store(true, Ordering::Relaxed);
    stage.fake.crash("web", 1);
    stage.pass(1800).await;
    let incidents = stage.incidents().await;
    let holds: Vec<_> = only(&incidents).holds.iter().map(Hold::name).collect();
    assert_eq!(holds, ["leased_elsewhere"]);
    assert!(stage.fake.effects().is_empty() && stage.alerts().await.is_empty());
    other.has_it.store(false, Ordering::Relaxed);
    stage.pass(300).await;
    assert_eq!(stage.fake.effects().len(), 1, "{:?}", stage.fake.effects());
}

#[tokio::test(start_paused = true)]
async fn a_fix_that_is_not_let_go_on_is_gone_on_with_later_and_done_once() {
    let other: Arc<Other> = Arc::default();
    let stage = beside(&other);
    stage.look().await;
    other.refuses.store(true, Ordering::Relaxed);
    stage.fake.crash("web", 1);
    stage.pass(120).await;
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Fixing);
    assert!(stage.fake.effects().is_empty());
    other.refuses.store(false, Ordering::Relaxed);
    stage.pass(300).await;
    assert_eq!(stage.fake.effects().len(), 1, "{:?}", stage.fake.effects());
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Resolved);
}

#[tokio::test(start_paused = true)]
async fn the_schedule_of_one_node_alone_looks_at_what_none_of_them_needs() {
    let other: Arc<Other> = Arc::default();
    let stage = beside(&other);
    let seen = |report: &Arc<CycleReport>| {
        report.targets.iter().any(|target| target.id == TargetId::container("web"))
    };
    assert!(seen(&stage.look().await));
    other.has_it.store(true, Ordering::Relaxed);
    assert!(!seen(&stage.look().await));
}
