//! Generic over the whole catalogue: every action is applied, repeated, undone, failed at
//! every step and interrupted at every record. An action without a case here fails the
//! first test.

use std::collections::BTreeSet;
use std::time::Duration;

use selfheal_agents::fakes::{
    Failure, FakeWorld, Interruption, MemoryStore, container, environment, network,
};
use selfheal_agents::fix_engineer::actions::{
    Action, BuildCachePrune, ConfigRestore, ConfigSet, ContainerPause, ContainerRecreate,
    ContainerRestart, ContainerSetCpu, ContainerSetMemory, ContainerSignal, ContainerStart,
    ContainerStop, ContainerUnpause, EvictionPolicy, LogsTrim, MysqlKill, NetworkConnect,
    PostgresAlterSystem, PostgresReload, PostgresTerminate, RedisKillClients, RedisSetMemory,
    RedisSetPolicy, Restores, Reversal, RunCommand,
};
use selfheal_agents::model::{
    Backend, Command, Confidence, ConfigState, ContainerStatus, DatabaseEndpoint, DatabaseFacts,
    Endpoint, Facts, ImageName, Ledger, LogFile, LogFolder, LogSurvey, MemoryLimits,
    NetworkAttachment, RedisClient, RedisFacts, ServerSetting, Session, SettingFacts, StepRole,
    TargetId, Timestamp,
};
use selfheal_agents::ports::{Alone, Backups, Clock, Journal};
use uuid::Uuid;

use super::*;

mod commands;
mod crashes;

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
    Action::ContainerSetMemory(ContainerSetMemory { container: worker(), limits, make_room: None })
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
            "pause",
            world(|_| {}),
            vec![repair(Action::ContainerPause(ContainerPause { container: worker() }))],
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
                rejoins: false,
            }))],
        ),
        case("name", world(nameless), vec![repair(give_name())]),
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
        case("reload", world(tuned_database), vec![repair(reload())]),
        case("alter system", world(tuned_database), vec![repair(alter_system())]),
        case("kill", world(crowded_database), vec![repair(kill())]),
        case("cpu", world(|_| {}), vec![repair(set_cpu())]),
        case(
            "image",
            world(|w| {
                w.image("sha256:good", &[]);
            }),
            vec![repair(old_image())],
        ),
        case("variable", world(|_| {}), vec![repair(lost_variable())]),
        case("left-over", world(left_over), left_over_steps()),
        case(
            "build cache",
            world(|w| {
                w.keeps_builds(900 * MIB);
            }),
            vec![repair(Action::BuildCachePrune(BuildCachePrune {
                unused_hours: 168,
                bytes: 900 * MIB,
            }))],
        ),
        case("logs", world(full_of_logs), vec![repair(trim_logs())]),
        case("redis memory", world(full_cache), vec![repair(redis_memory())]),
        case("redis policy", world(full_cache), vec![repair(redis_policy())]),
        case("redis clients", world(crowded_cache), vec![repair(redis_clients())]),
        commands::case(true, true),
    ]
}

/// On its network, but not by the name that others know it by.
fn nameless(fake: &FakeWorld) {
    let known = network("shop", "worker");
    fake.change("worker", |c| {
        c.networks = vec![NetworkAttachment { aliases: vec!["old".to_owned()], ..known }];
    });
}

fn give_name() -> Action {
    let attachment =
        NetworkAttachment { aliases: vec!["api".to_owned()], ..network("shop", "worker") };
    Action::NetworkConnect(NetworkConnect { container: worker(), attachment, rejoins: true })
}

fn set_cpu() -> Action {
    Action::ContainerSetCpu(ContainerSetCpu { container: worker(), limit_nanos: 500_000_000 })
}

fn recreate(restores: Restores) -> Action {
    let mark = "0123456789ab".to_owned();
    let (container, stop_timeout_secs) = (worker(), 1);
    Action::ContainerRecreate(ContainerRecreate { container, restores, mark, stop_timeout_secs })
}

