//! What was seen of the world at one moment, before anybody judged it.
//!
//! Facts are what adapters deliver through the ports: plain values with their unit
//! in the name, no verdicts. A value that could not be read is `None`, never zero.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    DatabaseFacts, HostFacts, HttpFacts, LogDisk, RedisFacts, RuntimeEvent, Target, TcpFacts,
    Timestamp,
};

/// The facts of one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Facts {
    /// Of the host.
    Host(HostFacts),
    /// Of a container.
    Container(Box<ContainerFacts>),
    /// Of a PostgreSQL server.
    Postgres(DatabaseFacts),
    /// Of a MySQL or MariaDB server.
    Mysql(DatabaseFacts),
    /// Of a Redis server.
    Redis(RedisFacts),
    /// Of an HTTP endpoint.
    Http(HttpFacts),
    /// Of a TCP endpoint.
    Tcp(TcpFacts),
}

impl Facts {
    /// Those of a database server.
    pub fn database(&self) -> Option<&DatabaseFacts> {
        match self {
            Self::Postgres(facts) | Self::Mysql(facts) => Some(facts),
            _ => None,
        }
    }

    /// Whether it is a server that brings its data up and would begin again if it were touched.
    pub fn is_recovering(&self) -> bool {
        match self {
            Self::Postgres(facts) | Self::Mysql(facts) => facts.in_recovery,
            Self::Redis(facts) => facts.loading,
            _ => false,
        }
    }
}

/// One target with its facts, or why there are none.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetState {
    /// What was looked at.
    pub target: Target,
    /// What was seen; `Err` says why nothing could be.
    pub facts: Result<Facts, String>,
    /// The container's remembered events, oldest first; empty for other kinds.
    pub events: Vec<RuntimeEvent>,
    /// When.
    pub at: Timestamp,
}

impl TargetState {
    /// The container facts, if these are a container's and could be read.
    pub fn container(&self) -> Option<&ContainerFacts> {
        match &self.facts {
            Ok(Facts::Container(facts)) => Some(facts),
            _ => None,
        }
    }
}

/// Docker's word for what a container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerStatus {
    /// Made, never started.
    Created,
    /// Its first process lives.
    Running,
    /// Frozen.
    Paused,
    /// Waiting for the restart policy's next try.
    Restarting,
    /// Being removed.
    Removing,
    /// Ended.
    Exited,
    /// Could not be removed.
    Dead,
    /// A word this version does not know.
    Unknown,
}

impl ContainerStatus {
    /// Docker's own word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
            Self::Unknown => "unknown",
        }
    }
}

/// What Docker's own health check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// Still in its start period, or not asked yet.
    Starting,
    /// The last probe succeeded.
    Healthy,
    /// As many probes failed in a row as the container allows.
    Unhealthy,
}

impl HealthStatus {
    /// Docker's own word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One run of Docker's health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeOutput {
    /// When it ended.
    pub at: Option<Timestamp>,
    /// 0 is healthy.
    pub exit_code: i64,
    /// What it printed, shortened.
    pub output: String,
}

/// How Docker checks the container's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// `CMD` or `CMD-SHELL` and its words, as declared.
    pub test: Vec<String>,
    /// Time between two checks.
    pub interval: Duration,
    /// Time limit of one.
    pub timeout: Duration,
    /// Failures in a row that make it unhealthy.
    pub retries: u32,
    /// Time after the start in which failures do not count.
    pub start_period: Duration,
}

/// Docker's restart policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// Never restarted by Docker.
    #[default]
    No,
    /// Restarted after a failure.
    OnFailure,
    /// Always restarted.
    Always,
    /// Restarted unless a person stopped it.
    UnlessStopped,
}

impl RestartPolicy {
    /// Docker's own word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }
}

/// A container on one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAttachment {
    /// The network's name.
    pub network: String,
    /// The names others reach it by, beside its own.
    pub aliases: Vec<String>,
    /// Its address there.
    pub ip: Option<String>,
    /// The address that whoever made it chose, if one was chosen.
    #[serde(default)]
    pub fixed_ip: Option<String>,
}

/// A file or folder of the host, or a volume, seen inside the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountFacts {
    /// Whether it is a bind mount of a host path.
    pub bind: bool,
    /// The path on the host.
    pub source: String,
    /// The path in the container.
    pub destination: String,
    /// Whether the container may write.
    pub writable: bool,
}

