//! Much of everything: a thousand containers, a flood of lines, an engine that dies, hangs and
//! comes back with all of it changed.
//!
//! Against a stand-in for the engine, since no machine of a developer has a thousand containers.
//! What a time limit would prove on a quick machine alone is printed by `scripts/scale` instead.

#![expect(clippy::unwrap_used, reason = "these are tests: one that cannot go on fails")]

mod endurance;
pub(crate) mod engine;
mod figures;
mod fleet;
mod flood;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use self::engine::Engine;
use crate::service::Daemon;
use crate::support::{ask_within, until};

/// Long enough for a machine that does much else.
const LIMIT: Duration = Duration::from_mins(2);
const THOUSAND: usize = 1000;
/// As many as a test has time for that does not measure.
const SOME: usize = 200;

/// What the daemon answers.
fn asked(daemon: &Daemon, method: &str, path: &str) -> Result<Value> {
    let answer = ask_within(LIMIT, method, daemon.port, path, "")?;
    ensure!(answer.status == 200, "{path}: {answer:?}");
    serde_json::from_str(&answer.body).context("the answer is JSON")
}

/// How many containers it sees, and how many of them with this verdict.
fn seen(daemon: &Daemon, verdict: &str) -> Result<(usize, usize)> {
    let answer = asked(daemon, "GET", "/api/targets")?;
    let targets = answer["targets"].as_array().context("it lists targets")?;
    let containers: Vec<_> = targets
        .iter()
        .filter(|target| target["id"].as_str().is_some_and(|id| id.starts_with("container:")))
        .collect();
    let with = containers.iter().filter(|target| target["verdict"] == verdict).count();
    Ok((containers.len(), with))
}

/// Waits until it sees all containers with this verdict.
fn sees_all(daemon: &Daemon, all: usize, verdict: &'static str) -> Result<()> {
    until(verdict, LIMIT, || {
        let seen = seen(daemon, verdict)?;
        ensure!(seen == (all, all), "of so many so many are {verdict}: {seen:?}");
        Ok(())
    })
}

fn check(daemon: &Daemon) -> Result<Value> {
    asked(daemon, "POST", "/api/monitoring/trigger-check")
}

#[test]
fn a_cycle_over_a_thousand_containers_ends_sees_all_and_asks_no_more_than_it_must() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let engine = Engine::of(&folder.path().join("none.sock"), THOUSAND);
    let daemon = Daemon::start_with(folder.path(), QUIET)?;
    sees_all(&daemon, THOUSAND, "ok")?;
    engine.asked();
    check(&daemon)?;
    let requests = engine.asked();
    for (kind, times) in &requests {
        ensure!(*times <= 3 * THOUSAND, "{kind} is asked for {times} times: {requests:?}");
    }
    let all: usize = requests.values().sum();
    ensure!(all <= 5 * THOUSAND + 10, "{all} requests for {THOUSAND} containers: {requests:?}");
    Ok(())
}

/// Nothing but what is asked for calls for a cycle.
const QUIET: &str = "[schedule]\ncron = \"0 0 1 1 *\"\nfollow_logs = false\n";

#[test]
fn what_changed_while_docker_was_away_is_known_when_it_is_back_and_nobody_asked() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut engine = Engine::of(&folder.path().join("none.sock"), SOME);
    let daemon = Daemon::start_with(folder.path(), QUIET)?;
    sees_all(&daemon, SOME, "ok")?;
    engine.kill();
    engine.end_all(Some(1));
    engine.start();
    sees_all(&daemon, SOME, "critical")
}

#[test]
fn an_engine_that_takes_every_request_and_answers_none_is_told_of_and_hinders_nobody() -> Result<()>
{
    let folder = tempfile::tempdir()?;
    let engine = Engine::of(&folder.path().join("none.sock"), 3);
    let daemon = Daemon::start_with(folder.path(), QUIET)?;
    let sees = |wanted: bool| {
        until("it says how the engine is", LIMIT, || {
            check(&daemon)?;
            let status = asked(&daemon, "GET", "/api/monitoring/status")?;
            let connected = status["data"]["runtime_connected"].as_bool();
            ensure!(connected == Some(wanted), "{status}");
            Ok(())
        })
    };
    sees(true)?;
    engine.hang(true);
    sees(false)?;
    ensure!(asked(&daemon, "GET", "/health")?["hangs"] == false, "it works, Docker does not");
    engine.hang(false);
    sees(true)?;
    until("it sees them again", LIMIT, || {
        let all = seen(&daemon, "ok")?;
        ensure!(all == (3, 3), "of so many so many are well: {all:?}");
        Ok(())
    })
}
