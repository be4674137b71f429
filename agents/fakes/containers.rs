//! Ordinary containers to start a test from.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{
    ContainerFacts, ContainerStatus, HealthCheck, HealthStatus, MemoryLimits, NetworkAttachment,
    RestartPolicy, SecretText, SecretValue, Timestamp,
};

/// The moment every [`super::FakeClock`] starts at: 2026-01-01, noon, UTC.
pub fn start_time() -> Timestamp {
    Timestamp::from_timestamp(1_767_268_800, 0).expect("the number is a valid time")
}

/// A container that has been running for an hour on the network `app`, without a health
/// check, limits, labels or environment. Change what the test is about.
pub fn container(name: &str) -> ContainerFacts {
    let hour_ago = start_time() - Duration::from_hours(1);
    ContainerFacts {
        id: format!("id-of-{name}"),
        name: name.to_owned(),
        image: format!("{name}:1"),
        image_id: format!("sha256:{name}"),
        created_at: Some(hour_ago),
        labels: BTreeMap::new(),
        environment: BTreeMap::new(),
        command: SecretText::default(),
        pid: None,
        status: ContainerStatus::Running,
        exit_code: None,
        oom_killed: false,
        start_error: String::new(),
        started_at: Some(hour_ago),
        finished_at: None,
        restart_policy: RestartPolicy::No,
        restart_count: 0,
        health: None,
        health_log: vec![],
        health_check: None,
        limits: MemoryLimits::default(),
        cpu_limit_nanos: None,
        usage: None,
        log_disks: vec![],
        networks: vec![network("app", name)],
        network_mode: "app".to_owned(),
        mounts: vec![],
        exposed_ports: vec![],
        published_ports: vec![],
        reached_at: vec![],
        tty: false,
        stop_timeout_secs: None,
        stop_signal: None,
    }
}

/// [`container`] with a health check (every 5 s, 3 retries) that says healthy.
pub fn healthy(name: &str) -> ContainerFacts {
    ContainerFacts {
        health: Some(HealthStatus::Healthy),
        health_check: Some(HealthCheck {
            test: vec!["CMD".to_owned(), "/bin/healthy".to_owned()],
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(3),
            retries: 3,
            start_period: Duration::ZERO,
        }),
        ..container(name)
    }
}

/// A place on a network, with the container's name as alias and an address made from it.
pub fn network(network: &str, container: &str) -> NetworkAttachment {
    NetworkAttachment {
        fixed_ip: None,
        network: network.to_owned(),
        aliases: vec![container.to_owned()],
        ip: Some(address(network, container)),
    }
}

/// Environment variables as a container carries them.
pub fn environment(values: &[(&str, &str)]) -> BTreeMap<String, SecretValue> {
    values.iter().map(|(k, v)| ((*k).to_owned(), SecretText::new(*v))).collect()
}

/// Labels as a container carries them.
pub fn labels(values: &[(&str, &str)]) -> BTreeMap<String, String> {
    values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// The same names give the same address; different names almost always another one.
fn address(network: &str, container: &str) -> String {
    let hash = |text: &str| {
        text.bytes().fold(5381_u32, |hash, byte| hash.wrapping_mul(33) ^ u32::from(byte))
    };
    let [high, low, ..] = hash(container).to_le_bytes();
    format!("172.{}.{high}.{low}", 16 + hash(network) % 16)
}
