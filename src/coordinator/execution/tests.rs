//! Generic over the whole catalogue: every action is applied, repeated, undone, failed at
//! every step and interrupted at every record. An action without a case here fails the
//! first test.

use std::collections::BTreeSet;

use selfheal_agents::fakes::{Failure, FakeWorld, Interruption, MemoryStore, container, network};
use selfheal_agents::fix_engineer::actions::{
    Action, ConfigRestore, ConfigSet, ContainerRestart, ContainerSetMemory, ContainerSignal,
    ContainerStart, ContainerUnpause, NetworkConnect, PostgresTerminate,
};
use selfheal_agents::model::{
    Backend, Confidence, ContainerStatus, DatabaseEndpoint, Endpoint, Facts, Ledger, MemoryLimits,
    PostgresFacts, TargetId, Timestamp,
};
use selfheal_agents::ports::{Backups, Clock, Journal};
use uuid::Uuid;

use super::*;

const FILE: &str = "/srv/worker/config.json";
const BEFORE: &str = "{\n  \"delay_s\": 0.5 // calm\n}\n";
const MIB: u64 = 1024 * 1024;

struct Case {
    name: &'static str,
    fake: FakeWorld,
    steps: Vec<Step>,
}

fn repair(action: Action) -> Step {
    Step { action, role: StepRole::Repair }
}

fn restart() -> Action {
    Action::ContainerRestart(ContainerRestart {
        container: "worker".to_owned(),
        stop_timeout_secs: 1,
        signal: None,
    })
}

fn activate() -> Step {
    Step { action: restart(), role: StepRole::Activate }
}

fn worker() -> String {
    "worker".to_owned()
}

fn world(change: impl FnOnce(&FakeWorld)) -> FakeWorld {
    let fake = FakeWorld::default();
    fake.add(container("worker")).file(FILE, BEFORE);
    change(&fake);
    // The world was not made in the moment in which it is repaired.
    fake.clock().advance_secs(60);
    fake
}

fn database() -> Endpoint {
    Endpoint::Postgres(DatabaseEndpoint {
        host: "10.0.0.2".to_owned(),
        port: 5432,
        user: None,
        password: None,
        database: None,
        tls: false,
    })
}

fn config_set() -> Action {
    Action::ConfigSet(ConfigSet {
        target: TargetId::container("worker"),
        file: FILE.to_owned(),
        key: "delay_s".to_owned(),
        from: 0.5,
        to: 0.75,
    })
}

fn set_memory() -> Action {
    let limits = MemoryLimits { memory_bytes: Some(96 * MIB), memory_swap_bytes: Some(96 * MIB) };
    Action::ContainerSetMemory(ContainerSetMemory { container: worker(), limits })
}

/// One case an action, and the fixes of several steps that runbooks make of them.
fn cases() -> Vec<Case> {
    let case = |name, fake, steps| Case { name, fake, steps };
    vec![
        case(
            "start",
            world(|w| {
                w.crash("worker", 1);
            }),
            vec![repair(Action::ContainerStart(ContainerStart { container: worker() }))],
        ),
        case("restart", world(|_| {}), vec![repair(restart())]),
        case(
            "signal",
            world(|_| {}),
            vec![repair(Action::ContainerSignal(ContainerSignal {
                container: worker(),
                signal: "HUP".to_owned(),
            }))],
        ),
        case(
            "unpause",
            world(|w| {
                w.change("worker", |c| c.status = ContainerStatus::Paused);
            }),
            vec![repair(Action::ContainerUnpause(ContainerUnpause { container: worker() }))],
        ),
        case("memory", world(limited), vec![repair(set_memory()), activate()]),
        case(
            "network",
            world(|w| {
                w.change("worker", |c| c.networks.clear());
            }),
            vec![repair(Action::NetworkConnect(NetworkConnect {
                container: worker(),
                attachment: network("shop", "worker"),
            }))],
        ),
        case("config", world(|_| {}), vec![repair(config_set()), activate()]),
        case(
            "restore",
            world(|_| {}),
            vec![
                repair(Action::ConfigRestore(ConfigRestore {
                    target: TargetId::container("worker"),
                    file: FILE.to_owned(),
                    good: "{\"delay_s\": 2}\n".to_owned(),
                    good_since: Timestamp::UNIX_EPOCH,
                })),
                activate(),
            ],
        ),
        case("terminate", world(blocked_database), vec![repair(terminate())]),
    ]
}

