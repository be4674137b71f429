//! The machine itself: its time, what it says of its load, and its configuration files.
//!
//! Nothing here can hang a caller: every look runs beside the runtime under a time limit,
//! and file systems that can hang (network, FUSE) are never asked. It judges nothing and
//! changes nothing but the one file it is told to replace, the logs it is told to trim, and the
//! processes that `selfheal drill` stops or ends; what a person's own commands change is theirs.

mod commands;
mod connections;
mod files;
mod logs;
mod mounts;
mod processes;
mod sensor;

pub use commands::{LocalCommands, check_program, keeps_a_limit};
pub use files::LocalFiles;
pub use logs::LocalLogs;
pub use processes::{HeldProcesses, HoldError};
pub use sensor::LocalHost;

use selfheal_agents::model::Timestamp;
use selfheal_agents::ports::Clock;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        chrono::Utc::now()
    }
}
