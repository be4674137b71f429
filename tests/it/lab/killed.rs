//! Selfheal killed without a word in the middle of a repair, and started again.
//!
//! The repair has two steps, a changed file and a restart, or makes a container again; it is cut
//! at each point that can be seen from outside, and in one go after each record of its journal.
//! Whatever the moment, the next start must leave nothing half done: the service works again, the
//! file is whole, and every incident has an end.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use selfheal::store::DATABASE_FILE;
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Row};
use tokio::runtime::Runtime;

use super::daemon::Selfheal;
use super::engine::{self, docker};
use super::faults::{self, Fault};
use super::heals::worker_delay;
use super::relay::is_clone;
use super::stack::Stack;
use crate::support::until;

const BEGINS_WITHIN: Duration = Duration::from_mins(1);
const ENDS_WITHIN: Duration = Duration::from_secs(90);
/// The whole of a repair that is cut off again and again.
const THROUGH_WITHIN: Duration = Duration::from_mins(6);

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
    is_brought_to_its_end(fault, &stack, &selfheal, whole)
}

fn is_brought_to_its_end(
    fault: &Fault,
    stack: &Stack,
    selfheal: &Selfheal,
    whole: Whole,
) -> Result<()> {
    until("the service works again", ENDS_WITHIN, || fault.judge(stack))
        .and_then(|()| until("every incident has its end", ENDS_WITHIN, || all_ended(selfheal)))
        .and_then(|()| whole(stack))
        .with_context(|| selfheal.last_words())
}

/// Kills it at each record that it writes to its journal, start after start, until the repair is
/// through. A second record of a kind is let pass: a plan that is cut off before its first step is
/// given up and made anew, and that would go on for ever.
fn killed_at_each_record(test: &str, fault: &Fault, whole: Whole, least: usize) -> Result<()> {
    if !engine::answers(test) {
        return Ok(());
    }
    let stack = fault.staged()?;
    let mut selfheal = Selfheal::watch(&stack, &worker_delay(&stack)?)?;
    let mut journal = Reader::of(&selfheal.data())?;
    (fault.inject)(&stack)?;
    let (mut cut, deadline) = (BTreeSet::new(), Instant::now() + THROUGH_WITHIN);
    loop {
        let new = journal.next_record(deadline).with_context(|| selfheal.last_words())?;
        if cut.insert(new.clone()) {
            selfheal.kill()?;
            // What it wrote before it was dead is not news any more.
            journal.passes_over_the_rest()?;
            selfheal.start_again()?;
        }
        if journal.is_through()? {
            break;
        }
    }
    ensure!(cut.len() >= least, "it was killed at {cut:?} alone");
    is_brought_to_its_end(fault, &stack, &selfheal, whole)
}

/// Reads the journal beside the one who writes it.
struct Reader {
    runtime: Runtime,
    connection: SqliteConnection,
    /// The newest record that was read.
    last: i64,
}

impl Reader {
    fn of(data: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let options = SqliteConnectOptions::new().filename(data.join(DATABASE_FILE));
        let connection = runtime.block_on(options.read_only(true).connect())?;
        Ok(Self { runtime, connection, last: 0 })
    }

    /// Records after the last one, by number and kind.
    fn news(&mut self) -> Result<Vec<(i64, String)>> {
        let query = sqlx::query("SELECT sequence, entry FROM journal WHERE sequence > $1");
        let rows = self.runtime.block_on(query.bind(self.last).fetch_all(&mut self.connection))?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            let record: Value = serde_json::from_str(row.try_get("entry")?)?;
            Ok((row.try_get("sequence")?, kind_of(&record["entry"])))
        };
        rows.iter().map(read).collect()
    }

    fn next_record(&mut self, deadline: Instant) -> Result<String> {
        loop {
            if let Some((number, kind)) = self.news()?.into_iter().next() {
                self.last = number;
                return Ok(kind);
            }
            ensure!(Instant::now() < deadline, "the repair did not go on");
            std::thread::yield_now();
        }
    }

    fn passes_over_the_rest(&mut self) -> Result<()> {
        self.last = self.news()?.last().map_or(self.last, |(number, _)| *number);
        Ok(())
    }

    /// Whether a fix is kept.
    fn is_through(&mut self) -> Result<bool> {
        let before = std::mem::take(&mut self.last);
        let all = self.news();
        self.last = before;
        Ok(all?.iter().any(|(_, kind)| kind.starts_with("kept")))
    }
}

/// What a record says, without what is in it.
fn kind_of(entry: &Value) -> String {
    let kind = entry["entry"].as_str().unwrap_or("none");
    format!("{kind} {}", entry["step"])
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

pub(super) fn all_ended(selfheal: &Selfheal) -> Result<()> {
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
pub(super) fn config_is_whole(stack: &Stack) -> Result<()> {
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

#[test]
fn killed_at_each_record_of_a_changed_file_it_brings_the_repair_to_its_end() -> Result<()> {
    // The plan and its end, two steps begun and done, all applied, proven, kept.
    killed_at_each_record(
        "killed_at_each_record_of_a_file",
        &faults::RATE_LIMIT,
        config_is_whole,
        6,
    )
}

#[test]
fn killed_at_each_record_of_a_container_made_again_it_brings_the_repair_to_its_end() -> Result<()> {
    killed_at_each_record(
        "killed_at_each_record_of_a_container",
        &faults::LOST_VARIABLE,
        nothing_is_left_over,
        5,
    )
}
