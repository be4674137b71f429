use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::fakes::{Behaviour, Failure, FakeWorld, container, healthy, start_time};
use crate::model::{
    Backend, ContainerFacts, ContainerStatus, DatabaseFacts, DiskFacts, Endpoint, Facts,
    HealthReport, HealthStatus, HttpFacts, LogFile, LogFolder, LogSurvey, MemoryLimits, MountFacts,
    RedisFacts, RestartPolicy, RuntimeEvent, RuntimeEventKind, Session, Target, TargetId, Usage,
    Verdict,
};
use crate::ports::{Prober, World, WorldResult};

/// A fake world with a monitor that looks at it again and again.
struct Bench {
    fake: FakeWorld,
    world: World,
    monitor: HealthMonitor,
    declared: Declared,
    /// Whether the events are told as Selfheal's own doing.
    by_selfheal: bool,
}

impl Bench {
    fn new() -> Self {
        Self::of(FakeWorld::default())
    }

    fn of(fake: FakeWorld) -> Self {
        let world = fake.world();
        let monitor = HealthMonitor::new(Thresholds::default());
        Self { fake, world, monitor, declared: Declared::default(), by_selfheal: false }
    }

    fn with(containers: &[ContainerFacts]) -> Self {
        let bench = Self::new();
        for facts in containers {
            bench.fake.add(facts.clone());
        }
        bench
    }

    async fn look(&mut self) -> HealthReport {
        let containers = self.world.runtime.containers().await.unwrap();
        let inventory = take_inventory(&containers, &self.declared);
        let mut events: BTreeMap<TargetId, Vec<RuntimeEvent>> = BTreeMap::new();
        for mut event in self.fake.events_so_far() {
            event.by_selfheal = self.by_selfheal;
            events.entry(event.target.clone()).or_default().push(event);
        }
        self.monitor.observe(&self.world, &inventory, None, &events).await
    }

    async fn look_after(&mut self, secs: u64) -> HealthReport {
        self.fake.clock().advance_secs(secs);
        self.look().await
    }

    fn tell(&self, name: &str, kinds: &[RuntimeEventKind]) {
        for kind in kinds {
            self.fake.emit(name, kind.clone());
        }
    }
}

fn id(text: &str) -> TargetId {
    text.parse().unwrap()
}

fn seen(report: &HealthReport, target: &str, check: &str) -> (String, Verdict) {
    let target = report.target(&id(target)).unwrap_or_else(|| panic!("no {target}"));
    let observation = target.observation(check).unwrap_or_else(|| panic!("no {check}"));
    (observation.value.to_string(), observation.verdict)
}

fn word(word: &str, verdict: Verdict) -> (String, Verdict) {
    (word.to_owned(), verdict)
}

async fn state_of(facts: ContainerFacts) -> (String, Verdict) {
    seen(&Bench::with(&[facts]).look().await, "container:web", "container.state")
}

fn exited(exit_code: i64, policy: RestartPolicy) -> ContainerFacts {
    ContainerFacts {
        status: ContainerStatus::Exited,
        exit_code: Some(exit_code),
        restart_policy: policy,
        finished_at: Some(start_time()),
        ..container("web")
    }
}

fn doing(status: ContainerStatus) -> ContainerFacts {
    ContainerFacts { status, ..container("web") }
}

#[tokio::test]
async fn every_status_has_its_word() {
    use ContainerStatus as S;
    for (status, expected) in [
        (S::Running, word("running", Verdict::Ok)),
        (S::Paused, word("paused", Verdict::Warning)),
        (S::Restarting, word("restarting", Verdict::Warning)),
        (S::Created, word("created", Verdict::Ok)),
        (S::Dead, word("dead", Verdict::Critical)),
        (S::Removing, word("removing", Verdict::Ok)),
        (S::Unknown, word("unknown", Verdict::Unknown)),
    ] {
        assert_eq!(state_of(doing(status)).await, expected);
    }
    let starting = ContainerFacts { health: Some(HealthStatus::Starting), ..healthy("web") };
    assert_eq!(state_of(starting).await, word("starting", Verdict::Ok));
    let refused = ContainerFacts {
        start_error: "port is already allocated".to_owned(),
        ..doing(ContainerStatus::Created)
    };
    assert_eq!(state_of(refused).await, word("start_failed", Verdict::Critical));
}