fn old_image() -> Action {
    let (id, name) = ("sha256:good".to_owned(), "worker:0".to_owned());
    recreate(Restores::Image(ImageName { id, name }))
}

fn lost_variable() -> Action {
    let values = environment(&[("URL", "secret")]);
    recreate(Restores::Variables { names: vec!["URL".to_owned()], values })
}

/// The worker cannot start: an older copy has its port.
fn left_over(fake: &FakeWorld) {
    fake.crash("worker", 1);
    fake.change("worker", |c| c.published_ports = vec![8080]);
    let mut old = container("old-worker");
    old.published_ports = vec![8080];
    fake.add(old);
}

fn left_over_steps() -> Vec<Step> {
    let stop = ContainerStop {
        container: "old-worker".to_owned(),
        stop_timeout_secs: 1,
        in_favour_of: worker(),
    };
    let start = ContainerStart { container: worker() };
    vec![repair(Action::ContainerStop(stop)), repair(Action::ContainerStart(start))]
}

fn log_folder() -> LogFolder {
    LogFolder { root: "/srv/worker/log".to_owned(), below: String::new() }
}

fn log_files() -> Vec<LogFile> {
    let file = |name: &str, inode| LogFile { name: name.to_owned(), inode, taken_bytes: 40 * MIB };
    vec![file("worker.log.1", 1), file("worker.log", 2)]
}

fn full_of_logs(fake: &FakeWorld) {
    let files = log_files();
    fake.logs_in(&log_folder(), LogSurvey { total_bytes: 80 * MIB, available_bytes: 0, files });
}

fn trim_logs() -> Action {
    let (folder, files) = (log_folder(), log_files());
    Action::LogsTrim(LogsTrim { container: worker(), folder, files, keep_bytes: MIB })
}

fn cache() -> Endpoint {
    let Endpoint::Postgres(database) = database() else { panic!("the database is one") };
    Endpoint::Redis(DatabaseEndpoint { port: 6379, ..database })
}

fn idle_client() -> RedisClient {
    RedisClient { id: 7, address: "10.0.0.3:40000".to_owned(), idle_secs: 900 }
}

fn full_cache(fake: &FakeWorld) {
    let facts = RedisFacts {
        reachable: true,
        used_memory_bytes: Some(4 * MIB),
        maxmemory_bytes: Some(4 * MIB),
        maxmemory_policy: Some("noeviction".to_owned()),
        writes_rejected: true,
        idle_clients: vec![idle_client()],
        ..Default::default()
    };
    fake.answers(&cache(), Facts::Redis(facts));
}

/// With room, and a client that does nothing.
fn crowded_cache(fake: &FakeWorld) {
    let (used_memory_bytes, idle_clients) = (Some(MIB), vec![idle_client()]);
    let facts =
        RedisFacts { reachable: true, used_memory_bytes, idle_clients, ..Default::default() };
    fake.answers(&cache(), Facts::Redis(facts));
}

fn redis_target() -> TargetId {
    "redis:cache".parse().unwrap()
}

fn redis_memory() -> Action {
    let (from_bytes, to_bytes) = (4 * MIB, 5 * MIB);
    let (target, endpoint) = (redis_target(), cache());
    Action::RedisSetMemory(RedisSetMemory { target, endpoint, from_bytes, to_bytes })
}

fn redis_policy() -> Action {
    let (target, endpoint) = (redis_target(), cache());
    let policy = EvictionPolicy::VolatileLru;
    Action::RedisSetPolicy(RedisSetPolicy { target, endpoint, policy })
}

fn redis_clients() -> Action {
    let (target, endpoint) = (redis_target(), cache());
    let clients = vec![idle_client()];
    Action::RedisKillClients(RedisKillClients { target, endpoint, clients })
}

fn limited(fake: &FakeWorld) {
    let limits = MemoryLimits { memory_bytes: Some(64 * MIB), memory_swap_bytes: Some(64 * MIB) };
    fake.change("worker", |c| c.limits = limits);
}

