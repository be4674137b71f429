//! Settings: read from a file, the environment and the command line, checked all at once.
//!
//! The one invariant: a [`Settings`] that leaves this module holds no impossible value, and
//! every value knows where it came from. Nothing else in the program reads a settings file
//! or an environment variable of ours. What the settings *do* is decided elsewhere.
//!
//! The way of a value: `tree` (what was written, with its place), `overlay` (environment and
//! flags over the file), `credentials` (systemd's folder for secrets), `shape` (against the schema), `settings` (typed), `meaning` (what
//! the schema cannot say), `secrets` (files named by settings).

mod channels;
mod commands;
mod credentials;
mod declared;
mod engines;
mod fault;
mod fleet;
mod formats;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzzed;
mod heartbeat;
mod load;
mod meaning;
mod overlay;
mod routes;
mod secrets;
mod settings;
mod shape;
mod show;
mod streams;
mod traces;
mod tree;
mod values;
mod watch;

pub use channels::*;
pub use commands::*;
pub use declared::*;
pub use engines::Engine;
pub use fault::{ConfigError, Fault, Place};
pub use fleet::Fleet;
pub use formats::{is_open, parse_cron, parse_time_zone};
pub use heartbeat::Heartbeat;
pub use load::{Loaded, Sources, load, load_from};
pub use routes::*;
pub use settings::*;
pub use show::Shown;
pub use traces::Traces;
pub use values::{Address, MemoryCap, Secret};
pub use watch::{Changes, Reloader, watch};

/// The JSON schema of the settings file.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Settings).to_value()
}

#[cfg(test)]
mod tests;