#[tokio::test]
async fn an_end_nobody_saw_gets_the_benefit_of_the_doubt() {
    use RestartPolicy::{Always, No};
    for (code, policy, expected) in [
        (0, No, word("completed", Verdict::Ok)),
        (0, Always, word("stopped", Verdict::Ok)),
        (143, No, word("stopped", Verdict::Ok)),
        (137, Always, word("stopped", Verdict::Ok)),
        (1, No, word("exited", Verdict::Critical)),
        (1, Always, word("exited", Verdict::Critical)),
    ] {
        assert_eq!(state_of(exited(code, policy)).await, expected, "{code}");
    }
    let killed = ContainerFacts { oom_killed: true, ..exited(137, No) };
    assert_eq!(state_of(killed).await, word("exited", Verdict::Critical));
}

#[tokio::test]
async fn a_persons_stop_is_told_from_a_crash() {
    let mut bench = Bench::with(&[container("web"), container("api"), container("job")]);
    bench.fake.person_stops("web").crash("api", 143).crash("job", 0);
    let report = bench.look().await;
    let state = |name| seen(&report, name, "container.state");
    assert_eq!(state("container:web"), word("stopped", Verdict::Ok));
    assert_eq!(state("container:api"), word("exited", Verdict::Critical));
    assert_eq!(state("container:job"), word("completed", Verdict::Ok));
}

#[tokio::test]
async fn a_persons_stop_stays_one_when_its_events_are_forgotten() {
    let mut bench = Bench::with(&[container("web")]);
    bench.fake.person_stops("web").change("web", |facts| facts.exit_code = Some(1));
    let state = |report: &HealthReport| seen(report, "container:web", "container.state").0;
    assert_eq!(state(&bench.look().await), "stopped");
    let containers = bench.world.runtime.containers().await.unwrap();
    let inventory = take_inventory(&containers, &Declared::default());
    let none = BTreeMap::new();
    let later = bench.monitor.observe(&bench.world, &inventory, None, &none).await;
    assert_eq!(state(&later), "stopped");
    let mut stranger = HealthMonitor::new(Thresholds::default());
    let anew = stranger.observe(&bench.world, &inventory, None, &none).await;
    assert_eq!(state(&anew), "exited");
}

#[tokio::test]
async fn a_crash_after_a_persons_restart_is_a_crash() {
    let mut bench = Bench::with(&[container("web")]);
    bench.world.runtime.restart("web", None, 1).await.unwrap();
    bench.fake.clock().advance_secs(30);
    bench.fake.crash("web", 1);
    let report = bench.look().await;
    assert_eq!(
        seen(&report, "container:web", "container.state"),
        word("exited", Verdict::Critical)
    );
}

#[tokio::test]
async fn what_selfheal_stopped_and_could_not_start_is_down_not_stopped() {
    let mut bench = Bench::with(&[container("web")]);
    bench.by_selfheal = true;
    bench.fake.person_stops("web");
    let report = bench.look().await;
    assert_eq!(
        seen(&report, "container:web", "container.state"),
        word("exited", Verdict::Critical)
    );
}

#[tokio::test]
async fn three_crashes_in_five_minutes_are_a_loop_even_while_it_runs() {
    let mut bench = Bench::with(&[container("web")]);
    for _ in 0..3 {
        bench.fake.clock().advance_secs(20);
        bench.fake.crash("web", 1);
        bench.fake.change("web", |facts| {
            facts.status = ContainerStatus::Running;
        });
    }
    let now = crate::ports::Clock::now(bench.fake.clock());
    bench.fake.change("web", |facts| facts.started_at = Some(now));
    let looping = bench.look_after(5).await;
    let state = |report: &HealthReport| seen(report, "container:web", "container.state").0;
    assert_eq!(state(&looping), "crash_loop");
    assert_eq!(seen(&looping, "container:web", "container.deaths").0, "3");
    let calm = bench.look_after(60).await;
    assert_eq!(state(&calm), "running");
}

