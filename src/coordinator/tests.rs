//! Stories: a world, a fault, and what must have become of it. Time is virtual.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use selfheal_agents::error_detector::{Catalogue, Keep};

use selfheal_agents::fakes::{
    Behaviour, FakeWorld, Interruption, MemoryStore, container, healthy, labels,
};
use selfheal_agents::health_monitor::changes::DigestKey;
use selfheal_agents::model::{
    Endpoint, Facts, Hold, HttpEndpoint, HttpFacts, Incident, IncidentState, Mode, MountFacts,
    Outcome, Target, TargetKind, Tunable, TunableRole, ValidationStatus,
};
use selfheal_agents::ports::{Clock, IncidentQuery, Incidents, Memory, Outbox, Outcomes};

use super::*;
use crate::coordinator::triggers::docker_events::{self, Listener};

/// A coordinator over a fake world, with the embedded runbooks and the event listener.
struct Stage {
    fake: FakeWorld,
    store: Arc<MemoryStore>,
    coordinator: Coordinator,
    cancel: CancellationToken,
}

/// Every story has the same runbooks; some start many Selfheals.
fn built_in() -> Arc<Catalogue> {
    static READ: OnceLock<Arc<Catalogue>> = OnceLock::new();
    let read = || {
        let (catalogue, broken) = crate::knowledge::load(None, Keep::Everything);
        assert!(broken.is_empty(), "{broken:?}");
        Arc::new(catalogue)
    };
    Arc::clone(READ.get_or_init(read))
}

impl Stage {
    fn new(fake: FakeWorld, rules: Rules) -> Self {
        Self::on(fake, rules, Arc::default())
    }

    fn on(fake: FakeWorld, rules: Rules, store: Arc<MemoryStore>) -> Self {
        let world = fake.world();
        Self::within(fake, world, rules, store)
    }

    /// With a world that is not quite the fake one.
    fn within(fake: FakeWorld, world: World, rules: Rules, store: Arc<MemoryStore>) -> Self {
        Self::knowing(built_in(), fake, world, rules, store)
    }

    /// With other runbooks.
    fn knowing(
        catalogue: Arc<Catalogue>,
        fake: FakeWorld,
        world: World,
        rules: Rules,
        store: Arc<MemoryStore>,
    ) -> Self {
        let audit = Arc::new(Audit::in_memory(store.clone()));
        Self::told_to(audit, catalogue, fake, world, rules, store)
    }

    /// With an audit log that is kept elsewhere.
    fn told_to(
        audit: Arc<Audit>,
        catalogue: Arc<Catalogue>,
        fake: FakeWorld,
        world: World,
        rules: Rules,
        store: Arc<MemoryStore>,
    ) -> Self {
        let alone = Arc::new(selfheal_agents::ports::Alone);
        Self::among(alone, (audit, catalogue), fake, world, rules, store)
    }

    /// With other nodes.
    fn among(
        fleet: Arc<dyn selfheal_agents::ports::Fleet>,
        (audit, catalogue): (Arc<Audit>, Arc<Catalogue>),
        fake: FakeWorld,
        world: World,
        rules: Rules,
        store: Arc<MemoryStore>,
    ) -> Self {
        let cancel = CancellationToken::new();
        let coordinator = Coordinator::start(Parts {
            world,
            store: store.clone(),
            fleet,
            rules: watch::Sender::new(Arc::new(rules)).subscribe(),
            catalogue: watch::Sender::new(catalogue).subscribe(),
            digest_key: DigestKey::new([7; 32]),
            audit,
            wake: Arc::default(),
            cancel: cancel.clone(),
        });
        let (ours, asked) = (coordinator.clone(), coordinator.clone());
        let listener = Listener {
            runtime: fake.world().runtime,
            store: store.clone(),
            clock: Arc::new(fake.clock().clone()),
            is_ours: Arc::new(move |target, at| ours.is_ours(target, at)),
            fire: Arc::new(move |scope, trigger| asked.request(scope, trigger)),
        };
        tokio::spawn(docker_events::run(listener, cancel.clone()));
        let (clock, stop) = (fake.clock().clone(), cancel.clone());
        // The world's clock goes with the virtual one.
        tokio::spawn(async move {
            let tick = Duration::from_millis(100);
            while stop.run_until_cancelled(tokio::time::sleep(tick)).await.is_some() {
                clock.advance(tick);
            }
        });
        Self { fake, store, coordinator, cancel }
    }

