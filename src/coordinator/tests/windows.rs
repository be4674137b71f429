//! Stories of validation windows: how long they are, and how many run beside each other.

use selfheal_agents::model::HealthStatus;

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
