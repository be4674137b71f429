//! The settings of several Selfheals that share one PostgreSQL.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::settings::Settings;
use super::values::{DurationText, duration};
use crate::store::PostgresUrl;

/// Several Selfheals that share the PostgreSQL database of `store.url`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fleet {
    /// The name of this node among the others, each another: lower-case letters, digits, `-` and
    /// `_`. Empty: it is alone. Each node's history lies in a schema of its own, `selfheal_NAME`.
    pub node: String,
    /// For how long a node has what several reach without renewing it. One that ends or hangs is
    /// replaced within 15 s with the usual 8 s, and within twice that time with a longer one; the same
    /// on all nodes.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText")]
    pub lease: Duration,
    /// Names and addresses by which containers of other nodes reach this host, beside its host name
    /// and its addresses (which a Selfheal in a container does not see): `["nas.lan"]`.
    pub hosts: Vec<String>,
}

impl Default for Fleet {
    fn default() -> Self {
        Self { node: String::new(), lease: Duration::from_secs(8), hosts: vec![] }
    }
}

impl Fleet {
    /// Whether there are other nodes.
    pub fn is_on(&self) -> bool {
        !self.node.is_empty()
    }
}

impl Settings {
    /// Where history is sent: in a fleet each node's into a schema of its own.
    pub fn history(&self) -> Result<Option<PostgresUrl>, String> {
        let url = self.store.postgres()?;
        let own = |url: PostgresUrl| {
            if self.fleet.is_on() {
                url.within(&format!("selfheal_{}", self.fleet.node))
            } else {
                url
            }
        };
        Ok(url.map(own))
    }
}
