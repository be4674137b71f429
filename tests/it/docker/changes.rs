//! What is changed, and the events that tell of it.

use std::time::Duration;

use futures_util::StreamExt as _;
use selfheal_agents::model::{
    ContainerStatus, MemoryLimits, NetworkAttachment, RuntimeEventKind, TargetId,
};
use selfheal_agents::ports::{ContainerRuntime as _, WorldError};

use super::bench::{
    Bench, events_until, eventually, on_a_bench, on_network, removed_at_its_end, with_memory,
};

const MIB: u64 = 1024 * 1024;

/// Without the start before and what the networks say.
fn of_process(kinds: &[String]) -> Vec<&str> {
    let of_process = |kind: &&str| *kind != "start" && !kind.starts_with("network");
    kinds.iter().map(String::as_str).filter(of_process).collect()
}

async fn says(bench: &Bench, name: &str, text: &str) -> bool {
    let batch = bench.docker.logs(name, None, 100).await.unwrap();
    batch.lines.iter().any(|line| line.text == text)
}

#[tokio::test]
async fn stop_kill_and_crash_are_told_apart_by_their_events() {
    on_a_bench(|bench| async {
        let name = bench.run("c", bench.script("sleep 1000")).await;
        let started = bench.docker.container(&name).await.unwrap().started_at.unwrap();
        bench.stop(&name, 0).await;
        let stop = events_until(bench, &name, started, "stop").await;
        assert_eq!(of_process(&stop), ["kill", "kill", "die", "stop"], "TERM, then KILL");

        bench.docker.start(&name).await.unwrap();
        let started = bench.docker.container(&name).await.unwrap().started_at.unwrap();
        bench.docker.signal(&name, "KILL").await.unwrap();
        let kill = events_until(bench, &name, started, "die").await;
        assert_eq!(of_process(&kill), ["kill", "die"]);

        let crash = bench.create("crash", bench.script("exit 7")).await;
        bench.docker.start(&crash).await.unwrap();
        let mut events = bench.docker.events(Some(started));
        let died = async {
            loop {
                let event = events.next().await.unwrap().unwrap();
                if event.target == TargetId::container(&crash) {
                    match event.kind {
                        RuntimeEventKind::Kill { .. } => panic!("a crash has no kill event"),
                        RuntimeEventKind::Die { exit_code } => return exit_code,
                        _ => {}
                    }
                }
            }
        };
        assert_eq!(tokio::time::timeout(Duration::from_mins(1), died).await.unwrap(), 7);
    })
    .await;
}

#[tokio::test]
async fn starting_what_runs_is_no_error() {
    on_a_bench(|bench| async {
        let name = bench.run("up", bench.script("sleep 1000")).await;
        let before = bench.docker.container(&name).await.unwrap().started_at;
        bench.docker.start(&name).await.unwrap();
        assert_eq!(bench.docker.container(&name).await.unwrap().started_at, before);
        let missing = bench.docker.start(&bench.name("missing")).await;
        assert!(matches!(missing, Err(WorldError::NotFound { .. })), "{missing:?}");
    })
    .await;
}

