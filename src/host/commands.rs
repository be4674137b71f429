//! Runs the commands that a person declared in the settings, and ends what does not end.
//!
//! Nothing is run that the settings do not hold word for word at that moment: what a record says
//! is compared with them; its time limit and its variables are those of the settings. Each program
//! gets an empty environment but for a few variables, no input, `/` as its folder and a process group
//! of its own, which goes as a whole at the time limit, also where this process is stopped or gone by
//! then, see [`limit`]. What leaves that group is out of reach, and so is what a program that ended in
//! time left running. Of one command only one program runs at a time, see [`turn`].

mod limit;
mod output;
mod program;
mod turn;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Signal, kill_process_group};
use selfheal_agents::model::{Command, CommandPart, Ran};
use selfheal_agents::ports::{Commands, WorldError, WorldResult};
use tokio::process::Child;

pub use limit::keeps_a_limit;
use limit::{Keeper, Moment};
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
/// This very program, also where a newer one has taken its place on disk.
const OURSELVES: &str = "/proc/self/exe";

/// The commands of the settings. Cloning shares them.
#[derive(Debug, Clone)]
pub struct LocalCommands {
    folder: PathBuf,
    keeper: PathBuf,
    declared: Arc<RwLock<BTreeMap<String, Command>>>,
}

impl LocalCommands {
    /// With these commands; a file for each, which says whether it runs, is kept in the folder.
    pub fn new(commands: Vec<Command>, folder: PathBuf) -> Self {
        let known = Self { folder, keeper: OURSELVES.into(), declared: Arc::default() };
        known.declare(commands);
        known
    }

    /// Has limits kept by that program, which calls [`keeps_a_limit`], where this one does not.
    #[must_use]
    pub fn kept_by(self, keeper: PathBuf) -> Self {
        Self { keeper, ..self }
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
        let refused_start = |error| refused(&format!("`{program}` cannot be started: {error}"));
        // Counted from before the look at the leave, which it may not outlast.
        let until = Moment::now().after(command.limit);
        let keeper = Keeper::begin(&self.keeper, until).await.map_err(refused_start)?;
        leave::for_call(&what(command), command.limit + DYING)?;
        let mut group = Group::spawn(keeper, program, arguments, &command.environment, &turn)
            .map_err(refused_start)?;
        let output = Output::of(&mut group.child);
        let end = group.wait(command.limit, until).await;
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
    /// Leads it; gone once the program has ended in time.
    keeper: Option<Keeper>,
}

impl Group {
    fn spawn(
        mut keeper: Keeper,
        program: &str,
        arguments: &[String],
        environment: &[String],
        turn: &Turn,
    ) -> std::io::Result<Self> {
        let passed = environment.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let group = keeper.group().ok_or(std::io::ErrorKind::NotFound)?;
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
            .process_group(group.as_raw_nonzero().get())
            .spawn()?;
        if let Err(error) = keeper.watch(&child) {
            tracing::debug!(%error, "who keeps a command's limit does not know the command");
        }
        Ok(Self { child, keeper: Some(keeper) })
    }

    /// Waits for its end; ends it after `limit`, which is over at `until`.
    async fn wait(&mut self, limit: Duration, until: Moment) -> End {
        if let Ok(ended) = tokio::time::timeout(limit, self.child.wait()).await {
            return match ended {
                Ok(status) if was_killed(status) && until.is_over() => End::CutOff,
                Ok(status) => {
                    self.keeper = None;
                    End::ByItself(status)
                }
                Err(error) => End::Unknown(error),
            };
        }
        self.end();
        match tokio::time::timeout(DYING, self.child.wait()).await {
            Ok(ended) => ended.map_or_else(End::Unknown, |_| End::CutOff),
            Err(_) => End::GoesOn,
        }
    }

    /// Ends the whole group.
    fn end(&self) {
        if let Some(group) = self.keeper.as_ref().and_then(Keeper::group)
            && let Err(error) = kill_process_group(group, Signal::KILL)
        {
            tracing::warn!(%error, "a command could not be ended");
        }
    }
}

/// As its keeper does it, which may come before our own turn to look.
fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::KILL.as_raw())
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}
