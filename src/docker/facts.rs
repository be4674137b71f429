//! From what Docker says of a container to facts.
//!
//! Pure. Text from strangers is cleaned here, environment values become secrets, Docker's
//! zero times and zero limits become `None`. Judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Datelike as _, Utc};
use selfheal_agents::model::{
    ContainerFacts, ContainerStatus, HealthCheck, HealthStatus, IMAGE_LABEL, MemoryLimits,
    MountFacts, NetworkAttachment, Outside, ProbeOutput, RestartPolicy, SecretText, Timestamp,
    clean,
};

use super::inspect::{
    Bindings, Config, Endpoint, Healthcheck, HostConfig, Inspect, Listed, Mount, Published, State,
};

/// The longest label kept, in characters.
const LONGEST_LABEL: usize = 4000;
/// The longest probe output or start error kept, in characters.
const LONGEST_OUTPUT: usize = 500;
/// The longest name, path or image kept, in characters.
const LONGEST_NAME: usize = 1000;
/// Docker's default time between two health checks, and its time limit for one.
const DEFAULT_HEALTH_TIME: Duration = Duration::from_secs(30);
/// Docker's default number of failures in a row that make a container unhealthy.
const DEFAULT_HEALTH_RETRIES: u32 = 3;
/// No memory limit, in Docker's type.
pub(super) const NO_LIMIT: i64 = MemoryLimits::UNLIMITED_BYTES.cast_signed();
/// Docker's time over which a quota of processor time counts, in microseconds.
const DEFAULT_CPU_PERIOD_MICROS: u64 = 100_000;
/// Length of the id that Docker adds to a container's aliases by itself.
const SHORT_ID: usize = 12;

/// Everything, without usage.
pub(super) fn of_inspect(inspect: &Inspect) -> ContainerFacts {
    let state = &inspect.state;
    let config = &inspect.config;
    let health = state.health.as_ref();
    let health_log = health.map(|h| h.log.iter().map(probe_output).collect()).unwrap_or_default();
    let facts = ContainerFacts {
        created_at: moment(&inspect.created),
        environment: environment(&config.env),
        command: SecretText::new(command(config)),
        // Docker writes 0 for none.
        pid: u32::try_from(state.pid).ok().filter(|pid| *pid != 0),
        status: status(&state.status),
        exit_code: exit_code(state),
        oom_killed: state.oom_killed,
        start_error: clean(&state.error, LONGEST_OUTPUT),
        started_at: moment(&state.started_at),
        finished_at: moment(&state.finished_at),
        restart_policy: restart_policy(&inspect.host_config.restart_policy.name),
        restart_count: u64::try_from(inspect.restart_count).unwrap_or(0),
        health: health.and_then(|h| health_status(&h.status)),
        health_log,
        health_check: config.healthcheck.as_ref().and_then(health_check),
        limits: MemoryLimits {
            memory_bytes: limit(inspect.host_config.memory),
            memory_swap_bytes: limit(inspect.host_config.memory_swap),
        },
        cpu_limit_nanos: cpu_limit(&inspect.host_config),
        networks: networks(&inspect.id, &inspect.network_settings.networks),
        network_mode: clean(&inspect.host_config.network_mode, LONGEST_NAME),
        mounts: inspect.mounts.iter().map(mount).collect(),
        exposed_ports: exposed_ports(inspect),
        published_ports: published_ports(&inspect.host_config.port_bindings),
        outside: outside(&inspect.host_config),
        tty: config.tty,
        stop_timeout_secs: config.stop_timeout.and_then(|secs| u32::try_from(secs).ok()),
        stop_signal: config.stop_signal.as_deref().map(|s| clean(s, LONGEST_NAME)),
        ..identity(&inspect.id, &inspect.name)
    };
    ContainerFacts {
        image: clean(image_name(config), LONGEST_NAME),
        image_id: inspect.image.clone(),
        labels: labels(&config.labels),
        ..facts
    }
}

/// What the image was called: one that Selfheal used by its id says so in a label.
fn image_name(config: &Config) -> &str {
    let labelled = config.labels.get(IMAGE_LABEL).filter(|_| config.image.starts_with("sha256:"));
    labelled.unwrap_or(&config.image)
}

/// What the list alone tells of a container that could not be looked at: that it is there.
/// Its status is unknown, so that nobody takes it for gone or for well.
pub(super) fn of_list(listed: &Listed) -> ContainerFacts {
    ContainerFacts {
        image: clean(&listed.image, LONGEST_NAME),
        image_id: listed.image_id.clone(),
        labels: labels(&listed.labels),
        ..identity(&listed.id, &name_in_list(&listed.names))
    }
}

