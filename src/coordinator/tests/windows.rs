//! Stories of validation windows: how long they are, and how many run beside each other.

use selfheal_agents::model::{Confidence, ContainerFacts, HealthStatus, Usage};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_slow_start_on_an_overloaded_host_is_no_failed_fix() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(2).await;
    assert_eq!(stage.fake.effects(), ["restart web"]);
    stage.fake.change("web", |facts| facts.health = Some(HealthStatus::Starting));
    stage.fake.change_host(|host| host.pressure.cpu_percent = Some(99.0));
    stage.pass(600).await;
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Validating, "{incidents:#?}");
    stage.fake.change_host(|host| host.pressure.cpu_percent = Some(1.0));
    stage.fake.change("web", |facts| facts.health = Some(HealthStatus::Healthy));
    stage.pass(30).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Resolved);
}

#[tokio::test(start_paused = true)]
async fn a_death_on_an_overloaded_host_is_believed() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.hang("web");
    stage.look().await;
    stage.pass(2).await;
    stage.fake.change_host(|host| host.pressure.cpu_percent = Some(99.0));
    stage.fake.crash("web", 1);
    stage.pass(5).await;
    let first = stage.incidents().await.pop().unwrap();
    assert_eq!(first.state(), IncidentState::RolledBack, "{first:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_window_whose_service_hangs_does_not_hold_up_the_rollback_of_another() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let (fake, mut rules) = with_endpoint(&names);
    rules.thresholds.http_probe_limit_ms = 60_000;
    let stage = Stage::new(fake.clone(), rules);
    stage.look().await;
    fake.crash("a", 1);
    stage.pass(3).await;
    fake.crash("b", 1);
    stage.pass(12).await;
    assert_eq!(fake.effects(), ["start a", "start b"]);
    hangs(&fake, "probe http://a/");
    stage.pass(10).await;
    fake.crash("b", 1);
    stage.pass(5).await;
    let incidents = stage.incidents().await;
    let of_b = incidents.iter().rfind(|i| i.target == TargetId::container("b")).unwrap();
    assert_eq!(of_b.state(), IncidentState::RolledBack, "{of_b:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_rollback_does_not_hold_up_another() {
    let (fake, rules) = rate_limited();
    for name in ["a", "b", "c", "d", "web"] {
        fake.add(healthy(name));
    }
    fake.clock().advance_secs(3600);
    let stage = Stage::new(fake.clone(), rules);
    stage.look().await;
    complain(&stage).await;
    stage.look().await;
    stage.pass(2).await;
    fake.crash("web", 1);
    stage.pass(10).await;
    assert_eq!(fake.effects().last().unwrap(), "start web");
    fake.stall("restart worker", |_| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(80)).await;
            true
        })
    });
    fake.crash("worker", 1);
    stage.pass(2).await;
    fake.crash("web", 1);
    stage.pass(5).await;
    let incidents = stage.incidents().await;
    let of_web = incidents.iter().rfind(|i| i.target == TargetId::container("web"));
    assert_eq!(of_web.unwrap().state(), IncidentState::RolledBack, "{of_web:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_death_is_believed_while_an_endpoint_is_still_waited_for() {
    let (fake, mut rules) = with_endpoint(&["a", "b", "c", "d", "e"]);
    rules.thresholds.http_probe_limit_ms = 60_000;
    let stage = Stage::new(fake.clone(), rules);
    stage.look().await;
    fake.crash("a", 1);
    stage.pass(12).await;
    hangs(&fake, "probe http://a/");
    stage.pass(10).await;
    fake.crash("a", 1);
    stage.pass(5).await;
    let incidents = stage.incidents().await;
    assert_eq!(incidents.last().unwrap().state(), IncidentState::RolledBack, "{incidents:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_window_outlives_the_lives_that_ended_before_it() {
    let rules = Rules { threshold: Confidence::literal(50), ..Rules::default() };
    let stage = Stage::new(shop(), rules);
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(200).await;
    assert_eq!(stage.incidents().await[0].state(), IncidentState::Resolved, "it seemed well");
    stage.fake.crash("web", 1);
    stage.pass(199).await;
    let second = stage.incidents().await.remove(0);
    assert_eq!(second.state(), IncidentState::Validating, "{:#?}", second.timeline);
    let window = second.validation.unwrap().window_secs;
    assert!((240..=255).contains(&window), "a quarter longer than 200 s: {window}");
    stage.fake.crash("web", 1);
    stage.pass(6).await;
    let second = stage.store.incident(second.id).await.unwrap().unwrap();
    assert_eq!(second.state(), IncidentState::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_the_window_is_taken_back_within_five_seconds_of_being_seen() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(60).await;
    let mut happenings = stage.coordinator.subscribe();
    stage.fake.hang("web");
    let mut seen_at = None;
    let rolled_back_at = loop {
        let event = happenings.recv().await.unwrap();
        match event.what {
            Happening::Validation { healthy: false, .. } => {
                seen_at.get_or_insert(event.at);
            }
            Happening::Incident { incident, .. } if incident.state == IncidentState::RolledBack => {
                break event.at;
            }
            _ => {}
        }
    };
    let took = rolled_back_at - seen_at.unwrap();
    assert!(took <= chrono::TimeDelta::seconds(5), "{took}");
}

/// A worker whose delay was just turned, with a dependent; its window runs, and its start is over.
async fn turned_for(dependent: &str) -> Stage {
    let (fake, rules) = rate_limited();
    let labels = labels(&[("selfheal.depends-on", "worker")]);
    fake.add(ContainerFacts { labels, ..healthy(dependent) });
    fake.clock().advance_secs(3600);
    let stage = Stage::new(fake, rules);
    stage.look().await;
    complain(&stage).await;
    stage.look().await;
    stage.pass(30).await;
    assert_eq!(stage.fake.text("/srv/worker/config.json"), "{\"delay_s\": 1.5}\n");
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Validating);
    stage
}

/// What became of the turned delay.
async fn fate(stage: &Stage) -> (IncidentState, String) {
    let incidents = stage.incidents().await;
    let of_worker = incidents.iter().rfind(|i| i.target == TargetId::container("worker")).unwrap();
    let why = of_worker.validation.as_ref().and_then(|v| v.why.clone());
    (of_worker.state(), why.unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn new_trouble_of_another_kind_on_what_was_repaired_takes_the_fix_back() {
    let stage = turned_for("api").await;
    stage.fake.log("worker", "OSError: [Errno 28] No space left on device: '/data/queue'");
    stage.look().await;
    stage.pass(8).await;
    let (became, why) = fate(&stage).await;
    assert_eq!(became, IncidentState::RolledBack, "{why}");
    assert!(why.contains("after the fix there is new trouble: `container:worker`: "), "{why}");
    assert_eq!(stage.fake.text("/srv/worker/config.json"), "{\"delay_s\": 1.0}\n");
}

#[tokio::test(start_paused = true)]
async fn new_trouble_of_a_dependent_takes_a_change_back_and_that_of_a_stranger_does_not() {
    for (name, expected) in [("api", IncidentState::RolledBack), ("else", IncidentState::Resolved)]
    {
        let stage = turned_for("api").await;
        stage.fake.add(healthy("else"));
        stage.look().await;
        stage.fake.hang(name);
        stage.look().await;
        stage.pass(300).await;
        assert_eq!(fate(&stage).await.0, expected, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn trouble_of_before_the_fix_and_of_its_start_is_not_new() {
    let (fake, rules) = rate_limited();
    let stage = Stage::new(fake, rules);
    stage.look().await;
    let line = "OSError: [Errno 28] No space left on device: '/data/queue'";
    complain(&stage).await;
    stage.look().await;
    stage.pass(2).await;
    stage.fake.log("worker", line);
    stage.pass(1).await;
    stage.look().await;
    stage.pass(300).await;
    assert_eq!(fate(&stage).await.0, IncidentState::Resolved);
}

#[tokio::test(start_paused = true)]
async fn trouble_less_bad_than_what_was_cured_is_told_and_does_not_bring_that_back() {
    let stage = Stage::new(shop(), Rules::default());
    stage.look().await;
    stage.fake.crash("web", 1);
    stage.pass(30).await;
    for _ in 0..20 {
        stage.fake.log("web", "ERROR provider answered HTTP 429 Too Many Requests");
        stage.pass(1).await;
    }
    let report = stage.look().await;
    let new = report.findings.iter().find(|finding| finding.is_trouble());
    assert_eq!(new.unwrap().severity, selfheal_agents::model::Severity::Warning);
    stage.pass(300).await;
    assert_eq!(stage.incidents().await.pop().unwrap().state(), IncidentState::Resolved);
}

/// A container that keeps a processor busy uses so much of it now, in percent.
fn uses_processor(fake: &FakeWorld, percent: f64) {
    fake.uses("web", Usage { cpu_percent: Some(percent), ..Usage::default() });
}

/// A busy container that was just restarted for it.
async fn restarted_for_being_busy() -> Stage {
    let fake = shop();
    uses_processor(&fake, 120.0);
    let rules = Rules { threshold: Confidence::literal(50), ..Rules::default() };
    let stage = Stage::new(fake, rules);
    stage.look().await;
    stage.pass(310).await;
    assert_eq!(stage.fake.effects(), ["restart web"]);
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Validating);
    stage
}

#[tokio::test(start_paused = true)]
async fn a_fix_is_kept_when_its_warning_is_gone() {
    let stage = restarted_for_being_busy().await;
    uses_processor(&stage.fake, 10.0);
    stage.pass(130).await;
    let incidents = stage.incidents().await;
    assert_eq!(only(&incidents).state(), IncidentState::Resolved, "{incidents:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_fix_whose_warning_is_still_there_at_the_end_has_failed_although_all_works() {
    let stage = restarted_for_being_busy().await;
    stage.pass(60).await;
    assert_eq!(only(&stage.incidents().await).state(), IncidentState::Validating);
    stage.pass(70).await;
    let first = stage.incidents().await.pop().unwrap();
    assert_eq!(first.state(), IncidentState::RolledBack, "{:#?}", first.timeline);
    let why = first.validation.unwrap().why.unwrap();
    assert!(why.starts_with("what was found is still there: it uses 120 %"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_value_that_climbs_again_at_the_end_is_waited_for() {
    for (percent, expected) in [(120.0, IncidentState::RolledBack), (10.0, IncidentState::Resolved)]
    {
        let stage = restarted_for_being_busy().await;
        uses_processor(&stage.fake, 10.0);
        stage.pass(60).await;
        uses_processor(&stage.fake, 120.0);
        stage.pass(100).await;
        assert_eq!(only(&stage.incidents().await).state(), IncidentState::Validating);
        uses_processor(&stage.fake, percent);
        stage.pass(230).await;
        assert_eq!(stage.incidents().await.pop().unwrap().state(), expected, "{percent}");
    }
}

/// What becomes of a fix after which the container works and floods its log, if Selfheal saw it
/// calm for an hour and was then started again.
async fn flooding_after_a_restart(is_calm: bool) -> (IncidentState, String) {
    let stage = Stage::new(shop(), Rules::default());
    for _ in 0..12 {
        stage.pass(300).await;
        if is_calm {
            stage.look().await;
        }
    }
    stage.cancel.cancel();
    stage.pass(1).await;
    let next = Stage::on(stage.fake.clone(), Rules::default(), stage.store.clone());
    next.look().await;
    next.fake.crash("web", 1);
    // Its start is over.
    next.pass(70).await;
    for _ in 0..60 {
        next.fake.log("web", "ERROR the cache was cold");
    }
    next.pass(180).await;
    let first = next.incidents().await.pop().unwrap();
    let why = first.validation.as_ref().and_then(|v| v.why.clone());
    (first.state(), why.unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn what_is_usual_is_known_after_a_restart_too() {
    let (became, why) = flooding_after_a_restart(true).await;
    assert_eq!(became, IncidentState::RolledBack, "{why}");
    assert!(why.contains("error lines where"), "{why}");
    let (became, why) = flooding_after_a_restart(false).await;
    assert_eq!(became, IncidentState::Resolved, "nobody knows what is usual: {why}");
}

/// Lets `web` answer after so many milliseconds.
fn answers_after(fake: &FakeWorld, milliseconds: f64) {
    let answer = HttpFacts {
        ok: true,
        status: Some(200),
        latency_ms: Some(milliseconds),
        ..HttpFacts::default()
    };
    fake.answers(served_by("web").endpoint.as_ref().unwrap(), Facts::Http(answer));
}

/// What became of a crash of a service that took 80 ms to answer, and takes so long afterwards.
async fn mended_and_answers_after(milliseconds: f64) -> Incident {
    let (fake, rules) = with_endpoint(&["web"]);
    answers_after(&fake, 80.0);
    let stage = Stage::new(fake, rules);
    for _ in 0..6 {
        stage.look().await;
        stage.pass(60).await;
    }
    stage.fake.crash("web", 1);
    answers_after(&stage.fake, milliseconds);
    stage.pass(200).await;
    stage.incidents().await.pop().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_answers_three_times_slower_than_before_the_fault_was_not_mended() {
    let incident = mended_and_answers_after(300.0).await;
    assert_eq!(incident.state(), IncidentState::RolledBack, "{:#?}", incident.timeline);
    let why = incident.validation.as_ref().and_then(|v| v.why.clone()).unwrap_or_default();
    assert!(why.contains("300 ms where 80 ms are usual"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn what_answers_a_little_slower_than_before_the_fault_was_mended() {
    let incident = mended_and_answers_after(160.0).await;
    assert_eq!(incident.state(), IncidentState::Resolved, "{:#?}", incident.timeline);
    let usual = incident.validation.and_then(|v| v.latency_baseline).unwrap();
    assert!((usual.median_ms - 80.0).abs() < 1e-9);
}
