//! The parts of Docker's answers that are used, read leniently.
//!
//! Bollard's own types know every word of one version of Docker; one state it does not know
//! (Podman's `stopped`) fails a whole list. Here a word stays a text, `null` and a missing
//! field are the default, and what is not used is not read. [`super::facts`] gives meaning.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// `null` means the default: Docker writes it for empty lists and maps.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The keys of a map whose values are not read.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, serde_json::Value>::deserialize(deserializer)?;
        Ok(Self(map.into_keys().collect()))
    }
}

/// Words of a command; Podman writes one text where Docker writes a list.
#[derive(Debug, Clone, Default)]
pub(super) struct Words(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Text(String),
            List(Vec<String>),
        }
        Ok(Self(match Either::deserialize(deserializer)? {
            Either::Text(text) => vec![text],
            Either::List(words) => words,
        }))
    }
}

/// Ports of the container, such as `80/tcp`, with those of the host they are published at.
#[derive(Debug, Clone, Default)]
pub(super) struct Bindings(pub(super) BTreeMap<String, Vec<Published>>);

/// A port of the host, and the address of the host that it is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) address: String,
    pub(super) port: u16,
}

impl<'de> Deserialize<'de> for Bindings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        #[derive(Default)]
        struct Binding {
            host_ip: String,
            host_port: String,
        }
        let map = BTreeMap::<String, Option<Vec<Binding>>>::deserialize(deserializer)?;
        let published = |Binding { host_ip: address, host_port }: Binding| {
            Some(Published { address, port: host_port.parse().ok()? })
        };
        let ports = |bindings: Vec<Binding>| bindings.into_iter().filter_map(published).collect();
        Ok(Self(map.into_iter().map(|(key, to)| (key, ports(to.unwrap_or_default()))).collect()))
    }
}

macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $kind:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        pub(super) struct $name {
            $(
                $(#[$attribute])*
                #[serde(deserialize_with = "or_default")]
                pub(super) $field: $kind,
            )*
        }
    )*};
}

answers! {
    /// One line of `GET /containers/json`.
    Listed {
        id: String,
        names: Vec<String>,
        image: String,
        #[serde(rename = "ImageID")]
        image_id: String,
        labels: BTreeMap<String, String>,
    }
    /// `GET /containers/{id}/json`.
    Inspect {
        id: String,
        created: String,
        name: String,
        image: String,
        restart_count: i64,
        state: State,
        config: Config,
        host_config: HostConfig,
        network_settings: NetworkSettings,
        mounts: Vec<Mount>,
    }
    /// What it does.
    State {
        status: String,
        running: bool,
        pid: i64,
        paused: bool,
        #[serde(rename = "OOMKilled")]
        oom_killed: bool,
        exit_code: i64,
        error: String,
        started_at: String,
        finished_at: String,
        health: Option<Health>,
    }
    /// What its health check says.
    Health {
        status: String,
        log: Vec<HealthResult>,
    }
    /// One run of the health check.
    HealthResult {
        end: String,
        exit_code: i64,
        output: String,
    }
    /// What was asked for at creation, wherever it runs.
    Config {
        image: String,
        labels: BTreeMap<String, String>,
        env: Vec<String>,
        entrypoint: Words,
        cmd: Words,
        tty: bool,
        exposed_ports: Keys,
        healthcheck: Option<Healthcheck>,
        stop_timeout: Option<i64>,
        stop_signal: Option<String>,
    }
    /// The declared health check; durations in nanoseconds, 0 means Docker's default.
    Healthcheck {
        test: Vec<String>,
        interval: i64,
        timeout: i64,
        start_period: i64,
        retries: i64,
    }
    /// What was asked for on this host.
    HostConfig {
        auto_remove: bool,
        memory: i64,
        memory_swap: i64,
        network_mode: String,
        nano_cpus: i64,
        cpu_quota: i64,
        cpu_period: i64,
        port_bindings: Bindings,
        restart_policy: Policy,
    }
    /// The restart policy.
    Policy {
        name: String,
    }
    /// The networks it is on.
    NetworkSettings {
        networks: BTreeMap<String, Endpoint>,
    }
    /// One of them.
    Endpoint {
        aliases: Vec<String>,
        #[serde(rename = "IPAddress")]
        ip_address: String,
        #[serde(rename = "GlobalIPv6Address")]
        ipv6_address: String,
        #[serde(rename = "IPAMConfig")]
        ipam_config: ChosenAddress,
    }
    /// The address that was asked for.
    ChosenAddress {
        #[serde(rename = "IPv4Address")]
        ipv4_address: String,
    }
    /// A mount.
    Mount {
        #[serde(rename = "Type")]
        kind: String,
        source: String,
        destination: String,
        #[serde(rename = "RW")]
        writable: bool,
    }
}
