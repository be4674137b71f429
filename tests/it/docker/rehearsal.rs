//! A clone on the real Docker: it is alone, writes to nothing that lasts, and is removed.

use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig, PortBinding};
use selfheal_agents::health_monitor::{Declared, take_inventory};
use selfheal_agents::model::{
    CloneFile, ContainerFacts, FixId, IncidentId, RehearsalClone, Remake, SecretText, Timestamp,
    rehearsal_name,
};
use selfheal_agents::ports::{ContainerRuntime as _, Rehearsals as _, Remakes as _, WorldError};

use super::bench::{Bench, eventually, on_a_bench, on_network};

const MIB: u64 = 1 << 20;

fn clone_of(bench: &Bench, name: &str) -> RehearsalClone {
    let clone = RehearsalClone {
        name: rehearsal_name(name, FixId(uuid::Uuid::now_v7())),
        incident: IncidentId(uuid::Uuid::nil()),
        expires_at: Timestamp::UNIX_EPOCH,
        memory_bytes: 64 * MIB,
        own_memory_bytes: None,
        cpu_nanos: 500_000_000,
        own_cpu_nanos: None,
        files: vec![],
    };
    bench.clears_away(&clone.name);
    clone
}

/// Makes a clone with one more variable, and starts it.
async fn cloned(bench: &Bench, name: &str) -> RehearsalClone {
    let clone = clone_of(bench, name);
    let from = bench.docker.blueprint(name).await.unwrap();
    let variables = [("TRIED".to_owned(), SecretText::new("yes"))].into();
    let with = Remake { variables, ..Remake::default() };
    bench.docker.stage(&clone, &from, &with).await.unwrap();
    assert!(!bench.docker.container(&clone.name).await.unwrap().is_up(), "it is only made");
    bench.docker.start(&clone.name).await.unwrap();
    clone
}

async fn ended(bench: &Bench, name: &str) -> ContainerFacts {
    eventually("the clone has ended", || async {
        let facts = bench.docker.container(name).await.unwrap();
        facts.exit_code.is_some().then_some(facts)
    })
    .await
}

async fn said(bench: &Bench, name: &str) -> Vec<String> {
    let batch = bench.docker.logs(name, None, 100).await.unwrap();
    batch.lines.into_iter().map(|line| line.text).collect()
}

#[tokio::test]
async fn a_clone_is_alone_bounded_and_gone_with_what_was_made_for_it() {
    on_a_bench(|bench| async {
        let network = bench.network("front").await;
        let body = on_network(bench.script("echo $TRIED; sleep 1000"), &network, "api");
        let host = body.host_config.clone().unwrap_or_default();
        let port = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: None };
        let body = ContainerCreateBody {
            labels: Some([("traefik.enable".to_owned(), "true".to_owned())].into()),
            volumes: Some(vec!["/scratch".to_owned()]),
            exposed_ports: Some(vec!["80/tcp".to_owned()]),
            host_config: Some(HostConfig {
                port_bindings: Some([("80/tcp".to_owned(), Some(vec![port]))].into()),
                ..host
            }),
            ..body
        };
        let name = bench.run("web", body).await;
        let before = bench.docker.container(&name).await.unwrap();
        let clone = cloned(bench, &name).await;
        let facts = bench.docker.container(&clone.name).await.unwrap();
        assert!(facts.published_ports.is_empty() && facts.network_mode == "none");
        let elsewhere = facts.networks.iter().filter(|n| n.network != "none");
        assert_eq!(elsewhere.count(), 0);
        assert_eq!(facts.limits.memory_bytes, Some(64 * MIB));
        assert_eq!(facts.limits.memory_swap_bytes, Some(64 * MIB));
        assert_eq!(facts.cpu_limit_nanos, Some(500_000_000));
        assert_eq!(facts.restart_policy, selfheal_agents::model::RestartPolicy::No);
        // One is the image's.
        assert_eq!(facts.labels.len(), 3, "{:?}", facts.labels);
        let all = bench.docker.containers().await.unwrap();
        let inventory = take_inventory(&all, &Declared::default());
        assert_eq!(inventory.clones[&clone.name], "1970-01-01T00:00:00+00:00", "it has expired");
        assert!(!inventory.containers.contains_key(&clone.name), "it is nobody's service");
        assert_ne!(facts.mounts[0].source, before.mounts[0].source, "a fresh volume");
        assert_eq!(said(bench, &clone.name).await, ["yes"]);
        let fresh = bench.first_volume_of(&clone.name).await;
        assert!(bench.has_volume(&fresh).await);
        for _ in 0..2 {
            bench.docker.unstage(&clone.name).await.unwrap();
        }
        assert!(!bench.has_volume(&fresh).await, "its volume went with it");
        assert!(bench.has_volume(&bench.first_volume_of(&name).await).await);
        let now = bench.docker.container(&name).await.unwrap();
        assert_eq!((now.id, now.mounts), (before.id, before.mounts));
    })
    .await;
}

