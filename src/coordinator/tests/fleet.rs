//! Stories of targets that several nodes reach.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use selfheal_agents::fakes::labels;
use selfheal_agents::model::{FixId, OutsideAlert};
use selfheal_agents::ports::{Alone, Fleet, Memory as _, Ownership, Permit};

use super::*;

/// Another node, which may have everything, or let nothing be done.
#[derive(Default)]
struct Other {
    has_it: AtomicBool,
    refuses: AtomicBool,
    /// So many calls are let through before they are refused.
    lets: AtomicU32,
    /// How often it was asked in vain.
    asked: AtomicU32,
    /// What it learnt.
    learnt: Mutex<Arc<Vec<Outcome>>>,
}

impl Other {
    /// Lets so many calls through, and none after them.
    fn lets_only(&self, calls: u32) {
        self.lets.store(calls, Ordering::Relaxed);
        self.refuses.store(true, Ordering::Relaxed);
    }
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
        let one_less = |left: u32| left.checked_sub(1);
        let is_let = self.lets.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok();
        let is_refused =
            self.refuses.load(Ordering::Relaxed) || self.has_it.load(Ordering::Relaxed);
        if is_refused && !is_let {
            self.asked.fetch_add(1, Ordering::Relaxed);
            return Err("node `nas` looks after it".to_owned());
        }
        Ok(Box::new(Alone))
    }
    fn outcomes(&self) -> Arc<Vec<Outcome>> {
        self.learnt.lock().unwrap().clone()
    }
}

fn beside(other: &Arc<Other>) -> Stage {
    among(other, shop(), Rules::default())
}

fn among(other: &Arc<Other>, fake: FakeWorld, rules: Rules) -> Stage {
    let store: Arc<MemoryStore> = Arc::default();
    let audit = Arc::new(Audit::in_memory(store.clone()));
    let world = fake.world();
    Stage::among(other.clone(), (audit, built_in()), fake, world, rules, store)
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

/// What became of the fix that helps here, had it failed twice.
async fn failures() -> Vec<Outcome> {
    let stage = beside(&Arc::default());
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(600).await;
    let helped = stage.store.outcomes(None).await.unwrap().remove(0);
    assert!(helped.success, "{helped:?}");
    let failed = |number| Outcome {
        fix: FixId(uuid::Uuid::from_u128(number)),
        success: false,
        validation_status: ValidationStatus::Failed,
        ..helped.clone()
    };
    vec![failed(1), failed(2)]
}

#[tokio::test(start_paused = true)]
async fn a_fix_that_failed_on_another_node_is_not_tried_here_on_what_both_reach() {
    let other: Arc<Other> = Arc::default();
    *other.learnt.lock().unwrap() = Arc::new(failures().await);
    let stage = beside(&other);
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(600).await;
    let incidents = stage.incidents().await;
    let holds: Vec<_> = only(&incidents).holds.iter().map(Hold::name).collect();
    assert_eq!(holds, ["quarantined"]);
    assert!(stage.fake.effects().is_empty(), "{:?}", stage.fake.effects());
}

const FILE: &str = "/srv/worker/config.json";

/// A worker whose delay was turned for good; its file and a restart make up the fix.
async fn turned(other: &Arc<Other>) -> Stage {
    let (fake, rules) = rate_limited();
    let stage = among(other, fake, rules);
    stage.look().await;
    complain(&stage).await;
    stage.look().await;
    stage.pass(300).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
    stage
}

#[tokio::test(start_paused = true)]
async fn a_rollback_of_what_another_node_looks_after_asks_for_it_and_is_done_when_it_comes() {
    let other: Arc<Other> = Arc::default();
    let stage = turned(&other).await;
    let (backup, after) =
        (only(&stage.incidents().await).backups[0].clone(), stage.fake.effects().len());
    other.has_it.store(true, Ordering::Relaxed);
    let refused = stage.coordinator.rollback(&backup, "ada", false).await;
    let Err(RequestError::NotYet(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("node `nas`") && why.contains("try again"), "{why}");
    assert_eq!(other.asked.load(Ordering::Relaxed), 1, "it is asked for");
    assert_eq!(stage.fake.effects().len(), after);
    other.has_it.store(false, Ordering::Relaxed);
    stage.coordinator.rollback(&backup, "ada", false).await.unwrap();
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_loses_its_lease_half_way_is_gone_on_with_by_itself() {
    let other: Arc<Other> = Arc::default();
    let stage = turned(&other).await;
    let backup = only(&stage.incidents().await).backups[0].clone();
    let (before, restarts) = (stage.fake.text(FILE), stage.fake.effects().len());
    // Leave to begin, and for the file; none for the restart after it.
    other.lets_only(2);
    let refused = stage.coordinator.rollback(&backup, "ada", false).await;
    assert!(matches!(refused, Err(RequestError::NotYet(_))), "{refused:?}");
    assert_ne!(stage.fake.text(FILE), before, "it is half undone");
    stage.pass(60).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
    other.refuses.store(false, Ordering::Relaxed);
    stage.pass(60).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::RolledBack);
    assert_eq!(stage.fake.effects().len(), restarts + 2, "{:?}", stage.fake.effects());
}

#[tokio::test(start_paused = true)]
async fn an_alert_told_to_one_node_about_what_another_looks_after_is_told_to_people_here() {
    let other: Arc<Other> = Arc::default();
    let stage = beside(&other);
    stage.look().await;
    other.has_it.store(true, Ordering::Relaxed);
    let told = [("alertname", "Slow"), ("container", "web"), ("severity", "critical")];
    let told = OutsideAlert::heard("", &labels(&told), &BTreeMap::new(), stage.fake.clock().now());
    // Kept from before, as where it was told in the midst of a look.
    let name = format!("alert.{}", told.fingerprint);
    let kept = serde_json::to_value(&told).unwrap();
    stage.store.set_value(&name, Some(&kept)).await.unwrap();
    stage.look().await;
    assert_eq!(only(&stage.incidents().await).holds, [Hold::NoFixKnown]);
    assert_eq!(stage.alerts().await, ["held"]);
}
