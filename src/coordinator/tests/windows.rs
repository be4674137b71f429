//! Stories of validation windows: how long they are.

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
