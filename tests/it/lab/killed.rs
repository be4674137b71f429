//! Selfheal killed without a word in the middle of a repair, and started again.
//!
//! The repair has two steps, a changed file and a restart; it is cut at each point that can be
//! seen from outside. Whatever the moment, the next start must leave nothing half done: the
//! service works again, the file is whole, and every incident has an end.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::daemon::Selfheal;
use super::engine;
use super::faults;
use super::heals::worker_delay;
use super::stack::Stack;
use crate::support::until;

const BEGINS_WITHIN: Duration = Duration::from_mins(1);
const ENDS_WITHIN: Duration = Duration::from_secs(90);

/// A moment of the repair, as seen from outside.
type Moment = fn(&Stack, &Selfheal) -> Result<bool>;

fn killed_when(test: &str, moment: Moment) -> Result<()> {
    if !engine::answers(test) {
        return Ok(());
    }
    let fault = &faults::RATE_LIMIT;
    let stack = fault.staged()?;
    let mut selfheal = Selfheal::watch(&stack, &worker_delay(&stack)?)?;
    (fault.inject)(&stack)?;
    wait_closely(&stack, &selfheal, moment).with_context(|| selfheal.last_words())?;
    selfheal.kill()?;
    selfheal.start_again()?;
    until("the service works again", ENDS_WITHIN, || fault.judge(&stack))
        .and_then(|()| until("every incident has its end", ENDS_WITHIN, || all_ended(&selfheal)))
        .and_then(|()| config_is_whole(&stack))
        .with_context(|| selfheal.last_words())
}

/// Looks as often as it can: the moment lasts milliseconds.
fn wait_closely(stack: &Stack, selfheal: &Selfheal, moment: Moment) -> Result<()> {
    let deadline = Instant::now() + BEGINS_WITHIN;
    while !moment(stack, selfheal)? {
        ensure!(Instant::now() < deadline, "the repair did not begin");
        std::thread::yield_now();
    }
    Ok(())
}

fn all_ended(selfheal: &Selfheal) -> Result<()> {
    for incident in selfheal.incidents()? {
        let state = incident["state"].as_str().unwrap_or("none");
        if !["resolved", "rolled_back"].contains(&state) {
            bail!("an incident is {state}: {}", incident["timeline"]);
        }
    }
    Ok(())
}

fn config(stack: &Stack) -> Result<String> {
    Ok(std::fs::read_to_string(stack.folder("worker")?.join("config.json"))?)
}

/// Byte for byte the file of before, or the same with its one number turned by whole steps.
fn config_is_whole(stack: &Stack) -> Result<()> {
    let now = config(stack)?;
    let whole = ["0.2", "0.3", "0.45"].map(|delay| faults::WORKER.replace("0.2", delay));
    ensure!(whole.contains(&now), "the file is torn: {now}");
    Ok(())
}

fn has_backup(data: &Path) -> bool {
    let backups = std::fs::read_dir(data.join("backups")).into_iter().flatten().flatten();
    backups.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("backup_"))
}

#[test]
fn killed_when_the_backup_is_written_it_repairs_after_the_next_start() -> Result<()> {
    killed_when("killed_when_the_backup_is_written", |_, selfheal| Ok(has_backup(&selfheal.data())))
}

#[test]
fn killed_between_two_steps_it_goes_on_after_the_next_start() -> Result<()> {
    killed_when("killed_between_two_steps", |stack, _| Ok(config(stack)? != faults::WORKER))
}

#[test]
fn killed_while_the_engine_restarts_the_container_it_knows_that_after_the_next_start() -> Result<()>
{
    killed_when("killed_while_the_engine_restarts", |_, selfheal| {
        Ok(selfheal.changes().iter().any(|change| change.verb == "restart"))
    })
}

#[test]
fn killed_in_the_window_it_goes_on_watching_after_the_next_start() -> Result<()> {
    killed_when("killed_in_the_window", |_, selfheal| {
        Ok(selfheal.incidents()?.iter().any(|incident| incident["state"] == "validating"))
    })
}