    async fn look(&self) -> Arc<CycleReport> {
        self.coordinator.check(Scope::All, Trigger::Api, false).await.unwrap()
    }

    /// Lets virtual time pass.
    async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    async fn incidents(&self) -> Vec<Incident> {
        self.store.incidents(&IncidentQuery::default()).await.unwrap()
    }

    async fn outcomes(&self) -> Vec<Outcome> {
        self.store.outcomes(None).await.unwrap()
    }

    /// Titles of all alerts queued so far.
    async fn alerts(&self) -> Vec<String> {
        let due = self.store.due(self.fake.clock().now() + Duration::from_hours(1), 100).await;
        due.unwrap().into_iter().map(|d| d.alert.event).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

fn old_world(build: impl FnOnce(&FakeWorld)) -> FakeWorld {
    let fake = FakeWorld::default();
    build(&fake);
    // Nothing here was just deployed.
    fake.clock().advance_secs(3600);
    fake
}

fn shop() -> FakeWorld {
    old_world(|w| {
        w.add(healthy("web"));
    })
}

/// An HTTP endpoint at `http://NAME/` that the container of that name serves.
fn served_by(container: &str) -> Target {
    let endpoint = HttpEndpoint {
        url: format!("http://{container}/"),
        expected_status: vec![],
        body_contains: None,
        headers: BTreeMap::new(),
    };
    let id = TargetId::lossy(TargetKind::Http, container);
    Target {
        endpoint: Some(Endpoint::Http(endpoint)),
        container: Some(container.to_owned()),
        ..Target::bare(id)
    }
}

/// The world of these containers, and rules that declare an HTTP endpoint of the first.
fn with_endpoint(containers: &[&str]) -> (FakeWorld, Rules) {
    let target = served_by(containers[0]);
    let fake = old_world(|w| {
        for name in containers {
            w.add(healthy(name));
        }
        if let Some(endpoint) = &target.endpoint {
            let answer = HttpFacts { ok: true, status: Some(200), ..HttpFacts::default() };
            w.answers(endpoint, Facts::Http(answer));
        }
    });
    let mut rules = Rules::default();
    rules.declared.targets.push(target);
    (fake, rules)
}

/// The question is answered when its time limit is over, and not in time.
fn hangs(fake: &FakeWorld, question: &str) {
    answers_after(fake, question, Duration::MAX);
}

/// The question is answered after so long, or when its time limit is over not in time.
fn answers_after(fake: &FakeWorld, question: &str, after: Duration) {
    fake.stall(question, move |limit| {
        Box::pin(async move {
            tokio::time::sleep(after.min(limit)).await;
            after <= limit
        })
    });
}

fn only(incidents: &[Incident]) -> &Incident {
    assert_eq!(incidents.len(), 1, "{incidents:#?}");
    &incidents[0]
}

#[tokio::test(start_paused = true)]
async fn a_crashed_container_is_started_proven_and_remembered_as_a_success() {
    let stage = Stage::new(shop(), Rules::default());
    assert_eq!(stage.look().await.status, CycleStatus::Healthy);
    stage.fake.crash("web", 1);
    stage.pass(5).await;
    assert_eq!(stage.fake.effects(), ["start web"]);
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Validating);
    stage.pass(300).await;
    let incidents = stage.incidents().await;
    let incident = only(&incidents);
    assert_eq!(incident.state(), IncidentState::Resolved, "{incident:#?}");
    assert_eq!(incident.diagnosis.as_ref().unwrap().blamed, TargetId::container("web"));
    let outcomes = stage.outcomes().await;
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0].validation_status, ValidationStatus::Passed);
    assert_eq!(stage.alerts().await, ["resolved"]);
    assert_eq!(stage.fake.effects(), ["start web"], "and nothing more was touched");
}

