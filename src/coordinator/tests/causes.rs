//! Stories of what changed before something broke.

use selfheal_agents::model::{
    Change, ChangeKind, Confidence, HealthStatus, SecretText, Timestamp, Usage,
};

use super::*;
use crate::config::Maintenance;

async fn log_of_changes(stage: &Stage) -> Vec<Change> {
    stage.store.changes(None, Timestamp::UNIX_EPOCH).await.unwrap()
}

fn told(changes: &[Change]) -> Vec<(ChangeKind, &str)> {
    changes.iter().map(|change| (change.kind, change.what.as_str())).collect()
}

fn deploy(fake: &FakeWorld, image: &str) {
    let now = fake.clock().now();
    fake.change("web", |facts| {
        facts.id = format!("id of {image}");
        facts.image = image.to_owned();
        facts.image_id = format!("sha256:{image}");
        facts.created_at = Some(now);
        facts.started_at = Some(now);
        facts.environment.insert("DB_PASSWORD".to_owned(), SecretText::new(image));
    });
}

#[tokio::test(start_paused = true)]
async fn the_deployment_before_a_crash_stands_in_the_ledger_and_in_the_change_log() {
    let stage = Stage::new(shop(), Rules { mode: Mode::Observe, ..Rules::default() });
    stage.look().await;
    deploy(&stage.fake, "web:2");
    stage.pass(12).await;
    stage.fake.crash("web", 1);
    stage.pass(5).await;
    stage.look().await;
    let incidents = stage.incidents().await;
    let diagnosis = only(&incidents).diagnosis.as_ref().unwrap();
    assert_eq!(diagnosis.blamed, TargetId::container("web"));
    let first = diagnosis.changes[0].to_string();
    assert!(
        first.starts_with("12 s before: `container:web`: the image changed from web:1 to web:2"),
        "{first}"
    );
    assert!(diagnosis.ledger.entries.iter().any(|entry| entry.what == first), "{diagnosis:#?}");
    let log = log_of_changes(&stage).await;
    let kinds: Vec<ChangeKind> = log.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [ChangeKind::Image, ChangeKind::Environment, ChangeKind::Deployed]);
    assert!(log.iter().all(|change| !change.what.contains("web:2\"")));
}

