//! The settings of the sign of life to a dead-man's switch.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{DurationText, Secret, duration};

/// A sign of life, asked for by `GET` from time to time while all of Selfheal turns: whoever gets it
/// (healthchecks.io, Uptime Kuma's push monitor, a dead-man's switch of your own) raises the alarm
/// when it stays away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Heartbeat {
    /// The address that is asked for; without one nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Secret>,
    /// A file that holds the address, instead of `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// How often.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText")]
    pub every: Duration,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { url: None, url_file: None, every: Duration::from_mins(1) }
    }
}