fn blocked_database(fake: &FakeWorld) {
    let blocker = Backend {
        pid: 42,
        backend_start: Some(Timestamp::UNIX_EPOCH),
        address: String::new(),
        state: "idle in transaction".to_owned(),
        state_secs: 900.0,
        user: "app".to_owned(),
        application: "worker".to_owned(),
        blocks: 3,
    };
    let facts = DatabaseFacts { reachable: true, blockers: vec![blocker], ..Default::default() };
    fake.answers(&database(), Facts::Postgres(facts));
}

fn session(pid: i64, backend_start: Option<Timestamp>, address: &str) -> Session {
    let (address, who) = (address.to_owned(), "worker".to_owned());
    Session { pid, backend_start, address, in_transaction: backend_start.is_some(), who }
}

fn terminate() -> Action {
    Action::PostgresTerminate(PostgresTerminate {
        target: "postgres:orders".parse().unwrap(),
        endpoint: database(),
        sessions: vec![session(42, Some(Timestamp::UNIX_EPOCH), "")],
    })
}

/// A server with a setting that a fix may change, and rules that wait to be loaded.
fn tuned_database(fake: &FakeWorld) {
    let setting = ServerSetting::PostgresMaxWalSize;
    let settings = vec![SettingFacts {
        setting,
        value: 1024,
        context: "sighup".to_owned(),
        overruled_for: None,
    }];
    let config = Some(ConfigState::RulesWaiting);
    let facts = DatabaseFacts { reachable: true, settings, config, ..Default::default() };
    fake.answers(&database(), Facts::Postgres(facts));
}

fn reload() -> Action {
    let target = "postgres:orders".parse().unwrap();
    Action::PostgresReload(PostgresReload { target, endpoint: database() })
}

fn alter_system() -> Action {
    Action::PostgresAlterSystem(PostgresAlterSystem {
        target: "postgres:orders".parse().unwrap(),
        endpoint: database(),
        setting: ServerSetting::PostgresMaxWalSize,
        from: 1024,
        to: 1536,
    })
}

fn mysql() -> Endpoint {
    let Endpoint::Postgres(database) = database() else { panic!("the database is one") };
    Endpoint::Mysql(DatabaseEndpoint { port: 3306, ..database })
}

fn crowded_database(fake: &FakeWorld) {
    let sleeper = Backend {
        pid: 7,
        backend_start: None,
        address: "10.0.0.3:40000".to_owned(),
        state: "idle".to_owned(),
        state_secs: 900.0,
        user: "app".to_owned(),
        application: String::new(),
        blocks: 0,
    };
    let facts = DatabaseFacts { reachable: true, idle: vec![sleeper], ..Default::default() };
    fake.answers(&mysql(), Facts::Mysql(facts));
}