#[tokio::test(start_paused = true)]
async fn a_person_stopping_what_nobody_needs_is_respected_in_silence() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.person_stops("web");
    stage.pass(30).await;
    stage.look().await;
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
    assert_eq!(stage.incidents().await.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_unhealthy_container_is_restarted() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(300).await;
    assert_eq!(stage.fake.effects(), ["restart web"]);
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_help_is_taken_back_and_given_up_after_two_failures() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.behaves("web", Behaviour::DiesOnStart { exit_code: 1 });
    stage.fake.crash("web", 1);
    for _ in 0..10 {
        stage.pass(60).await;
        stage.look().await;
    }
    let starts = stage.fake.effects().len();
    assert!((1..=3).contains(&starts), "{:?}", stage.fake.effects());
    assert!(stage.outcomes().await.iter().all(|o| !o.success));
    let incidents = stage.incidents().await;
    assert_eq!(incidents[0].state(), IncidentState::Held, "{:#?}", incidents[0].timeline);
    assert!(stage.alerts().await.contains(&"rolled_back".to_owned()));
    let before = stage.fake.effects();
    stage.pass(600).await;
    stage.look().await;
    assert_eq!(stage.fake.effects(), before, "it has given up");
}

fn configured(config: &str) -> FakeWorld {
    old_world(|w| {
        let mut facts = container("web");
        facts.mounts = vec![MountFacts {
            bind: true,
            source: "/srv/web/nginx.conf".to_owned(),
            destination: "/etc/nginx/nginx.conf".to_owned(),
            writable: false,
        }];
        w.file("/srv/web/nginx.conf", config);
        w.clock().advance_secs(10);
        facts.started_at = Some(w.clock().now());
        w.add(facts);
    })
}

#[tokio::test(start_paused = true)]
async fn a_broken_configuration_is_restored_from_when_it_worked() {
    const GOOD: &str = "events {}\nhttp {}\n";
    let fake = configured(GOOD);
    let stage = Stage::new(fake.clone(), Rules::default());
    stage.look().await;
    let cured = Arc::new(|scene: &selfheal_agents::fakes::Scene<'_>| {
        scene.text("/srv/web/nginx.conf") == GOOD
    });
    fake.behaves("web", Behaviour::DiesUnless { exit_code: 1, cured });
    fake.file("/srv/web/nginx.conf", "events {\nhttp {}\n");
    let line = "2026/11/21 05:00:00 [emerg] 1#1: unexpected end of file, expecting \"}\" in /etc/nginx/nginx.conf:2";
    fake.log("web", &format!("nginx: {line}"));
    fake.log("web", line);
    fake.crash("web", 1);
    stage.pass(400).await;
    assert_eq!(fake.text("/srv/web/nginx.conf"), GOOD);
    let incidents = stage.incidents().await;
    let incident = incidents.iter().find(|i| i.state() == IncidentState::Resolved);
    let incident = incident.unwrap_or_else(|| panic!("{incidents:#?}"));
    assert_eq!(incident.fix.as_ref().unwrap().fix_type, "config.restore");

    // And a person may take that back, once, exactly.
    let backup = incident.backups[0].clone();
    stage.coordinator.rollback(&backup, "ada", false).await.unwrap();
    assert_eq!(fake.text("/srv/web/nginx.conf"), "events {\nhttp {}\n");
    let again = stage.coordinator.rollback(&backup, "ada", false).await;
    assert!(matches!(again, Err(RequestError::Conflict(_))), "{again:?}");
}

fn rate_limited() -> (FakeWorld, Rules) {
    let fake = old_world(|w| {
        w.add(container("worker")).file("/srv/worker/config.json", "{\"delay_s\": 1.0}\n");
    });
    let mut rules = Rules::default();
    rules.declared.tunables.push(Tunable {
        target: TargetId::container("worker"),
        file: "/srv/worker/config.json".to_owned(),
        key: "delay_s".to_owned(),
        role: TunableRole::Delay,
        min: 0.1,
        max: 10.0,
        apply: selfheal_agents::model::ApplyMethod::Restart,
        walk_back: false,
    });
    (fake, rules)
}

