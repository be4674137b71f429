//! What is seen of containers.

use bollard::models::{ContainerCreateBody, HealthConfig};
use selfheal_agents::model::{ContainerStatus, HealthStatus};
use selfheal_agents::ports::{ContainerRuntime as _, WorldError};

use super::bench::{events_until, eventually, on_a_bench, on_network, with_memory};

const MIB: u64 = 1024 * 1024;

#[tokio::test]
async fn a_running_container_is_listed_with_its_network_and_alias() {
    on_a_bench(|bench| async {
        let network = bench.network("front").await;
        let body = on_network(bench.script("sleep 1000"), &network, "api");
        let name = bench.run("up", body).await;
        let listed = bench.docker.containers().await.unwrap();
        let facts = listed.iter().find(|facts| facts.name == name).unwrap();
        assert_eq!(facts, &bench.docker.container(&name).await.unwrap());
        assert!(facts.is_up() && facts.started_at.is_some() && facts.exit_code.is_none());
        assert_eq!((facts.network_mode.as_str(), facts.networks.len()), (network.as_str(), 1));
        assert_eq!(facts.networks[0].aliases, ["api"]);
        assert!(facts.ip().unwrap().parse::<std::net::IpAddr>().is_ok());
    })
    .await;
}

#[tokio::test]
async fn what_runs_in_a_container_is_told_while_it_runs() {
    on_a_bench(|bench| async {
        let up = bench.run("up", bench.script("sleep 1234 & sleep 1000; wait")).await;
        eventually("both", || async {
            let running = bench.docker.processes(&up).await.unwrap();
            let runs = |command: &str| running.iter().any(|line| line.ends_with(command));
            (runs("sleep 1234") && runs("sleep 1000")).then_some(())
        })
        .await;
        let over = bench.create("over", bench.script("true")).await;
        let refused = bench.docker.processes(&over).await;
        assert!(matches!(refused, Err(WorldError::Refused { .. })), "{refused:?}");
        let gone = bench.docker.processes(&bench.name("gone")).await;
        assert!(matches!(gone, Err(WorldError::NotFound { .. })), "{gone:?}");
    })
    .await;
}

#[tokio::test]
async fn an_end_by_itself_and_an_end_for_memory_are_told_apart() {
    on_a_bench(|bench| async {
        let exited = bench.run("exited", bench.script("exit 3")).await;
        // Reads a line without an end into memory. The first process outlives it for a moment:
        // of a container that is gone at once the engine may never hear what the kernel did.
        let script = "tail /dev/zero; code=$?; sleep 1; exit $code";
        let hungry = with_memory(bench.script(script), 8 * 1024 * 1024);
        let hungry = bench.run("hungry", hungry).await;
        let ended = async |name: &str| {
            eventually("the end", || async {
                let facts = bench.docker.container(name).await.unwrap();
                (facts.status == ContainerStatus::Exited).then_some(facts)
            })
            .await
        };
        let exited = ended(&exited).await;
        assert_eq!((exited.exit_code, exited.oom_killed), (Some(3), false));
        // Docker may stamp the end of a short life before its beginning.
        assert!(exited.started_at.is_some() && exited.finished_at.is_some());
        let hungry = ended(&hungry).await;
        assert_eq!(hungry.exit_code, Some(137));
        // Not every engine sets its flag when it was a child of the first process.
        events_until(bench, &hungry.name, hungry.created_at.unwrap(), "oom").await;
        assert_eq!(hungry.limits.memory_bytes, Some(8 * MIB));
    })
    .await;
}

#[tokio::test]
async fn an_unhealthy_container_shows_its_last_probe() {
    on_a_bench(|bench| async {
        let second = 1_000_000_000;
        let body = ContainerCreateBody {
            healthcheck: Some(HealthConfig {
                test: Some(["CMD", "sh", "-c", "echo is broken; exit 1"].map(str::to_owned).into()),
                interval: Some(second),
                retries: Some(1),
                ..HealthConfig::default()
            }),
            ..bench.script("sleep 1000")
        };
        let name = bench.run("sick", body).await;
        let facts = eventually("unhealthy", || async {
            let facts = bench.docker.container(&name).await.unwrap();
            (facts.health == Some(HealthStatus::Unhealthy)).then_some(facts)
        })
        .await;
        assert_eq!(facts.health_log.last().unwrap().output, "is broken");
        assert_eq!(facts.health_check.unwrap().retries, 1);
    })
    .await;
}

#[tokio::test]
async fn a_start_that_fails_leaves_its_reason_in_the_facts() {
    on_a_bench(|bench| async {
        let body = ContainerCreateBody {
            cmd: Some(vec!["/no/such/program".to_owned()]),
            ..bench.script("")
        };
        let name = bench.create("broken", body).await;
        let refused = bench.docker.start(&name).await.unwrap_err();
        assert!(matches!(refused, WorldError::Refused { .. }), "{refused}");
        assert!(refused.to_string().contains("/no/such/program"), "{refused}");
        let facts = bench.docker.container(&name).await.unwrap();
        assert_eq!(facts.status, ContainerStatus::Created);
        assert!(facts.start_error.contains("/no/such/program"), "{}", facts.start_error);
    })
    .await;
}

#[tokio::test]
async fn the_beginning_of_an_id_is_nobodys_name() {
    on_a_bench(|bench| async {
        let name = bench.run("up", bench.script("sleep 1000")).await;
        let id = bench.docker.container(&name).await.unwrap().id;
        let found = bench.docker.container(&id[..12]).await;
        assert!(matches!(found, Err(WorldError::NotFound { .. })), "{found:?}");
        let killed = bench.docker.signal(&id[..12], "KILL").await;
        assert!(matches!(killed, Err(WorldError::NotFound { .. })), "{killed:?}");
        assert!(bench.docker.container(&name).await.unwrap().is_up());
    })
    .await;
}

#[tokio::test]
async fn the_second_sample_of_a_busy_container_has_a_processor_share() {
    on_a_bench(|bench| async {
        let name = bench.run("busy", bench.script("while true; do :; done")).await;
        let first = bench.docker.usage(&name).await.unwrap();
        assert_eq!(first.cpu_percent, None);
        let usage = eventually("a share", || async {
            let usage = bench.docker.usage(&name).await.unwrap();
            usage.cpu_percent.is_some_and(|percent| percent > 0.0).then_some(usage)
        })
        .await;
        assert!(usage.memory_bytes.is_some_and(|bytes| bytes > 0));
        assert_eq!(usage.processes, Some(1));
    })
    .await;
}