fn kill() -> Action {
    Action::MysqlKill(MysqlKill {
        target: "mysql:orders".parse().unwrap(),
        endpoint: mysql(),
        sessions: vec![session(7, None, "10.0.0.3:40000")],
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
        course: selfheal_agents::model::Course::First,
        quiet: false,
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
    let on = |n: &NetworkAttachment| (n.network.clone(), n.aliases.clone(), n.fixed_ip.clone());
    let networks: Vec<_> = facts.networks.iter().map(on).collect();
    // One that was frozen before stays thawed: its action has no undo.
    let by_us = fake.effects().iter().any(|effect| effect == "pause worker");
    let is_frozen = by_us && facts.status == ContainerStatus::Paused;
    let settings = fake.server_settings();
    let limits = (facts.limits, facts.cpu_limit_nanos);
    let old_runs = fake.has("old-worker").then(|| fake.facts("old-worker").is_up());
    let made = (facts.id, facts.image_id, facts.environment, fake.names());
    let ran = fake.is_done("flush");
    let file = fake.text(FILE);
    format!("{limits:?} {networks:?} {file} {settings:?} {old_runs:?} {made:?} {ran} {is_frozen}")
}

struct Run {
    executor: Executor,
    store: Arc<MemoryStore>,
    fake: FakeWorld,
}

impl Run {
    fn of(case: &Case) -> Self {
        let store = Arc::new(MemoryStore::default());
        let inventory = watch::Sender::<Arc<Inventory>>::default().subscribe();
        let executor = Executor::new(case.fake.world(), store.clone(), Arc::new(Alone), inventory);
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

/// Every case, once for each call of the world that applying it makes: whatever a new action calls
/// fails here too.
async fn each_call_of_each_case() -> Vec<(Case, String)> {
    let mut all = vec![];
    for (index, case) in cases().into_iter().enumerate() {
        let run = Run::of(&case);
        let mut progress = run.prepared(&case).await;
        run.executor.apply(&mut progress).await.unwrap();
        let fresh = |call| (cases().swap_remove(index), call);
        all.extend(run.fake.called().into_iter().map(fresh));
    }
    all
}

/// Takes back what failed and sees that the world is as before.
async fn is_as_before(run: &Run, case: &Case, call: &str, before: &str) {
    run.fake.clock().advance_secs(1);
    let end = run.executor.rollback(&mut run.found().await, "a test").await.unwrap();
    assert!(matches!(end, RollbackEnd::RolledBack { .. }), "{}: {end:?}", case.name);
    assert_eq!(picture(&run.fake), before, "{} without {call}", case.name);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_fails_for_good_leaves_the_world_as_it_was() {
    let mut failed = BTreeSet::new();
    for (case, call) in each_call_of_each_case().await {
        let run = Run::of(&case);
        let before = picture(&run.fake);
        let mut progress = run.prepared(&case).await;
        // The refusal hits the effect only; undoing works again.
        run.fake.fail_next(&call, &Failure::Refused("no".to_owned()), 1);
        if run.executor.apply(&mut progress).await.unwrap() != ApplyEnd::Applied {
            failed.insert(case.name);
            is_as_before(&run, &case, &call, &before).await;
        }
    }
    assert_eq!(failed, cases().iter().map(|case| case.name).collect(), "each can fail");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_fails_when_it_is_half_done_is_undone_all_the_same() {
    for (case, call) in each_call_of_each_case().await {
        let run = Run::of(&case);
        let before = picture(&run.fake);
        let mut progress = run.prepared(&case).await;
        run.fake.fail_next(&call, &Failure::TimedOutAfterwards, 1);
        run.fake.fail_next(&call, &Failure::Refused("no".to_owned()), 1);
        if run.executor.apply(&mut progress).await.unwrap() != ApplyEnd::Applied {
            is_as_before(&run, &case, &call, &before).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_back_of_a_container_that_was_made_anew_since() {
    for case in cases() {
        let run = Run::of(&case);
        let mut progress = run.prepared(&case).await;
        run.fake.clock().advance_secs(1);
        run.executor.apply(&mut progress).await.unwrap();
        let overtaken = async || run.executor.overtaken(&progress).await.unwrap();
        assert_eq!(overtaken().await, Vec::<String>::new(), "{}", case.name);
        for name in run.fake.names() {
            run.fake.change(&name, |c| c.id = format!("another-{name}"));
        }
        let backup = run.store.backup(&progress.backup).await.unwrap().unwrap();
        let is_of_container = case.steps.iter().zip(&backup.captured).any(|(step, before)| {
            before.container_id().is_some() && step.action.reversal() == Reversal::Undo
        });
        assert_eq!(!overtaken().await.is_empty(), is_of_container, "{}", case.name);
    }
}

#[tokio::test]
async fn every_undo_can_be_typed_by_a_person() {
    for case in cases() {
        for step in case.steps.iter().filter(|s| s.action.reversal() == Reversal::Undo) {
            let before = step.action.capture(&case.fake.world()).await.unwrap();
            let command = step.action.undo_by_hand(&before);
            assert!(command.is_some_and(|c| c != step.action.by_hand()), "{}", case.name);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_kept_for_an_undo_goes_when_the_fix_is_kept_wherever_that_was_cut_off() {
    for at in [Interruption::BeforeWrite, Interruption::AfterWrite] {
        for nth in 0..3 {
            for case in cases() {
                let run = Run::of(&case);
                let names = run.fake.names();
                let mut progress = run.prepared(&case).await;
                run.fake.clock().advance_secs(1);
                run.executor.apply(&mut progress).await.unwrap();
                let cure = run.fake.facts("worker");
                run.store.interrupt(nth, at);
                let _ = run.executor.keep(&mut progress).await;
                run.store.interrupt(usize::MAX, at);
                let mut found = run.found().await;
                if found.phase != Phase::Kept {
                    run.executor.keep(&mut found).await.unwrap();
                }
                assert_eq!(run.found().await.phase, Phase::Kept, "{} at {nth}", case.name);
                assert_eq!(run.fake.names(), names, "{} at {nth}", case.name);
                assert_eq!(run.fake.facts("worker"), cure, "{} at {nth}", case.name);
                assert_eq!(run.store.unfinished_fixes().await.unwrap(), []);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_proven_fix_stays_although_what_it_kept_cannot_be_cleared_away_yet() {
    let case = cases().into_iter().find(|c| c.name == "image").unwrap();
    let run = Run::of(&case);
    let mut progress = run.prepared(&case).await;
    run.executor.apply(&mut progress).await.unwrap();
    run.fake.fail_next("remove", &Failure::Unreachable, 10);
    run.executor.keep(&mut progress).await.unwrap();
    assert_eq!(run.found().await.phase, Phase::Settling);
    assert_eq!(run.store.unfinished_fixes().await.unwrap().len(), 1, "the next start goes on");
    assert_eq!(run.fake.names().len(), 2);
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
    let RollbackEnd::Stuck { reason, by_hand } = end else { panic!("{end:?}") };
    assert!(reason.contains(progress.backup.as_str()), "{reason}");
    assert_eq!(
        by_hand,
        ["edit /srv/worker/config.json: set delay_s back to 0.5", "docker restart -t 1 worker"]
    );
    assert_eq!(run.store.unfinished_fixes().await.unwrap(), vec![], "stuck is final");
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_finds_no_room_gets_what_was_kept_back() {
    let case = cases().into_iter().find(|c| c.name == "config").unwrap();
    let run = Run::of(&case);
    let mut progress = run.prepared(&case).await;
    run.executor.apply(&mut progress).await.unwrap();
    assert!(!run.store.made_room(), "nothing failed so far");
    run.fake.fail_next("replace", &Failure::Refused("No space left on device".to_owned()), 1);
    let end = run.executor.rollback(&mut progress, "a test").await.unwrap();
    assert!(matches!(end, RollbackEnd::RolledBack { .. }), "{end:?}");
    assert!(run.store.made_room());
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

#[tokio::test(start_paused = true)]
async fn a_fix_read_from_the_journal_reaches_its_server_as_it_is_now() {
    let case = cases().into_iter().find(|c| c.name == "redis memory").unwrap();
    let mut run = Run::of(&case);
    run.prepared(&case).await;
    let Endpoint::Redis(stored) = cache() else { panic!("the cache is one") };
    let password = Some(selfheal_agents::model::SecretText::new("a-password"));
    let now = Endpoint::Redis(DatabaseEndpoint { password, host: "10.0.0.9".to_owned(), ..stored });
    let target = selfheal_agents::model::Target {
        endpoint: Some(now.clone()),
        ..selfheal_agents::model::Target::bare(redis_target())
    };
    let targets = [(redis_target(), target)].into();
    let seen = watch::Sender::new(Arc::new(Inventory { targets, ..Inventory::default() }));
    run.executor =
        Executor::new(run.fake.world(), run.store.clone(), Arc::new(Alone), seen.subscribe());
    let mut found = run.found().await;
    assert_eq!(found.fix.steps[0].action.endpoint_mut(), Some(&mut now.clone()));
}
