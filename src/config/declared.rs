//! What a person declares because discovery cannot see it: targets, tunables, dependencies.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use selfheal_agents::model::{TargetId, TunableRole};
use serde::{Deserialize, Serialize};

use super::values::{Address, ApplyText, Secret, TargetText};

/// The kinds of target that settings can add.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DeclaredKind {
    /// An HTTP endpoint.
    Http,
    /// A PostgreSQL server.
    Postgres,
    /// A Redis or Valkey server.
    Redis,
    /// A TCP port that only has to accept.
    Tcp,
}

/// A target that discovery cannot see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetSettings {
    /// What it is: `http`, `postgres`, `redis` or `tcp`.
    pub kind: DeclaredKind,
    /// Its name; together with the kind it is unique.
    pub name: String,
    /// How it is reached: `http://` or `https://`, `postgres://user@host:port/database`,
    /// `redis://host:port/number` (`rediss://` with TLS), `tcp://host:port`.
    pub url: Address,
    /// The container whose symptom this target shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The password, for `postgres` and `redis`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// A file that holds the password, instead of `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Status codes that are right, for `http`; empty means 200 to 399.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(range(min = 100, max = 599)))]
    pub expected_status: Vec<u16>,
    /// A text the answer must hold, for `http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_contains: Option<String>,
    /// More request headers, for `http`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// Not ours to mend: it may be blamed, a person is told, nothing is touched.
    #[serde(default)]
    pub external: bool,
}

/// A setting of a service that fixes may turn, and how far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TunableSettings {
    /// Whose behaviour it changes.
    #[schemars(with = "TargetText")]
    pub target: TargetId,
    /// The file on this host, as an absolute path.
    pub file: PathBuf,
    /// The key in it; dots separate levels.
    pub key: String,
    /// What it means: `delay`, `batch_size`, `timeout`, `pool_size` or `memory`.
    pub role: TunableRole,
    /// The lowest value a fix may set.
    pub min: f64,
    /// The highest value a fix may set.
    pub max: f64,
    /// How a change reaches the service: `restart`, `signal:HUP` or `none` when it reads
    /// the file by itself.
    #[serde(default = "default_apply")]
    #[schemars(with = "ApplyText")]
    pub apply: String,
}

fn default_apply() -> String {
    "restart".to_owned()
}

/// `from` needs `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DependencySettings {
    /// Who needs.
    #[schemars(with = "TargetText")]
    pub from: TargetId,
    /// Who is needed.
    #[schemars(with = "TargetText")]
    pub to: TargetId,
}