#[tokio::test]
async fn a_clone_reads_what_lasts_and_cannot_write_to_it() {
    on_a_bench(|bench| async {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("settings"), "mode=fast\n").unwrap();
        let volume = bench.name("data");
        let script = "cat /conf/settings; \
                      for at in /conf /data; do echo x > $at/$TRIED 2>&1 || echo no $at; done; \
                      test -n \"$TRIED\" || sleep 1000; exit 3";
        let binds = vec![format!("{}:/conf", folder.path().display()), format!("{volume}:/data")];
        let body = ContainerCreateBody {
            host_config: Some(HostConfig { binds: Some(binds), ..HostConfig::default() }),
            ..bench.script(script)
        };
        let name = bench.run("web", body).await;
        bench.clears_away_volumes_of(&name).await;
        let clone = cloned(bench, &name).await;
        assert_eq!(ended(bench, &clone.name).await.exit_code, Some(3));
        let said = said(bench, &clone.name).await;
        assert!(said.contains(&"mode=fast".to_owned()), "{said:?}");
        let refused: Vec<_> = said.iter().filter(|line| line.starts_with("no /")).collect();
        assert_eq!(refused, ["no /conf", "no /data"]);
        assert!(said.iter().any(|line| line.contains("Read-only file system")), "{said:?}");
        assert!(!folder.path().join("yes").exists());
        bench.docker.unstage(&clone.name).await.unwrap();
        assert!(bench.docker.container(&name).await.unwrap().is_up());
    })
    .await;
}

#[tokio::test]
async fn a_clone_has_its_own_health_check_and_knows_its_own_names() {
    on_a_bench(|bench| async {
        let network = bench.network("front").await;
        let body = on_network(bench.script("cat /etc/hosts; sleep 1000"), &network, "api");
        let second = 1_000_000_000;
        let check = HealthConfig {
            test: Some(["CMD", "true"].map(str::to_owned).to_vec()),
            interval: Some(second),
            timeout: Some(second),
            ..HealthConfig::default()
        };
        let body = ContainerCreateBody {
            healthcheck: Some(check),
            hostname: Some("shop".to_owned()),
            ..body
        };
        let name = bench.run("web", body).await;
        let clone = cloned(bench, &name).await;
        eventually("the clone is healthy", || async {
            let facts = bench.docker.container(&clone.name).await.unwrap();
            let healthy = selfheal_agents::model::HealthStatus::Healthy;
            (facts.health == Some(healthy)).then_some(())
        })
        .await;
        let hosts = said(bench, &clone.name).await.join("\n");
        assert!(hosts.contains("shop") && hosts.contains("api"), "{hosts}");
    })
    .await;
}

#[tokio::test]
async fn nothing_but_a_clone_is_removed_and_what_would_do_harm_is_not_cloned() {
    on_a_bench(|bench| async {
        let name = bench.run("web", bench.script("sleep 1000")).await;
        let refused = bench.docker.unstage(&name).await;
        assert!(matches!(refused, Err(WorldError::Refused { .. })), "{refused:?}");
        // By its name alone it is none.
        let own = rehearsal_name("x", FixId(uuid::Uuid::now_v7()));
        let own = bench.run(&own, bench.script("sleep 1000")).await;
        let refused = bench.docker.unstage(&own).await;
        assert!(matches!(refused, Err(WorldError::Refused { .. })), "{refused:?}");
        assert!(bench.docker.container(&own).await.unwrap().is_up());

        let body = ContainerCreateBody {
            host_config: Some(HostConfig {
                pid_mode: Some("host".to_owned()),
                ..HostConfig::default()
            }),
            ..bench.script("sleep 1000")
        };
        let name = bench.run("watcher", body).await;
        let from = bench.docker.blueprint(&name).await.unwrap();
        let clone = clone_of(bench, &name);
        let refused = bench.docker.stage(&clone, &from, &Remake::default()).await.unwrap_err();
        assert!(refused.to_string().contains("PidMode"), "{refused}");
        let gone = bench.docker.container(&clone.name).await;
        assert!(matches!(gone, Err(WorldError::NotFound { .. })), "{gone:?}");
    })
    .await;
}

#[tokio::test]
async fn a_clone_sees_a_changed_file_in_a_copy_and_the_host_keeps_its_own() {
    on_a_bench(|bench| async {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("pool", "size=4\n"), ("other", "as it is\n")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let one = folder.path().join("pool");
        let script = "cat /conf/pool /conf/other /one; test -n \"$TRIED\" || sleep 1000";
        let binds =
            vec![format!("{}:/conf", folder.path().display()), format!("{}:/one", one.display())];
        let body = ContainerCreateBody {
            host_config: Some(HostConfig { binds: Some(binds), ..HostConfig::default() }),
            ..bench.script(script)
        };
        let name = bench.run("web", body).await;
        let file = |mount: &str, path: &str| CloneFile {
            mount: mount.to_owned(),
            path: path.to_owned(),
            bytes: b"size=12\n".to_vec(),
        };
        let files = vec![file("/conf", "/conf/pool"), file("/one", "/one")];
        let clone = RehearsalClone { files, ..clone_of(bench, &name) };
        let from = bench.docker.blueprint(&name).await.unwrap();
        let variables = [("TRIED".to_owned(), SecretText::new("yes"))].into();
        let with = Remake { variables, ..Remake::default() };
        bench.docker.stage(&clone, &from, &with).await.unwrap();
        bench.docker.start(&clone.name).await.unwrap();
        ended(bench, &clone.name).await;
        assert_eq!(said(bench, &clone.name).await, ["size=12", "as it is", "size=12"]);
        assert_eq!(std::fs::read_to_string(&one).unwrap(), "size=4\n");
        bench.docker.unstage(&clone.name).await.unwrap();
        assert_eq!(std::fs::read_to_string(&one).unwrap(), "size=4\n");
    })
    .await;
}
