//! What a thousand containers and a flood cost, as ratios to what is promised; asserted nowhere.
//!
//! Run by `scripts/scale` alone, with the optimised program.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::engine::Engine;
use super::flood::{flood, resident};
use super::{LIMIT, THOUSAND, asked, check, sees_all};
use crate::service::Daemon;
use crate::support::until;

fn print(what: &str, measured: f64, promised: f64, unit: &str) {
    let ratio = measured / promised;
    let line =
        format!("{what:<52} {measured:>9.2} {unit} | promised {promised:>6.0} | {ratio:>5.2}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("standard error is open");
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[test]
#[ignore = "measures; scripts/scale runs it"]
fn a_thousand_containers() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let _engine = Engine::of(&folder.path().join("none.sock"), THOUSAND);
    let daemon = Daemon::start_with(folder.path(), "")?;
    sees_all(&daemon, THOUSAND, "ok")?;
    let mut longest = 0.0_f64;
    for _ in 0..10 {
        let begun = Instant::now();
        check(&daemon)?;
        longest = longest.max(begun.elapsed().as_secs_f64());
    }
    print("a cycle over 1,000 containers, the longest of ten", longest, 5.0, "s ");
    let resident = resident(&daemon.child.id().to_string())?;
    print("resident memory with 1,000 containers", megabytes(resident), 64.0, "MB");
    Ok(())
}

#[test]
#[ignore = "measures; scripts/scale runs it"]
fn a_thousand_changes_while_docker_is_away() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut engine = Engine::of(&folder.path().join("none.sock"), THOUSAND);
    let daemon = Daemon::start_with(folder.path(), "")?;
    sees_all(&daemon, THOUSAND, "ok")?;
    engine.kill();
    engine.end_all(Some(1));
    std::thread::sleep(Duration::from_secs(3));
    engine.start();
    let back = Instant::now();
    sees_all(&daemon, THOUSAND, "critical")?;
    print("until all 1,000 changes are known", back.elapsed().as_secs_f64(), 10.0, "s ");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures; scripts/scale runs it"]
async fn a_flood() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let before = resident("self")?;
    let lines = 2_000_000;
    let flood = flood(folder.path(), lines).await?;
    let each = flood.took.as_secs_f64() / lines as f64 * 100_000.0;
    print("100,000 lines of one log, with 50 quiet ones beside", each, 1.0, "s ");
    let slowest = Duration::as_secs_f64(&flood.slowest);
    print("the slowest of the quiet lines", slowest, 5.0, "s ");
    let grown = resident("self").context("read again")?.saturating_sub(before);
    print("memory, with the runbooks and the engine's own", megabytes(grown), 64.0, "MB");
    Ok(())
}

/// So many lines a second, ...
const FLOOD: f64 = 100_000.0;
/// ... for so long.
const MINUTE: Duration = Duration::from_mins(1);
/// Containers that say a line now and then beside it.
const QUIET_ONES: usize = 50;

/// A log that is written at the speed of a flood from its first reader on, until it is ended.
fn flooded(engine: &Engine, taken: &Arc<AtomicU64>, ends: &Arc<AtomicBool>) {
    let (taken, ends, mut begun) = (Arc::clone(taken), Arc::clone(ends), None);
    engine.log(
        "c0",
        Box::new(move || {
            let begun = *begun.get_or_insert_with(Instant::now);
            let nth = taken.load(Ordering::Relaxed);
            if ends.load(Ordering::Relaxed) || nth as f64 > begun.elapsed().as_secs_f64() * FLOOD {
                return Some(String::new());
            }
            taken.store(nth + 1, Ordering::Relaxed);
            Some(format!("request {nth} of /shop/cart took {} ms", nth % 97))
        }),
    );
}

/// The whole program beside a flood of a minute: each quiet container says one line that matters.
#[test]
#[ignore = "measures; scripts/scale runs it"]
fn a_flood_of_a_minute() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let engine = Engine::of(&folder.path().join("none.sock"), QUIET_ONES + 1);
    let (taken, ends) = (Arc::default(), Arc::new(AtomicBool::new(true)));
    flooded(&engine, &taken, &ends);
    (1..=QUIET_ONES).for_each(|number| engine.speaks(&format!("c{number}")));
    let daemon = Daemon::start_with(folder.path(), "")?;
    let process = daemon.child.id().to_string();
    sees_all(&daemon, QUIET_ONES + 1, "ok")?;
    check(&daemon)?;
    until("all logs are followed", LIMIT, || {
        ensure!(engine.followed() > QUIET_ONES, "{} are followed", engine.followed());
        Ok(())
    })?;
    let idle = resident(&process)?;
    engine.wrote("c0", 100_000);
    let (begun, before) = (Instant::now(), taken.load(Ordering::Relaxed));
    ends.store(false, Ordering::Relaxed);
    let (mut most, mut slowest) = (idle, Duration::ZERO);
    for number in 1..=QUIET_ONES {
        let at = MINUTE.mul_f64(number as f64 / QUIET_ONES as f64);
        std::thread::sleep(at.saturating_sub(begun.elapsed()));
        let said = Instant::now();
        engine.says(&format!("c{number}"), "could not connect to db:5432: Connection refused");
        until("the line is seen", LIMIT, || is_found(&daemon, number))?;
        slowest = slowest.max(said.elapsed());
        most = most.max(resident(&process)?);
    }
    let each = (taken.load(Ordering::Relaxed) - before) as f64 / begun.elapsed().as_secs_f64();
    print("seconds for as many lines as are written in one", FLOOD / each, 1.0, "s ");
    print("the slowest of 50 quiet ones until it is found", slowest.as_secs_f64(), 5.0, "s ");
    print("resident memory above idle", megabytes(most.saturating_sub(idle)), 64.0, "MB");
    print("resident memory", megabytes(most), 128.0, "MB");
    Ok(())
}

/// Whether something is found at this container.
fn is_found(daemon: &Daemon, number: usize) -> Result<()> {
    let target = format!("container:c{number}");
    let found = asked(daemon, "GET", &format!("/api/incidents?target={target}"))?;
    let any = found["incidents"].as_array().is_some_and(|all| !all.is_empty());
    ensure!(any, "{target}: {found}");
    Ok(())
}
