//! A command of a person's own, as the settings declare it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::TargetId;

/// A program with its arguments; no shell reads them.
pub type Argv = Vec<String>;

/// What a person declared to be run for a target.
///
/// It comes from the settings and from nowhere else: neither labels nor requests carry one, and
/// whoever runs it compares it with the settings again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Its name, unique.
    pub name: String,
    /// What it mends.
    pub target: TargetId,
    /// What is run.
    pub argv: Argv,
    /// What takes that back; harmless where nothing of it was done.
    pub undo: Option<Argv>,
    /// What ends with 0 where it is done, and changes nothing.
    pub check: Option<Argv>,
    /// How long each of them may take.
    pub limit: Duration,
    /// The variables of Selfheal's own environment that they are given.
    pub environment: Vec<String>,
}

/// One of the things a command can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CommandPart {
    /// To do it.
    Run,
    /// To take it back.
    Undo,
    /// Whether it is done.
    Check,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; `None` where a signal ended it.
    pub exit_code: Option<i32>,
    /// The last lines of what it wrote, without control characters and secrets.
    pub output: String,
}

impl Command {
    /// Whether the other runs the same programs for the same target. How long they may take, and
    /// which variables they see, does not change what they do.
    pub fn does_the_same_as(&self, other: &Self) -> bool {
        let what = |command: &Self| {
            let Self { name, target, argv, undo, check, .. } = command.clone();
            (name, target, argv, undo, check)
        };
        what(self) == what(other)
    }

    /// What is run for this part, if it was declared.
    pub fn part(&self, part: CommandPart) -> Option<&Argv> {
        match part {
            CommandPart::Run => Some(&self.argv),
            CommandPart::Undo => self.undo.as_ref(),
            CommandPart::Check => self.check.as_ref(),
        }
    }
}

impl Ran {
    /// Whether it says that all went well.
    pub fn is_success(&self) -> bool {
        self.exit_code == Some(0)
    }

    /// How it ended, in words.
    pub fn says(&self) -> String {
        let how = match self.exit_code {
            Some(code) => format!("it ended with {code}"),
            None => "it was ended by a signal".to_owned(),
        };
        if self.output.is_empty() { how } else { format!("{how}: {}", self.output) }
    }
}
