//! Bodies of `/health` and `/api/monitoring/health`: whether the program works, and what it watches.
//!
//! Sums up the last look at every target; it asks nothing and judges no target itself.

use schemars::JsonSchema;
use selfheal_agents::model::{ObservedValue, TargetKind, Verdict};
use serde::{Deserialize, Serialize};

use crate::coordinator::{Standing, TargetSummary};

/// Whether the program itself works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OwnHealth {
    /// `healthy` or `unhealthy`.
    pub status: String,
    /// Always `automation-service`.
    pub service: String,
    /// The program's version.
    pub version: String,
    /// Whether triggers are taken and handled.
    pub message_handler_running: bool,
    /// What is wrong, if something is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// Whether starting it again would help: a cycle does not end, or a loop stands still.
    #[serde(default)]
    pub hangs: bool,
    /// How the signs of life to a dead-man's switch fare, where one is wanted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub heartbeat: Option<String>,
    /// Why it has no part in its fleet now, where that is so; it heals its own host all the same.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fleet: Option<String>,
    /// Which parts of it were begun anew since the start, after a fault of its own.
    #[serde(default)]
    pub restarted: Vec<Restarted>,
}

/// A part of the program that was begun anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Restarted {
    /// Which.
    pub part: String,
    /// How often.
    pub times: u64,
}

impl OwnHealth {
    /// The health, given what is wrong with the store and what keeps triggers from being
    /// handled, if anything.
    pub fn new(store: Option<String>, handler: Option<String>) -> Self {
        let message_handler_running = handler.is_none();
        let faults: Vec<String> = store.into_iter().chain(handler).collect();
        Self {
            status: if faults.is_empty() { "healthy" } else { "unhealthy" }.to_owned(),
            service: "automation-service".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            message_handler_running,
            detail: (!faults.is_empty()).then(|| faults.join("; ")),
            hangs: false,
            heartbeat: None,
            fleet: None,
            restarted: vec![],
        }
    }

    /// Whether it works.
    pub fn is_healthy(&self) -> bool {
        self.detail.is_none()
    }
}

/// How well one kind of thing is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// There is none; it does not count.
    NotConfigured,
    /// All is well.
    Healthy,
    /// It could not be seen.
    Unknown,
    /// Worth a look.
    Warning,
    /// Broken.
    Critical,
}

impl From<Verdict> for CheckStatus {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Ok => Self::Healthy,
            Verdict::Unknown => Self::Unknown,
            Verdict::Warning => Self::Warning,
            Verdict::Critical => Self::Critical,
        }
    }
}

/// All targets of one kind together. Of a kind that is watched every figure is named, and `null`
/// where it could not be measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KindHealth {
    /// The worst of them.
    pub status: CheckStatus,
    /// Databases: the slowest answer, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub latency_ms: Option<Option<f64>>,
    /// HTTP: the slowest answer, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub response_time_ms: Option<Option<f64>>,
    /// Docker: how many containers run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub containers_running: Option<usize>,
    /// Docker: how many containers there are.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub containers_total: Option<usize>,
    /// Redis: whether every server answers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connected: Option<bool>,
    /// Host: used processor time, percent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cpu_percent: Option<Option<f64>>,
    /// Host: used memory, percent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub memory_percent: Option<Option<f64>>,
}

/// The kinds of things that are checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Checks {
    /// PostgreSQL, MySQL and MariaDB servers.
    pub database: KindHealth,
    /// The container runtime and its containers.
    pub docker: KindHealth,
    /// HTTP endpoints.
    pub api: KindHealth,
    /// Redis servers.
    pub redis: KindHealth,
    /// TCP endpoints.
    pub tcp: KindHealth,
    /// The machine.
    pub host: KindHealth,
}

/// How well everything watched is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// `healthy`, `warning` or `critical`.
    pub overall_status: CheckStatus,
    /// By kind.
    pub checks: Checks,
    /// What could not be seen, with the remedy.
    pub blind: Vec<String>,
}

impl Health {
    /// Sums up the last look at every target.
    pub fn of(standing: &Standing) -> Self {
        let kind = |kind| KindHealth::of(&standing.targets, &[kind]);
        let mut docker = kind(TargetKind::Container);
        if standing.runtime_connected {
            docker.status = docker.status.max(CheckStatus::Healthy);
        } else {
            docker.status = CheckStatus::Critical;
        }
        let checks = Checks {
            database: KindHealth::of(&standing.targets, &DATABASES),
            docker,
            api: kind(TargetKind::Http),
            redis: kind(TargetKind::Redis),
            tcp: kind(TargetKind::Tcp),
            host: kind(TargetKind::Host),
        };
        let Checks { database, docker, api, redis, tcp, host } = &checks;
        let worst = [database, docker, api, redis, tcp, host]
            .into_iter()
            .map(|check| check.status)
            .max()
            .unwrap_or(CheckStatus::Unknown);
        let overall_status = match worst {
            CheckStatus::Healthy | CheckStatus::NotConfigured => CheckStatus::Healthy,
            // Not being able to see is no health, but nothing is known to be broken.
            CheckStatus::Unknown | CheckStatus::Warning => CheckStatus::Warning,
            CheckStatus::Critical => CheckStatus::Critical,
        };
        Self { overall_status, checks, blind: standing.blind.clone() }
    }
}

const DATABASES: [TargetKind; 2] = [TargetKind::Postgres, TargetKind::Mysql];

impl KindHealth {
    fn of(targets: &[TargetSummary], kinds: &[TargetKind]) -> Self {
        let ours = targets.iter().filter(|t| kinds.contains(&t.id.kind()));
        let targets: Vec<&TargetSummary> = ours.collect();
        let status = targets
            .iter()
            .map(|t| CheckStatus::from(t.verdict))
            .max()
            .unwrap_or(CheckStatus::NotConfigured);
        let largest = |check: &str| largest(&targets, check);
        let words = |check: &str, wanted: &[&str]| count(&targets, check, wanted);
        let some = !targets.is_empty();
        let on = |kind: TargetKind| some && kinds.contains(&kind);
        let containers = kinds.contains(&TargetKind::Container);
        Self {
            status,
            latency_ms: on(TargetKind::Postgres).then(|| {
                let each = [largest("postgres.latency"), largest("mysql.latency")];
                each.into_iter().flatten().reduce(f64::max)
            }),
            response_time_ms: on(TargetKind::Http).then(|| largest("http.latency")),
            containers_running: containers
                .then(|| words("container.state", &["running", "starting", "paused"])),
            containers_total: containers.then_some(targets.len()),
            connected: on(TargetKind::Redis)
                .then(|| words("redis.reachable", &["ok"]) == targets.len()),
            cpu_percent: on(TargetKind::Host).then(|| largest("host.cpu")),
            memory_percent: on(TargetKind::Host).then(|| largest("host.memory")),
        }
    }
}

fn observed<'a>(
    targets: &'a [&'a TargetSummary],
    check: &'a str,
) -> impl Iterator<Item = &'a ObservedValue> {
    targets.iter().flat_map(|t| &t.observations).filter(move |o| o.check == check).map(|o| &o.value)
}

fn largest(targets: &[&TargetSummary], check: &str) -> Option<f64> {
    observed(targets, check)
        .filter_map(|value| match value {
            ObservedValue::Number(number) => Some(*number),
            _ => None,
        })
        .max_by(f64::total_cmp)
}

fn count(targets: &[&TargetSummary], check: &str, wanted: &[&str]) -> usize {
    observed(targets, check)
        .filter(
            |value| matches!(value, ObservedValue::Text(text) if wanted.contains(&text.as_str())),
        )
        .count()
}
