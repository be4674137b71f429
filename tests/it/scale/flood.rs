//! One container writes as fast as its lines are taken, and fifty others a line each in between.
//!
//! How long a line waits is told by how many lines of the flood were written meanwhile: a slow
//! machine takes both more slowly. Live following leaves no line out; it takes them as fast as it can
//! and the engine keeps the rest. What a cycle leaves out is counted.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use selfheal::coordinator::triggers::logs::{self, Followed, Follower};
use selfheal::coordinator::{Scope, Trigger};
use selfheal::docker::Docker;
use selfheal::host::SystemClock;
use selfheal::knowledge::{self, Keep};
use selfheal::upkeep::Upkeep;
use selfheal_agents::model::TargetId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::engine::Engine;
use super::{LIMIT, QUIET};
use crate::service::Daemon;
use crate::support::{ask, until};

const QUIET_ONES: usize = 50;

const RUNBOOK: &str = r#"
id = "boom"
title = "It went boom"
category = "exceptions"
severity = "warning"
technology = "knowledge"
status = "documented"
links = ["https://example.org/manual"]
[[signature]]
log = 'it went boom'
[diagnosis]
summary = "{target} went boom."
base = 40
[examples]
match = ["it went boom", "oh, it went boom"]
near_miss = ["all is well", "nothing to see", "still nothing"]
"#;

/// What became of a flood.
pub(super) struct Flood {
    /// For each quiet line, how many lines of the flood were written until it was seen.
    pub(super) waited: Vec<u64>,
    /// How long all of it took.
    pub(super) took: Duration,
    /// The same for the slowest quiet line.
    pub(super) slowest: Duration,
}

/// When a quiet line was written, by time and by lines of the flood.
type Written = Arc<Mutex<BTreeMap<TargetId, (Instant, u64)>>>;

fn container(number: usize) -> Followed {
    Followed {
        id: format!("{:064x}", number + 1),
        name: format!("c{number}"),
        image: "shop:1".to_owned(),
        ports: vec![],
        started_at: None,
    }
}

/// The first container writes `lines` lines, the others one each, spread over the middle of it.
pub(super) async fn flood(folder: &std::path::Path, lines: u64) -> Result<Flood> {
    let socket = folder.join("engine.sock");
    let engine = Engine::of(&socket, QUIET_ONES + 1);
    let (noise, written) = (Arc::new(AtomicU64::default()), Written::default());
    let count = Arc::clone(&noise);
    engine.log(
        "c0",
        Box::new(move || {
            let nth = count.fetch_add(1, Ordering::SeqCst);
            (nth < lines).then(|| format!("request {nth} of /shop/cart took {} ms", nth % 97))
        }),
    );
    for number in 1..=QUIET_ONES {
        let due = lines / 5 + lines * 3 / 5 * number as u64 / QUIET_ONES as u64;
        let (noise, written) = (Arc::clone(&noise), Arc::clone(&written));
        let name = TargetId::container(&format!("c{number}"));
        engine.log(
            &format!("c{number}"),
            Box::new(move || {
                let now = noise.load(Ordering::SeqCst);
                let mut written = written.lock().expect("nobody panics inside");
                if now < due || written.contains_key(&name) {
                    return Some(String::new());
                }
                written.insert(name.clone(), (Instant::now(), now));
                Some("it went boom".to_owned())
            }),
        );
    }
    let own = folder.join("knowledge");
    std::fs::create_dir(&own)?;
    std::fs::write(own.join("boom.toml"), RUNBOOK)?;
    let (catalogue, broken) = knowledge::load(Some(&own), Keep::InForce);
    ensure!(broken.is_empty(), "{broken:?}");
    let cancel = CancellationToken::new();
    let (seen, mut all_seen) = watch::channel(Vec::<(u64, Duration)>::new());
    let now = Arc::clone(&noise);
    let follower = Follower {
        runtime: Arc::new(Docker::connect(&format!("unix://{}", socket.display()))?),
        catalogue: watch::Sender::new(Arc::new(catalogue)).subscribe(),
        clock: Arc::new(SystemClock),
        fire: Arc::new(move |scope: Scope, _: Trigger| {
            let written = written.lock().expect("nobody panics inside");
            let of = written.iter().find(|(id, _)| scope == Scope::target((*id).clone()));
            let Some((_, (at, lines))) = of else { return };
            let waited = now.load(Ordering::SeqCst) - lines;
            seen.send_modify(|seen| seen.push((waited, at.elapsed())));
        }),
        upkeep: Upkeep::new(cancel.clone()),
    };
    let running = watch::Sender::new(Arc::new((0..=QUIET_ONES).map(container).collect()));
    let begun = Instant::now();
    let following = tokio::spawn(logs::run(follower, running.subscribe(), cancel.clone()));
    let seen = tokio::time::timeout(LIMIT, all_seen.wait_for(|seen| seen.len() == QUIET_ONES));
    let seen = seen.await.context("not every quiet line was seen")??.clone();
    ensure!(engine.followed() > QUIET_ONES, "all of them are followed");
    while noise.load(Ordering::SeqCst) < lines {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = begun.elapsed();
    cancel.cancel();
    following.await?;
    let slowest = seen.iter().map(|(_, took)| *took).max().unwrap_or_default();
    Ok(Flood { waited: seen.into_iter().map(|(lines, _)| lines).collect(), took, slowest })
}

/// Resident memory of this process, in bytes.
pub(super) fn resident(process: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kilobytes.context("the kernel tells it")?.trim().parse::<u64>()? * 1024)
}

const MB: u64 = 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quiet_logs_are_seen_through_a_flood_and_memory_stays_bounded() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let lines = 100_000;
    let flood = flood(folder.path(), lines).await?;
    let longest = flood.waited.iter().max().context("some were seen")?;
    // Five seconds of a flood of 100,000 lines a second are five times all of it.
    ensure!(
        *longest < lines / 4,
        "{longest} lines of the flood came before it: {:?}",
        flood.waited
    );
    if has_its_process_alone() {
        let resident = resident("self")?;
        ensure!(resident < 192 * MB, "{} MB, of which the runbooks are most", resident / MB);
    }
    Ok(())
}

/// Whether what this process holds is this test's: `cargo test` runs all of them in one.
fn has_its_process_alone() -> bool {
    let mode = std::env::var("NEXTEST_EXECUTION_MODE");
    let is_alone = mode.is_ok_and(|mode| mode == "process-per-test");
    if !is_alone {
        let why = "SKIPPED: how much memory a flood takes is measured under cargo-nextest alone";
        let _ = writeln!(std::io::stderr(), "{why}");
    }
    is_alone
}

#[test]
fn lines_that_a_cycle_leaves_out_are_counted() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let engine = Engine::of(&folder.path().join("none.sock"), 1);
    engine.wrote("c0", 12_000);
    let daemon = Daemon::start_with(folder.path(), QUIET)?;
    until("what was left out is counted", LIMIT, || {
        let figures = ask("GET", daemon.port, "/metrics", "")?.body;
        let counted = "selfheal_log_lines_left_out_total 11500";
        ensure!(figures.contains(counted), "{figures}");
        Ok(())
    })
}
