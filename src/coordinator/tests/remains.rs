//! Stories of servers that work at the end of a window, and of what checks still tell of them then.

use selfheal_agents::model::{
    Backend, Confidence, ConfigState, DatabaseEndpoint, DatabaseFacts, RedisFacts, ServerSetting,
    SettingFacts,
};

use super::*;

/// Where the server is that the container `web` runs.
pub(super) fn reached_at() -> DatabaseEndpoint {
    DatabaseEndpoint {
        host: "web".to_owned(),
        port: 1,
        user: None,
        password: None,
        database: None,
        tls: false,
    }
}

/// A server in `web` that answers so.
fn server(kind: TargetKind, endpoint: Endpoint, facts: Facts, catalogue: Arc<Catalogue>) -> Stage {
    server_in(shop(), kind, endpoint, facts, catalogue)
}

fn server_in(
    fake: FakeWorld,
    kind: TargetKind,
    endpoint: Endpoint,
    facts: Facts,
    catalogue: Arc<Catalogue>,
) -> Stage {
    fake.answers(&endpoint, facts);
    let mut rules = Rules { threshold: Confidence::literal(50), ..Rules::default() };
    rules.declared.targets.push(Target {
        endpoint: Some(endpoint),
        container: Some("web".to_owned()),
        ..Target::bare(TargetId::lossy(kind, "ours"))
    });
    let world = fake.world();
    Stage::knowing(catalogue, fake, world, rules, Arc::default())
}

pub(super) fn postgres(facts: DatabaseFacts) -> Stage {
    let endpoint = Endpoint::Postgres(reached_at());
    server(TargetKind::Postgres, endpoint, Facts::Postgres(facts), built_in())
}

/// A session that forgot its transaction so many seconds ago.
pub(super) fn forgotten(pid: i64, state_secs: f64) -> Backend {
    Backend {
        pid,
        backend_start: None,
        address: String::new(),
        state: "idle in transaction".to_owned(),
        state_secs,
        user: "app".to_owned(),
        application: "jobs".to_owned(),
        blocks: 0,
    }
}