/// What is run, a word a line.
pub(super) fn command(config: &Config) -> String {
    let words: Vec<&str> =
        config.entrypoint.0.iter().chain(&config.cmd.0).map(String::as_str).collect();
    words.join("\n")
}

fn identity(id: &str, name: &str) -> ContainerFacts {
    ContainerFacts {
        id: id.to_owned(),
        name: clean(name.trim_start_matches('/'), LONGEST_NAME),
        image: String::new(),
        image_id: String::new(),
        created_at: None,
        labels: BTreeMap::new(),
        environment: BTreeMap::new(),
        command: SecretText::default(),
        pid: None,
        status: ContainerStatus::Unknown,
        exit_code: None,
        oom_killed: false,
        start_error: String::new(),
        started_at: None,
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
        networks: vec![],
        network_mode: String::new(),
        mounts: vec![],
        exposed_ports: vec![],
        published_ports: vec![],
        outside: Outside::default(),
        tty: false,
        stop_timeout_secs: None,
        stop_signal: None,
    }
}

/// A linked container also lists `/other/alias`; its own name holds no second slash.
fn name_in_list(names: &[String]) -> String {
    let own = names.iter().find(|name| !name.trim_start_matches('/').contains('/'));
    own.or_else(|| names.first()).cloned().unwrap_or_default()
}

/// Docker writes the year 1 for never.
fn moment(text: &str) -> Option<Timestamp> {
    let moment = DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc);
    (moment.year() > 1).then_some(moment)
}

fn status(word: &str) -> ContainerStatus {
    match word {
        // The second word is Podman's.
        "created" | "initialized" => ContainerStatus::Created,
        "running" => ContainerStatus::Running,
        "paused" => ContainerStatus::Paused,
        "restarting" => ContainerStatus::Restarting,
        "removing" => ContainerStatus::Removing,
        "exited" | "stopped" => ContainerStatus::Exited,
        "dead" => ContainerStatus::Dead,
        _ => ContainerStatus::Unknown,
    }
}

/// The code is 0 while it runs, and 0 before it ever ran: neither is an end.
fn exit_code(state: &State) -> Option<i64> {
    let ended = match status(&state.status) {
        ContainerStatus::Exited | ContainerStatus::Dead | ContainerStatus::Restarting => true,
        ContainerStatus::Created => state.exit_code != 0,
        _ => false,
    };
    ended.then_some(state.exit_code)
}

fn restart_policy(word: &str) -> RestartPolicy {
    match word {
        "always" => RestartPolicy::Always,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => RestartPolicy::OnFailure,
        _ => RestartPolicy::No,
    }
}

/// Docker's word for health, in inspection and in events.
pub(super) fn health_status(word: &str) -> Option<HealthStatus> {
    match word {
        "starting" => Some(HealthStatus::Starting),
        "healthy" => Some(HealthStatus::Healthy),
        "unhealthy" => Some(HealthStatus::Unhealthy),
        _ => None,
    }
}

fn health_check(check: &Healthcheck) -> Option<HealthCheck> {
    if check.test.is_empty() || check.test[0] == "NONE" {
        return None;
    }
    let duration = |nanos: i64| u64::try_from(nanos).map(Duration::from_nanos).unwrap_or_default();
    let or_default = |nanos: i64| {
        let given = duration(nanos);
        if given.is_zero() { DEFAULT_HEALTH_TIME } else { given }
    };
    let retries = u32::try_from(check.retries).unwrap_or(0);
    Some(HealthCheck {
        test: check.test.iter().map(|word| clean(word, LONGEST_NAME)).collect(),
        interval: or_default(check.interval),
        timeout: or_default(check.timeout),
        retries: if retries == 0 { DEFAULT_HEALTH_RETRIES } else { retries },
        start_period: duration(check.start_period),
    })
}

fn probe_output(result: &super::inspect::HealthResult) -> ProbeOutput {
    ProbeOutput {
        at: moment(&result.end),
        exit_code: result.exit_code,
        output: clean(result.output.trim(), LONGEST_OUTPUT),
    }
}

fn limit(bytes: i64) -> Option<u64> {
    (1..NO_LIMIT).contains(&bytes).then(|| u64::try_from(bytes).ok()).flatten()
}

