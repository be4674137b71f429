//! A command whose daemon can do nothing any more: it is stopped, or was killed.
//!
//! The daemon is this very test program, begun a second time with nothing to do but to run one
//! command ([`the_daemon`]).

use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use selfheal_agents::model::CommandPart;
use selfheal_agents::ports::Commands as _;

use super::{Bench, dies, kill, lives, why};
use crate::support::until;

/// Names the folder of the test that begun it.
const FOLDER: &str = "SELFHEAL_TEST_RUNS_A_COMMAND_IN";
/// The limit of the command.
const LIMIT: Duration = Duration::from_secs(2);
/// How long a test waits for what is to happen.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_daemon() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let bench = Bench { limit: LIMIT, ..Bench::new() };
    let script = std::fs::read_to_string(folder.join("script")).unwrap();
    let command = bench.command(&script);
    let commands = Bench::knows_in(&command, folder);
    let ran = commands.run(&command, CommandPart::Run).await;
    let said = ran.map_or_else(|error| error.to_string(), |ran| format!("{ran:?}"));
    std::fs::write(folder.join("said"), said + "\n").unwrap();
}

/// A daemon that runs a script, which writes `command` into the folder once it is up.
struct Daemon {
    child: Child,
    bench: Bench,
}

impl Daemon {
    fn runs(script: &str) -> Result<Self> {
        let bench = Bench::new();
        let folder = bench.folder.path();
        std::fs::write(folder.join("script"), script.replace("FOLDER", &folder.to_string_lossy()))?;
        let child = Process::new(std::env::current_exe()?)
            .args(["--exact", "commands::alone::the_daemon"])
            .env(FOLDER, folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { child, bench })
    }

    /// The number that the script wrote.
    fn number(&self, file: &str) -> Result<String> {
        until(&format!("{file} is written"), PATIENCE, || {
            let known = std::fs::read_to_string(self.bench.path(file))?;
            ensure!(known.ends_with('\n'), "nothing yet");
            Ok(known.trim().to_owned())
        })
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let sent = Process::new("kill").args([signal, &self.child.id().to_string()]).status()?;
        ensure!(sent.success(), "kill {signal}: {sent}");
        Ok(())
    }

    fn dies(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop).context("wait for it")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.dies());
    }
}

/// Sleeps for long, and so does what it starts.
const LONG: &str = "sleep 120 & echo $! > FOLDER/second\necho $$ > FOLDER/command\nsleep 120\n";

#[tokio::test]
async fn while_its_daemon_is_stopped_a_command_ends_at_its_limit_which_is_told_later() -> Result<()>
{
    let daemon = Daemon::runs(LONG)?;
    let numbers = [daemon.number("command")?, daemon.number("second")?];
    daemon.signal("-STOP")?;
    ensure!(numbers.iter().all(|number| lives(number)), "{numbers:?} were not both there");
    for number in &numbers {
        ensure!(dies(number).await, "{number} goes on");
    }
    daemon.signal("-CONT")?;
    let said = daemon.number("said")?;
    ensure!(said.contains("it had not ended after 2s, and was ended"), "{said}");
    Ok(())
}

#[tokio::test]
async fn after_the_end_of_its_daemon_a_command_goes_on_to_its_limit_and_runs_but_once() -> Result<()>
{
    let mut daemon = Daemon::runs(LONG)?;
    let numbers = [daemon.number("command")?, daemon.number("second")?];
    daemon.dies()?;
    ensure!(lives(&numbers[0]), "it was cut off in the middle");
    // Whoever begins anew: nothing of it runs beside what is left, and then it can.
    let next = Bench { limit: Duration::from_millis(50), ..Bench::new() };
    let quick = selfheal_agents::model::Command {
        check: Some(vec!["/bin/true".to_owned()]),
        ..next.command("exit 0")
    };
    let commands = Bench::knows_in(&quick, daemon.bench.folder.path());
    for part in [CommandPart::Check, CommandPart::Run] {
        let said = why(commands.run(&quick, part).await);
        ensure!(said.contains("an earlier run of it is still going"), "{said}");
    }
    for number in &numbers {
        ensure!(dies(number).await, "{number} goes on");
    }
    let patient = selfheal_agents::model::Command { limit: PATIENCE, ..quick };
    let commands = Bench::knows_in(&patient, daemon.bench.folder.path());
    ensure!(commands.run(&patient, CommandPart::Check).await?.is_success(), "it is free again");
    Ok(())
}

#[tokio::test]
async fn a_script_that_signals_its_own_group_does_not_lift_its_limit() -> Result<()> {
    let mut daemon = Daemon::runs(&format!("trap '' TERM HUP\nkill 0; kill -HUP 0\n{LONG}"))?;
    let number = daemon.number("command")?;
    daemon.dies()?;
    ensure!(dies(&number).await, "{number} goes on");
    Ok(())
}

/// The group of a process, whose number is that of its first one.
fn group(number: &str) -> Result<String> {
    let stat = std::fs::read_to_string(format!("/proc/{number}/stat"))?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().nth(2).map(str::to_owned).context("it has no group")
}

#[tokio::test]
async fn what_a_command_left_running_in_time_stays_although_its_daemon_saw_no_end() -> Result<()> {
    let script = "sleep 120 & echo $! > FOLDER/left\necho $$ > FOLDER/command\nsleep 0.5\n";
    let mut daemon = Daemon::runs(script)?;
    let (left, keeper) = (daemon.number("left")?, group(&daemon.number("command")?)?);
    daemon.dies()?;
    ensure!(dies(&keeper).await, "who kept the limit stays");
    ensure!(lives(&left), "it was taken for a part of the command");
    kill(&left);
    Ok(())
}
