//! Stories of the circumstances under which a fix is held, each beside its like in which it is not.

use selfheal_agents::model::{
    Confidence, ContainerFacts, DatabaseEndpoint, DatabaseFacts, HealthStatus, RedisFacts,
    TargetPolicy, Timestamp,
};

use super::*;
use crate::config::Maintenance;

/// Why the fix of the hanging `web` is held; nothing when it was applied.
async fn held(stage: &Stage) -> Vec<&'static str> {
    stage.look().await;
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(2).await;
    let applied = stage.fake.effects() == ["restart web"];
    let incidents = stage.incidents().await;
    let holds: Vec<_> = incidents.iter().flat_map(|i| &i.holds).map(Hold::name).collect();
    assert_eq!(applied, holds.is_empty(), "{holds:?} {:?}", stage.fake.effects());
    holds
}

async fn held_with(change: impl FnOnce(&mut ContainerFacts)) -> Vec<&'static str> {
    let fake = shop();
    fake.change("web", change);
    held(&Stage::new(fake, Rules::default())).await
}

async fn held_under(change: impl FnOnce(&mut Rules)) -> Vec<&'static str> {
    let mut rules = Rules::default();
    change(&mut rules);
    held(&Stage::new(shop(), rules)).await
}

const NOT: [&str; 0] = [];
/// So sure it must be where what is told is not about how sure it is.
const UNSURE: Confidence = Confidence::literal(1);

#[tokio::test(start_paused = true)]
async fn labels_exclude_a_target_or_make_it_somebody_elses() {
    let with = |label, value| held_with(move |facts| facts.labels = labels(&[(label, value)]));
    assert_eq!(with("selfheal.enable", "false").await, ["target_excluded"]);
    assert_eq!(with("selfheal.enable", "true").await, NOT);
    assert!(with("selfheal.external", "true").await.contains(&"target_external"));
    assert_eq!(with("selfheal.external", "false").await, NOT);
    assert_eq!(with("selfheal.mode", "approve").await, ["mode"]);
    assert_eq!(with("selfheal.mode", "auto").await, NOT);
}

#[tokio::test(start_paused = true)]
async fn in_its_start_period_a_container_is_left_and_then_restarted() {
    let fake = shop();
    let now = fake.clock().now();
    fake.change("web", |facts| {
        facts.started_at = Some(now);
        if let Some(check) = &mut facts.health_check {
            check.start_period = Duration::from_mins(1);
        }
    });
    let stage = Stage::new(fake, Rules { threshold: UNSURE, ..Rules::default() });
    assert_eq!(held(&stage).await, ["in_start_period"]);
    stage.pass(70).await;
    assert_eq!(stage.fake.effects(), ["restart web"]);
}

#[tokio::test(start_paused = true)]
async fn where_it_is_known_how_long_starts_take_a_start_period_counts_for_twice_as_long() {
    let fake = shop();
    let now = fake.clock().now();
    fake.change("web", |facts| {
        facts.started_at = Some(now);
        if let Some(check) = &mut facts.health_check {
            check.start_period = Duration::from_hours(48);
        }
    });
    let stage = Stage::new(fake, Rules { threshold: UNSURE, ..Rules::default() });
    // With a quarter more that is ten minutes.
    let known = serde_json::json!({ "took_secs": [480] });
    stage.store.set_value("warm_up.web", Some(&known)).await.unwrap();
    assert_eq!(held(&stage).await, ["in_start_period"]);
    stage.pass(19 * 60).await;
    assert_eq!(stage.fake.effects(), Vec::<String>::new());
    stage.pass(2 * 60).await;
    assert_eq!(stage.fake.effects(), ["restart web"]);
}

#[tokio::test(start_paused = true)]
async fn who_needs_what_has_just_come_back_gets_its_time_and_is_then_restarted() {
    let fake = api_on_db();
    let now = fake.clock().now();
    fake.change("db", |facts| facts.started_at = Some(now));
    let stage = Stage::new(fake, Rules { threshold: UNSURE, ..Rules::default() });
    stage.look().await;
    stage.fake.hang("api");
    stage.look().await;
    let incidents = stage.incidents().await;
    let holds: Vec<&str> = only(&incidents).holds.iter().map(Hold::name).collect();
    assert_eq!(holds, ["waits_for_dependency"]);
    stage.pass(30).await;
    assert_eq!(stage.fake.effects(), ["restart api"]);
}

