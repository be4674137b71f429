//! The figures that a user would compare: printed as ratios, asserted nowhere.
//!
//! Run by `scripts/bench` alone. A time limit as a test would fail on a busy machine and
//! prove nothing on a quick one; what the figures mean stands in tests/bench/README.md.

mod report;

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::daemon::Selfheal;
use super::engine::docker;
use super::faults::{self, Fault, app};
use super::stack::Stack;
use crate::support::until;

const LIMIT: Duration = Duration::from_mins(3);

/// One line of the result: what was measured, what it is compared with, how often it fits.
fn print(what: &str, measured: f64, unit: &str, other: &str, reference: f64) {
    let times = reference / measured;
    let line = format!(
        "{what:<40} {measured:>8.2} {unit:<3} | {other:<30} {reference:>8.2} {unit:<3} | {times:>6.1} times\n"
    );
    std::io::stderr().write_all(line.as_bytes()).expect("standard error is open");
}

/// From the first failing outside request until the service works again, in seconds.
fn time_to_repair(fault: &Fault, stack: &Stack) -> Result<f64> {
    (fault.inject)(stack)?;
    until("the judge notices", LIMIT, || match fault.judge(stack) {
        Ok(()) => anyhow::bail!("the service works"),
        Err(_) => Ok(()),
    })?;
    let failed = Instant::now();
    until("the service works again", LIMIT, || fault.judge(stack))?;
    Ok(failed.elapsed().as_secs_f64())
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How often each repair is measured; the median counts.
const RUNS: usize = 3;

/// The application with the health check that the other healers were measured with.
fn staged(checked: bool) -> Result<Stack> {
    let mut stack = Stack::new()?;
    let usual = ["--health-interval=5s", "--health-retries=3"];
    stack.start(if checked { app().asks_itself().with(&usual) } else { app() })?;
    stack.wait_for("app", "/")?;
    stack.wait_until_healthy("app")?;
    Ok(stack)
}

#[test]
#[ignore = "a measurement: run scripts/bench"]
fn times_to_repair() -> Result<()> {
    let mut stack = Stack::new()?;
    stack.start(app().with(&["--restart=always"]))?;
    stack.wait_for("app", "/")?;
    let by_docker = time_to_repair(&faults::CRASH, &stack)?;
    drop(stack);
    for (what, fault, others) in [
        ("crash", faults::CRASH, [("Docker's policy `always`", by_docker), ("monit", 20.0)]),
        ("unhealthy", faults::UNHEALTHY, [("docker-autoheal", 15.0), ("monit", 20.0)]),
        ("hang", faults::HANG, [("docker-autoheal", 29.0), ("monit", 39.0)]),
    ] {
        let mut runs = vec![];
        for _ in 0..RUNS {
            let stack = staged(what != "crash")?;
            let selfheal = Selfheal::by_default(&stack)?;
            let took = time_to_repair(&fault, &stack).with_context(|| selfheal.last_words())?;
            runs.push(took);
        }
        let middle = median(runs);
        for (other, reference) in others {
            print(&format!("repair of a {what}"), middle, "s", other, reference);
        }
    }
    Ok(())
}

#[test]
#[ignore = "a measurement: run scripts/bench"]
fn from_event_to_decision() -> Result<()> {
    let stack = faults::CRASH.staged()?;
    let selfheal = Selfheal::by_default(&stack)?;
    (faults::CRASH.inject)(&stack)?;
    let incident = until("a fix is proposed", LIMIT, || {
        let proposed = |i: &serde_json::Value| i["fix_detail"]["proposed_at"].is_string();
        selfheal.incidents()?.into_iter().find(proposed).context("no fix yet")
    })?;
    let died = stack.inspect("app", "{{.State.FinishedAt}}")?;
    let proposed = incident["fix_detail"]["proposed_at"].as_str().context("a time")?;
    let took = chrono::DateTime::parse_from_rfc3339(proposed)?
        - chrono::DateTime::parse_from_rfc3339(&died)?;
    print("from Docker's event to the decision", took.as_seconds_f64(), "s", "the goal", 1.0);
    Ok(())
}

#[test]
#[ignore = "a measurement: run scripts/bench"]
fn with_many_idle_containers() -> Result<()> {
    let stack = Stack::new()?;
    stack.start_idle(50)?;
    let selfheal = Selfheal::by_default(&stack)?;
    print("ready after the start", selfheal.ready_in().as_secs_f64(), "s", "the goal", 0.5);
    // Three cycles, then a moment of rest: what is kept is what counts.
    for _ in 0..3 {
        selfheal.look()?;
    }
    std::thread::sleep(Duration::from_secs(5));
    let resident = resident_mib(selfheal.process())?;
    print("resident memory, 50 idle containers", resident, "MiB", "the goal", 25.0);
    stack.start_idle(150)?;
    selfheal.look()?;
    let begun = Instant::now();
    selfheal.look()?;
    let cycle = begun.elapsed().as_secs_f64();
    print("one cycle, 200 idle containers", cycle, "s", "the goal", 3.0);
    let label = format!("label={}", stack.label());
    let begun = Instant::now();
    let ids = docker(&["ps", "--all", "--quiet", "--filter", &label])?;
    docker(&["inspect"].into_iter().chain(ids.lines()).collect::<Vec<_>>())?;
    let by_hand = begun.elapsed().as_secs_f64();
    print("one cycle, 200 idle containers", cycle, "s", "`docker inspect` of all", by_hand);
    Ok(())
}

/// Resident memory of a process, in MiB.
fn resident_mib(process: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}
