//! Stories of services that take long to start.

use selfheal_agents::fix_engineer::actions::{
    Action, ContainerRestart, ContainerSetMemory, ContainerSignal,
};
use selfheal_agents::model::{ContainerFacts, IncidentId, MemoryLimits};

use super::shadow::fix_of;
use super::*;
use crate::coordinator::validation;

/// What such a start takes, in seconds.
const START_SECS: u64 = 240;

/// A service without a health check that answers from outside only so long after each start, and
/// something that it needs.
fn slow_starter(secs: u64) -> (FakeWorld, Rules) {
    let target = served_by("web");
    let fake = old_world(|w| {
        let labels = labels(&[("selfheal.depends-on", "db")]);
        w.add(ContainerFacts { labels, ..container("web") }).add(healthy("db"));
        let clock = w.clock().clone();
        let limit = chrono::TimeDelta::from_std(Duration::from_secs(secs)).unwrap();
        w.works_while("web", move |scene| {
            let started = scene.container("web").and_then(|facts| facts.started_at);
            started.is_some_and(|at| clock.now() - at >= limit)
        });
        if let Some(endpoint) = &target.endpoint {
            let answer = HttpFacts { ok: true, status: Some(200), ..HttpFacts::default() };
            w.hosts("web", endpoint, Facts::Http(answer));
        }
    });
    let mut rules = Rules::default();
    rules.declared.targets.push(target);
    (fake, rules)
}

/// A person starts it again while Selfheal only observes; afterwards what was learnt is there for
/// a Selfheal that may act.
async fn after_a_watched_start(meanwhile: impl FnOnce(&FakeWorld)) -> Stage {
    after_a_watched_start_of(START_SECS, meanwhile).await
}

async fn after_a_watched_start_of(secs: u64, meanwhile: impl FnOnce(&FakeWorld)) -> Stage {
    let (fake, rules) = slow_starter(secs);
    let observing = Stage::new(fake.clone(), Rules { mode: Mode::Observe, ..rules.clone() });
    observing.look().await;
    fake.world().runtime.restart("web", None, 10).await.unwrap();
    meanwhile(&fake);
    for _ in 0..secs / 10 + 2 {
        observing.pass(10).await;
        observing.look().await;
    }
    let store = Arc::clone(&observing.store);
    drop(observing);
    let before = store.incidents(&IncidentQuery::default()).await.unwrap();
    assert!(
        before.iter().all(|incident| incident.state() == IncidentState::Resolved),
        "{before:#?}"
    );
    let stage = Stage::on(fake.clone(), rules, store);
    stage.look().await;
    stage
}