#[tokio::test]
async fn a_health_check_that_cannot_run_is_told_from_one_that_fails() {
    let probe = |exit_code, output: &str| crate::model::ProbeOutput {
        at: None,
        exit_code,
        output: output.to_owned(),
    };
    for (probes, expected) in [
        (vec![probe(0, ""), probe(1, "503"), probe(1, "503")], "works"),
        (vec![probe(127, "curl: not found"), probe(127, "curl: not found")], "broken"),
        (vec![probe(139, ""), probe(139, "")], "broken"),
        (vec![probe(-1, "executable file not found in $PATH")], "broken"),
        (vec![probe(-1, "Health check exceeded timeout (2s)")], "works"),
        (vec![probe(127, "curl: not found"), probe(1, "refused")], "works"),
    ] {
        let mut facts = healthy("web");
        facts.health = Some(HealthStatus::Unhealthy);
        facts.health_log = probes;
        let report = Bench::with(&[facts]).look().await;
        let check = seen(&report, "container:web", "container.health_check");
        assert_eq!(check, word(expected, Verdict::Ok));
    }
}

#[tokio::test]
async fn our_own_restarts_make_no_crash_loop_and_end_one() {
    let mut bench = Bench::with(&[container("web")]);
    bench.by_selfheal = true;
    for _ in 0..4 {
        bench.world.runtime.restart("web", None, 1).await.unwrap();
        bench.fake.clock().advance_secs(5);
    }
    let report = bench.look().await;
    assert_eq!(seen(&report, "container:web", "container.state"), word("running", Verdict::Ok));
    assert_eq!(seen(&report, "container:web", "container.deaths").0, "0");
}

#[tokio::test]
async fn a_storm_of_memory_kills_of_a_child_is_one_warning() {
    let mut bench = Bench::with(&[container("web")]);
    bench.tell("web", &vec![RuntimeEventKind::Oom; 60]);
    let report = bench.look_after(5).await;
    assert_eq!(seen(&report, "container:web", "container.oom"), word("1", Verdict::Warning));
    bench.fake.clock().advance_secs(60);
    bench.tell("web", &[RuntimeEventKind::Oom]);
    let report = bench.look().await;
    assert_eq!(seen(&report, "container:web", "container.oom"), word("2", Verdict::Critical));
    let report = bench.look_after(700).await;
    assert_eq!(seen(&report, "container:web", "container.oom"), word("0", Verdict::Ok));
}

#[tokio::test]
async fn a_memory_kill_that_ended_the_container_is_critical() {
    let mut bench = Bench::with(&[container("web")]);
    bench.tell("web", &[RuntimeEventKind::Oom]);
    bench.fake.crash("web", 137).change("web", |facts| facts.oom_killed = true);
    let report = bench.look().await;
    assert_eq!(seen(&report, "container:web", "container.oom"), word("1", Verdict::Critical));
    assert_eq!(seen(&report, "container:web", "container.exit_code").0, "137");
}

#[tokio::test]
async fn memory_is_held_against_the_containers_limit_for_its_hold_time() {
    let mut web = container("web");
    web.limits = MemoryLimits { memory_bytes: Some(100 << 20), memory_swap_bytes: None };
    let mut bench = Bench::with(&[web]);
    let uses = |mib: u64| Usage { memory_bytes: Some(mib << 20), ..Usage::default() };
    bench.fake.uses("web", uses(95));
    let memory = |report: &HealthReport| seen(report, "container:web", "container.memory").1;
    assert_eq!(memory(&bench.look().await), Verdict::Ok);
    assert_eq!(memory(&bench.look_after(30).await), Verdict::Critical);
    bench.fake.uses("web", uses(87));
    assert_eq!(memory(&bench.look_after(5).await), Verdict::Critical);
    bench.fake.uses("web", uses(70));
    assert_eq!(memory(&bench.look_after(5).await), Verdict::Ok);
}

#[tokio::test]
async fn a_use_that_cannot_be_read_is_unknown_with_the_reason() {
    let mut bench = Bench::with(&[container("web")]);
    bench.fake.fail_next("usage", &Failure::TimedOut, 1);
    let report = bench.look().await;
    let memory = seen(&report, "container:web", "container.memory");
    assert_eq!(memory, word("unknown", Verdict::Unknown));
}