#[tokio::test(start_paused = true)]
async fn selfheal_does_not_touch_the_container_it_runs_in() {
    let runs_in = |name: &str| {
        let name = name.to_owned();
        held_under(move |rules| rules.declared.own_container = Some(name))
    };
    assert_eq!(runs_in("web").await, ["touches_selfheal"]);
    assert_eq!(runs_in("selfheal").await, NOT);
}

/// A maintenance window that is open all day.
fn all_day(target: Option<TargetId>) -> Maintenance {
    let duration = Duration::from_hours(24);
    Maintenance { cron: "0 0 * * *".to_owned(), duration, target }
}

#[tokio::test(start_paused = true)]
async fn in_a_maintenance_window_nothing_of_it_is_touched() {
    let open_for = |target| held_under(move |rules| rules.maintenance = vec![all_day(target)]);
    assert_eq!(open_for(None).await, ["maintenance_window"]);
    assert_eq!(open_for(Some(TargetId::container("web"))).await, ["maintenance_window"]);
    assert_eq!(open_for(Some(TargetId::container("db"))).await, NOT);
    let over = Maintenance { duration: Duration::from_mins(1), ..all_day(None) };
    assert_eq!(held_under(move |rules| rules.maintenance = vec![over]).await, NOT);
}

#[tokio::test(start_paused = true)]
async fn a_maintenance_window_of_what_runs_in_a_container_holds_for_the_container() {
    let (fake, mut rules) = with_endpoint(&["web"]);
    rules.threshold = UNSURE;
    rules.maintenance = vec![all_day(Some(served_by("web").id))];
    assert_eq!(held(&Stage::new(fake.clone(), rules.clone())).await, ["maintenance_window"]);
    let (fake, _) = with_endpoint(&["web"]);
    rules.maintenance = vec![all_day(Some(TargetId::lossy(TargetKind::Http, "other")))];
    assert_eq!(held(&Stage::new(fake, rules)).await, NOT);
}

#[tokio::test(start_paused = true)]
async fn a_freeze_holds_for_its_target_and_its_time() {
    let frozen = |target: Option<&'static str>, secs: i64| async move {
        let stage = Stage::new(shop(), Rules::default());
        let until: Timestamp = stage.fake.clock().now() + chrono::TimeDelta::seconds(secs);
        let target = target.map(TargetId::container);
        stage.coordinator.freeze(target, Some(until), "moving house", "ada").await.unwrap();
        held(&stage).await
    };
    assert_eq!(frozen(None, 60).await, ["frozen"]);
    assert_eq!(frozen(Some("web"), 60).await, ["frozen"]);
    assert_eq!(frozen(Some("db"), 60).await, NOT);
    assert_eq!(frozen(None, 0).await, NOT);
}

/// A server of data in `web` that answers so, and what it wrote just before.
async fn held_where_the_database_says(facts: Facts, wrote: &str) -> Vec<&'static str> {
    let at = DatabaseEndpoint {
        host: "web".to_owned(),
        port: 5432,
        user: None,
        password: None,
        database: None,
        tls: false,
    };
    let (kind, endpoint) = match &facts {
        Facts::Redis(_) => (TargetKind::Redis, Endpoint::Redis(at)),
        Facts::Mysql(_) => (TargetKind::Mysql, Endpoint::Mysql(at)),
        _ => (TargetKind::Postgres, Endpoint::Postgres(at)),
    };
    let fake = shop();
    fake.change("web", |facts| facts.image = "mariadb:11".to_owned());
    fake.answers(&endpoint, facts);
    let mut rules = Rules { threshold: UNSURE, ..Rules::default() };
    rules.declared.targets.push(Target {
        endpoint: Some(endpoint),
        container: Some("web".to_owned()),
        policy: TargetPolicy::default(),
        ..Target::bare(TargetId::lossy(kind, "orders"))
    });
    let stage = Stage::new(fake, rules);
    stage.fake.log("web", wrote);
    stage.pass(1).await;
    held(&stage).await
}