/// Lets what is wrong be mended, and its window end.
async fn how_it_ends(stage: &Stage) -> (IncidentState, String) {
    stage.look().await;
    stage.pass(200).await;
    let first = stage.incidents().await.pop().unwrap();
    let why = first.validation.as_ref().and_then(|v| v.why.clone());
    (first.state(), why.unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn connections_that_are_only_a_warning_by_now_were_mended() {
    let stage = postgres(DatabaseFacts {
        reachable: true,
        connections: Some(28),
        max_connections: Some(30),
        idle_in_transaction: (1..=5).map(|pid| forgotten(pid, 70.0)).collect(),
        blocked: Some(0),
        ..DatabaseFacts::default()
    });
    let (became, why) = how_it_ends(&stage).await;
    assert_eq!(stage.fake.effects().len(), 5, "{:?}", stage.fake.effects());
    assert_eq!(became, IncidentState::Resolved, "{why}");
}

/// All connections are taken, by so many sessions that were forgotten a while ago.
fn leaked(sessions: u32) -> DatabaseFacts {
    DatabaseFacts {
        reachable: true,
        connections: Some(sessions),
        max_connections: Some(sessions),
        idle_in_transaction: (1..=sessions.into()).map(|pid| forgotten(pid, 70.0)).collect(),
        blocked: Some(0),
        ..DatabaseFacts::default()
    }
}

#[tokio::test(start_paused = true)]
async fn all_that_were_forgotten_are_ended_at_once_and_a_few_are_named() {
    let stage = postgres(leaked(17));
    let (became, why) = how_it_ends(&stage).await;
    assert_eq!(stage.fake.effects().len(), 17, "{:?}", stage.fake.effects());
    assert_eq!(became, IncidentState::Resolved, "{why}");
    let incident = stage.incidents().await.remove(0);
    let summary = incident.fix.unwrap().summary;
    assert!(summary.starts_with("end 17 session(s) of "), "{summary}");
    assert!(summary.ends_with(", 14 more"), "{summary}");
}

/// A server whose connections leaked under a program that does not notice when it can work again:
/// the sessions were ended, it worked for a moment, and all of them are taken again.
async fn leaked_under_api() -> (Stage, Endpoint) {
    let fake = old_world(|w| {
        w.add(healthy("web"));
        let mut api = healthy("api");
        api.labels = labels(&[("selfheal.depends-on", "web")]);
        let check = api.health_check.as_mut().unwrap();
        (check.interval, check.timeout) = (Duration::from_secs(1), Duration::from_secs(1));
        w.add(api);
    });
    let endpoint = Endpoint::Postgres(reached_at());
    let (kind, facts) = (TargetKind::Postgres, Facts::Postgres(leaked(17)));
    let stage = server_in(fake, kind, endpoint.clone(), facts, built_in());
    stage.fake.hang("api");
    stage.look().await;
    for _ in 0..30 {
        if stage.fake.effects().is_empty() {
            stage.pass(1).await;
        }
    }
    stage.pass(3).await;
    assert_eq!(stage.fake.effects().len(), 17, "{:?}", stage.fake.effects());
    // It is too early to say that this lasts.
    let again = (101..=117).map(|pid| forgotten(pid, 1.0)).collect();
    let facts = DatabaseFacts { idle_in_transaction: again, ..leaked(17) };
    stage.fake.answers(&endpoint, Facts::Postgres(facts));
    (stage, endpoint)
}

#[tokio::test(start_paused = true)]
async fn a_dependent_is_left_alone_while_what_it_suffers_from_comes_back() {
    let (stage, _) = leaked_under_api().await;
    stage.pass(50).await;
    assert_eq!(stage.fake.effects().len(), 17, "{:?}", stage.fake.effects());
}

#[tokio::test(start_paused = true)]
async fn a_dependent_has_time_to_notice_once_what_it_suffered_from_is_gone() {
    let (stage, endpoint) = leaked_under_api().await;
    let calm = DatabaseFacts { connections: Some(3), idle_in_transaction: vec![], ..leaked(17) };
    stage.pass(4).await;
    stage.fake.answers(&endpoint, Facts::Postgres(calm));
    stage.pass(3).await;
    assert_eq!(stage.fake.effects().len(), 17, "{:?}", stage.fake.effects());
    stage.pass(20).await;
    assert_eq!(stage.fake.effects().last().map(String::as_str), Some("restart api"));
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_may_evict_was_mended_although_it_stays_full() {
    let facts = RedisFacts {
        reachable: true,
        used_memory_bytes: Some(100 << 20),
        maxmemory_bytes: Some(100 << 20),
        maxmemory_policy: Some("noeviction".to_owned()),
        writes_rejected: true,
        expiring_keys: Some(7),
        ..RedisFacts::default()
    };
    let endpoint = Endpoint::Redis(reached_at());
    let stage = server(TargetKind::Redis, endpoint, Facts::Redis(facts), built_in());
    // It cannot be given more.
    stage.fake.change("web", |facts| facts.limits.memory_bytes = Some(100 << 20));
    let (became, why) = how_it_ends(&stage).await;
    assert_eq!(stage.fake.effects(), ["set maxmemory-policy of redis web:1 to volatile-ttl"]);
    assert_eq!(became, IncidentState::Resolved, "{why}");
}

const FORGETS: &str = r#"
id = "forgets"
title = "It forgets its transactions"
category = "database"
severity = "warning"
technology = "postgresql"
status = "reproduced"
links = ["https://example.org/handbook#forgets"]
applies = { kinds = ["postgres"] }
signature = [{ check = "postgres.idle_in_transaction" }]
diagnosis = { summary = "{target} has a forgotten transaction.", base = 90 }
avoid = ["Do not restart it for one session."]

[[fix]]
action = "postgres.alter_system"
why = "the server itself ends what is forgotten"
with = { setting = "idle_in_transaction_session_timeout" }
"#;

#[tokio::test(start_paused = true)]
async fn a_limit_on_idle_sessions_is_kept_although_one_idles_since_before() {
    let (catalogue, broken) = Catalogue::load([("postgresql/forgets.toml".into(), FORGETS.into())]);
    assert_eq!(broken, []);
    let setting = ServerSetting::PostgresIdleInTransactionTimeout;
    let facts = DatabaseFacts {
        reachable: true,
        idle_in_transaction: vec![forgotten(1, 400.0)],
        blocked: Some(0),
        settings: vec![SettingFacts {
            setting,
            value: 0,
            context: "user".to_owned(),
            overruled_for: None,
        }],
        config: Some(ConfigState::Loaded),
        ..DatabaseFacts::default()
    };
    let endpoint = Endpoint::Postgres(reached_at());
    let facts = Facts::Postgres(facts);
    let stage = server(TargetKind::Postgres, endpoint, facts, Arc::new(catalogue));
    let (became, why) = how_it_ends(&stage).await;
    assert_eq!(stage.fake.effects().len(), 1, "{:?}", stage.fake.effects());
    assert_eq!(became, IncidentState::Resolved, "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lets_selfheal_in_no_more_keeps_no_window_open_for_ever() {
    let stage = postgres(DatabaseFacts { reachable: true, ..DatabaseFacts::default() });
    stage.look().await;
    let answers = |facts: DatabaseFacts| {
        stage.fake.answers(&Endpoint::Postgres(reached_at()), Facts::Postgres(facts));
    };
    let error = Some("connection refused".to_owned());
    answers(DatabaseFacts { error, ..DatabaseFacts::default() });
    stage.look().await;
    stage.pass(5).await;
    assert_eq!(stage.fake.effects(), ["restart web"]);
    let error = Some("password authentication failed".to_owned());
    let sqlstate = Some("28P01".to_owned());
    answers(DatabaseFacts { error, sqlstate, ..DatabaseFacts::default() });
    stage.pass(300).await;
    let first = stage.incidents().await.pop().unwrap();
    assert_eq!(first.state(), IncidentState::Resolved, "{:#?}", first.timeline);
    let why = first.validation.unwrap().why.unwrap();
    assert!(why.ends_with("as far as can be told"), "{why}");
}
