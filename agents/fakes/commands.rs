//! Commands of the fake world: each does one thing, and its undo takes that back.

use async_trait::async_trait;

use super::FakeWorld;
use crate::model::{Command, CommandPart, Ran};
use crate::ports::{Commands, WorldError, WorldResult};

impl FakeWorld {
    /// Declares a command, as the settings would.
    pub fn declares(&self, command: Command) -> &Self {
        self.state().commands.insert(command.name.clone(), command);
        self
    }

    /// How often a command was run, undone ones included.
    pub fn ran(&self, name: &str) -> usize {
        let effect = format!("command {name}");
        self.effects().iter().filter(|known| **known == effect).count()
    }

    /// Whether what a command does is done.
    pub fn is_done(&self, name: &str) -> bool {
        self.state().done.contains(name)
    }
}

#[async_trait]
impl Commands for FakeWorld {
    fn declared(&self, name: &str) -> Option<Command> {
        self.state().commands.get(name).cloned()
    }

    async fn run(&self, command: &Command, part: CommandPart) -> WorldResult<Ran> {
        let name = &command.name;
        let operation = match part {
            CommandPart::Run => "command",
            CommandPart::Undo => "undo command",
            CommandPart::Check => "check command",
        };
        if !self.answered(&format!("{operation} {name}"), command.limit).await {
            let (what, why) = (format!("the command `{name}`"), "it had not ended".to_owned());
            return Err(WorldError::Untold { what, why });
        }
        self.call(operation, name, |state| {
            if !state.commands.get(name).is_some_and(|today| today.does_the_same_as(command)) {
                let (what, why) = (format!("the command `{name}`"), "not declared so".to_owned());
                return Err(WorldError::Refused { what, why });
            }
            let is_done = state.done.contains(name);
            let exit_code = match part {
                CommandPart::Check => Some(i32::from(!is_done)),
                CommandPart::Run => {
                    state.done.insert(name.clone());
                    state.effect(format!("command {name}"));
                    Some(0)
                }
                CommandPart::Undo => {
                    // Where nothing was done there is nothing to take back.
                    if state.done.remove(name) {
                        state.effect(format!("undo command {name}"));
                    }
                    Some(0)
                }
            };
            Ok(Ran { exit_code, output: String::new() })
        })
    }
}
