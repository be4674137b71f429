//! The port to programs of a person's own.

use async_trait::async_trait;

use super::WorldResult;
use crate::model::{Command, CommandPart, Ran};

/// Runs commands that the settings declare, and nothing else.
#[async_trait]
pub trait Commands: Send + Sync {
    /// The command that is declared under this name now.
    fn declared(&self, name: &str) -> Option<Command>;
    /// Runs one part of it to its end; past its time limit it is ended, with everything it
    /// started. That it ended badly is an answer; an error is that it was not run, was not
    /// permitted, is not what is declared now, or did not end in time.
    async fn run(&self, command: &Command, part: CommandPart) -> WorldResult<Ran>;
}
