//! Stories of fixes that must first earn that they run by themselves.

use selfheal_agents::fix_engineer::actions::{
    Action, ContainerStart, PostgresTerminate, RedisSetMemory,
};
use selfheal_agents::learning_engine::{ShadowReport, ShadowRow};
use selfheal_agents::model::{
    Autonomy, Captured, Confidence, ContainerFacts, DatabaseEndpoint, DatabaseFacts, Fix, FixId,
    IncidentId, Ledger, LogFile, LogFolder, LogSurvey, RedisFacts, RuntimeEventKind, ServerSetting,
    Session, Shadow, Step, StepRole,
};

use super::*;

/// A shop whose fixes have to be confirmed twice.
fn earning() -> Stage {
    Stage::new(shop(), rules())
}

fn rules() -> Rules {
    Rules { autonomy: Autonomy::Earned, earned_after: 2, ..Rules::default() }
}

/// The web server hangs, a person restarts it a minute later, and it works on for an hour: to be
/// back earlier would speak against the restart.
async fn a_person_mends_it(stage: &Stage) {
    a_person_restarts_it(stage).await;
    stage.pass(4000).await;
}

async fn a_person_restarts_it(stage: &Stage) {
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(60).await;
    stage.fake.world().runtime.restart("web", None, 10).await.unwrap();
    stage.pass(5).await;
    stage.look().await;
}

async fn report(stage: &Stage) -> ShadowReport {
    stage.coordinator.shadow_report().await.unwrap()
}

fn counts(row: &ShadowRow) -> [usize; 6] {
    let ShadowRow {
        would_have_acted, same_way, by_itself, dismissed, under_way, confirmed, ..
    } = row;
    [*would_have_acted, *same_way, *by_itself, *dismissed, *under_way, *confirmed]
}

#[tokio::test(start_paused = true)]
async fn what_is_not_earned_is_only_told_and_what_people_did_instead_earns_it() {
    let stage = earning();
    stage.look().await;
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(5).await;
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).holds, [Hold::Shadow { confirmed: 0, needed: 2 }]);
    assert_eq!(stage.fake.effects(), Vec::<String>::new(), "nothing is done");
    assert_eq!(stage.alerts().await, ["held"], "but a person learns of it");
    assert_eq!(counts(&report(&stage).await.rows[0]), [1, 0, 0, 0, 1, 0]);

    stage.fake.world().runtime.restart("web", None, 10).await.unwrap();
    stage.pass(5).await;
    stage.look().await;
    assert_eq!(counts(&report(&stage).await.rows[0]), [1, 1, 0, 0, 0, 1]);
    stage.pass(4000).await;
    a_person_mends_it(&stage).await;
    let known = report(&stage).await;
    assert_eq!(counts(&known.rows[0]), [2, 2, 0, 0, 0, 2]);
    assert_eq!(known.rows[0].fix_type, "container.restart");

    let by_person = stage.fake.effects().len();
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(300).await;
    assert_eq!(stage.fake.effects().len(), by_person + 1, "now it does that itself");
    assert_eq!(stage.outcomes().await.len(), 1);
    let rows = report(&stage).await.rows;
    assert_eq!(counts(&rows[0]), [2, 2, 0, 0, 0, 3], "what was kept confirms it too");
}

