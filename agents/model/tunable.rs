//! Declared settings that fixes may turn, and how far.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TargetId;

/// What a tunable means to the service; decides in which direction a fix turns it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TunableRole {
    /// A pause between calls; raised against rate limits.
    Delay,
    /// How much is done at once; lowered against overload.
    BatchSize,
    /// How long an answer is waited for; raised against slow but working peers.
    Timeout,
    /// How many connections are kept; lowered when a server runs out of them.
    PoolSize,
    /// A memory allowance inside the service.
    Memory,
}

impl TunableRole {
    /// The word used in settings, labels and runbooks.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::BatchSize => "batch_size",
            Self::Timeout => "timeout",
            Self::PoolSize => "pool_size",
            Self::Memory => "memory",
        }
    }

    /// Every role.
    pub const ALL: [Self; 5] =
        [Self::Delay, Self::BatchSize, Self::Timeout, Self::PoolSize, Self::Memory];
}

/// How a changed file reaches the running service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplyMethod {
    /// Restart the container.
    #[default]
    Restart,
    /// Send this signal to the container's first process, such as `HUP`.
    Signal(String),
    /// The service reads the file by itself.
    None,
}

impl ApplyMethod {
    /// Whether a change takes effect without an interruption of the service.
    pub const fn is_smooth(&self) -> bool {
        !matches!(self, Self::Restart)
    }
}

/// A declared setting that fixes may turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tunable {
    /// Whose behaviour it changes.
    pub target: TargetId,
    /// The file on the host.
    pub file: String,
    /// The key in it: dots separate levels.
    pub key: String,
    /// What it means.
    pub role: TunableRole,
    /// Lowest value a fix may set.
    pub min: f64,
    /// Highest value a fix may set.
    pub max: f64,
    /// How a change takes effect.
    pub apply: ApplyMethod,
    /// Whether a smaller change is tried once one has helped.
    #[serde(default)]
    pub walk_back: bool,
}
