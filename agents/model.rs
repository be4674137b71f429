//! The vocabulary: one type per word of the design, illegal states unbuildable.
//!
//! Nothing here does anything but hold, check and convert values. Every type that
//! is stored or shown derives `Serialize`; the JSON form is what the store keeps
//! and what the API answers, so a renamed field is a migration.

mod backup;
mod blueprint;
mod change;
mod command;
mod confidence;
mod diagnosis;
mod endpoint;
mod event;
mod facts;
mod finding;
mod fix;
mod hold;
mod host_facts;
mod incident;
mod journal;
mod log;
mod log_file;
mod managed;
mod message;
mod neighbour;
mod observation;
mod outcome;
mod outside_alert;
mod redact;
mod rehearsal;
mod runbook;
mod server_setting;
mod service_facts;
mod shadow;
mod target;
mod tunable;
mod validation;

pub use backup::*;
pub use blueprint::*;
pub use change::*;
pub use command::*;
pub use confidence::*;
pub use diagnosis::*;
pub(crate) use endpoint::on_disk;
pub use endpoint::*;
pub use event::*;
pub use facts::*;
pub use finding::*;
pub use fix::*;
pub use hold::*;
pub use host_facts::*;
pub use incident::*;
pub use journal::*;
pub use log::*;
pub use log_file::*;
pub use managed::*;
pub use message::*;
pub use neighbour::*;
pub use observation::*;
pub use outcome::*;
pub use outside_alert::*;
pub use redact::*;
pub use rehearsal::*;
pub use runbook::*;
pub use server_setting::*;
pub use service_facts::*;
pub use shadow::*;
pub use target::*;
pub use tunable::*;
pub use validation::*;

/// A moment in UTC. Agents are given it; they never ask the machine.
pub type Timestamp = chrono::DateTime<chrono::Utc>;

/// A fresh version 7 UUID whose time part is `at`, so that ids sort by age.
pub fn time_ordered_id(at: Timestamp) -> uuid::Uuid {
    let seconds = u64::try_from(at.timestamp()).unwrap_or(0);
    uuid::Uuid::new_v7(uuid::Timestamp::from_unix(
        uuid::NoContext,
        seconds,
        at.timestamp_subsec_nanos(),
    ))
}