#[tokio::test]
async fn a_lost_network_is_seen_with_and_without_memory() {
    let mut bench = Bench::with(&[container("web"), container("lost")]);
    bench.fake.change("lost", |facts| facts.networks.clear());
    bench.fake.change("web", |facts| facts.networks.push(crate::fakes::network("back", "web")));
    let network = |report: &HealthReport, name| seen(report, name, "container.network");
    let report = bench.look().await;
    assert_eq!(network(&report, "container:web"), word("connected", Verdict::Ok));
    assert_eq!(network(&report, "container:lost"), word("disconnected", Verdict::Critical));
    bench.world.runtime.disconnect_network("web", "back").await.unwrap();
    for _ in 0..2 {
        let report = bench.look_after(5).await;
        assert_eq!(network(&report, "container:web"), word("disconnected", Verdict::Critical));
    }
    let kept = bench.monitor.last_networks("id-of-web").unwrap();
    let back = kept.iter().find(|n| n.network == "back").unwrap();
    bench.world.runtime.connect_network("web", back).await.unwrap();
    let report = bench.look_after(5).await;
    assert_eq!(network(&report, "container:web"), word("connected", Verdict::Ok));
}

#[tokio::test]
async fn while_the_own_engine_is_away_the_networks_of_its_containers_are_not_forgotten() {
    let far = container("nas/db");
    let mut bench = Bench::with(&[container("web"), far.clone()]);
    bench.look().await;
    let only_far = take_inventory(&[far], &bench.declared);
    let none = BTreeMap::new();
    bench.monitor.observe(&bench.world, &only_far, None, &none).await;
    assert!(bench.monitor.last_networks("id-of-web").is_some());
    // It is back, and this container is not.
    bench.fake.remove("web");
    bench.fake.add(container("shop"));
    bench.look().await;
    assert!(bench.monitor.last_networks("id-of-web").is_none());
}

#[tokio::test]
async fn a_disk_is_full_of_logs_only_where_logs_fill_it() {
    let mount = MountFacts {
        bind: true,
        source: "/host/log".to_owned(),
        destination: "/var/log/web".to_owned(),
        writable: true,
    };
    let web = ContainerFacts { mounts: vec![mount], ..container("web") };
    let mut bench = Bench::with(&[web, container("other")]);
    let report = bench.look().await;
    let checks = |report: &HealthReport, name: &str| {
        let target = report.target(&name.parse().unwrap()).unwrap().clone();
        target.observation("container.log_disk").map(|o| (o.value.to_string(), o.verdict))
    };
    assert_eq!(checks(&report, "container:web"), None, "the folder cannot be read");
    let folder = LogFolder { root: "/host/log".to_owned(), below: String::new() };
    for (logs, available, expected) in [
        (90, 1, word("full", Verdict::Critical)),
        (90, 10, word("ok", Verdict::Ok)),
        // Something else fills it.
        (9, 1, word("ok", Verdict::Ok)),
    ] {
        let file = LogFile { name: "web.log".to_owned(), inode: 1, taken_bytes: logs };
        let survey = LogSurvey { total_bytes: 100, available_bytes: available, files: vec![file] };
        bench.fake.logs_in(&folder, survey);
        let report = bench.look_after(5).await;
        assert_eq!(checks(&report, "container:web"), Some(expected), "{logs} {available}");
        assert_eq!(checks(&report, "container:other"), None);
    }
}

#[tokio::test]
async fn the_host_is_judged_by_use_and_room() {
    let mut bench = Bench::new();
    bench.fake.change_host(|host| {
        host.cpu_percent = Some(97.0);
        host.disks = vec![DiskFacts {
            mount: "/var".to_owned(),
            file_system: "ext4".to_owned(),
            total_bytes: 1000,
            available_bytes: 100,
            total_inodes: Some(100),
            free_inodes: Some(2),
        }];
    });
    let report = bench.look().await;
    assert_eq!(seen(&report, "host", "host.disk:/var"), word("90", Verdict::Ok));
    assert_eq!(seen(&report, "host", "host.cpu").1, Verdict::Ok);
    let report = bench.look_after(30).await;
    assert_eq!(seen(&report, "host", "host.disk:/var"), word("90", Verdict::Warning));
    assert_eq!(seen(&report, "host", "host.inodes:/var"), word("98", Verdict::Critical));
    assert_eq!(seen(&report, "host", "host.cpu").1, Verdict::Ok);
    let report = bench.look_after(30).await;
    assert_eq!(seen(&report, "host", "host.cpu").1, Verdict::Critical);
    let cpu = report.targets[0].observation("host.cpu").unwrap();
    assert_eq!(cpu.since, report.at);
}

