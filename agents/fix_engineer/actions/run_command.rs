//! `command`: runs a program that a person declared in the settings for this target.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Action, Reversal};
use crate::fix_engineer::plan::{PlanRequest, Planned, repair};
use crate::model::{Captured, Command, CommandPart, TargetId, redact};
use crate::ports::{World, WorldError, WorldResult};

/// What a command that took too long may take to end.
const ENDING: Duration = Duration::from_secs(15);

/// Runs a command of a person's own.
///
/// Selfheal knows nothing of what it does: the `undo` and the `check` that were declared with it
/// are all there is. Without a check nobody can tell after an interruption whether it ran, and it
/// is never run again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCommand {
    /// As it was declared when it was planned.
    pub command: Command,
}

impl RunCommand {
    fn what(&self) -> String {
        format!("the command `{}`", self.command.name)
    }

    fn refused(&self, why: impl Into<String>) -> WorldError {
        WorldError::Refused { what: self.what(), why: why.into() }
    }

    fn untold(&self, why: impl Into<String>) -> WorldError {
        WorldError::Untold { what: self.what(), why: why.into() }
    }

    /// Runs a part that must end well.
    async fn must(&self, world: &World, part: CommandPart) -> WorldResult<String> {
        let ran = world.commands.run(&self.command, part).await?;
        if ran.is_success() { Ok(ran.says()) } else { Err(self.refused(ran.says())) }
    }

    /// What its check says; `None` where there is none. One that cannot be asked leaves open what
    /// is done.
    async fn checked(&self, world: &World) -> WorldResult<Option<bool>> {
        if self.command.check.is_none() {
            return Ok(None);
        }
        let ran = world.commands.run(&self.command, CommandPart::Check).await;
        let ran = ran.map_err(|error| self.untold(format!("its check: {error}")))?;
        Ok(Some(ran.is_success()))
    }
}

#[async_trait]
impl Act for RunCommand {
    fn target(&self) -> TargetId {
        self.command.target.clone()
    }

    fn describe(&self) -> String {
        let program = self.command.argv.first().map_or("", String::as_str);
        format!("run the command `{}` ({program}) for `{}`", self.command.name, self.command.target)
    }

    fn reversal(&self) -> Reversal {
        match (&self.command.undo, &self.command.check) {
            (Some(_), _) => Reversal::Undo,
            (None, Some(_)) => Reversal::PostCondition("its own check says that it is done"),
            (None, None) => Reversal::PostCondition(""),
        }
    }

    fn by_hand(&self) -> String {
        as_typed(&self.command.argv)
    }

    fn undo_by_hand(&self, _before: &Captured) -> Option<String> {
        self.command.undo.as_deref().map(as_typed)
    }

    fn interruption_secs(&self) -> u64 {
        0
    }

    fn limit(&self) -> Duration {
        // Its check may take as long again, and both are given a moment to end.
        self.command.limit * 2 + ENDING
    }

    async fn capture(&self, _world: &World) -> WorldResult<Captured> {
        Ok(Captured::Command)
    }

    async fn is_applied(&self, world: &World, _before: &Captured) -> WorldResult<bool> {
        let known = self.checked(world).await?;
        known.ok_or_else(|| self.untold("it was interrupted, and has no check"))
    }

    async fn apply(&self, world: &World, _before: &Captured) -> WorldResult<Option<String>> {
        let said = match self.must(world, CommandPart::Run).await {
            // What was cut off may be done all the same: its check knows.
            Err(WorldError::Untold { why, .. }) if self.command.check.is_some() => why,
            ended => ended?,
        };
        if self.checked(world).await? == Some(false) {
            return Err(self.refused(format!("{said}; its check says that it is not done")));
        }
        Ok(Some(said))
    }

    async fn undo(&self, world: &World, _before: &Captured) -> WorldResult<()> {
        if self.command.undo.is_none() {
            return Ok(());
        }
        self.must(world, CommandPart::Undo).await.map(drop)
    }

    async fn is_begun(&self, _world: &World, _before: &Captured) -> WorldResult<bool> {
        // One that ended badly may have done half of it.
        Ok(true)
    }

    fn is_unknowable(&self) -> bool {
        self.command.check.is_none()
    }
}

/// A command as a person would type it, without what may be a secret.
fn as_typed(argv: &[String]) -> String {
    let words: Vec<String> = argv.iter().map(|word| quoted(word)).collect();
    redact(&words.join(" ")).into_owned()
}

/// A word as a person would type it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[expect(clippy::unused_async, reason = "every action plans by the same call")]
pub(super) async fn plan(request: &PlanRequest<'_>) -> Planned {
    let name = request.template.parameters.command.as_deref();
    let name = name.ok_or("the runbook names no command (with = { command = \"NAME\" })")?;
    let declared = request.workshop.world.commands.declared(name);
    let command = declared.ok_or_else(|| format!("the settings declare no command `{name}`"))?;
    let blamed = &request.diagnosis.blamed;
    let container = request.workshop.evidence.container_of(blamed);
    if command.target != *blamed && Some(&command.target) != container.as_ref() {
        return Err(format!(
            "the command `{name}` is declared for `{}`, not for `{blamed}`",
            command.target
        ));
    }
    Ok(vec![repair(Action::RunCommand(RunCommand { command }))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_shown_as_a_shell_would_need_them() {
        for (word, shown) in [
            ("--all", "--all"),
            ("/usr/bin/x", "/usr/bin/x"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(reboot)", "'$(reboot)'"),
        ] {
            assert_eq!(quoted(word), shown);
        }
    }
}