#[tokio::test(start_paused = true)]
async fn what_works_again_by_itself_earns_nothing() {
    let stage = earning();
    stage.look().await;
    for _ in 0..2 {
        stage.fake.hang("web");
        stage.look().await;
        stage.pass(60).await;
        stage.fake.recover("web");
        stage.look().await;
        stage.pass(30).await;
    }
    assert_eq!(counts(&report(&stage).await.rows[0]), [2, 0, 2, 0, 0, 0]);
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_approval_that_was_kept_earns_and_a_failure_loses_all() {
    let stage = earning();
    stage.look().await;
    for _ in 0..2 {
        stage.fake.hang("web");
        stage.look().await;
        stage.pass(5).await;
        let waits = stage.incidents().await.remove(0);
        stage.coordinator.approve(waits.id, "ada").await.unwrap();
        // A fault that is back within the hour would make it a failure.
        stage.pass(4000).await;
    }
    let row = report(&stage).await.rows.remove(0);
    assert_eq!((row.approved, row.confirmed), (2, 2));

    stage.fake.behaves("web", Behaviour::StaysUnhealthy);
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(600).await;
    assert_eq!(stage.outcomes().await.last().map(|o| o.success), Some(false), "it ran by itself");
    stage.look().await;
    let incidents = stage.incidents().await;
    assert!(
        incidents[0].holds.contains(&Hold::Shadow { confirmed: 0, needed: 2 }),
        "{incidents:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_persons_word_that_nothing_was_wrong_speaks_against_the_fix() {
    let stage = earning();
    stage.look().await;
    a_person_mends_it(&stage).await;
    assert_eq!(report(&stage).await.rows[0].confirmed, 1);
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(5).await;
    let waits = stage.incidents().await.remove(0);
    stage.coordinator.dismiss(waits.id, "ada", "").await.unwrap();
    assert_eq!(counts(&report(&stage).await.rows[0]), [2, 1, 0, 1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_others_did_speaks_against_the_fix_where_the_fault_is_back_within_the_hour() {
    let stage = earning();
    stage.look().await;
    a_person_restarts_it(&stage).await;
    assert_eq!(report(&stage).await.rows[0].confirmed, 1);
    stage.pass(1800).await;
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(5).await;
    let row = report(&stage).await.rows.remove(0);
    assert_eq!((counts(&row), row.came_back), ([2, 0, 0, 0, 1, 0], 1));
    let earlier = stage.incidents().await.pop().unwrap();
    assert_eq!(
        earlier.timeline.last().unwrap().text,
        "it came back 30 min after somebody had done what `container.restart` would have: that \
         counts as a failure"
    );
}

#[tokio::test(start_paused = true)]
async fn a_container_that_was_made_anew_was_not_restarted() {
    let stage = earning();
    stage.look().await;
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(60).await;
    let started_at = Some(stage.fake.clock().now());
    stage.fake.remove("web");
    stage.fake.add(ContainerFacts { id: "another".to_owned(), started_at, ..healthy("web") });
    stage.fake.emit("web", RuntimeEventKind::Create);
    stage.pass(30).await;
    stage.look().await;
    assert_eq!(counts(&report(&stage).await.rows[0]), [1, 0, 1, 0, 0, 0]);
}

/// A fix of one step.
pub(super) fn fix_of(target: TargetId, action: Action, proposed_at: Timestamp) -> Fix {
    Fix {
        id: FixId(uuid::Uuid::nil()),
        fix_type: action.name().to_owned(),
        target,
        issue_type: "some-trouble".to_owned(),
        summary: String::new(),
        steps: vec![Step { action, role: StepRole::Repair }],
        ledger: Ledger::with_base(90, "base"),
        original_confidence: Confidence::literal(90),
        confidence: Confidence::literal(90),
        interruption_secs: 0,
        course: selfheal_agents::model::Course::First,
        quiet: false,
        warnings: vec![],
        proposed_at,
    }
}

fn at_address(host: &str) -> DatabaseEndpoint {
    DatabaseEndpoint {
        host: host.to_owned(),
        port: 1,
        user: None,
        password: None,
        database: None,
        tls: false,
    }
}

/// How the shadow of such a fix of a server in `web` ends, by what was captured when it began;
/// the server is reached so and answers so now.
async fn end_of(action: Action, before: Captured, now_at: Endpoint, facts: Facts) -> [usize; 6] {
    let id = action.target();
    let fake = shop();
    fake.answers(&now_at, facts);
    let mut rules = rules();
    rules.declared.targets.push(Target {
        endpoint: Some(now_at),
        container: Some("web".to_owned()),
        ..Target::bare(id.clone())
    });
    let stage = Stage::new(fake, rules);
    stage.look().await;
    let now = stage.fake.clock().now();
    let mut incident = Incident::open(IncidentId(uuid::Uuid::nil()), id.clone(), vec![], now);
    let fix = Box::new(fix_of(id, action, now));
    incident.shadow = Some(Shadow { fix, since: now, before: Some(vec![before]) });
    stage.coordinator.inner.end_shadow(&mut incident).await;
    counts(&report(&stage).await.rows[0])
}

#[tokio::test(start_paused = true)]
async fn sessions_that_are_gone_do_not_say_that_somebody_ended_them() {
    let endpoint = Endpoint::Postgres(at_address("web"));
    let who = "a program".to_owned();
    let (address, in_transaction) = (String::new(), true);
    let session = Session { pid: 7, backend_start: None, address, in_transaction, who };
    let end = Action::PostgresTerminate(PostgresTerminate {
        target: TargetId::lossy(TargetKind::Postgres, "orders"),
        endpoint: endpoint.clone(),
        sessions: vec![session],
    });
    let facts = Facts::Postgres(DatabaseFacts { reachable: true, ..DatabaseFacts::default() });
    assert_eq!(end_of(end, Captured::Sessions, endpoint, facts).await, [1, 0, 1, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_server_is_asked_where_it_is_reached_now_and_not_where_it_was() {
    let raise = Action::RedisSetMemory(RedisSetMemory {
        target: TargetId::lossy(TargetKind::Redis, "cache"),
        endpoint: Endpoint::Redis(at_address("10.0.0.7")),
        from_bytes: 1 << 20,
        to_bytes: 2 << 20,
    });
    let setting = ServerSetting::RedisMaxmemory;
    let before = Captured::Setting { setting, value: Some((1 << 20).to_string()) };
    let maxmemory_bytes = Some(2 << 20);
    let facts =
        Facts::Redis(RedisFacts { reachable: true, maxmemory_bytes, ..RedisFacts::default() });
    let now_at = Endpoint::Redis(at_address("10.0.0.9"));
    assert_eq!(end_of(raise, before, now_at, facts).await, [1, 1, 0, 0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_is_so_when_the_shadow_begins_does_not_say_that_somebody_did_it() {
    let stage = earning();
    stage.look().await;
    let (web, now) = (TargetId::container("web"), stage.fake.clock().now());
    let mut incident = Incident::open(IncidentId(uuid::Uuid::nil()), web.clone(), vec![], now);
    let start = Action::ContainerStart(ContainerStart { container: "web".to_owned() });
    incident.fix = Some(fix_of(web, start, now));
    incident.hold_for(vec![Hold::Shadow { confirmed: 0, needed: 2 }], now);
    stage.coordinator.inner.cast_shadow(&mut incident, now).await;
    assert!(incident.shadow.is_some());
    stage.coordinator.inner.end_shadow(&mut incident).await;
    assert_eq!(counts(&report(&stage).await.rows[0]), [1, 0, 1, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_was_watched_of_a_container_is_forgotten_a_while_after_it_is_gone() {
    let stage = earning();
    stage.fake.add(healthy("api"));
    stage.look().await;
    for name in ["web", "api"] {
        stage.fake.hang(name);
    }
    stage.look().await;
    stage.pass(60).await;
    for name in ["web", "api"] {
        stage.fake.recover(name);
    }
    stage.look().await;
    assert_eq!(report(&stage).await.rows.len(), 2);
    stage.fake.remove("api");
    for _ in 0..2 {
        stage.look().await;
        assert_eq!(report(&stage).await.rows.len(), 2, "it may be made anew");
        stage.fake.clock().advance_secs(16 * 86_400);
    }
    stage.look().await;
    let left = report(&stage).await.rows;
    assert_eq!(left.iter().map(|row| row.target.name()).collect::<Vec<_>>(), ["web"]);
}

#[tokio::test(start_paused = true)]
async fn what_only_observes_keeps_the_same_record() {
    let rules = Rules { mode: Mode::Observe, ..Rules::default() };
    let stage = Stage::new(shop(), rules);
    stage.look().await;
    a_person_mends_it(&stage).await;
    let known = report(&stage).await;
    assert_eq!(known.autonomy, Autonomy::Full);
    assert_eq!(counts(&known.rows[0]), [1, 1, 0, 0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_another_guard_holds_would_not_have_been_done() {
    let stage = earning();
    stage.look().await;
    stage.coordinator.freeze(None, None, "moving house", "ada").await.unwrap();
    a_person_mends_it(&stage).await;
    assert_eq!(report(&stage).await.rows, []);
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_selfheal_does_not_lose_what_it_watches() {
    let stage = earning();
    stage.look().await;
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(5).await;
    let (fake, store) = (stage.fake.clone(), Arc::clone(&stage.store));
    drop(stage);
    let stage = Stage::on(fake, rules(), store);
    stage.look().await;
    stage.fake.world().runtime.restart("web", None, 10).await.unwrap();
    stage.pass(5).await;
    stage.look().await;
    assert_eq!(counts(&report(&stage).await.rows[0]), [1, 1, 0, 0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_casts_no_shadow() {
    let stage = earning();
    stage.look().await;
    stage.fake.hang("web");
    stage.coordinator.check(Scope::All, Trigger::Api, true).await.unwrap();
    assert_eq!(report(&stage).await.rows, []);
}

#[tokio::test(start_paused = true)]
async fn what_only_watches_copies_no_logs_either() {
    let mount = MountFacts {
        bind: true,
        source: "/host/log".to_owned(),
        destination: "/var/log/web".to_owned(),
        writable: true,
    };
    let folder = LogFolder { root: mount.source.clone(), below: String::new() };
    let fake = old_world(|w| {
        w.add(ContainerFacts { mounts: vec![mount], ..healthy("web") });
        w.works_while("web", |scene| scene.free_for_logs("/host/log") > 0);
    });
    let survey = |taken_bytes: u64| LogSurvey {
        total_bytes: 80 << 20,
        available_bytes: (80 << 20) - taken_bytes,
        files: vec![LogFile { name: "web.log".to_owned(), inode: 1, taken_bytes }],
    };
    fake.logs_in(&folder, survey(1 << 20));
    let stage = Stage::new(fake.clone(), rules());
    stage.look().await;
    fake.logs_in(&folder, survey(80 << 20));
    stage.look().await;
    assert_eq!(report(&stage).await.rows[0].fix_type, "logs.trim");
    assert_eq!(fake.set_aside_so_far(), Vec::<String>::new());
}