impl MountFacts {
    /// Whether its source is called as a volume that nobody gave a name: Docker gives it 64
    /// hexadecimal digits, others for each container.
    pub fn is_nameless(&self) -> bool {
        let name = self.source.trim_end_matches("/_data").rsplit('/').next().unwrap_or_default();
        name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

/// Memory limits of a container, in bytes; `None` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemoryLimits {
    /// Memory.
    pub memory_bytes: Option<u64>,
    /// Memory and swap together, as Docker counts; `None` is unlimited.
    pub memory_swap_bytes: Option<u64>,
}

impl MemoryLimits {
    /// The kernel's own number for no limit, in bytes. It lifts a limit of a container that exists,
    /// and Docker shows it afterwards; Docker refuses -1 for memory, and for swap writes it down
    /// without telling the kernel.
    pub const UNLIMITED_BYTES: u64 = 0x7fff_ffff_ffff_f000;
}

/// What a container uses right now.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Percent of one core, over the time since the previous sample; `None` on the
    /// first.
    pub cpu_percent: Option<f64>,
    /// Working set: usage without reclaimable page cache.
    pub memory_bytes: Option<u64>,
    /// Processes.
    pub processes: Option<u64>,
}

/// Where the TCP ports of a container are reached from other hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// The host of its engine, if that is another one than this.
    pub host: Option<String>,
    /// By the container's own port: the host's, where that is not for the host itself alone.
    pub ports: BTreeMap<u16, u16>,
    /// Addresses of the host with the port of it that is for that one alone.
    #[serde(default)]
    pub bound: BTreeSet<(String, u16)>,
}

/// Everything Docker says about one container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerFacts {
    /// Docker's id.
    pub id: String,
    /// Name without the slash.
    pub name: String,
    /// Image as named at creation.
    pub image: String,
    /// Image id (digest).
    pub image_id: String,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its environment; values may be secrets, so they are never stored.
    #[serde(skip)]
    pub environment: BTreeMap<String, SecretValue>,
    /// Its entry point and arguments, a word a line; may hold secrets, so it is never stored.
    #[serde(skip)]
    pub command: SecretValue,
    /// The first process's id as the host counts; `None` when it does not run.
    #[serde(default)]
    pub pid: Option<u32>,
    /// What it does.
    pub status: ContainerStatus,
    /// Exit code of the last end.
    pub exit_code: Option<i64>,
    /// Docker's own OOM flag; misses children (count `oom` events too).
    pub oom_killed: bool,
    /// Why the last start failed, in Docker's words; empty if it did not.
    pub start_error: String,
    /// When its first process was started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Docker's restart policy.
    pub restart_policy: RestartPolicy,
    /// Docker's own counter, reset by a restart.
    pub restart_count: u64,
    /// What the health check says; `None` without one.
    pub health: Option<HealthStatus>,
    /// The last outputs of the health check, newest last.
    pub health_log: Vec<ProbeOutput>,
    /// How health is checked; `None` without a check.
    pub health_check: Option<HealthCheck>,
    /// Limits.
    pub limits: MemoryLimits,
    /// Processor limit, in billionths of a core; `None` is unlimited.
    pub cpu_limit_nanos: Option<u64>,
    /// Use; `None` when it does not run or was not sampled.
    pub usage: Option<Usage>,
    /// How full the disks of its logs are, where it has folders of its own for them.
    #[serde(default)]
    pub log_disks: Vec<LogDisk>,
    /// The networks it is on.
    pub networks: Vec<NetworkAttachment>,
    /// The network it was created for (`HostConfig.NetworkMode`).
    pub network_mode: String,
    /// Mounts.
    pub mounts: Vec<MountFacts>,
    /// TCP ports the image or the container exposes.
    pub exposed_ports: Vec<u16>,
    /// TCP ports of the host that it publishes.
    pub published_ports: Vec<u16>,
    /// Where its own TCP ports are reached from other hosts.
    #[serde(default)]
    pub outside: Outside,
    /// Whether it has a terminal: its log is then one raw stream.
    pub tty: bool,
    /// Time Docker waits between the stop signal and killing, if the container says so.
    pub stop_timeout_secs: Option<u32>,
    /// The stop signal, if the container says so.
    pub stop_signal: Option<String>,
}

/// One environment value, hidden from `Debug`.
pub type SecretValue = super::SecretText;

impl ContainerFacts {
    /// The label of the project that Compose made it for.
    pub const COMPOSE_PROJECT: &'static str = "com.docker.compose.project";
    /// The label of its name in that project, by which the others call it.
    pub const COMPOSE_SERVICE: &'static str = "com.docker.compose.service";

    /// The project that Compose made it for.
    pub fn compose_project(&self) -> Option<&String> {
        self.labels.get(Self::COMPOSE_PROJECT)
    }

    /// What the other containers of its Compose project call it.
    pub fn compose_service(&self) -> Option<&String> {
        self.labels.get(Self::COMPOSE_SERVICE)
    }

    /// Whether its first process lives: running and not between two restarts.
    pub fn is_up(&self) -> bool {
        self.status == ContainerStatus::Running
    }

    /// Whether it surely does not run: the runtime said so, and did not keep silent.
    pub fn is_down(&self) -> bool {
        !self.is_up() && self.status != ContainerStatus::Unknown
    }

    /// The address on the first network that has one.
    pub fn ip(&self) -> Option<&str> {
        self.networks.iter().find_map(|n| n.ip.as_deref()).filter(|ip| !ip.is_empty())
    }
}
