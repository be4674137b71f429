//! The settings of Redis Streams.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{self, Secret};
use crate::streams::Address;

/// Redis Streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Streams {
    /// The Redis server for jobs and results: `redis://`, `rediss://` (TLS) or `redis+unix://`, with
    /// user, password and number of the database as in `redis://app:secret@cache:6379/0`, or a
    /// cluster as in `redis+cluster://app:secret@one:7000,two:7000` (with TLS `rediss+cluster://`);
    /// empty switches streams off. Whoever can write there decides like an operator.
    pub url: values::Address,
    /// A file that holds `url`, for one with a password.
    pub url_file: Option<PathBuf>,
    /// The name under which Sentinels know the server. Where it is given, `url` leads to a Sentinel,
    /// and user, password and database in it are the server's.
    pub sentinel_master: String,
    /// More Sentinels, for when the one in `url` is away.
    pub sentinels: Vec<values::Address>,
    /// The user that the Sentinels themselves know Selfheal by, where their settings have users; with
    /// a password alone it is their `default` one.
    pub sentinel_user: String,
    /// The password that the Sentinels themselves ask for, which need not be the server's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentinel_password: Option<Secret>,
    /// A file that holds it, instead of `sentinel_password`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentinel_password_file: Option<PathBuf>,
    /// What the names of all streams begin with; in a cluster with braces, as in
    /// `{maestro:streams:automation}`, so that all of them lie on one server.
    pub prefix: String,
    /// Under which name this Selfheal takes jobs and tells what happens; where it is empty that of
    /// `fleet.node`, and without that the machine's.
    pub node: String,
    /// About so many messages stay in each stream; older ones go.
    pub max_length: u64,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            url: values::Address::default(),
            url_file: None,
            sentinel_master: String::new(),
            sentinels: vec![],
            sentinel_user: String::new(),
            sentinel_password: None,
            sentinel_password_file: None,
            prefix: "maestro:streams:automation".to_owned(),
            node: String::new(),
            max_length: 100_000,
        }
    }
}

impl Streams {
    /// Whether there are any.
    pub fn are_on(&self) -> bool {
        !self.url.is_empty()
    }

    /// Where Redis is; the error says what is wrong with one of the addresses, without it.
    pub fn address(&self) -> Result<Address, String> {
        let url = self.url.expose().trim();
        match (Address::is_cluster(url), self.sentinel_master.is_empty()) {
            (true, true) => return Address::cluster(url, &format!("{}:jobs", self.prefix)),
            (true, false) => return Err("a cluster has no Sentinels".to_owned()),
            (false, true) => return Address::server(url),
            (false, false) => {}
        }
        let others: Vec<&str> = self.sentinels.iter().map(|one| one.expose().trim()).collect();
        let password = self.sentinel_password.as_ref().map(Secret::expose);
        let login = password.map(|password| (self.sentinel_user.as_str(), password));
        Address::sentinels(url, &self.sentinel_master, &others, login)
    }
}