#[tokio::test(start_paused = true)]
async fn a_database_that_recovers_is_not_restarted() {
    let says = |in_recovery| {
        let facts = DatabaseFacts { reachable: true, in_recovery, ..DatabaseFacts::default() };
        held_where_the_database_says(Facts::Postgres(facts), "")
    };
    assert!(says(true).await.contains(&"database_in_recovery"));
    assert_eq!(says(false).await, NOT);
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_loads_its_data_is_not_restarted() {
    let says = |loading| {
        let facts = RedisFacts { reachable: true, loading, ..RedisFacts::default() };
        held_where_the_database_says(Facts::Redis(facts), "")
    };
    assert_eq!(says(true).await, ["database_in_recovery"]);
    assert_eq!(says(false).await, NOT);
}

#[tokio::test(start_paused = true)]
async fn a_database_that_takes_nobody_while_it_recovers_is_believed_by_its_own_lines() {
    let says = |reachable: bool, wrote| {
        let error = (!reachable).then(|| "refused".to_owned());
        let facts = DatabaseFacts { reachable, error, ..DatabaseFacts::default() };
        held_where_the_database_says(Facts::Mysql(facts), wrote)
    };
    let recovers =
        "2026-11-21  8:03:05 0 [Note] InnoDB: Starting crash recovery from checkpoint LSN=1203004";
    let holds = says(false, recovers).await;
    assert!(!holds.is_empty() && holds.iter().all(|h| *h == "database_in_recovery"), "{holds:?}");
    assert!(!says(true, recovers).await.contains(&"database_in_recovery"), "it has answered since");
}

/// A line of a program that is no server of data, and what shows that it is over.
const BEGINS: &str = r#"
id = "queue-begins"
title = "The queue begins"
category = "hang"
severity = "warning"
technology = "ours"
status = "reproduced"
links = ["https://example.org/handbook#queue"]
no_fix = "It ends by itself."
over_when = { check = "CHECK", is = ["ok"] }
applies = { kinds = ["container"] }
signature = [{ log = 'the queue begins' }]
diagnosis = { summary = "{target} begins.", base = 10 }
examples = { match = ["the queue begins"], near_miss = ["the queue ends"] }
"#;

#[tokio::test(start_paused = true)]
async fn a_line_of_what_is_no_server_of_data_tells_of_no_recovery() {
    for check in ["tcp.reachable", "redis.reachable"] {
        let own = tempfile::tempdir().unwrap();
        std::fs::create_dir(own.path().join("ours")).unwrap();
        let text = BEGINS.replace("CHECK", check);
        std::fs::write(own.path().join("ours/queue-begins.toml"), text).unwrap();
        let (catalogue, broken) = crate::knowledge::load(Some(own.path()), Keep::Everything);
        assert_eq!(broken, []);
        let fake = shop();
        let world = fake.world();
        let rules = Rules { threshold: UNSURE, ..Rules::default() };
        let stage = Stage::knowing(Arc::new(catalogue), fake, world, rules, Arc::default());
        stage.fake.log("web", "the queue begins");
        stage.pass(1).await;
        assert!(!held(&stage).await.contains(&"database_in_recovery"), "{check}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_few_of_many_that_fail_at_once_are_mended_and_two_of_five_are_the_most() {
    for (failing, mended) in [(4, true), (5, false)] {
        let fake = old_world(|w| {
            for i in 0..9 {
                w.add(healthy(&format!("c{i}")));
            }
        });
        let stage = Stage::new(fake, Rules::default());
        stage.look().await;
        for i in 0..failing {
            let name = format!("c{i}");
            stage.fake.change(&name, |facts| facts.health = Some(HealthStatus::Unhealthy));
        }
        stage.look().await;
        stage.pass(2).await;
        // The host is watched, too: four of ten.
        assert_eq!(stage.fake.effects().len(), if mended { failing } else { 0 }, "{failing}");
    }
}
