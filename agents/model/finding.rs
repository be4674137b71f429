//! Something wrong with one target.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CheckName, Side, TargetId, Timestamp};

/// How bad a finding is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know; never opens an incident by itself.
    Info,
    /// Worth a look.
    Warning,
    /// Broken.
    Critical,
}

/// The family an error belongs to.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// An API answers with errors.
    ApiErrors,
    /// The program threw.
    Exceptions,
    /// A database refuses, is full or blocked.
    Database,
    /// Somebody asks us to slow down.
    RateLimit,
    /// Too little memory.
    Memory,
    /// Too little processor time.
    Cpu,
    /// Answers come too late.
    Timeout,
    /// A setting is wrong.
    Configuration,
    /// A disk is full or broken.
    Disk,
    /// A network, name or address is missing.
    Network,
    /// A certificate or handshake is wrong.
    Tls,
    /// It starts and dies again and again.
    CrashLoop,
    /// It ended by itself.
    Crash,
    /// It lives but does not answer.
    Hang,
    /// What it needs is away.
    Dependency,
}

impl Category {
    /// The word used in runbooks and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiErrors => "api_errors",
            Self::Exceptions => "exceptions",
            Self::Database => "database",
            Self::RateLimit => "rate_limit",
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Timeout => "timeout",
            Self::Configuration => "configuration",
            Self::Disk => "disk",
            Self::Network => "network",
            Self::Tls => "tls",
            Self::CrashLoop => "crash_loop",
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Dependency => "dependency",
        }
    }
}

/// How a finding was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum FindingSource {
    /// A check's verdict.
    Check {
        /// Which.
        check: CheckName,
        /// The value, as shown.
        value: String,
    },
    /// A runbook's signature in a log.
    Log {
        /// Which runbook.
        runbook: String,
        /// Who says so: the target, or the target about something it depends on.
        #[serde(default, skip_serializing_if = "Side::is_server")]
        side: Side,
    },
    /// Error lines that no runbook knows, and that are odd for this container.
    Pattern {
        /// What is odd.
        oddity: Oddity,
        /// The ids of the patterns, 16 hexadecimal digits each, the most frequent first.
        patterns: Vec<String>,
        /// Who wrote them.
        containers: Vec<TargetId>,
    },
    /// Another program, such as Prometheus' Alertmanager, says so.
    Alert {
        /// What that program calls the alert.
        name: String,
        /// Its id there: the same alert told twice has the same.
        fingerprint: String,
    },
}

/// What is odd about lines that no runbook knows.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Oddity {
    /// Such lines were never seen while the container was well.
    New,
    /// There are far more of them than usual.
    Rising,
    /// Several containers began to write theirs at the same moment.
    Together,
}

impl Oddity {
    /// The word used in keys and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Rising => "rising",
            Self::Together => "together",
        }
    }
}

/// Whether the count rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trend {
    /// More than in the previous interval.
    Rising,
    /// As before, or seen once.
    Steady,
    /// Fewer.
    Falling,
}

/// Something wrong with one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The same trouble of the same target always has the same key:
    /// `TARGET check NAME`, `TARGET log RUNBOOK`, `TARGET log RUNBOOK client`,
    /// `TARGET lines ODDITY`, or `TARGET alert FINGERPRINT`.
    pub key: String,
    /// What is wrong with it.
    pub target: TargetId,
    /// How it was seen.
    pub source: FindingSource,
    /// Its family.
    pub category: Category,
    /// How bad.
    pub severity: Severity,
    /// One sentence a person understands.
    pub message: String,
    /// A few lines or values as they were, redacted and shortened.
    pub samples: Vec<String>,
    /// How many lines or samples.
    pub count: u64,
    /// First time seen in this incident.
    pub first_seen: Timestamp,
    /// Last time seen.
    pub last_seen: Timestamp,
    /// Whether it rises.
    pub trend: Trend,
}

impl Finding {
    /// The key of a check's finding.
    pub fn check_key(target: &TargetId, check: &str) -> String {
        format!("{target} check {check}")
    }

    /// The key of a finding about lines that no runbook knows.
    pub fn pattern_key(target: &TargetId, oddity: Oddity) -> String {
        format!("{target} lines {}", oddity.as_str())
    }

    /// Whether it is about lines that no runbook knows: evidence, but never by itself a reason
    /// to blame or to change anything.
    pub const fn is_pattern(&self) -> bool {
        matches!(self.source, FindingSource::Pattern { .. })
    }

    /// The key of an alert of another program.
    pub fn alert_key(target: &TargetId, fingerprint: &str) -> String {
        format!("{target} alert {fingerprint}")
    }

    /// Whether another program says so, and Selfheal saw nothing of it itself.
    pub const fn is_alert(&self) -> bool {
        matches!(self.source, FindingSource::Alert { .. })
    }

    /// Whether something is wrong, rather than good to know.
    pub fn is_trouble(&self) -> bool {
        self.severity >= Severity::Warning
    }

    /// Whether Selfheal itself sees that something is wrong, beside what others say.
    pub fn is_own_trouble(&self) -> bool {
        self.is_trouble() && !self.is_alert()
    }

    /// The key of a log finding.
    pub fn log_key(target: &TargetId, runbook: &str, side: Side) -> String {
        match side {
            Side::Server => format!("{target} log {runbook}"),
            Side::Client => format!("{target} log {runbook} client"),
        }
    }
}
