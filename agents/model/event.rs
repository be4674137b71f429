//! What the container runtime tells by itself.

use serde::{Deserialize, Serialize};

use super::{HealthStatus, TargetId, Timestamp};

/// One event of the container runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeEvent {
    /// The runtime's own time.
    pub at: Timestamp,
    /// The container.
    pub target: TargetId,
    /// What happened.
    pub kind: RuntimeEventKind,
    /// Whether Selfheal was changing this container then.
    pub by_selfheal: bool,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RuntimeEventKind {
    /// The first process ended.
    Die {
        /// Its exit code.
        exit_code: i64,
    },
    /// A process of the container was killed for memory.
    Oom,
    /// The health check changed its mind.
    Health {
        /// What it says now.
        status: HealthStatus,
    },
    /// Somebody sent a signal through the runtime.
    Kill {
        /// The signal's number, `15` or `9` mostly.
        signal: String,
    },
    /// Somebody asked for a stop, and it is done.
    Stop,
    /// It was started.
    Start,
    /// It joined a network.
    NetworkConnect {
        /// The network's name.
        network: String,
    },
    /// It left a network.
    NetworkDisconnect {
        /// The network's name.
        network: String,
    },
    /// It was made.
    Create,
    /// It was removed.
    Destroy,
}

impl RuntimeEventKind {
    /// The runtime's word for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Die { .. } => "die",
            Self::Oom => "oom",
            Self::Health { .. } => "health_status",
            Self::Kill { .. } => "kill",
            Self::Stop => "stop",
            Self::Start => "start",
            Self::NetworkConnect { .. } => "network_connect",
            Self::NetworkDisconnect { .. } => "network_disconnect",
            Self::Create => "create",
            Self::Destroy => "destroy",
        }
    }
}
