//! The settings of several Selfheals that share one PostgreSQL.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};

use super::settings::Settings;
use super::values::{DurationText, duration};
use crate::store::PostgresUrl;

/// The longest name: that of its schema must not be cut off.
const LONGEST: usize = 40;
/// How much of a longer one is kept before what tells it from others that begin so.
const KEPT: usize = LONGEST - 9;

/// Several Selfheals that share the PostgreSQL database of `store.url`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fleet {
    /// The name of this node among the others, each another; its host's name will do. It is made
    /// lower case, what is no letter, digit, `-` or `_` becomes `-`, and of more than 40 signs the
    /// last become a hash of the whole: `config check` tells it. Empty: it is alone. Each node's
    /// history lies in a schema of its own, `selfheal_NAME`.
    #[serde(deserialize_with = "folded")]
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

/// A name as it may be part of a schema's. What is one already stays as it is.
fn folded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(fold(&String::deserialize(deserializer)?))
}

fn fold(name: &str) -> String {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() || c == '_' => c,
        _ => '-',
    };
    let mut folded: String = name.chars().map(plain).collect();
    if folded.len() > LONGEST {
        folded.truncate(KEPT);
        // Names of cloud machines often differ in their last signs alone.
        let whole = Sha256::digest(name);
        folded.push('-');
        folded.extend(whole.iter().take(4).map(|byte| format!("{byte:02x}")));
    }
    folded
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_name_becomes_one_that_a_schema_can_have_and_is_that_from_then_on() {
        for (given, name) in [
            ("nas", "nas"),
            ("node_1-b", "node_1-b"),
            ("ip-10-0-0-1.ec2.internal", "ip-10-0-0-1-ec2-internal"),
            ("NAS.Küche lan", "nas-k-che-lan"),
            ("", ""),
        ] {
            assert_eq!(fold(given), name);
            assert_eq!(fold(name), name);
        }
    }

    #[test]
    fn two_long_names_stay_two_although_only_their_ends_differ() {
        let long = |end: char| format!("worker-{}{end}", "0".repeat(60));
        let (one, other) = (fold(&long('1')), fold(&long('2')));
        assert_ne!(one, other);
        for name in [one, other] {
            assert_eq!(name.len(), LONGEST);
            assert!(name.starts_with("worker-000") && fold(&name) == name, "{name}");
        }
        assert_eq!(fold(&"a".repeat(LONGEST)), "a".repeat(LONGEST));
    }
}
