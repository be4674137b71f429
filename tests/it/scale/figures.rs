//! What a thousand containers and a flood cost, as ratios to what is promised; asserted nowhere.
//!
//! Run by `scripts/scale` alone, with the optimised program.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::engine::Engine;
use super::flood::{flood, resident};
use super::{THOUSAND, check, sees_all};
use crate::service::Daemon;

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