/// It crashes, is started, and its window comes to an end.
async fn fate_of_a_repair(stage: &Stage) -> Incident {
    stage.fake.crash("web", 1);
    stage.pass(900).await;
    let id = {
        let incidents = stage.incidents().await;
        let repaired = incidents.iter().filter(|incident| incident.validation.is_some());
        repaired.map(|incident| incident.id).min().unwrap()
    };
    stage.store.incident(id).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_fix_is_not_taken_back_while_the_service_takes_its_usual_time_to_start() {
    let stage = after_a_watched_start(|_| {}).await;
    let incident = fate_of_a_repair(&stage).await;
    assert_eq!(incident.state(), IncidentState::Resolved, "{:#?}", incident.timeline);
    let window = incident.validation.unwrap();
    assert!(window.window_secs >= START_SECS + 60, "{}", window.window_secs);
    let recovered = (window.recovered_at.unwrap() - window.started_at).num_seconds();
    assert!(recovered >= 239, "it was well only after its start: {recovered}");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_waited_for_something_else_does_not_lengthen_windows() {
    let stage = after_a_watched_start(|fake| {
        fake.hang("db");
        let fake = fake.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(200)).await;
            fake.world().runtime.restart("db", None, 10).await.unwrap();
        });
    })
    .await;
    // Then its life is too long to be waited for.
    stage.pass(600).await;
    let incident = fate_of_a_repair(&stage).await;
    assert_eq!(incident.validation.unwrap().window_secs, 120);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_comes_up_is_given_up_at_the_end_of_the_longer_window() {
    let stage = after_a_watched_start(|_| {}).await;
    stage.fake.works_while("web", |_| false);
    let incident = fate_of_a_repair(&stage).await;
    assert_eq!(incident.state(), IncidentState::RolledBack, "{:#?}", incident.timeline);
    let took = (incident.closed_at.unwrap() - incident.opened_at).num_seconds();
    assert!((240..=400).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_quick_service_keeps_the_window_of_the_settings() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    for _ in 0..3 {
        stage.fake.crash("web", 1);
        stage.pass(200).await;
    }
    let windows: Vec<u64> = stage
        .incidents()
        .await
        .iter()
        .filter_map(|incident| incident.validation.as_ref())
        .map(|window| window.window_secs)
        .collect();
    assert_eq!(windows.last(), Some(&120), "{windows:?}");
    let known = stage.store.value("warm_up.web").await.unwrap();
    assert!(known.is_some(), "its starts were watched");
}

#[tokio::test(start_paused = true)]
async fn what_works_only_after_long_trouble_was_mended_and_not_slow() {
    let stage = after_a_watched_start_of(1500, |_| {}).await;
    let incident = fate_of_a_repair(&stage).await;
    assert_eq!(incident.validation.unwrap().window_secs, 120);
}

fn signal() -> Action {
    let (container, signal) = ("web".to_owned(), "HUP".to_owned());
    Action::ContainerSignal(ContainerSignal { container, signal })
}

fn restart() -> Action {
    let container = "web".to_owned();
    Action::ContainerRestart(ContainerRestart { container, stop_timeout_secs: 10, signal: None })
}

#[tokio::test(start_paused = true)]
async fn a_start_within_which_a_fix_touched_the_container_teaches_nothing() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    let (web, started_at) = (TargetId::container("web"), stage.fake.clock().now());
    let mended = || stage.coordinator.inner.was_mended("web", started_at, Duration::from_mins(5));
    let decided = |secs: i64, action| {
        let at = started_at + chrono::TimeDelta::seconds(secs);
        let id = IncidentId(uuid::Uuid::nil());
        let mut incident = Incident::open(id, web.clone(), vec![], at);
        incident.fix = Some(fix_of(web.clone(), action, at));
        incident
    };
    let applied = |mut incident: Incident| {
        let window = validation::open(started_at, Duration::from_mins(2).into(), None, None);
        incident.validation = Some(window);
        incident
    };
    assert!(!mended().await);
    stage.store.save_incident(&decided(60, signal())).await.unwrap();
    assert!(!mended().await, "it was only proposed");
    stage.store.save_incident(&applied(decided(60, signal()))).await.unwrap();
    assert!(mended().await);
    stage.store.save_incident(&applied(decided(-2, restart()))).await.unwrap();
    assert!(!mended().await, "that is what started it");
}

#[tokio::test(start_paused = true)]
async fn only_what_starts_the_container_is_given_the_time_of_a_start() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    let took = serde_json::json!({ "took_secs": [START_SECS] });
    stage.store.set_value("warm_up.web", Some(&took)).await.unwrap();
    let now = stage.fake.clock().now();
    let window = async |action| {
        let fix = fix_of(TargetId::container("web"), action, now);
        stage.coordinator.inner.least_window(&fix, Some("web"), now).await
    };
    let limits = MemoryLimits::default();
    let raise = ContainerSetMemory { container: "web".to_owned(), limits, make_room: None };
    for quiet in [signal(), Action::ContainerSetMemory(raise)] {
        assert_eq!(window(quiet).await, Duration::from_mins(2).into());
    }
    assert_eq!(window(restart()).await.warm_up, Duration::from_mins(5));
}
