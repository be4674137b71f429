//! A program whose runtime stands still ends itself, and no other.
//!
//! The program is this very test program, begun a second time with a runtime of the daemon's size,
//! and a limit of its own ([`the_program`]).

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use selfheal::upkeep::{Standstill, stood_still};

use crate::support::until;

/// Name the folder of the test that begun it, and what it is to do.
const FOLDER: &str = "SELFHEAL_TEST_STANDS_STILL_IN";
const STORY: &str = "SELFHEAL_TEST_STANDS_STILL_AS";
/// How long it may stand still. One that is looked at twelve times meanwhile.
const LIMIT: Duration = Duration::from_millis(1_200);
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_program() -> Result<()> {
    let (Some(folder), Ok(story)) = (std::env::var_os(FOLDER), std::env::var(STORY)) else {
        return Ok(());
    };
    let folder = Path::new(&folder);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let hangs = story == "hangs";
    runtime.block_on(async {
        let watched = Standstill::watched(LIMIT, folder)?;
        if story == "blocked" {
            for _ in 0..2 {
                tokio::spawn(async { std::thread::sleep(PATIENCE * 2) });
            }
        }
        std::fs::write(folder.join("up"), "")?;
        let hang = || hangs.then(|| "a cycle does not end".to_owned());
        let end = async {
            while story != "runs" || !folder.join("end").exists() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = watched.give_signs(hang) => {}
            () = end => {}
        }
        drop(watched);
        // As one that takes its time to end in order.
        std::thread::sleep(LIMIT * 2);
        Ok(())
    })
}

struct Program {
    child: Child,
    folder: tempfile::TempDir,
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Program {
    fn begins(story: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let child = Command::new(std::env::current_exe()?)
            .args(["--exact", "standstill::the_program"])
            .env(FOLDER, folder.path())
            .env(STORY, story)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let up = folder.path().join("up");
        until("it is up", PATIENCE, || {
            ensure!(up.exists(), "not yet");
            Ok(())
        })?;
        Ok(Self { child, folder })
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status()?;
        ensure!(sent.success(), "kill {signal}: {sent}");
        Ok(())
    }

    fn end(&mut self) -> Result<ExitStatus> {
        until("it ends", PATIENCE, || self.child.try_wait()?.context("it still runs"))
    }
}

#[test]
fn a_runtime_whose_threads_are_blocked_is_aborted_and_the_next_start_knows_why() -> Result<()> {
    let (blocked, hangs) = (Program::begins("blocked")?, Program::begins("hangs")?);
    for (mut program, why) in
        [(blocked, "(its threads are all blocked)"), (hangs, "(a cycle does not end)")]
    {
        let ended = program.end()?;
        ensure!(ended.signal().is_some(), "{why}: it was to be aborted, and ended by {ended}");
        let known = stood_still(program.folder.path()).context("nothing is noted")?;
        ensure!(known.contains("stood still for 1s 200ms") && known.contains(why), "{known}");
        ensure!(stood_still(program.folder.path()).is_none(), "it is told twice");
    }
    Ok(())
}

#[test]
fn one_that_was_stopped_for_long_goes_on_and_ends_in_order_in_its_own_time() -> Result<()> {
    let mut program = Program::begins("runs")?;
    program.signal("-STOP")?;
    let stopped = Instant::now();
    while stopped.elapsed() < LIMIT * 2 {
        std::thread::sleep(LIMIT / 4);
    }
    program.signal("-CONT")?;
    std::fs::write(program.folder.path().join("end"), "")?;
    let ended = program.end()?;
    ensure!(ended.success(), "it ended by {ended}");
    ensure!(stood_still(program.folder.path()).is_none(), "it is told to have stood still");
    Ok(())
}
