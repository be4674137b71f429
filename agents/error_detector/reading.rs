//! Reads what the containers wrote since the last cycle, all at the same time.
//!
//! A container whose log cannot be read is left out of the answer and disturbs nobody. It
//! keeps no position: cursors come in, and go out with each batch.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use futures_util::StreamExt;
use futures_util::stream;

use crate::model::{ContainerFacts, ContainerStatus, LogBatch, LogCursor, TargetId, Timestamp};
use crate::ports::Questions;

/// Older lines say nothing about now.
const HORIZON: TimeDelta = TimeDelta::minutes(10);
/// Lines of the first read.
const FIRST_LINES: usize = 500;
/// Lines of a later one; a flood beyond is dropped by the runtime and counted there.
const MORE_LINES: usize = 5_000;
/// Logs read at the same time.
const AT_ONCE: usize = 16;

/// The new lines of each container, by target; `cursors` is by Docker id.
///
/// Without a cursor, only the last ten minutes are read. A container that ended with an
/// error is read from ten minutes before its end in every cycle, since its last lines are
/// what explains it, also to a Selfheal that started later; [`super::ErrorDetector`] counts
/// a line once.
pub async fn read_logs(
    questions: &dyn Questions,
    containers: &[(TargetId, &ContainerFacts)],
    cursors: &BTreeMap<String, LogCursor>,
    now: Timestamp,
) -> Read {
    let mut reads = vec![];
    // A loop, not a closure: the future has to be `Send` for every lifetime.
    for (id, facts) in containers.iter().filter(|(_, facts)| was_ever_up(facts)) {
        let (since, max_lines) = place(facts, cursors.get(&facts.id).copied(), now);
        reads.push(async move { (id, questions.logs(facts, since, max_lines).await) });
    }
    let answers: Vec<_> = stream::iter(reads).buffer_unordered(AT_ONCE).collect().await;
    let mut read = Read::default();
    for (id, answer) in answers {
        match answer {
            Some(Ok(batch)) => {
                read.logs.insert(id.clone(), batch);
            }
            Some(Err(_)) => {}
            None => {
                read.late.insert(id.clone());
            }
        }
    }
    read
}

/// What the logs told.
#[derive(Debug, Default)]
pub struct Read {
    /// The new lines of each container whose log could be read.
    pub logs: BTreeMap<TargetId, LogBatch>,
    /// Containers whose log is still being read.
    pub late: BTreeSet<TargetId>,
}

fn was_ever_up(facts: &ContainerFacts) -> bool {
    facts.status != ContainerStatus::Created || facts.started_at.is_some()
}

fn place(facts: &ContainerFacts, cursor: Option<LogCursor>, now: Timestamp) -> (LogCursor, usize) {
    let last_moment = facts.finished_at.filter(|_| facts.is_down()).unwrap_or(now);
    let horizon = LogCursor { at: last_moment - HORIZON, seen_at: 0 };
    let failed = facts.is_down() && facts.exit_code.is_some_and(|code| code != 0);
    match cursor {
        Some(cursor) if !failed && cursor.at > horizon.at => (cursor, MORE_LINES),
        _ => (horizon, FIRST_LINES),
    }
}
