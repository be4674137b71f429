//! The report: each fault with nobody there, with Docker's own policy, and with Selfheal, as a table.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::median;
use crate::lab::daemon::Selfheal;
use crate::lab::engine::docker;
use crate::lab::faults::Fault;
use crate::lab::heals::{self, Repair};
use crate::lab::stack::Stack;
use crate::support::{throughout, until};

/// Where the table stands.
const TABLE: &str = "tests/bench/REPORT.md";
/// How long a service is given to work again by itself or by Docker's policy.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long Selfheal is given.
const LIMIT: Duration = Duration::from_mins(4);
/// What fails is to be noticed in so long.
const BREAK_LIMIT: Duration = Duration::from_secs(20);
/// Works again, and not for a moment only.
const STAYS: Duration = Duration::from_secs(2);
/// Stacks at once.
const AT_ONCE: usize = 4;
/// How long a stack has lived when the fault comes: longer than a validation window, so that what it
/// was made with has proved itself.
const LIVED: Duration = Duration::from_secs(130);
/// A part of the names of the faults to try; then no table is written.
const ONLY: &str = "SELFHEAL_REPORT_ONLY";

/// Seconds from the first failing request until the service works again for good; `None` where it
/// does not within `limit`.
fn broken_for(fault: &Fault, stack: &Stack, limit: Duration) -> Result<Option<f64>> {
    if let Err(error) = (fault.inject)(stack) {
        // A fault of several steps may be mended between two of them, so that it never comes about.
        let well = throughout("the service stays well", STAYS, || fault.judge(stack));
        return if well.is_ok() { Ok(Some(0.0)) } else { Err(error) };
    }
    let fails = || match fault.judge(stack) {
        Ok(()) => anyhow::bail!("the service works"),
        Err(_) => Ok(()),
    };
    if until("the judge notices", BREAK_LIMIT, fails).is_err() {
        // It was mended before anybody outside could notice.
        return Ok(Some(0.0));
    }
    let failed = Instant::now();
    let mut worked = failed;
    let again = until("the service works again", limit, || {
        fault.judge(stack)?;
        worked = Instant::now();
        throughout("the service stays well", STAYS, || fault.judge(stack))
    });
    Ok(again.is_ok().then(|| (worked - failed).as_secs_f64()))
}

/// One row: without anybody, by Docker's policy on every container, by Selfheal and what it did.
struct Row {
    name: String,
    alone: Option<f64>,
    policy: Option<f64>,
    healed: Option<f64>,
    fix_type: String,
}

impl Row {
    fn written(&self) -> String {
        let [alone, policy, healed] = [self.alone, self.policy, self.healed].map(shown);
        format!("| {} | {alone} | {policy} | {healed} | `{}` |\n", self.name, self.fix_type)
    }
}

fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("standard error is open");
}

fn measured(name: &str, fault: &Fault, repair: &Repair) -> Result<Row> {
    let alone = broken_for(fault, &fault.staged()?, PATIENCE)?;
    let stack = fault.staged()?;
    let label = format!("label={}", stack.label());
    for id in docker(&["ps", "--quiet", "--filter", &label])?.lines() {
        docker(&["update", "--restart=always", id])?;
    }
    let policy = broken_for(fault, &stack, PATIENCE)?;
    drop(stack);
    let stack = fault.staged()?;
    let selfheal = Selfheal::among_others(&stack, &(repair.settings)(&stack)?)?;
    std::thread::sleep(LIVED);
    selfheal.look()?;
    let healed = broken_for(fault, &stack, LIMIT).with_context(|| selfheal.last_words())?;
    let incidents = selfheal.incidents()?;
    if healed.is_none() {
        say(&format!("{name} was not healed: {}", selfheal.last_words()));
    }
    let mut done = incidents.iter().filter_map(|i| i["fix_detail"]["fix_type"].as_str());
    let right = done.find(|fix_type| repair.fix_types.contains(fix_type));
    let (name, fix_type) = (name.replace('_', " "), right.unwrap_or("-").to_owned());
    Ok(Row { name, alone, policy, healed, fix_type })
}

fn shown(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "never".to_owned(), |seconds| format!("{seconds:.1} s"))
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "# What is repaired, and by whom\n\n\
         Written by `scripts/bench report`: each fault of the lab, from the first failing request from \
         outside to the first of two good seconds. *Nobody* and *Docker's policy* (`--restart=always` on \
         every container) were given 30 s. Selfheal with no setting of its own, save what may be turned, \
         over a stack that has lived for two minutes; four stacks at once on two cores.\n\n\
         | the fault, healed | nobody | Docker's policy | Selfheal | by |\n|---|---|---|---|---|\n",
    );
    text.extend(rows.iter().map(Row::written));
    let count = |of: fn(&Row) -> Option<f64>| rows.iter().filter(|row| of(row).is_some()).count();
    let healed: Vec<f64> = rows.iter().filter_map(|row| row.healed).collect();
    let _ = writeln!(
        text,
        "\n{} faults: repaired by nobody {}, by Docker's policy {}, by Selfheal {} (median {:.1} s).",
        rows.len(),
        count(|row| row.alone),
        count(|row| row.policy),
        healed.len(),
        median(healed),
    );
    text
}

#[test]
#[ignore = "a measurement: run scripts/bench report"]
fn report_of_all_faults() -> Result<()> {
    let only = std::env::var(ONLY).ok();
    let wanted = |name: &str| only.as_ref().is_none_or(|part| name.contains(part.as_str()));
    let all = heals::ALL.iter().filter(|(name, ..)| wanted(name)).enumerate();
    let waiting: Mutex<VecDeque<_>> = Mutex::new(all.collect());
    let rows = Mutex::new(vec![]);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("no thread panics").pop_front();
                    let Some((place, (name, fault, repair))) = next else { break };
                    let row = measured(name, fault, repair).with_context(|| (*name).to_owned());
                    // Told at once: one that fails must not lose what the others took.
                    match &row {
                        Ok(row) => say(row.written().trim_end()),
                        Err(error) => say(&format!("{error:#}")),
                    }
                    rows.lock().expect("no thread panics").push((place, row));
                }
            });
        }
    });
    let mut rows = rows.into_inner().expect("no thread panics");
    rows.sort_by_key(|(place, _)| *place);
    let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect::<Result<_>>()?;
    if only.is_some() {
        say(&table(&rows));
        return Ok(());
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(TABLE);
    std::fs::write(&file, table(&rows)).with_context(|| file.display().to_string())
}
