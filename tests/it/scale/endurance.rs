//! Mixed faults for as long as one likes, and whether the daemon grows: memory, descriptors, threads,
//! tasks and parts that were begun anew.
//!
//! Run by `scripts/endurance` alone. The engine is killed, hangs and comes back, containers end and
//! run again, a log floods, and Redis, the mail server, the webhook and the dead-man's switch are
//! addresses where nobody ever answers.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::engine::Engine;
use super::flood::resident;
use super::{asked, check, seen};
use crate::service::Daemon;
use crate::support::{ask, until};

const CONTAINERS: usize = 40;
const LIMIT: Duration = Duration::from_mins(2);

/// Where nobody answers, and where nobody takes a connection.
const DEAD: &str = "[streams]\nurl = \"redis://127.0.0.1:1\"\n\
     [heartbeat]\nurl = \"http://127.0.0.1:1/ping\"\nevery = \"5s\"\n\
     [alerts.webhook]\nurl = \"http://127.0.0.1:1/hook\"\n\
     [alerts.email]\nhost = \"127.0.0.1\"\nport = 1\ntls = \"none\"\nfrom = \"a@example.org\"\n\
     to = [\"b@example.org\"]\n\
     [schedule]\ncron = \"*/10 * * * * *\"\n";

/// What it uses.
#[derive(Debug, Clone, Copy)]
struct Use {
    resident: u64,
    files: usize,
    threads: usize,
    tasks: u64,
}

fn used(daemon: &Daemon) -> Result<Use> {
    let id = daemon.child.id().to_string();
    let count = |what: &str| -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{id}/{what}")).context("it runs")?.count())
    };
    let figures = ask("GET", daemon.port, "/metrics", "")?.body;
    let tasks = figures.lines().find_map(|line| line.strip_prefix("selfheal_tasks "));
    let tasks = tasks.context("it tells how many tasks it has")?.split('.').next();
    let tasks = tasks.unwrap_or_default().parse()?;
    Ok(Use { resident: resident(&id)?, files: count("fd")?, threads: count("task")?, tasks })
}

/// One round: everything goes wrong, and well again.
fn round(engine: &mut Engine, daemon: &Daemon) -> Result<()> {
    let well = |verdict: &'static str| {
        until(verdict, LIMIT, || {
            let all = seen(daemon, verdict)?;
            ensure!(all == (CONTAINERS, CONTAINERS), "of so many so many are {verdict}: {all:?}");
            Ok(())
        })
    };
    engine.wrote("c0", 20_000);
    engine.end_all(Some(1));
    check(daemon)?;
    well("critical")?;
    engine.kill();
    std::thread::sleep(Duration::from_secs(2));
    ensure!(asked(daemon, "GET", "/health")?["hangs"] == false, "it works without Docker");
    engine.end_all(None);
    engine.start();
    well("ok")?;
    engine.hang(true);
    std::thread::sleep(Duration::from_secs(3));
    ensure!(ask("GET", daemon.port, "/metrics", "")?.status == 200, "it answers meanwhile");
    engine.hang(false);
    engine.wrote("c0", 0);
    check(daemon)?;
    Ok(())
}

#[test]
#[ignore = "takes as long as $SELFHEAL_ENDURANCE_MINUTES says; scripts/endurance runs it"]
fn nothing_grows_among_mixed_faults() -> Result<()> {
    let minutes = std::env::var("SELFHEAL_ENDURANCE_MINUTES").unwrap_or_default();
    let minutes = minutes.parse().unwrap_or(30);
    let folder = tempfile::tempdir()?;
    let mut engine = Engine::of(&folder.path().join("none.sock"), CONTAINERS);
    let daemon = Daemon::start_with(folder.path(), DEAD)?;
    let end = Instant::now() + Duration::from_mins(minutes);
    let mut rounds: Vec<Use> = vec![];
    while Instant::now() < end || rounds.len() < 8 {
        round(&mut engine, &daemon)?;
        rounds.push(used(&daemon)?);
        let report = format!("round {}: {:?}\n", rounds.len(), rounds[rounds.len() - 1]);
        std::io::Write::write_all(&mut std::io::stderr(), report.as_bytes())?;
    }
    // The first quarter fills what is bounded.
    let (early, late) = (rounds.len() / 4, rounds.len() * 3 / 4);
    // What most rounds use: one that fell into a busy moment of the machine is no growth.
    let usual = |of: &[Use], what: fn(&Use) -> u64| {
        let mut each: Vec<u64> = of.iter().map(what).collect();
        each.sort_unstable();
        each[each.len() / 2]
    };
    for (name, what, more) in [
        ("memory", (|one| one.resident) as fn(&Use) -> u64, 8 << 20),
        ("descriptors", |one| one.files as u64, 8),
        ("threads", |one| one.threads as u64, 4),
        ("tasks", |one| one.tasks, 8),
    ] {
        let (before, after) = (usual(&rounds[..=early], what), usual(&rounds[late..], what));
        ensure!(after <= before + more, "{name} grew from {before} to {after}: {rounds:?}");
    }
    let health = asked(&daemon, "GET", "/health")?;
    ensure!(health["restarted"].as_array().is_some_and(Vec::is_empty), "{health}");
    Ok(())
}