#[tokio::test(start_paused = true)]
async fn a_changed_line_of_a_mounted_file_is_named() {
    let fake = configured("events {}\nhttp {}\n");
    let stage = Stage::new(fake.clone(), Rules { mode: Mode::Observe, ..Rules::default() });
    stage.look().await;
    fake.file("/srv/web/nginx.conf", "events {}\nhttp {\n");
    stage.pass(30).await;
    fake.crash("web", 1);
    stage.pass(5).await;
    let incidents = stage.incidents().await;
    let changes = &only(&incidents).diagnosis.as_ref().unwrap().changes;
    assert_eq!(
        changes[0].to_string(),
        "30 s before: `container:web`: /srv/web/nginx.conf changed: line 2"
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_is_noticed_once_whatever_only_looked_or_could_not_write() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.change("web", |facts| facts.limits.memory_bytes = Some(64 << 20));
    stage.coordinator.check(Scope::All, Trigger::Api, true).await.unwrap();
    assert_eq!(log_of_changes(&stage).await, [], "a dry run writes nothing");
    stage.store.refuse_writes(Some("the disk is full"));
    stage.look().await;
    stage.store.refuse_writes(None);
    for _ in 0..3 {
        stage.look().await;
    }
    let log = log_of_changes(&stage).await;
    assert_eq!(told(&log), [(ChangeKind::Limits, "the memory limit changed from none to 64 MiB")]);
}

#[tokio::test(start_paused = true)]
async fn what_changed_while_selfheal_was_away_is_told_at_the_next_start() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.cancel.cancel();
    deploy(&stage.fake, "web:2");
    stage.fake.add(healthy("new"));
    let next = Stage::on(stage.fake.clone(), Rules::default(), stage.store.clone());
    next.look().await;
    let log = log_of_changes(&next).await;
    let of = |name: &str| log.iter().filter(|c| c.target == TargetId::container(name)).count();
    assert_eq!((of("web"), of("new")), (3, 1), "{log:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_selfheal_does_itself_is_known_as_its_own() {
    let (fake, rules) = rate_limited();
    fake.change("worker", |facts| {
        facts.mounts = vec![MountFacts {
            bind: true,
            source: "/srv/worker/config.json".to_owned(),
            destination: "/config.json".to_owned(),
            writable: false,
        }];
    });
    let stage = Stage::new(fake, rules);
    stage.look().await;
    complain(&stage).await;
    stage.look().await;
    stage.pass(300).await;
    stage.look().await;
    let log = log_of_changes(&stage).await;
    assert!(log.iter().any(|change| change.kind == ChangeKind::File), "{log:#?}");
    assert!(log.iter().all(|change| change.by_selfheal), "{log:#?}");
}

#[tokio::test(start_paused = true)]
async fn whom_a_container_was_connected_to_explains_why_it_cannot_connect_now() {
    let fake = old_world(|w| {
        w.add(container("db")).add(container("web"));
        w.change("db", |facts| facts.networks[0].ip = Some("10.0.0.2".to_owned()));
        w.connects("web", &["10.0.0.2:5432"]);
    });
    let stage = Stage::new(fake.clone(), Rules { mode: Mode::Observe, ..Rules::default() });
    stage.look().await;
    // With the database its connections are gone, and so is its address.
    fake.connects("web", &[]);
    fake.change("db", |facts| facts.networks[0].ip = None);
    fake.crash("db", 1);
    fake.log("web", "could not connect to db:5432: Connection refused");
    stage.pass(5).await;
    stage.look().await;
    let incidents = stage.incidents().await;
    let db = incidents.iter().find(|i| i.target == TargetId::container("db")).unwrap();
    let ways = &db.diagnosis.as_ref().unwrap().ways;
    let ways: Vec<String> = ways.iter().map(ToString::to_string).collect();
    assert_eq!(ways, ["container:web needs container:db (connection; weight 30)"]);
}

#[tokio::test(start_paused = true)]
async fn a_proxys_configuration_tells_what_is_behind_it() {
    let fake = configured("http { server { location / { proxy_pass http://api:8080; } } }\n");
    fake.add(container("api"));
    let stage = Stage::new(fake, Rules::default());
    let report = stage.look().await;
    let web = report.targets.iter().find(|t| t.id == TargetId::container("web")).unwrap();
    let needs: Vec<String> = web.needs.iter().map(ToString::to_string).collect();
    assert_eq!(needs, ["container:web needs container:api (proxy; weight 50)"]);
}

/// A container whose memory grows by 24 MiB an hour towards its 256.
async fn leak(stage: &Stage) {
    for look in 0..40_u64 {
        let memory_bytes = Some((64 << 20) + look * (2 << 20));
        let usage = Usage { cpu_percent: Some(1.0), memory_bytes, processes: Some(1) };
        stage.fake.uses("web", usage);
        stage.look().await;
        stage.pass(300).await;
    }
    stage.look().await;
}

#[tokio::test(start_paused = true)]
async fn a_leak_is_foreseen_and_its_restart_waits_for_a_quiet_hour() {
    let fake = shop();
    fake.change("web", |facts| facts.limits.memory_bytes = Some(256 << 20));
    let stage = Stage::new(fake, Rules::default());
    leak(&stage).await;
    let incidents = stage.incidents().await;
    let incident = only(&incidents);
    assert_eq!(incident.diagnosis.as_ref().unwrap().issue_type, "container-memory-leak");
    assert_eq!(incident.fix.as_ref().unwrap().fix_type, "container.restart");
    let holds: Vec<&str> = incident.holds.iter().map(Hold::name).collect();
    assert_eq!(holds, ["confidence_too_low", "quiet_hour"]);
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn in_a_quiet_hour_a_leaking_container_is_restarted_where_the_threshold_allows() {
    for (cron, effects) in [("0 1 * * *", &[][..]), ("0 0 * * *", &["restart web"])] {
        let fake = shop();
        fake.change("web", |facts| facts.limits.memory_bytes = Some(256 << 20));
        let always = Maintenance {
            cron: cron.to_owned(),
            duration: Duration::from_mins(if effects.is_empty() { 1 } else { 24 * 60 }),
            target: None,
        };
        let rules = Rules {
            threshold: Confidence::literal(80),
            quiet_hours: vec![always],
            ..Rules::default()
        };
        let stage = Stage::new(fake, rules);
        leak(&stage).await;
        stage.pass(10).await;
        assert_eq!(stage.fake.effects(), effects, "{cron}");
    }
}

/// Restarts what is unhealthy, where its log names the reason.
const STALE: &str = r#"
id = "cache-stale"
title = "Its cache is stale"
category = "hang"
severity = "critical"
technology = "ours"
status = "reproduced"
links = ["https://example.org/handbook#cache-stale"]
signature = [{ check = "container.health", is = ["unhealthy"] }]
diagnosis = { summary = "{target} serves a stale cache.", base = 95 }

[[fix]]
action = "container.restart"
why = "a new process reads it anew"
when = { finding = "cache-said" }
"#;
const SAID: &str = r#"
id = "cache-said"
title = "It says so"
category = "hang"
severity = "warning"
technology = "ours"
status = "reproduced"
links = ["https://example.org/handbook#cache-stale"]
no_fix = "The restart is offered elsewhere."
applies = { kinds = ["container"] }
signature = [{ log = 'the cache is stale' }]
diagnosis = { summary = "{target} says so.", base = 10 }
examples = { match = ["the cache is stale"], near_miss = ["the cache is new"] }
"#;

#[tokio::test(start_paused = true)]
async fn a_fix_that_asks_for_a_finding_sees_it_wherever_it_stands_among_all_findings() {
    let texts = [("ours/cache-stale.toml", STALE), ("ours/cache-said.toml", SAID)];
    let files = texts.map(|(path, text)| (path.to_owned(), text.to_owned()));
    let (catalogue, broken) = Catalogue::load(files);
    assert_eq!(broken, []);
    let fake = old_world(|w| {
        for name in ["app", "web", "zed", "a", "b", "c", "d", "e"] {
            w.add(healthy(name));
        }
    });
    let world = fake.world();
    let stage = Stage::knowing(Arc::new(catalogue), fake, world, Rules::default(), Arc::default());
    stage.look().await;
    // The worst stand first: what its log says comes after another's trouble.
    for name in ["web", "zed"] {
        stage.fake.change(name, |facts| facts.health = Some(HealthStatus::Unhealthy));
    }
    stage.fake.log("web", "the cache is stale");
    stage.pass(10).await;
    stage.look().await;
    stage.pass(5).await;
    assert_eq!(stage.fake.effects(), ["restart web"]);
}
