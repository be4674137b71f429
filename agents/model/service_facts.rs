//! What data services and endpoints answered, before anybody judged it.

use serde::{Deserialize, Serialize};

use super::{ServerSetting, Timestamp};

/// A session of a database server that is in the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    /// Process id of the backend; MySQL's id of the connection.
    pub pid: i64,
    /// When the backend started; with the pid it names one session for ever. MySQL does not tell.
    pub backend_start: Option<Timestamp>,
    /// Where its client is, for MySQL: with the id it names one session for ever.
    #[serde(default)]
    pub address: String,
    /// `pg_stat_activity.state`, and the like of MySQL.
    pub state: String,
    /// Seconds in that state.
    pub state_secs: f64,
    /// Its user.
    pub user: String,
    /// `application_name`.
    pub application: String,
    /// How many backends wait for it, directly or not.
    pub blocks: u32,
}

impl Backend {
    /// How the state of one reads that does nothing and has no transaction open.
    pub const IDLE: &str = "idle";
}

/// One session of a database server, named for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// As [`Backend::pid`].
    pub pid: i64,
    /// As [`Backend::backend_start`].
    pub backend_start: Option<Timestamp>,
    /// As [`Backend::address`].
    #[serde(default)]
    pub address: String,
    /// Whether it was chosen for the transaction that it had open: once that is over it is in
    /// nobody's way.
    #[serde(default)]
    pub in_transaction: bool,
    /// Who it is, for the record.
    pub who: String,
}

impl Session {
    /// Whether `backend` is this very session, with the transaction that it was chosen for.
    pub fn is(&self, backend: &Backend) -> bool {
        self.pid == backend.pid
            && self.backend_start == backend.backend_start
            && self.address == backend.address
            && !(self.in_transaction && backend.state == Backend::IDLE)
    }
}

/// What a PostgreSQL or MySQL server says. A connection that failed leaves all but `error` empty.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DatabaseFacts {
    /// Whether a connection and a query succeeded.
    pub reachable: bool,
    /// Why not, shortened and without secrets.
    pub error: Option<String>,
    /// The SQLSTATE of PostgreSQL's refusal, such as `53300`.
    pub sqlstate: Option<String>,
    /// Time to connect and answer `SELECT 1`, in milliseconds.
    pub latency_ms: Option<f64>,
    /// Client connections in use.
    pub connections: Option<u32>,
    /// `max_connections` without those that are reserved for superusers and the like: applications
    /// are turned away when these are taken. MySQL keeps its one for administrators on top.
    pub max_connections: Option<u32>,
    /// Sessions idle in transaction, longest first.
    pub idle_in_transaction: Vec<Backend>,
    /// MySQL: sessions that do nothing and hold no transaction, longest first, at most a few
    /// hundred; asked for only where few connections are left.
    #[serde(default)]
    pub idle: Vec<Backend>,
    /// Sessions others wait for, most waited-for first.
    pub blockers: Vec<Backend>,
    /// Backends waiting for a lock.
    pub blocked: Option<u32>,
    /// Whether the server is in recovery or starting up, or MySQL runs in forced recovery: hands off.
    pub in_recovery: bool,
    /// Programs that back it up or restore it, connected now.
    #[serde(default)]
    pub backups: Vec<String>,
    /// PostgreSQL: the settings that fixes may change, as it works with them.
    #[serde(default)]
    pub settings: Vec<SettingFacts>,
    /// PostgreSQL: whether it works with its configuration files as they are; known to superusers only.
    #[serde(default)]
    pub config: Option<ConfigState>,
}

/// A setting that a PostgreSQL server works with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingFacts {
    /// Which.
    pub setting: ServerSetting,
    /// Its value, in the setting's own unit.
    pub value: i64,
    /// `pg_settings.context`: what it takes to change it, such as `sighup`.
    pub context: String,
    /// Of whom the server was told another value, which goes before its files: a role, a database,
    /// or a role in a database, in words.
    #[serde(default)]
    pub overruled_for: Option<String>,
}

/// What became of the newest configuration files of a PostgreSQL server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigState {
    /// It works with them.
    Loaded,
    /// `pg_hba.conf` alone was written since it was loaded.
    RulesWaiting,
    /// A file of settings was written since it was loaded.
    SettingsWaiting,
    /// One was written since and has an error.
    Faulty,
}

/// What a Redis server says.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RedisFacts {
    /// Whether `PING` was answered.
    pub reachable: bool,
    /// Why not.
    pub error: Option<String>,
    /// Time to connect and answer, in milliseconds.
    pub latency_ms: Option<f64>,
    /// `used_memory`.
    pub used_memory_bytes: Option<u64>,
    /// `maxmemory`; `None` when unlimited.
    pub maxmemory_bytes: Option<u64>,
    /// `maxmemory_policy`.
    pub maxmemory_policy: Option<String>,
    /// Whether a write would be refused (`noeviction` at the limit, or a failed
    /// background save with `stop-writes-on-bgsave-error`).
    pub writes_rejected: bool,
    /// Whether it still loads its data.
    pub loading: bool,
    /// Connected clients.
    pub clients: Option<u32>,
    /// `maxclients`.
    pub max_clients: Option<u32>,
    /// Keys that expire by themselves, in all databases.
    pub expiring_keys: Option<u64>,
    /// Clients that do nothing, longest idle first, at most a few hundred; asked for only where
    /// few connections are left.
    pub idle_clients: Vec<RedisClient>,
}

impl RedisFacts {
    /// Whether it makes room for what is written once it is full; `None` where that is not known.
    /// A `volatile-*` policy has nothing to evict where no key expires.
    pub fn evicts(&self) -> Option<bool> {
        let policy = self.maxmemory_policy.as_deref()?;
        if policy.starts_with("volatile-") {
            return Some(self.expiring_keys? > 0);
        }
        Some(policy.starts_with("allkeys-"))
    }
}

/// A client of Redis that only holds its connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisClient {
    /// `id`; a server gives each once in its life.
    pub id: u64,
    /// `addr`: with the id it names one connection for ever.
    pub address: String,
    /// Seconds since its last command.
    pub idle_secs: u64,
}

/// What an HTTP endpoint answered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HttpFacts {
    /// Whether status and body were as asked.
    pub ok: bool,
    /// Status code, if any answer came.
    pub status: Option<u16>,
    /// What was wrong.
    pub error: Option<String>,
    /// Whether the time limit ended it: the peer hangs rather than refuses.
    pub timed_out: bool,
    /// Time to the whole answer, in milliseconds.
    pub latency_ms: Option<f64>,
    /// End of the certificate's validity, for https.
    pub certificate_expires_at: Option<Timestamp>,
}

/// What a TCP endpoint did.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TcpFacts {
    /// Whether it accepted.
    pub reachable: bool,
    /// Why not.
    pub error: Option<String>,
    /// Time to accept, in milliseconds.
    pub latency_ms: Option<f64>,
}