#[tokio::test]
async fn a_host_that_cannot_be_read_is_unknown_and_spoils_nothing() {
    let mut bench = Bench::with(&[container("web")]);
    bench.fake.fail_next("host", &Failure::Unreachable, 1);
    let report = bench.look().await;
    assert_eq!(report.targets[0].verdict(), Verdict::Unknown);
    assert_eq!(report.target(&id("container:web")).unwrap().verdict(), Verdict::Ok);
}

/// A web server with a found endpoint that answers while it works.
fn served() -> Bench {
    let mut web = healthy("web");
    let check = web.health_check.as_mut().unwrap();
    check.test = ["CMD", "curl", "-f", "http://localhost:80/"].map(str::to_owned).to_vec();
    let bench = Bench::with(&[web]);
    let containers = [bench.fake.facts("web")];
    let inventory = take_inventory(&containers, &Declared::default());
    let endpoint = inventory.targets[&id("http:web")].endpoint.clone().unwrap();
    let ok = HttpFacts { ok: true, status: Some(200), latency_ms: Some(3.0), ..Default::default() };
    bench.fake.hosts("web", &endpoint, Facts::Http(ok));
    bench
}

#[tokio::test]
async fn a_hang_is_seen_from_outside_before_docker_sees_it() {
    let mut bench = served();
    assert_eq!(seen(&bench.look().await, "http:web", "http.status"), word("ok", Verdict::Ok));
    bench.fake.hang("web").change("web", |facts| facts.health = Some(HealthStatus::Healthy));
    let report = bench.look().await;
    assert_eq!(seen(&report, "http:web", "http.status"), word("timeout", Verdict::Critical));
    assert_eq!(report.target(&id("container:web")).unwrap().verdict(), Verdict::Ok);
}

#[tokio::test]
async fn a_found_endpoint_that_never_answered_proves_nothing_by_itself() {
    let mut bench = served();
    bench.fake.hang("web").change("web", |facts| facts.health = Some(HealthStatus::Healthy));
    let status = |report: &HealthReport| seen(report, "http:web", "http.status").1;
    assert_eq!(status(&bench.look().await), Verdict::Unknown);
    bench.fake.change("web", |facts| facts.health = Some(HealthStatus::Unhealthy));
    assert_eq!(status(&bench.look().await), Verdict::Critical);
}

#[tokio::test]
async fn a_service_whose_container_just_started_gets_its_time() {
    let mut bench = served();
    bench.look().await;
    bench.fake.behaves("web", Behaviour::StaysUnhealthy);
    bench.world.runtime.restart("web", None, 1).await.unwrap();
    let status = |report: &HealthReport| seen(report, "http:web", "http.status").1;
    assert_eq!(status(&bench.look_after(2).await), Verdict::Unknown);
    assert_eq!(status(&bench.look_after(10).await), Verdict::Critical);
}

#[tokio::test]
async fn a_service_of_a_stopped_container_is_told_by_its_container() {
    let mut bench = served();
    bench.look().await;
    bench.fake.crash("web", 1);
    let report = bench.look().await;
    assert_eq!(seen(&report, "http:web", "http.status"), word("unknown", Verdict::Unknown));
    assert_eq!(report.target(&id("container:web")).unwrap().verdict(), Verdict::Critical);
}

#[tokio::test]
async fn under_pressure_only_an_exit_is_believed() {
    let mut bench = served();
    bench.fake.add(container("api"));
    bench.look().await;
    bench.fake.hang("web").crash("api", 1);
    bench.fake.change_host(|host| host.pressure.cpu_percent = Some(95.0));
    let report = bench.look().await;
    assert!(report.under_pressure);
    assert_eq!(seen(&report, "container:web", "container.health").1, Verdict::Unknown);
    assert_eq!(seen(&report, "http:web", "http.status").1, Verdict::Unknown);
    assert_eq!(seen(&report, "container:api", "container.state").1, Verdict::Critical);
}

#[tokio::test]
async fn without_pressure_figures_the_load_speaks() {
    let mut bench = Bench::new();
    bench.fake.change_host(|host| host.load = Some([17.0, 1.0, 1.0]));
    assert!(bench.look().await.under_pressure);
    bench.fake.change_host(|host| host.pressure.cpu_percent = Some(1.0));
    assert!(!bench.look().await.under_pressure);
}