pub(super) fn environment(lines: &[String]) -> BTreeMap<String, SecretText> {
    lines
        .iter()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (clean(key, LONGEST_NAME), SecretText::new(value)))
        .collect()
}

fn labels(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels
        .iter()
        .map(|(key, value)| (clean(key, LONGEST_NAME), clean(value, LONGEST_LABEL)))
        .collect()
}

fn networks(id: &str, endpoints: &BTreeMap<String, Endpoint>) -> Vec<NetworkAttachment> {
    let own_alias = id.get(..SHORT_ID).unwrap_or(id);
    let attachment = |(network, endpoint): (&String, &Endpoint)| {
        let addresses = [&endpoint.ip_address, &endpoint.ipv6_address];
        let aliases = endpoint.aliases.iter().filter(|alias| *alias != own_alias);
        NetworkAttachment {
            network: clean(network, LONGEST_NAME),
            aliases: aliases.map(|alias| clean(alias, LONGEST_NAME)).collect(),
            ip: addresses.into_iter().find(|ip| !ip.is_empty()).map(|ip| clean(ip, LONGEST_NAME)),
            fixed_ip: Some(&endpoint.ipam_config.ipv4_address)
                .filter(|ip| !ip.is_empty())
                .map(|ip| clean(ip, LONGEST_NAME)),
        }
    };
    endpoints.iter().map(attachment).collect()
}

fn mount(mount: &Mount) -> MountFacts {
    MountFacts {
        bind: mount.kind == "bind",
        source: clean(&mount.source, LONGEST_NAME),
        destination: clean(&mount.destination, LONGEST_NAME),
        writable: mount.writable,
    }
}

/// As `--cpus` writes it, or as quota and period do (Docker's default period is 100 ms).
fn cpu_limit(config: &HostConfig) -> Option<u64> {
    let positive = |number: i64| u64::try_from(number).ok().filter(|number| *number > 0);
    positive(config.nano_cpus).or_else(|| {
        let period = positive(config.cpu_period).unwrap_or(DEFAULT_CPU_PERIOD_MICROS);
        Some(positive(config.cpu_quota)?.saturating_mul(1_000_000_000) / period)
    })
}

/// Those of the host; 0 stands for one that Docker chooses.
fn published_ports(bindings: &Bindings) -> Vec<u16> {
    let tcp = bindings.0.iter().filter(|(port, _)| port.ends_with("/tcp"));
    let ports: BTreeSet<u16> =
        tcp.flat_map(|(_, hosts)| hosts.iter().map(|host| host.port)).filter(|p| *p != 0).collect();
    ports.into_iter().collect()
}

/// By the container's own port, one that every address of the host has: others may be of networks
/// that lead nowhere else, and are told with their address.
fn outside(config: &HostConfig) -> Outside {
    // Without a network of its own it publishes nothing, whatever it was asked to: somebody else may
    // have that port.
    let mode = config.network_mode.as_str();
    if matches!(mode, "host" | "none") || mode.starts_with("container:") {
        return Outside::default();
    }
    let everywhere = |host: &&Published| {
        host.port != 0 && matches!(host.address.as_str(), "" | "0.0.0.0" | "::")
    };
    let is_bound = |host: &&Published| {
        let ip = host.address.parse::<std::net::IpAddr>();
        host.port != 0 && ip.is_ok_and(|ip| !ip.is_loopback() && !ip.is_unspecified())
    };
    let tcp = || {
        let all = config.port_bindings.0.iter();
        all.filter_map(|(port, hosts)| Some((port.strip_suffix("/tcp")?.parse().ok()?, hosts)))
    };
    let ports =
        tcp().filter_map(|(inside, hosts)| Some((inside, hosts.iter().find(everywhere)?.port)));
    let bound = tcp().flat_map(|(_, hosts): (u16, _)| hosts.iter().filter(is_bound));
    Outside {
        host: None,
        ports: ports.collect(),
        bound: bound.map(|host| (host.address.clone(), host.port)).collect(),
    }
}

fn exposed_ports(inspect: &Inspect) -> Vec<u16> {
    let declared = inspect.config.exposed_ports.0.iter();
    let published = inspect.host_config.port_bindings.0.keys();
    let tcp = |text: &String| text.strip_suffix("/tcp")?.parse().ok();
    let ports: BTreeSet<u16> = declared.chain(published).filter_map(tcp).collect();
    ports.into_iter().collect()
}

#[cfg(test)]
mod tests;
