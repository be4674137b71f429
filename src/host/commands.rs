//! Runs the commands that a person declared in the settings, and ends what does not end.
//!
//! Nothing is run that the settings do not hold word for word at that moment: what a record says
//! is compared with them; its time limit and its variables are those of the settings. Each program gets an empty environment but for a few variables, no input,
//! `/` as its folder and a process group of its own, which goes as a whole at the time limit. What
//! leaves that group is out of reach, and so is what a program that ended in time left running.
//! Of one command only one program runs at a time, see [`turn`].

mod output;
mod program;
mod turn;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group};
use selfheal_agents::model::{Command, CommandPart, Ran};
use selfheal_agents::ports::{Commands, WorldError, WorldResult};
use tokio::process::Child;

use output::Output;
pub use program::check_program;
use turn::Turn;

use crate::leave;

/// Where programs look for others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The language they speak.
const LANGUAGE: &str = "C.UTF-8";
/// How long a killed program may take to be gone.
const DYING: Duration = Duration::from_secs(3);

/// The commands of the settings. Cloning shares them.
#[derive(Debug, Clone)]
pub struct LocalCommands {
    folder: PathBuf,
    declared: Arc<RwLock<BTreeMap<String, Command>>>,
}

impl LocalCommands {
    /// With these commands; a file for each, which says whether it runs, is kept in the folder.
    pub fn new(commands: Vec<Command>, folder: PathBuf) -> Self {
        let known = Self { folder, declared: Arc::default() };
        known.declare(commands);
        known
    }

    /// From now on these are declared, and no others.
    pub fn declare(&self, commands: Vec<Command>) {
        let by_name = commands.into_iter().map(|command| (command.name.clone(), command));
        *self.declared.write().unwrap_or_else(PoisonError::into_inner) = by_name.collect();
    }
}

#[async_trait]
impl Commands for LocalCommands {
    fn declared(&self, name: &str) -> Option<Command> {
        self.declared.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    async fn run(&self, command: &Command, part: CommandPart) -> WorldResult<Ran> {
        let refused = |why: &str| WorldError::Refused { what: what(command), why: why.to_owned() };
        let today = self.declared(&command.name).filter(|today| today.does_the_same_as(command));
        let command = &today
            .ok_or_else(|| refused("the settings declare it otherwise now, or not at all"))?;
        let argv = command.part(part).ok_or_else(|| refused("that part of it is not declared"))?;
        let (program, arguments) =
            argv.split_first().ok_or_else(|| refused("it names no program"))?;
        check_program(program).map_err(|why| refused(&why))?;
        let turn = Turn::take(&self.folder, &command.name, command.limit).await;
        let turn =
            turn.map_err(|error| refused(&format!("{}: {error}", self.folder.display())))?
                .ok_or_else(|| refused("an earlier run of it is still going; look what it does"))?;
        leave::for_call(&what(command), command.limit + DYING)?;
        let mut group = Group::spawn(program, arguments, &command.environment, &turn)
            .map_err(|error| refused(&format!("`{program}` cannot be started: {error}")))?;
        let output = Output::of(&mut group.child);
        let end = group.wait(command.limit).await;
        let output = output.last_lines().await;
        let limit = humantime::format_duration(command.limit);
        let why = match end {
            End::ByItself(status) => {
                turn.give_back();
                return Ok(Ran { exit_code: status.code(), output });
            }
            End::CutOff => format!("it had not ended after {limit}, and was ended; {output}"),
            End::GoesOn => {
                format!("it had not ended after {limit}, could not be ended and goes on; {output}")
            }
            End::Unknown(error) => format!("nobody knows how it ended: {error}"),
        };
        let why = why.trim_end_matches("; ").to_owned();
        Err(WorldError::Untold { what: what(command), why })
    }
}

fn what(command: &Command) -> String {
    format!("the command `{}`", command.name)
}

/// How a program ended.
enum End {
    /// In time.
    ByItself(ExitStatus),
    /// Not in time; it was killed.
    CutOff,
    /// It could not be killed: it became somebody else's, or waits for a device.
    GoesOn,
    /// The system did not say.
    Unknown(std::io::Error),
}

/// A program with all that it starts; dropped before it has ended, it goes.
struct Group {
    child: Child,
}

impl Group {
    fn spawn(
        program: &str,
        arguments: &[String],
        environment: &[String],
        turn: &Turn,
    ) -> std::io::Result<Self> {
        let passed = environment.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let child = tokio::process::Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", LANGUAGE)
            .envs(passed)
            .current_dir("/")
            .stdin(turn.input()?)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        Ok(Self { child })
    }

    /// Waits for its end; ends it after `limit`.
    async fn wait(&mut self, limit: Duration) -> End {
        if let Ok(ended) = tokio::time::timeout(limit, self.child.wait()).await {
            return ended.map_or_else(End::Unknown, End::ByItself);
        }
        self.end();
        match tokio::time::timeout(DYING, self.child.wait()).await {
            Ok(ended) => ended.map_or_else(End::Unknown, |_| End::CutOff),
            Err(_) => End::GoesOn,
        }
    }

    /// Ends the whole group, as long as its first process is not waited for: until then its
    /// number is nobody else's.
    fn end(&self) {
        let first = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(first) = first.and_then(Pid::from_raw)
            && let Err(error) = kill_process_group(first, Signal::KILL)
        {
            tracing::warn!(%error, "a command could not be ended");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests;
