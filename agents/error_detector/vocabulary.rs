//! The checks a runbook may speak of, and the words they answer with.
//!
//! A name or word that is not in here is a slip of the pen in a runbook, and refused. It
//! has to follow the checks of the health monitor.

const MYSQL_REACHABLE: &[&str] =
    &["ok", "refused", "timeout", "too_many_connections", "auth", "error"];

/// What a check answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// A number.
    Number,
    /// One of these words.
    Words(&'static [&'static str]),
    /// One of these words, or a three-digit status code.
    WordsOrStatus(&'static [&'static str]),
    /// Any text.
    Text,
}

impl Values {
    /// Whether the check can answer with this word.
    pub fn admit(self, word: &str) -> bool {
        match self {
            Self::Number => word.parse::<f64>().is_ok(),
            Self::Words(words) => words.contains(&word),
            Self::WordsOrStatus(words) => {
                let is_status = word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit());
                words.contains(&word) || is_status
            }
            Self::Text => true,
        }
    }
}

use Values::{Number, Text, Words, WordsOrStatus};

/// Every check, without instances.
pub const CHECKS: &[(&str, Values)] = &[
    ("container.state", Words(CONTAINER_STATES)),
    ("container.health_check", Words(&["works", "broken"])),
    ("container.health", Words(&["healthy", "starting", "unhealthy", "none"])),
    ("container.deaths", Number),
    ("container.exit_code", Number),
    ("container.oom", Number),
    ("container.memory", Number),
    ("container.memory_forecast", Number),
    ("container.cpu", Number),
    ("container.start_error", Text),
    ("container.log_disk", Words(&["ok", "full"])),
    ("container.network", Words(&["connected", "disconnected"])),
    ("host.cpu", Number),
    ("host.memory", Number),
    ("host.memory_forecast", Number),
    ("host.swap", Number),
    ("host.load", Number),
    ("host.pressure_cpu", Number),
    ("host.pressure_memory", Number),
    ("host.pressure_io", Number),
    ("host.disk", Number),
    ("host.disk_forecast", Number),
    ("host.inodes", Number),
    ("host.inodes_forecast", Number),
    ("postgres.reachable", Words(POSTGRES_REACHABLE)),
    ("postgres.latency", Number),
    ("postgres.connections", Number),
    ("postgres.connections_forecast", Number),
    ("postgres.idle_in_transaction", Number),
    ("postgres.blocked", Number),
    ("postgres.recovery", Words(&["primary", "recovery"])),
    ("postgres.config", Words(&["loaded", "rules_waiting", "settings_waiting", "faulty"])),
    ("mysql.reachable", Words(MYSQL_REACHABLE)),
    ("mysql.latency", Number),
    ("mysql.connections", Number),
    ("mysql.connections_forecast", Number),
    ("mysql.idle_in_transaction", Number),
    ("mysql.blocked", Number),
    ("redis.reachable", Words(&["ok", "refused", "timeout", "auth", "error"])),
    ("redis.latency", Number),
    ("redis.memory", Number),
    ("redis.memory_forecast", Number),
    ("redis.writes", Words(&["accepted", "rejected"])),
    ("redis.loading", Words(&["ready", "loading"])),
    ("redis.clients", Number),
    ("redis.clients_forecast", Number),
    ("http.status", WordsOrStatus(&["ok", "timeout", "refused", "dns", "tls", "body", "error"])),
    ("http.latency", Number),
    ("http.certificate", Number),
    ("tcp.reachable", Words(&["ok", "refused", "timeout", "dns", "error"])),
];

const CONTAINER_STATES: &[&str] = &[
    "running",
    "starting",
    "completed",
    "stopped",
    "exited",
    "crash_loop",
    "restarting",
    "paused",
    "created",
    "start_failed",
    "dead",
    "removing",
    "unknown",
];

const POSTGRES_REACHABLE: &[&str] =
    &["ok", "refused", "timeout", "starting", "too_many_connections", "auth", "error"];

/// What a check answers with; `None` for a name no check has.
pub fn values_of(check: &str) -> Option<Values> {
    CHECKS.iter().find(|(name, _)| *name == check).map(|(_, values)| *values)
}
