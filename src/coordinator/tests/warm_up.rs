//! Stories of services that take long to start.

use selfheal_agents::model::ContainerFacts;

use super::*;

/// What such a start takes, in seconds.
const START_SECS: u64 = 240;

/// A service without a health check that answers from outside only so long after each start, and
/// something that it needs.
fn slow_starter() -> (FakeWorld, Rules) {
    let target = served_by("web");
    let fake = old_world(|w| {
        let labels = labels(&[("selfheal.depends-on", "db")]);
        w.add(ContainerFacts { labels, ..container("web") }).add(healthy("db"));
        let clock = w.clock().clone();
        w.works_while("web", move |scene| {
            let started = scene.container("web").and_then(|facts| facts.started_at);
            started.is_some_and(|at| clock.now() - at >= chrono::TimeDelta::seconds(240))
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
    let (fake, rules) = slow_starter();
    let observing = Stage::new(fake.clone(), Rules { mode: Mode::Observe, ..rules.clone() });
    observing.look().await;
    fake.world().runtime.restart("web", None, 10).await.unwrap();
    meanwhile(&fake);
    for _ in 0..26 {
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