async fn probed(kind: &str, facts: Facts) -> HealthReport {
    let mut bench = Bench::new();
    let endpoint = Endpoint::Tcp { host: "10.0.0.9".to_owned(), port: 1 };
    let target = Target { endpoint: Some(endpoint.clone()), ..Target::bare(id(kind)) };
    bench.declared.targets.push(target);
    bench.fake.answers(&endpoint, facts);
    bench.look().await
}

#[tokio::test]
async fn postgres_refusals_have_their_words() {
    for (sqlstate, error, expected) in [
        (Some("53300"), "too many clients", word("too_many_connections", Verdict::Critical)),
        (Some("57P03"), "starting up", word("starting", Verdict::Warning)),
        (Some("28P01"), "no", word("auth", Verdict::Unknown)),
        (None, "refused", word("refused", Verdict::Critical)),
        (None, "timeout", word("timeout", Verdict::Critical)),
        (None, "strange", word("error", Verdict::Critical)),
    ] {
        let facts = DatabaseFacts {
            error: Some(error.to_owned()),
            sqlstate: sqlstate.map(str::to_owned),
            ..Default::default()
        };
        let report = probed("postgres:db", Facts::Postgres(facts)).await;
        assert_eq!(seen(&report, "postgres:db", "postgres.reachable"), expected);
    }
}

#[tokio::test]
async fn a_transaction_that_idles_is_told_until_none_idles_for_nearly_as_long() {
    let mut bench = Bench::new();
    let endpoint = Endpoint::Tcp { host: "10.0.0.9".to_owned(), port: 1 };
    let target = Target { endpoint: Some(endpoint.clone()), ..Target::bare(id("postgres:db")) };
    bench.declared.targets.push(target);
    for (secs, expected) in [
        (300.0, Verdict::Ok),
        (301.0, Verdict::Warning),
        (241.0, Verdict::Warning),
        (240.0, Verdict::Ok),
        (299.0, Verdict::Ok),
    ] {
        let idle = Backend {
            pid: 1,
            backend_start: None,
            address: String::new(),
            state: "idle in transaction".to_owned(),
            state_secs: secs,
            user: "shop".to_owned(),
            application: "api".to_owned(),
            blocks: 0,
        };
        let facts = DatabaseFacts {
            reachable: true,
            idle_in_transaction: vec![idle],
            ..Default::default()
        };
        bench.fake.answers(&endpoint, Facts::Postgres(facts));
        let report = bench.look_after(5).await;
        let told = seen(&report, "postgres:db", "postgres.idle_in_transaction").1;
        assert_eq!(told, expected, "{secs} s");
    }
}

#[tokio::test]
async fn of_sessions_that_nobody_may_see_nothing_is_told() {
    for (blocked, told) in [(None, false), (Some(0), true)] {
        let facts = DatabaseFacts { reachable: true, blocked, ..Default::default() };
        let report = probed("postgres:db", Facts::Postgres(facts)).await;
        let observed = &report.target(&id("postgres:db")).unwrap().observations;
        for check in ["postgres.blocked", "postgres.idle_in_transaction"] {
            assert_eq!(observed.iter().any(|o| o.check == check), told, "{check}");
        }
    }
}

#[tokio::test]
async fn redis_tells_refused_writes_and_loading() {
    let full = RedisFacts {
        reachable: true,
        writes_rejected: true,
        loading: true,
        used_memory_bytes: Some(99),
        maxmemory_bytes: Some(100),
        ..Default::default()
    };
    let report = probed("redis:cache", Facts::Redis(full)).await;
    let cache = |check| seen(&report, "redis:cache", check);
    assert_eq!(cache("redis.reachable"), word("ok", Verdict::Ok));
    assert_eq!(cache("redis.writes"), word("rejected", Verdict::Critical));
    assert_eq!(cache("redis.loading"), word("loading", Verdict::Warning));
    assert_eq!(cache("redis.memory").0, "99");
}