fn limited(fake: &FakeWorld) {
    let limits = MemoryLimits { memory_bytes: Some(64 * MIB), memory_swap_bytes: Some(64 * MIB) };
    fake.change("worker", |c| c.limits = limits);
}

fn blocked_database(fake: &FakeWorld) {
    let blocker = Backend {
        pid: 42,
        backend_start: Some(Timestamp::UNIX_EPOCH),
        state: "idle in transaction".to_owned(),
        state_secs: 900.0,
        user: "app".to_owned(),
        application: "worker".to_owned(),
        blocks: 3,
    };
    let facts = PostgresFacts { reachable: true, blockers: vec![blocker], ..Default::default() };
    fake.answers(&database(), Facts::Postgres(facts));
}

fn terminate() -> Action {
    let session = selfheal_agents::fix_engineer::actions::Session {
        pid: 42,
        backend_start: Some(Timestamp::UNIX_EPOCH),
        who: "worker".to_owned(),
    };
    Action::PostgresTerminate(PostgresTerminate {
        target: "postgres:orders".parse().unwrap(),
        endpoint: database(),
        sessions: vec![session],
    })
}

fn approved(steps: &[Step], now: Timestamp) -> ApprovedFix {
    ApprovedFix::for_test(Fix {
        id: FixId(Uuid::from_u128(7)),
        fix_type: steps[0].action.name().to_owned(),
        target: steps[0].action.target(),
        issue_type: "a-test".to_owned(),
        summary: "mend it".to_owned(),
        steps: steps.to_vec(),
        ledger: Ledger::with_base(90, "base"),
        original_confidence: Confidence::literal(90),
        confidence: Confidence::literal(90),
        interruption_secs: 0,
        warnings: vec![],
        proposed_at: now,
    })
}

fn incident() -> IncidentId {
    IncidentId(Uuid::from_u128(1))
}

/// What of the world a fix may change, as one comparable text.
fn picture(fake: &FakeWorld) -> String {
    let facts = fake.facts("worker");
    let networks: Vec<&str> = facts.networks.iter().map(|n| n.network.as_str()).collect();
    format!("{:?} {networks:?} {}", facts.limits, fake.text(FILE))
}

struct Run {
    executor: Executor,
    store: Arc<MemoryStore>,
    fake: FakeWorld,
}

impl Run {
    fn of(case: &Case) -> Self {
        let store = Arc::new(MemoryStore::default());
        let executor = Executor::new(case.fake.world(), store.clone());
        Self { executor, store, fake: case.fake.clone() }
    }

    async fn prepared(&self, case: &Case) -> Progress {
        let now = self.fake.clock().now();
        self.executor.prepare(incident(), &approved(&case.steps, now)).await.unwrap()
    }

    /// What the next start of Selfheal finds.
    async fn found(&self) -> Progress {
        self.executor.progress(FixId(Uuid::from_u128(7))).await.unwrap().unwrap()
    }

    async fn is_applied(&self, case: &Case) -> bool {
        let progress = self.found().await;
        let backup = self.store.backup(&progress.backup).await.unwrap().unwrap();
        for (step, before) in case.steps.iter().zip(&backup.captured) {
            // Whether a signal arrived cannot be seen; its case is checked by its effect.
            let seen = step.action.is_applied(&self.fake.world(), before).await.unwrap();
            if !seen && step.action.name() != "container.signal" {
                return false;
            }
        }
        true
    }
}

#[test]
fn every_action_of_the_catalogue_has_a_case() {
    let covered: BTreeSet<&str> =
        cases().iter().flat_map(|c| &c.steps).map(|s| s.action.name()).collect();
    assert_eq!(covered, Action::NAMES.iter().copied().collect());
}

