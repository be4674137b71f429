use std::time::Duration;

use futures_util::StreamExt;

use super::*;
use crate::model::{
    ContainerStatus, Endpoint, Facts, FileContent, HealthStatus, MemoryLimits, TcpFacts, Usage,
};
use crate::ports::WorldError;

fn names(fake: &FakeWorld) -> Vec<&'static str> {
    fake.events_so_far().iter().map(|event| event.kind.name()).collect()
}

fn tcp(fake: &FakeWorld, name: &str) -> Endpoint {
    let host = fake.facts(name).networks[0].ip.clone().unwrap();
    Endpoint::Tcp { host, port: 80 }
}

#[tokio::test]
async fn a_restart_cures_a_hang_and_tells_what_docker_tells() {
    let fake = FakeWorld::default();
    let world = fake.add(healthy("web")).hang("web").world();
    assert_eq!(fake.facts("web").health, Some(HealthStatus::Unhealthy));
    fake.clock().advance_secs(5);
    world.runtime.restart("web", None, 1).await.unwrap();
    let after = fake.facts("web");
    assert_eq!(after.health, Some(HealthStatus::Healthy));
    assert_eq!(after.started_at, Some(start_time() + Duration::from_secs(5)));
    assert_eq!(names(&fake), ["kill", "die", "stop", "start"]);
    assert_eq!(fake.effects(), ["restart web"]);
}

#[tokio::test]
async fn a_setting_takes_effect_only_at_a_start() {
    let fake = FakeWorld::default();
    let world = fake
        .add(healthy("web"))
        .file("/srv/a.json", "slow")
        .works_if_started_when("web", |scene| scene.text("/srv/a.json") == "fast")
        .world();
    let old = world.files.read("/srv/a.json").await.unwrap();
    let new = FileContent { bytes: b"fast".to_vec(), ..old.clone() };
    world.files.replace(&new, Some(&old.sha256)).await.unwrap();
    assert_eq!(fake.facts("web").health, Some(HealthStatus::Unhealthy));
    world.runtime.signal("web", "HUP").await.unwrap();
    assert_eq!(fake.facts("web").health, Some(HealthStatus::Healthy));
    let again = world.files.replace(&old, Some(&old.sha256)).await;
    assert!(matches!(again, Err(WorldError::Conflict { .. })));
    assert_eq!(fake.effects(), ["replace /srv/a.json", "signal HUP web"]);
}

#[tokio::test]
async fn an_endpoint_answers_only_while_its_container_works_on_its_network() {
    let fake = FakeWorld::default();
    let up = Facts::Tcp(TcpFacts { reachable: true, ..TcpFacts::default() });
    fake.add(container("db")).add(container("web"));
    let endpoint = tcp(&fake, "web");
    let world =
        fake.hosts("web", &endpoint, up.clone()).works_while("web", |s| s.is_up("db")).world();
    let ask = async || world.prober.probe(&endpoint, Duration::from_secs(1)).await;
    assert_eq!(ask().await, up);
    fake.crash("db", 1);
    assert_ne!(ask().await, up);
    world.runtime.start("db").await.unwrap();
    assert_eq!(ask().await, up);
    let attachment = fake.facts("web").networks[0].clone();
    world.runtime.disconnect_network("web", "app").await.unwrap();
    assert_ne!(ask().await, up);
    world.runtime.connect_network("web", &attachment).await.unwrap();
    assert_eq!(ask().await, up);
}

#[tokio::test]
async fn a_limit_below_use_or_above_swap_is_refused_and_leaves_no_trace() {
    let fake = FakeWorld::default();
    let usage = Usage { memory_bytes: Some(100), ..Usage::default() };
    let world = fake.add(container("web")).uses("web", usage).world();
    for (memory, both) in [(50, 200), (300, 200)] {
        let limits = MemoryLimits { memory_bytes: Some(memory), memory_swap_bytes: Some(both) };
        let result = world.runtime.set_memory_limits("web", limits).await;
        assert!(matches!(result, Err(WorldError::Refused { .. })));
    }
    assert!(fake.effects().is_empty());
}

#[tokio::test]
async fn an_injected_failure_counts_down_and_may_come_after_the_effect() {
    let fake = FakeWorld::default();
    let world = fake
        .add(container("web"))
        .crash("web", 1)
        .fail_next("start", &Failure::Unreachable, 1)
        .fail_next("start", &Failure::TimedOutAfterwards, 1)
        .world();
    assert!(world.runtime.start("web").await.is_err());
    assert_eq!(fake.facts("web").status, ContainerStatus::Exited);
    assert!(world.runtime.start("web").await.is_err());
    assert_eq!(fake.facts("web").status, ContainerStatus::Running);
    assert!(world.runtime.start("web").await.is_ok());
}

#[tokio::test]
async fn events_are_replayed_since_a_time_and_then_come_live() {
    let fake = FakeWorld::default();
    fake.add(container("web")).crash("web", 1);
    fake.clock().advance_secs(10);
    let since = start_time() + Duration::from_secs(5);
    let world = fake.world();
    let mut live = world.runtime.events(Some(since));
    let waiting = tokio::spawn(async move { live.next().await });
    tokio::task::yield_now().await;
    fake.person_stops("web");
    let event = waiting.await.unwrap().unwrap().unwrap();
    assert_eq!(event.kind.name(), "kill");
}

#[tokio::test]
async fn logs_go_on_from_the_cursor_even_within_one_instant() {
    let fake = FakeWorld::default();
    let world = fake.add(container("web")).log("web", "one").world();
    let first = world.runtime.logs("web", None, 10).await.unwrap();
    fake.log("web", "two").log("web", "three");
    let next = world.runtime.logs("web", first.cursor, 1).await.unwrap();
    assert_eq!(next.lines[0].text, "three");
    assert_eq!(next.dropped, 1);
    let none = world.runtime.logs("web", next.cursor, 10).await.unwrap();
    assert!(none.lines.is_empty());
    assert_eq!(none.cursor, next.cursor);
}
