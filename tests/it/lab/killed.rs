//! Selfheal killed without a word in the middle of a repair, and started again.
//!
//! The repair has two steps, a changed file and a restart, or makes a container again; it is cut
//! at each point that can be seen from outside. Whatever the moment, the next start must leave nothing half done: the
//! service works again, the file is whole, and every incident has an end.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::daemon::Selfheal;
use super::engine::{self, docker};
use super::faults::{self, Fault};
use super::heals::worker_delay;
use super::relay::is_clone;
use super::stack::Stack;
use crate::support::until;

const BEGINS_WITHIN: Duration = Duration::from_mins(1);
const ENDS_WITHIN: Duration = Duration::from_secs(90);

/// A moment of the repair, as seen from outside.
type Moment = fn(&Stack, &Selfheal) -> Result<bool>;

/// Whether nothing of the repair is half done.
type Whole = fn(&Stack) -> Result<()>;

fn killed_when(test: &str, moment: Moment) -> Result<()> {
    killed(test, &faults::RATE_LIMIT, moment, config_is_whole)
}

/// The same while a container is made again.
fn killed_while_making(test: &str, moment: Moment) -> Result<()> {
    killed(test, &faults::LOST_VARIABLE, moment, nothing_is_left_over)
}

fn killed(test: &str, fault: &Fault, moment: Moment, whole: Whole) -> Result<()> {
    if !engine::answers(test) {
        return Ok(());
    }
    let stack = fault.staged()?;
    let mut selfheal = Selfheal::watch(&stack, &worker_delay(&stack)?)?;
    (fault.inject)(&stack)?;
    wait_closely(&stack, &selfheal, moment).with_context(|| selfheal.last_words())?;
    selfheal.kill()?;
    selfheal.start_again()?;
    until("the service works again", ENDS_WITHIN, || fault.judge(&stack))
        .and_then(|()| until("every incident has its end", ENDS_WITHIN, || all_ended(&selfheal)))
        .and_then(|()| whole(&stack))
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

/// There is one container, and none that was kept beside it.
fn nothing_is_left_over(stack: &Stack) -> Result<()> {
    let label = format!("label={}", stack.label());
    let names = docker(&["ps", "--all", "--format", "{{.Names}}", "--filter", &label])?;
    ensure!(names == stack.name("app"), "there are {names}");
    let clones = docker(&["ps", "--all", "--format", "{{.Names}}", "--filter", &stack.clones()])?;
    ensure!(clones.is_empty(), "a clone is left: {clones}");
    Ok(())
}

fn asked_for(selfheal: &Selfheal, verb: &str) -> bool {
    selfheal.changes().iter().any(|change| change.verb == verb && !is_clone(&change.object))
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
        Ok(asked_for(selfheal, "restart"))
    })
}

#[test]
fn killed_in_the_window_it_goes_on_watching_after_the_next_start() -> Result<()> {
    killed_when("killed_in_the_window", |_, selfheal| {
        Ok(selfheal.incidents()?.iter().any(|incident| incident["state"] == "validating"))
    })
}

#[test]
fn killed_while_it_tries_a_clone_it_clears_that_away_and_repairs_after_the_next_start() -> Result<()>
{
    killed_while_making("killed_while_it_tries_a_clone", |_, selfheal| {
        Ok(selfheal.changes().iter().any(|c| c.verb == "start" && is_clone(&c.object)))
    })
}

#[test]
fn killed_when_the_old_container_is_set_aside_it_makes_the_new_one_after_the_next_start()
-> Result<()> {
    killed_while_making("killed_when_set_aside", |_, selfheal| Ok(asked_for(selfheal, "rename")))
}

#[test]
fn killed_when_the_new_container_is_made_it_goes_on_after_the_next_start() -> Result<()> {
    killed_while_making("killed_when_made", |_, selfheal| Ok(asked_for(selfheal, "create")))
}
