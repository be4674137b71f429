//! Commands of a person's own: what runbooks of their own may run.

use std::time::Duration;

use schemars::JsonSchema;
use selfheal_agents::model::{Command, TargetId};
use serde::{Deserialize, Serialize};

use super::settings::Settings;
use super::values::{DurationText, TargetText, duration};

/// A program of your own that a runbook of your own may run for a target. It comes from this
/// file alone: labels and requests never carry one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandSettings {
    /// Its name, by which a runbook asks for it: `action = "command"`,
    /// `with = { command = "NAME" }`.
    pub name: String,
    /// What it mends; it is run only where this, or what runs in it, is blamed.
    #[schemars(with = "TargetText")]
    pub target: TargetId,
    /// The program with its whole path, then its arguments. No shell reads them, and every user of
    /// this machine can see them while it runs: no secrets.
    pub argv: Vec<String>,
    /// What takes that back, in the same form; it must be harmless where nothing was done. Without
    /// `undo` and `check` a person is asked each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Vec<String>>,
    /// What ends with 0 where it is done and with another code where it is not, in the same form;
    /// it must change nothing. Without it the command is never run again after an interruption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Vec<String>>,
    /// How long each of them may take; then it is ended, with what stayed in its process group.
    #[serde(with = "duration", default = "default_timeout")]
    #[schemars(with = "DurationText")]
    pub timeout: Duration,
    /// Variables of Selfheal's own environment that they are given, beside PATH and LANG.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<String>,
}

const fn default_timeout() -> Duration {
    Duration::from_secs(30)
}

impl Settings {
    /// The declared commands in the model's words.
    pub fn declared_commands(&self) -> Vec<Command> {
        let commands = self.commands.iter().cloned().map(|declared| Command {
            name: declared.name,
            target: declared.target,
            argv: declared.argv,
            undo: declared.undo,
            check: declared.check,
            limit: declared.timeout,
            environment: declared.environment,
        });
        commands.collect()
    }
}
