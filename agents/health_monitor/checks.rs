//! The list of checks, and what a check is.
//!
//! A check is pure: it turns the facts of one target into values, each with a verdict or
//! with the limit it is held against. Hold time, hysteresis and pressure are not its
//! business. Adding one is a new file and a line in [`CHECKS`].

mod container_deaths;
mod container_health;
mod container_health_check;
mod container_log_disk;
mod container_memory;
mod container_network;
mod container_oom;
mod container_processor;
mod container_state;
mod database;
mod host_disk;
mod host_use;
mod http;
mod mysql;
mod postgres;
mod redis;
mod tcp;

use super::{DeathCause, Limit, Thresholds};
use crate::model::{
    ContainerFacts, HealthStatus, NetworkAttachment, ObservedValue, TargetState, Timestamp, Verdict,
};

/// Every check there is.
pub const CHECKS: &[&dyn Check] = &[
    &container_state::ContainerState,
    &container_health::ContainerHealth,
    &container_health_check::ContainerHealthCheck,
    &container_deaths::ContainerDeaths,
    &container_oom::ContainerOom,
    &container_log_disk::ContainerLogDisk,
    &container_memory::ContainerMemory,
    &container_processor::ContainerProcessor,
    &container_network::ContainerNetwork,
    &host_use::HostUse,
    &host_disk::HostDisk,
    &postgres::Postgres,
    &mysql::Mysql,
    &redis::Redis,
    &http::Http,
    &tcp::Tcp,
];

/// One way of looking at a target.
pub trait Check: Send + Sync {
    /// What the names of its values begin with.
    fn name(&self) -> &'static str;
    /// Its values; none if it is not about such a target or nothing was read.
    fn judge(&self, state: &TargetState, context: &Context<'_>) -> Vec<Measured>;
}

/// What a check may know beside the facts of its target.
pub struct Context<'a> {
    /// The settings.
    pub thresholds: &'a Thresholds,
    /// Now.
    pub now: Timestamp,
    /// The container that a service target runs in or stands for.
    pub container: Option<&'a ContainerFacts>,
    /// The networks it was on when it was last seen healthy.
    pub last_networks: Option<&'a [NetworkAttachment]>,
    /// Who ended its last life, if that was seen at an earlier look.
    pub remembered_end: Option<DeathCause>,
    /// Whether a newer container that runs has a port of the host which it would need.
    pub replaced: bool,
    /// Whether the endpoint was found rather than declared and has never answered us: it
    /// may listen only inside its container.
    pub unproven: bool,
    /// Why a running container's use could not be read, if so.
    pub usage_error: Option<&'a str>,
}

impl Context<'_> {
    /// Whether a service's container has not had its time to start: its start period, or
    /// ten seconds.
    pub fn is_starting(&self) -> bool {
        let Some(container) = self.container else { return false };
        let period =
            container.health_check.as_ref().map_or(0, |check| check.start_period.as_secs());
        let period = i64::try_from(period.max(10)).unwrap_or(i64::MAX);
        let age = container.started_at.map(|started| (self.now - started).num_seconds());
        container.health == Some(HealthStatus::Starting)
            || age.is_some_and(|age| (0..period).contains(&age))
    }

    /// What is made of a failed probe: nothing while its container starts or the endpoint
    /// is unproven (unless Docker's own check fails, too).
    fn probed(&self, verdict: Verdict) -> Verdict {
        let unhealthy = self.container.is_some_and(|c| c.health == Some(HealthStatus::Unhealthy));
        let doubtful = self.is_starting() || (self.unproven && !unhealthy);
        if verdict.is_bad() && doubtful { Verdict::Unknown } else { verdict }
    }
}

/// How a value is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Judgement {
    /// At once.
    Now(Verdict),
    /// Against a limit, with its hold time and hysteresis.
    Against(Limit),
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The check's full name, with its instance: `host.disk:/var`.
    pub check: String,
    /// The value.
    pub value: ObservedValue,
    /// `%`, `ms`, ... or empty.
    pub unit: &'static str,
    /// How it is judged.
    pub judgement: Judgement,
    /// Whether a bad verdict is worth anything while the host is overloaded.
    pub holds_under_pressure: bool,
    /// One sentence.
    pub detail: String,
}

impl Measured {
    /// A word with its verdict.
    fn word(check: &str, word: &str, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            value: ObservedValue::Text(word.to_owned()),
            unit: "",
            judgement: Judgement::Now(verdict),
            holds_under_pressure: true,
            detail: detail.into(),
        }
    }

    /// A number against its limit.
    fn number(check: &str, value: f64, unit: &'static str, limit: Limit, detail: String) -> Self {
        Self {
            check: check.to_owned(),
            value: ObservedValue::Number(value),
            unit,
            judgement: Judgement::Against(limit),
            holds_under_pressure: true,
            detail,
        }
    }

    /// A number with its verdict.
    fn count(
        check: &str,
        value: f64,
        unit: &'static str,
        verdict: Verdict,
        detail: String,
    ) -> Self {
        let judgement = Judgement::Now(verdict);
        Self { judgement, ..Self::number(check, value, unit, Limit::default(), detail) }
    }

    /// A value that could not be read.
    pub(super) fn missing(check: &str, why: &str) -> Self {
        let value = ObservedValue::Missing;
        Self { value, ..Self::word(check, "", Verdict::Unknown, why) }
    }

    /// The same, worth nothing while the host is overloaded.
    fn doubtful_under_pressure(self) -> Self {
        Self { holds_under_pressure: false, ..self }
    }
}

/// Percent of a whole; none of nothing.
fn percent(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole * 100.0)
}

/// The word of a failed connection, from the probe's reason.
fn reason_word(
    error: Option<&str>,
    known: &[&'static str],
    otherwise: &'static str,
) -> &'static str {
    let error = error.unwrap_or_default().to_ascii_lowercase();
    let meaning = match error.as_str() {
        e if e.contains("refused") => "refused",
        e if e.contains("timeout") || e.contains("timed out") => "timeout",
        e if e == "dns" || e.contains("resolve") || e.contains("lookup") => "dns",
        e if e == "tls" || e.contains("certificate") || e.contains("handshake") => "tls",
        other => known.iter().find(|word| **word == other).copied().unwrap_or(otherwise),
    };
    known.iter().find(|word| **word == meaning).copied().unwrap_or(otherwise)
}