#[tokio::test]
async fn a_restart_starts_anew_whether_it_ran_or_not() {
    on_a_bench(|bench| async {
        let name = bench.run("c", bench.script("sleep 1000")).await;
        for run in 0..2 {
            let before = bench.docker.container(&name).await.unwrap();
            bench.docker.restart(&name, None, 0).await.unwrap();
            let after = bench.docker.container(&name).await.unwrap();
            assert!(after.is_up() && after.started_at > before.started_at, "run {run}");
            bench.stop(&name, 0).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_restart_sends_the_wanted_signal_first() {
    on_a_bench(|bench| async {
        let script = "trap 'echo asked politely; exit 0' INT; echo ready
            while true; do sleep 0.1; done";
        let name = bench.run("polite", bench.script(script)).await;
        eventually("ready", || async { says(bench, &name, "ready").await.then_some(()) }).await;
        let before = bench.docker.container(&name).await.unwrap();
        bench.docker.restart(&name, Some("SIGINT"), 60).await.unwrap();
        let after = bench.docker.container(&name).await.unwrap();
        assert!(after.is_up() && after.started_at > before.started_at);
        assert!(says(bench, &name, "asked politely").await);
    })
    .await;
}

#[tokio::test]
async fn a_restart_with_a_signal_does_not_remove_what_is_removed_at_its_end() {
    on_a_bench(|bench| async {
        let body = removed_at_its_end(bench.script("exec sleep 1000"));
        let name = bench.run("fleeting", body).await;
        let before = bench.docker.container(&name).await.unwrap();
        bench.docker.restart(&name, Some("SIGINT"), 1).await.unwrap();
        let after = bench.docker.container(&name).await.unwrap();
        assert!(after.is_up() && after.id == before.id && after.started_at > before.started_at);
    })
    .await;
}

#[tokio::test]
async fn a_restart_kills_what_ignores_the_signal_even_when_frozen() {
    on_a_bench(|bench| async {
        let script = "trap '' INT; echo ready; while true; do sleep 0.1; done";
        let name = bench.run("stubborn", bench.script(script)).await;
        eventually("ready", || async { says(bench, &name, "ready").await.then_some(()) }).await;
        bench.pause(&name).await;
        let before = bench.docker.container(&name).await.unwrap();
        assert_eq!(before.status, ContainerStatus::Paused);
        bench.docker.restart(&name, Some("SIGINT"), 1).await.unwrap();
        let after = bench.docker.container(&name).await.unwrap();
        assert!(after.is_up() && after.started_at > before.started_at);
    })
    .await;
}

#[tokio::test]
async fn a_container_is_frozen_once_and_thawed_once() {
    on_a_bench(|bench| async {
        let name = bench.run("c", bench.script("sleep 1000")).await;
        for _ in 0..2 {
            bench.docker.pause(&name).await.unwrap();
            let now = bench.docker.container(&name).await.unwrap();
            assert_eq!(now.status, ContainerStatus::Paused);
        }
        for _ in 0..2 {
            bench.docker.unpause(&name).await.unwrap();
            assert!(bench.docker.container(&name).await.unwrap().is_up());
        }
    })
    .await;
}

#[tokio::test]
async fn memory_limits_go_up_and_down_and_back_to_none() {
    on_a_bench(|bench| async {
        let body = with_memory(bench.script("sleep 1000"), 32 * 1024 * 1024);
        let name = bench.run("c", body).await;
        let limits = |memory: Option<u64>, swap: Option<u64>| MemoryLimits {
            memory_bytes: memory.map(|mib| mib * MIB),
            memory_swap_bytes: swap.map(|mib| mib * MIB),
        };
        for wanted in [
            limits(Some(96), Some(96)),
            limits(Some(32), Some(64)),
            limits(Some(64), None),
            limits(None, None),
            limits(Some(48), Some(48)),
        ] {
            bench.docker.set_memory_limits(&name, wanted).await.unwrap();
            assert_eq!(bench.docker.container(&name).await.unwrap().limits, wanted);
        }
        let nonsense = limits(Some(64), Some(32));
        let refused = bench.docker.set_memory_limits(&name, nonsense).await;
        assert!(matches!(refused, Err(WorldError::Refused { .. })), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn a_processor_limit_goes_up_and_down_and_back_to_none() {
    on_a_bench(|bench| async {
        let name = bench.run("c", bench.script("sleep 1000")).await;
        let seen = || async { bench.docker.container(&name).await.unwrap().cpu_limit_nanos };
        assert_eq!(seen().await, None);
        for limit in [Some(500_000_000), Some(250_000_000), Some(1_010_000_000), None] {
            bench.docker.set_cpu_limit(&name, limit).await.unwrap();
            assert_eq!(seen().await, limit);
        }
    })
    .await;
}

#[tokio::test]
async fn stopping_is_repeatable_and_never_removes() {
    on_a_bench(|bench| async {
        let name = bench.run("c", bench.script("sleep 1000")).await;
        for _ in 0..2 {
            bench.docker.stop(&name, 0).await.unwrap();
            assert!(!bench.docker.container(&name).await.unwrap().is_up());
        }
        let fleeting = bench.run("fleeting", removed_at_its_end(bench.script("sleep 1000"))).await;
        let refused = bench.docker.stop(&fleeting, 0).await;
        assert!(matches!(refused, Err(WorldError::Refused { .. })), "{refused:?}");
        assert!(bench.docker.container(&fleeting).await.unwrap().is_up());
    })
    .await;
}

#[tokio::test]
async fn a_network_is_left_and_joined_again_with_the_alias() {
    on_a_bench(|bench| async {
        let network = bench.network("front").await;
        let body = on_network(bench.script("sleep 1000"), &network, "api");
        let name = bench.run("c", body).await;
        let before = bench.docker.container(&name).await.unwrap();
        for _ in 0..2 {
            bench.docker.disconnect_network(&name, &network).await.unwrap();
            assert_eq!(bench.docker.container(&name).await.unwrap().networks, []);
        }
        for _ in 0..2 {
            let attachment = NetworkAttachment { ip: None, ..before.networks[0].clone() };
            bench.docker.connect_network(&name, &attachment).await.unwrap();
        }
        let after = bench.docker.container(&name).await.unwrap();
        assert_eq!(after.networks[0].aliases, ["api"]);
        assert!(after.ip().is_some());
        let since = before.started_at.unwrap();
        let events = events_until(bench, &name, since, "network_disconnect").await;
        assert_eq!(events.last().map(String::as_str), Some("network_disconnect"));
        let unknown = NetworkAttachment {
            network: bench.name("nowhere"),
            aliases: vec![],
            ip: None,
            fixed_ip: None,
        };
        let refused = bench.docker.connect_network(&name, &unknown).await.unwrap_err();
        assert!(refused.to_string().contains("nowhere"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn of_the_builders_cache_only_what_nobody_needs_or_used_lately_goes() {
    on_a_bench(|bench| async {
        let large = vec![7; 3 << 20];
        let files = [("Dockerfile", &b"FROM scratch\nCOPY large /\n"[..]), ("large", &large)];
        let image = bench.build("built", &files).await;
        let (week, now) = (Duration::from_hours(7 * 24), Duration::ZERO);
        assert_eq!(bench.docker.build_cache(week).await.unwrap().bytes, 0);
        assert_eq!(bench.docker.prune_build_cache(week).await.unwrap(), 0);
        bench.remove_image(&image).await;
        let unneeded = bench.docker.build_cache(now).await.unwrap().bytes;
        assert!(unneeded >= 3 << 20, "{unneeded}");
        assert!(bench.docker.prune_build_cache(now).await.unwrap() >= 3 << 20);
        assert_eq!(bench.docker.build_cache(now).await.unwrap().bytes, 0);
    })
    .await;
}