async fn complain(stage: &Stage) {
    for _ in 0..20 {
        stage.fake.log("worker", "ERROR provider answered HTTP 429 Too Many Requests");
        stage.pass(1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_is_met_by_turning_the_declared_delay_one_step() {
    let (fake, rules) = rate_limited();
    let stage = Stage::new(fake, rules);
    stage.look().await;
    complain(&stage).await;
    stage.look().await;
    stage.pass(300).await;
    assert_eq!(stage.fake.text("/srv/worker/config.json"), "{\"delay_s\": 1.5}\n");
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
    stage.look().await;
    assert_eq!(stage.incidents().await.len(), 1, "old lines open no new incident");
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_later_change_is_not_overwritten_by_a_rollback_unless_forced() {
    let (fake, rules) = rate_limited();
    let stage = Stage::new(fake, rules);
    stage.look().await;
    complain(&stage).await;
    stage.look().await;
    stage.pass(300).await;
    let backup = only(&stage.incidents().await).backups[0].clone();
    stage.fake.file("/srv/worker/config.json", "{\"delay_s\": 4}\n");
    let refused = stage.coordinator.rollback(&backup, "ada", false).await;
    assert!(matches!(refused, Err(RequestError::Conflict(_))), "{refused:?}");
    assert_eq!(stage.fake.text("/srv/worker/config.json"), "{\"delay_s\": 4}\n");
    stage.coordinator.rollback(&backup, "ada", true).await.unwrap();
    assert_eq!(stage.fake.text("/srv/worker/config.json"), "{\"delay_s\": 1.0}\n");
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::RolledBack);
    assert!(stage.outcomes().await.iter().all(|o| !o.success), "a person knew better");
}

fn api_on_db() -> FakeWorld {
    old_world(|w| {
        w.add(container("db"));
        let mut api = healthy("api");
        api.labels = labels(&[("selfheal.depends-on", "db")]);
        w.add(api);
    })
}

#[tokio::test(start_paused = true)]
async fn a_stopped_dependency_is_started_and_its_dependent_left_alone_if_it_recovers() {
    let fake = api_on_db();
    fake.works_while("api", |scene: &selfheal_agents::fakes::Scene<'_>| scene.is_up("db"));
    let stage = Stage::new(fake, Rules::default());
    stage.look().await;
    stage.fake.person_stops("db");
    stage.look().await;
    stage.pass(400).await;
    assert_eq!(stage.fake.effects(), ["start db"]);
    let incidents = stage.incidents().await;
    assert!(incidents.iter().all(|i| i.state() == IncidentState::Resolved), "{incidents:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_suffers_is_shown_as_a_symptom_of_what_is_to_blame() {
    let fake = api_on_db();
    let stage = Stage::new(fake.clone(), Rules { mode: Mode::Observe, ..Rules::default() });
    stage.look().await;
    fake.crash("db", 1);
    fake.hang("api");
    stage.look().await;
    let report = stage.look().await;
    let shown = |name: &str| {
        let id = TargetId::container(name);
        report.targets.iter().find(|target| target.id == id).unwrap().symptom_of.clone()
    };
    assert_eq!(shown("api"), Some(TargetId::container("db")));
    assert_eq!(shown("db"), None, "the cause is nobody's symptom");
}

#[tokio::test(start_paused = true)]
async fn a_dependent_that_gave_up_is_restarted_after_the_root_works_again() {
    let fake = api_on_db();
    let stage = Stage::new(fake, Rules::default());
    stage.look().await;
    // It notices the loss and never tries again by itself.
    stage.fake.crash("db", 1);
    stage.fake.hang("api");
    stage.pass(600).await;
    assert_eq!(stage.fake.effects(), ["start db", "restart api"]);
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Resolved, "{:#?}", incidents[0].timeline);
    assert_eq!(stage.outcomes().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn observing_reports_what_it_would_do_and_touches_nothing() {
    let rules = Rules { mode: Mode::Observe, ..Rules::default() };
    let stage = Stage::new(shop(), rules);
    stage.fake.crash("web", 1);
    stage.pass(60).await;
    let incidents = stage.incidents().await;
    let incident = only(&incidents);
    assert_eq!(incident.holds, [Hold::Mode { mode: Mode::Observe }]);
    assert_eq!(incident.fix.as_ref().unwrap().summary, "start container `web`");
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
    assert_eq!(stage.alerts().await, ["held"]);
}

#[tokio::test(start_paused = true)]
async fn looking_again_at_the_same_world_changes_nothing() {
    let rules = Rules { mode: Mode::Observe, ..Rules::default() };
    let stage = Stage::new(shop(), rules);
    stage.fake.crash("web", 1);
    stage.look().await;
    stage.pass(1).await;
    stage.look().await;
    let before = stage.incidents().await;
    for _ in 0..3 {
        stage.look().await;
    }
    let after = stage.incidents().await;
    assert_eq!(only(&before).timeline, only(&after).timeline);
    assert_eq!(stage.alerts().await, ["held"]);
}

#[tokio::test(start_paused = true)]
async fn an_approved_fix_is_applied_and_names_the_person() {
    let rules = Rules { mode: Mode::Approve, ..Rules::default() };
    let stage = Stage::new(shop(), rules);
    stage.fake.crash("web", 1);
    stage.pass(10).await;
    let id = only(&stage.incidents().await).id;
    stage.coordinator.approve(id, "ada").await.unwrap();
    stage.pass(300).await;
    assert_eq!(stage.fake.effects(), ["start web"]);
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Resolved);
    assert!(format!("{:?}", only(&incidents).timeline).contains("ada"));
}

#[tokio::test(start_paused = true)]
async fn a_dismissed_incident_stays_silent_until_it_was_gone_and_comes_back() {
    let rules = Rules { mode: Mode::Observe, ..Rules::default() };
    let stage = Stage::new(shop(), rules);
    stage.fake.crash("web", 1);
    stage.pass(10).await;
    let id = only(&stage.incidents().await).id;
    stage.coordinator.dismiss(id, "ada", "").await.unwrap();
    stage.look().await;
    assert_eq!(stage.incidents().await.len(), 1);
    stage.fake.world().runtime.start("web").await.unwrap();
    stage.pass(10).await;
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(30).await;
    assert_eq!(stage.incidents().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_freeze_holds_everything_and_its_end_lets_the_next_look_act() {
    let stage = Stage::new(shop(), Rules::default());
    let until = stage.fake.clock().now() + Duration::from_mins(1);
    stage.coordinator.freeze(None, Some(until), "moving house", "ada").await.unwrap();
    stage.fake.crash("web", 1);
    stage.pass(30).await;
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Held);
    stage.pass(60).await;
    assert_eq!(stage.fake.effects(), ["start web"], "the freeze has expired by itself");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_decides_and_leaves_no_trace() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.coordinator.freeze(None, None, "so that events do not act", "ada").await.unwrap();
    stage.fake.change("web", |facts| {
        facts.status = selfheal_agents::model::ContainerStatus::Exited;
        facts.exit_code = Some(1);
    });
    let report = stage.coordinator.check(Scope::All, Trigger::CommandLine, true).await.unwrap();
    assert_eq!(report.incidents.len(), 1);
    assert!(report.incidents[0].holds.contains(&Hold::DryRun));
    assert_eq!(stage.incidents().await.len(), 0);
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_is_away_is_told_once_closes_nothing_and_is_seen_again() {
    let rules = Rules { mode: Mode::Observe, ..Rules::default() };
    let stage = Stage::new(shop(), rules);
    stage.fake.crash("web", 1);
    stage.pass(10).await;
    assert_eq!(stage.alerts().await, ["held"]);
    let away = selfheal_agents::fakes::Failure::Unreachable;
    stage.fake.fail_next("containers", &away, 10);
    let report = stage.look().await;
    assert!(report.blind[0].contains("containers cannot be seen"), "{:?}", report.blind);
    assert_eq!(report.status, CycleStatus::IssuesFound, "what is not seen is not well");
    assert!(!stage.coordinator.standing().runtime_connected);
    assert_eq!(stage.alerts().await, ["held"], "it may be back in a moment");
    stage.pass(100).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Held);
    stage.pass(200).await;
    assert!(stage.coordinator.standing().runtime_connected);
    let blind = stage.alerts().await.iter().filter(|event| *event == "blind").count();
    assert_eq!(blind, 1);
}

#[tokio::test(start_paused = true)]
async fn each_part_that_cannot_be_seen_is_told_once_and_hides_no_other() {
    let stage = Stage::new(shop(), Rules::default());
    let mut report = (*stage.look().await).clone();
    let mut told_after = async |seconds, blind: &[&str]| {
        report.blind = blind.iter().map(|reason| (*reason).to_owned()).collect();
        report.started_at += chrono::TimeDelta::seconds(seconds);
        stage.coordinator.inner.tell_blindness(&report).await;
        stage.alerts().await.iter().filter(|event| *event == "blind").count()
    };
    let (nas, ours) = ("the engine `nas` is not seen: it timed out", "no container is seen: gone");
    assert_eq!(told_after(0, &[nas]).await, 0);
    assert_eq!(told_after(90, &["the engine `nas` is not seen: refused"]).await, 1);
    assert_eq!(told_after(3600, &[nas, ours]).await, 1, "it may be back in a moment");
    assert_eq!(told_after(90, &[nas, ours]).await, 2);
    assert_eq!(told_after(90, &[nas, ours]).await, 2);
    assert_eq!(told_after(90, &[ours]).await, 2);
    assert_eq!(told_after(90, &[ours, nas]).await, 2, "another spell");
    assert_eq!(told_after(90, &[ours, nas]).await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_is_restarted_wakes_nobody() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.fail_next("containers", &selfheal_agents::fakes::Failure::Unreachable, 2);
    stage.look().await;
    stage.pass(300).await;
    assert!(stage.coordinator.standing().runtime_connected);
    assert_eq!(stage.alerts().await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_grumble_in_a_log_that_stops_by_itself_wakes_nobody() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    for _ in 0..3 {
        let line = "could not connect to db:5432: Connection refused";
        stage.fake.log("web", line);
        stage.pass(1).await;
        stage.look().await;
    }
    assert_eq!(stage.incidents().await.len(), 1, "it is seen");
    for _ in 0..10 {
        stage.pass(30).await;
        stage.look().await;
    }
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Resolved);
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
    let alerts = stage.alerts().await;
    assert!(
        alerts.len() <= 2,
        "at most told once that it lasted and once that it ended: {alerts:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_start_that_had_to_wait_for_its_dependency_is_no_incident_afterwards() {
    let fake = shop();
    fake.log("web", "could not connect to db:5432: Connection refused");
    fake.clock().advance_secs(300);
    let stage = Stage::new(fake, Rules::default());
    assert_eq!(stage.look().await.status, CycleStatus::Healthy);
    assert_eq!(stage.incidents().await.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_ended_long_before_anybody_looked_is_no_incident() {
    let fake = shop();
    fake.crash("web", 1);
    fake.clock().advance_secs(3 * 3600);
    let stage = Stage::new(fake, Rules::default());
    stage.look().await;
    stage.pass(90).await;
    stage.look().await;
    assert_eq!(stage.incidents().await.len(), 0);
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn many_failing_at_once_without_a_shared_cause_freeze_rather_than_restart_all() {
    let fake = old_world(|w| {
        for i in 0..10 {
            w.add(healthy(&format!("c{i}")));
        }
    });
    let stage = Stage::new(fake, Rules::default());
    stage.look().await;
    for i in 0..8 {
        stage.fake.hang(&format!("c{i}"));
    }
    stage.look().await;
    stage.pass(10).await;
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
    let incidents = stage.incidents().await;
    assert!(incidents.iter().all(|i| i.holds.iter().any(|h| h.name() == "common_cause")));
}

/// Interrupts Selfheal at every journal record of a repair and starts it anew.
#[tokio::test(start_paused = true)]
async fn interrupted_at_any_record_of_a_repair_the_next_start_brings_it_to_an_end() {
    for at in [Interruption::BeforeWrite, Interruption::AfterWrite] {
        for nth in 0..6 {
            let (fake, rules) = rate_limited();
            let stage = Stage::new(fake.clone(), rules.clone());
            stage.look().await;
            complain(&stage).await;
            stage.store.interrupt(nth, at);
            stage.look().await;
            stage.pass(2).await;
            stage.cancel.cancel();
            stage.pass(1).await;
            let next = Stage::on(fake.clone(), rules, stage.store.clone());
            next.look().await;
            next.pass(400).await;
            next.look().await;
            for incident in next.incidents().await {
                let ended = incident.state().is_closed() || incident.state() == IncidentState::Held;
                assert!(ended, "{at:?} {nth}: {:#?}", incident.timeline);
            }
            let text = fake.text("/srv/worker/config.json");
            let whole = ["{\"delay_s\": 1.0}\n", "{\"delay_s\": 1.5}\n"].contains(&text.as_str());
            assert!(whole, "{at:?} {nth}: {text}");
        }
    }
}

mod alerts;
mod always;
mod at_start;
mod audit;
mod beginnings;
mod broken_off;
mod causes;
mod clocks;
mod commands;
mod early;
mod engines;
mod flapping;
mod fleet;
mod gate;
mod hangs;
mod holds;
mod in_order;
mod interference;
mod managed;
mod meanwhile;
mod memory;
mod messages;
mod neighbours;
mod odd_lines;
mod others;
mod outside;
mod quarantine;
mod rehearsals;
mod remade;
mod remains;
mod restored;
mod returns;
mod shadow;
mod stale;
mod steps;
mod stopped;
mod waits;
mod warm_up;
mod windows;