#[tokio::test]
async fn a_full_cache_that_evicts_does_its_work_and_one_that_may_not_is_in_trouble() {
    for (policy, expiring, told) in [
        (Some("allkeys-lru"), 0, Verdict::Ok),
        (Some("volatile-ttl"), 7, Verdict::Ok),
        (Some("volatile-ttl"), 0, Verdict::Critical),
        (Some("noeviction"), 7, Verdict::Critical),
        (None, 7, Verdict::Critical),
    ] {
        let full = RedisFacts {
            reachable: true,
            used_memory_bytes: Some(100 << 20),
            maxmemory_bytes: Some(100 << 20),
            maxmemory_policy: policy.map(str::to_owned),
            expiring_keys: Some(expiring),
            ..Default::default()
        };
        let mut bench = Bench::new();
        let endpoint = Endpoint::Tcp { host: "10.0.0.9".to_owned(), port: 1 };
        let target = Target { endpoint: Some(endpoint.clone()), ..Target::bare(id("redis:cache")) };
        bench.declared.targets.push(target);
        bench.fake.answers(&endpoint, Facts::Redis(full));
        let mut report = bench.look_after(5).await;
        for _ in 0..10 {
            report = bench.look_after(30).await;
        }
        let seen = seen(&report, "redis:cache", "redis.memory");
        assert_eq!(seen, ("100".to_owned(), told), "{policy:?}");
    }
}

#[tokio::test]
async fn http_answers_have_their_words() {
    let failed = |status, error: &str| HttpFacts {
        status,
        error: Some(error.to_owned()),
        ..Default::default()
    };
    for (facts, expected) in [
        (failed(Some(503), "503"), word("503", Verdict::Critical)),
        (failed(Some(429), "429"), word("429", Verdict::Warning)),
        (failed(Some(200), "body"), word("body", Verdict::Critical)),
        (failed(None, "refused"), word("refused", Verdict::Critical)),
        (failed(None, "dns"), word("dns", Verdict::Critical)),
        (failed(None, "tls"), word("tls", Verdict::Critical)),
    ] {
        let report = probed("http:shop", Facts::Http(facts)).await;
        assert_eq!(seen(&report, "http:shop", "http.status"), expected);
    }
}

#[tokio::test]
async fn a_certificate_warns_two_weeks_and_fails_three_days_before_its_end() {
    for (days, verdict) in
        [(20, Verdict::Ok), (10, Verdict::Warning), (2, Verdict::Critical), (-1, Verdict::Critical)]
    {
        let ends = start_time() + chrono::TimeDelta::days(days);
        let facts =
            HttpFacts { ok: true, certificate_expires_at: Some(ends), ..Default::default() };
        let report = probed("http:shop", Facts::Http(facts)).await;
        assert_eq!(seen(&report, "http:shop", "http.certificate").1, verdict, "{days}");
    }
}

#[tokio::test]
async fn a_scope_narrows_the_look_but_never_leaves_the_host_out() {
    let mut bench = Bench::with(&[container("web"), container("api")]);
    let containers = bench.world.runtime.containers().await.unwrap();
    let inventory = take_inventory(&containers, &Declared::default());
    let scope = BTreeSet::from([id("container:web"), id("container:gone")]);
    let none = BTreeMap::new();
    let report = bench.monitor.observe(&bench.world, &inventory, Some(&scope), &none).await;
    let ids: Vec<String> = report.targets.iter().map(|t| t.id().to_string()).collect();
    assert_eq!(ids, ["host", "container:web"]);
}

/// Answers nobody before everybody has asked: a sequence of probes would never end.
struct Together(tokio::sync::Barrier);

#[async_trait]
impl Prober for Together {
    async fn probe(&self, _endpoint: &Endpoint, _limit: Duration) -> Facts {
        self.0.wait().await;
        Facts::Http(HttpFacts { ok: true, ..Default::default() })
    }

    async fn terminate_backends(
        &self,
        _endpoint: &Endpoint,
        _sessions: &[Session],
    ) -> WorldResult<u32> {
        Ok(0)
    }
}

#[tokio::test(start_paused = true)]
async fn no_target_waits_for_another() {
    let mut bench = Bench::new();
    bench.world.prober = Arc::new(Together(tokio::sync::Barrier::new(20)));
    for n in 0..20 {
        let endpoint = Some(Endpoint::Tcp { host: "10.0.0.9".to_owned(), port: n });
        let target = Target { endpoint, ..Target::bare(id(&format!("http:t{n}"))) };
        bench.declared.targets.push(target);
    }
    let look = tokio::time::timeout(Duration::from_mins(1), bench.look());
    assert_eq!(look.await.expect("all probes run at once").targets.len(), 21);
}

#[tokio::test]
async fn looking_touches_nothing() {
    let mut bench = served();
    bench.fake.add(container("api")).crash("api", 1);
    bench.look().await;
    bench.look_after(300).await;
    assert!(bench.fake.effects().is_empty());
}
