//! The settings of running servers that fixes may change.

use serde::{Deserialize, Serialize};

/// One setting; what is not in here is never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerSetting {
    /// Redis' `maxmemory`, in bytes; 0 is unlimited.
    RedisMaxmemory,
    /// Redis' `maxmemory-policy`.
    RedisMaxmemoryPolicy,
}

impl ServerSetting {
    /// The server's own name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RedisMaxmemory => "maxmemory",
            Self::RedisMaxmemoryPolicy => "maxmemory-policy",
        }
    }
}