#[tokio::test(start_paused = true)]
async fn every_fix_is_in_effect_after_it_was_applied() {
    for case in cases() {
        let run = Run::of(&case);
        let mut progress = run.prepared(&case).await;
        let seen_before = run.is_applied(&case).await && case.name != "signal";
        assert!(!seen_before, "{} was there before", case.name);
        run.fake.clock().advance_secs(1);
        assert_eq!(run.executor.apply(&mut progress).await.unwrap(), ApplyEnd::Applied);
        assert!(run.is_applied(&case).await, "{}", case.name);
    }
}

#[tokio::test(start_paused = true)]
async fn applying_again_what_is_applied_changes_nothing() {
    for case in cases() {
        let run = Run::of(&case);
        let mut progress = run.prepared(&case).await;
        run.fake.clock().advance_secs(1);
        run.executor.apply(&mut progress).await.unwrap();
        let effects = run.fake.effects();
        run.executor.apply(&mut run.found().await).await.unwrap();
        assert_eq!(run.fake.effects(), effects, "{}", case.name);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_restores_the_world_as_it_was() {
    for case in cases() {
        let run = Run::of(&case);
        let before = picture(&run.fake);
        let mut progress = run.prepared(&case).await;
        run.fake.clock().advance_secs(1);
        run.executor.apply(&mut progress).await.unwrap();
        let end = run.executor.rollback(&mut progress, "a test").await.unwrap();
        assert!(matches!(end, RollbackEnd::RolledBack { .. }), "{}: {end:?}", case.name);
        assert_eq!(picture(&run.fake), before, "{}", case.name);
        assert_eq!(run.store.unfinished_fixes().await.unwrap(), vec![], "{}", case.name);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_restored_takes_effect_by_a_second_activation() {
    let case = cases().into_iter().find(|c| c.name == "config").unwrap();
    let run = Run::of(&case);
    let mut progress = run.prepared(&case).await;
    run.fake.clock().advance_secs(1);
    run.executor.apply(&mut progress).await.unwrap();
    run.fake.clock().advance_secs(1);
    run.executor.rollback(&mut progress, "a test").await.unwrap();
    let restarts = run.fake.effects().iter().filter(|e| e.contains("restart")).count();
    assert_eq!(restarts, 2, "{:?}", run.fake.effects());
}

/// Interrupts at every record of `operation`, then does what the next start does, and
/// checks that the world is whole.
#[tokio::test(start_paused = true)]
async fn interrupted_at_any_record_a_fix_is_finished_by_the_next_start() {
    for at in [Interruption::BeforeWrite, Interruption::AfterWrite] {
        for nth in 0.. {
            let mut interrupted_any = false;
            for case in cases() {
                let run = Run::of(&case);
                let mut progress = run.prepared(&case).await;
                run.fake.clock().advance_secs(1);
                run.store.interrupt(nth, at);
                if run.executor.apply(&mut progress).await.is_ok() {
                    continue;
                }
                interrupted_any = true;
                run.fake.clock().advance_secs(1);
                let mut found = run.found().await;
                if found.phase == Phase::Applying {
                    let end = run.executor.apply(&mut found).await.unwrap();
                    assert_eq!(end, ApplyEnd::Applied, "{} at {nth}", case.name);
                }
                assert!(run.is_applied(&case).await, "{} at {nth}", case.name);
                assert_eq!(run.found().await.phase, Phase::Validating, "{}", case.name);
            }
            if !interrupted_any {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn interrupted_at_any_record_a_rollback_is_finished_by_the_next_start() {
    for at in [Interruption::BeforeWrite, Interruption::AfterWrite] {
        for nth in 0.. {
            let mut interrupted_any = false;
            for case in cases() {
                let run = Run::of(&case);
                let before = picture(&run.fake);
                let mut progress = run.prepared(&case).await;
                run.fake.clock().advance_secs(1);
                run.executor.apply(&mut progress).await.unwrap();
                run.fake.clock().advance_secs(1);
                run.store.interrupt(nth, at);
                if run.executor.rollback(&mut progress, "a test").await.is_ok() {
                    continue;
                }
                interrupted_any = true;
                run.fake.clock().advance_secs(1);
                let mut found = run.found().await;
                if found.phase != Phase::RolledBack {
                    run.executor.rollback(&mut found, "a test").await.unwrap();
                }
                assert_eq!(picture(&run.fake), before, "{} at {nth}", case.name);
                assert_eq!(run.found().await.phase, Phase::RolledBack, "{}", case.name);
            }
            if !interrupted_any {
                break;
            }
        }
    }
}

/// The calls of the world by which steps take effect.
const EFFECTS: [&str; 9] = [
    "start",
    "restart",
    "signal",
    "unpause",
    "set_memory_limits",
    "connect_network",
    "replace",
    "terminate_backends",
    "container",
];

#[tokio::test(start_paused = true)]
async fn a_step_that_fails_for_good_leaves_the_world_as_it_was() {
    for operation in EFFECTS {
        for case in cases() {
            let run = Run::of(&case);
            let before = picture(&run.fake);
            let mut progress = run.prepared(&case).await;
            let refusal = Failure::Refused("no".to_owned());
            // The refusal hits the effect only; undoing works again.
            run.fake.fail_next(operation, &refusal, 1);
            if run.executor.apply(&mut progress).await.unwrap() == ApplyEnd::Applied {
                continue;
            }
            run.fake.clock().advance_secs(1);
            let end = run.executor.rollback(&mut progress, "a test").await.unwrap();
            assert!(matches!(end, RollbackEnd::RolledBack { .. }), "{}: {end:?}", case.name);
            assert_eq!(picture(&run.fake), before, "{} without {operation}", case.name);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_does_not_make_a_step_happen_twice() {
    let case = cases().into_iter().find(|c| c.name == "restart").unwrap();
    let run = Run::of(&case);
    let mut progress = run.prepared(&case).await;
    run.fake.clock().advance_secs(1);
    run.fake.fail_next("restart", &Failure::TimedOutAfterwards, 1);
    assert_eq!(run.executor.apply(&mut progress).await.unwrap(), ApplyEnd::Applied);
    let restarts = run.fake.effects().iter().filter(|e| e.contains("restart")).count();
    assert_eq!(restarts, 1, "{:?}", run.fake.effects());
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_fails_again_and_again_is_stuck_and_says_where_the_old_state_is() {
    let case = cases().into_iter().find(|c| c.name == "config").unwrap();
    let run = Run::of(&case);
    let mut progress = run.prepared(&case).await;
    run.executor.apply(&mut progress).await.unwrap();
    run.fake.fail_next("replace", &Failure::Refused("read-only".to_owned()), 100);
    let end = run.executor.rollback(&mut progress, "a test").await.unwrap();
    let RollbackEnd::Stuck { reason } = end else { panic!("{end:?}") };
    assert!(reason.contains(progress.backup.as_str()), "{reason}");
    assert_eq!(run.store.unfinished_fixes().await.unwrap(), vec![], "stuck is final");
}

#[tokio::test(start_paused = true)]
async fn without_a_journal_nothing_is_touched() {
    for case in cases() {
        let run = Run::of(&case);
        let now = run.fake.clock().now();
        run.store.refuse_writes(Some("disk full"));
        let refused = run.executor.prepare(incident(), &approved(&case.steps, now)).await;
        assert!(matches!(refused, Err(PrepareError::Store(_))), "{}", case.name);
        assert_eq!(run.fake.effects(), Vec::<String>::new(), "{}", case.name);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_backed_up_is_not_touched() {
    let case = cases().into_iter().find(|c| c.name == "config").unwrap();
    let run = Run::of(&case);
    run.fake.fail_next("read", &Failure::Unreachable, 1);
    let now = run.fake.clock().now();
    let refused = run.executor.prepare(incident(), &approved(&case.steps, now)).await;
    assert!(matches!(refused, Err(PrepareError::Capture(_))));
    assert_eq!(run.fake.effects(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_change_in_between_is_a_conflict_and_kept() {
    let case = cases().into_iter().find(|c| c.name == "config").unwrap();
    let run = Run::of(&case);
    let mut progress = run.prepared(&case).await;
    run.fake.file(FILE, "{\"delay_s\": 3}");
    let end = run.executor.apply(&mut progress).await.unwrap();
    assert!(matches!(end, ApplyEnd::Failed { .. }), "{end:?}");
    run.executor.rollback(&mut progress, "a test").await.unwrap();
    assert_eq!(run.fake.text(FILE), "{\"delay_s\": 3}", "the rollback leaves it as well");
}
