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
    /// PostgreSQL's `max_wal_size`, in MiB: how much is written between two checkpoints. Listed
    /// because too little of it makes a busy server write every page again and again.
    PostgresMaxWalSize,
    /// PostgreSQL's `idle_in_transaction_session_timeout`, in milliseconds; 0 is none. Listed
    /// because a program that forgets its transactions does so again after one was ended.
    PostgresIdleInTransactionTimeout,
}

impl ServerSetting {
    /// Those of PostgreSQL. All take effect by a reload, in the units of `pg_settings`.
    pub const POSTGRES: [Self; 2] =
        [Self::PostgresMaxWalSize, Self::PostgresIdleInTransactionTimeout];

    /// The server's own name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RedisMaxmemory => "maxmemory",
            Self::RedisMaxmemoryPolicy => "maxmemory-policy",
            Self::PostgresMaxWalSize => "max_wal_size",
            Self::PostgresIdleInTransactionTimeout => "idle_in_transaction_session_timeout",
        }
    }

    /// The setting of PostgreSQL of that name, if a fix may change it.
    pub fn of_postgres(name: &str) -> Option<Self> {
        Self::POSTGRES.into_iter().find(|setting| setting.name() == name)
    }

    /// The command a person would type to set it; without a value the server's own default counts.
    pub fn command(self, value: Option<&str>) -> String {
        let name = self.name();
        if !self.is_of_postgres() {
            return format!("redis-cli CONFIG SET {name} {}", value.unwrap_or("0"));
        }
        let change = match value {
            Some(value) => format!("SET {name} = {value}"),
            None => format!("RESET {name}"),
        };
        format!("psql -c 'ALTER SYSTEM {change}' -c 'SELECT pg_reload_conf()'")
    }

    /// Whether it is one of PostgreSQL's.
    pub fn is_of_postgres(self) -> bool {
        Self::POSTGRES.contains(&self)
    }
}

/// A setting as a server has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingNow {
    /// What was set; `None` where the server has only its own default. PostgreSQL: what `ALTER
    /// SYSTEM` wrote, as it was written.
    pub value: Option<String>,
    /// Whether that is what the server works with. PostgreSQL: as far as it was written as a plain
    /// number.
    pub in_force: bool,
}
