//! What somebody changed about a container: the first question after every trouble.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{TargetId, Timestamp};

/// What kind of thing changed. The order is how much it tells: the earlier explains more.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// The image it is made from.
    Image,
    /// A configuration file mounted into it.
    File,
    /// Its environment.
    Environment,
    /// What is run in it.
    Command,
    /// What is mounted into it.
    Mounts,
    /// The networks it is on.
    Networks,
    /// Its limits of memory and processor.
    Limits,
    /// The ports of the host that it publishes.
    Ports,
    /// How Docker checks its health.
    HealthCheck,
    /// It was made anew.
    Deployed,
    /// When Docker starts it again by itself.
    RestartPolicy,
    /// Its labels.
    Labels,
    /// It was started by somebody.
    Started,
}

impl ChangeKind {
    /// Every kind, the most telling first.
    pub const ALL: [Self; 13] = [
        Self::Image,
        Self::File,
        Self::Environment,
        Self::Command,
        Self::Mounts,
        Self::Networks,
        Self::Limits,
        Self::Ports,
        Self::HealthCheck,
        Self::Deployed,
        Self::RestartPolicy,
        Self::Labels,
        Self::Started,
    ];

    /// The word used in runbooks, the store and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Command => "command",
            Self::Mounts => "mounts",
            Self::Networks => "networks",
            Self::Limits => "limits",
            Self::Ports => "ports",
            Self::HealthCheck => "health_check",
            Self::Deployed => "deployed",
            Self::RestartPolicy => "restart_policy",
            Self::Labels => "labels",
            Self::Started => "started",
        }
    }
}

/// One change of one container. It names what changed, never a value that may be secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// When: the file's own time, the container's own time of making or start; where neither
    /// tells, when it was noticed.
    pub at: Timestamp,
    /// The container.
    pub target: TargetId,
    /// What kind of thing.
    pub kind: ChangeKind,
    /// In words, such as `the image changed from a1b2c3d4e5f6 to c3d4e5f6a1b2`.
    pub what: String,
    /// Whether Selfheal itself was changing this container then.
    #[serde(default)]
    pub by_selfheal: bool,
}

/// In what a container is not as it was when it was last seen to work for long.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// It is made from another image.
    Image,
    /// It lacks an environment variable that it had.
    VariableLost,
    /// Its environment is another in any other way.
    Environment,
    /// Something else is run in it.
    Command,
    /// Something else is mounted into it.
    Mounts,
    /// A configuration file mounted into it was changed.
    File,
    /// It is on other networks.
    Networks,
    /// It has other memory limits.
    Limits,
}

/// A container that was made anew, compared with the one that worked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SinceWell {
    /// In what they differ.
    pub differs: std::collections::BTreeSet<Difference>,
    /// Whether the new one was never seen to work.
    pub never_well: bool,
}
