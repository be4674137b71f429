//! Looks again at what is about to be trouble: at values above a limit until their hold time ends,
//! and at containers that somebody has just stopped or made.
//!
//! Without this a level that must last a minute would wait for the next slot of the schedule,
//! and two peaks in two slots would pass for one that lasted. And whoever stops or makes a container
//! mostly starts it a moment later: where that fails, not every runtime tells by an event.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use selfheal_agents::model::{ContainerStatus, TargetId, TargetReport, Timestamp};

use super::look::Seen;
use super::state::{Inner, lock};
use super::{Scope, Trigger};

/// So long after it was stopped or made, a container may be started any moment ...
const MAY_BE_STARTED: TimeDelta = TimeDelta::seconds(30);
/// ... and is looked at so often.
const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(10);

impl Inner {
    /// Takes over from a look when to look again; what fell meanwhile is left alone.
    pub(super) fn look_while_it_rises(&self, seen: &Seen) {
        let mut rising = lock(&self.rising);
        for report in &seen.report.targets {
            let rises = seen.report.rising.get(report.id()).map(|next| next.look_at);
            match rises.or_else(|| may_be_started(report, seen.now)) {
                Some(look_at) => rising.insert(report.id().clone(), look_at),
                None => rising.remove(report.id()),
            };
        }
    }

    /// Asks for a cycle over what is due.
    pub(super) fn look_at_what_rises(&self) {
        let now = self.world.clock.now();
        let mut rising = lock(&self.rising);
        let due: BTreeSet<TargetId> =
            rising.extract_if(.., |_, at| *at <= now).map(|(target, _)| target).collect();
        if !due.is_empty() {
            self.queue.add(Scope::Targets(due), Trigger::Schedule, false, None);
        }
    }
}

/// When to look again at a container that lies still since a moment ago, and well.
fn may_be_started(report: &TargetReport, now: Timestamp) -> Option<Timestamp> {
    let facts = report.state.container().filter(|_| !report.verdict().is_bad())?;
    let since = match facts.status {
        ContainerStatus::Exited => facts.finished_at?,
        ContainerStatus::Created => facts.created_at?,
        _ => return None,
    };
    (now - since < MAY_BE_STARTED).then_some(now + LOOK_AGAIN)
}
