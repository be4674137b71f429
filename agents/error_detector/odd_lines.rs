//! Lines that no runbook knows: finds those that are odd for the container that writes them.
//!
//! Of every container it is remembered which kinds of error lines it writes and how often; what
//! was never seen while it was well, or comes far more often than usual, becomes a finding. Such a
//! finding is evidence and something to read: it blames nobody and mends nothing.
//!
//! False alarms are what this module is about. It learns for an hour in which the container is
//! well before anything is new, and for a day before anything is worth more than a note. What
//! belongs to a start or a stop is no news while the container is well. A container that writes
//! too many kinds of lines to tell them apart is not listened to for news. What has gone on for a
//! day without harm is no news any more.
//!
//! Rejected: a miner kept for each container. It only grows, and takes its knowledge with it at
//! every restart. Instead a new one takes up the remembered templates for each batch, so that a
//! restart is no different from the next cycle; and of harmless lines nothing but a count is kept.

mod batch;
mod known;
mod phases;
mod recent;
mod speak;
mod template;
mod together;
mod usual;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::{container_of_target, lies_in_peace};
use crate::model::{Finding, HealthReport, LogLine, TargetId, TargetReport, Timestamp};
use crate::root_cause::Graph;

pub use known::KnownLines;
use phases::Phases;

/// What is known is written down so often ...
const KEEP_EVERY: TimeDelta = TimeDelta::hours(1);
/// ... and sooner when a kind of line came that was not known, since a crash would make it new again.
const KEEP_NEWS_AFTER: TimeDelta = TimeDelta::minutes(10);

/// What the containers usually write.
#[derive(Debug, Default)]
pub(super) struct OddLines {
    containers: BTreeMap<TargetId, Listening>,
}

/// One container that is listened to.
#[derive(Debug)]
struct Listening {
    known: KnownLines,
    kept_at: Option<Timestamp>,
}

impl OddLines {
    pub(super) fn listens_to(&self, container: &TargetId) -> bool {
        self.containers.contains_key(container)
    }

    /// Begins to listen to a container, with what was known of it.
    pub(super) fn listen(&mut self, container: TargetId, known: Option<KnownLines>) {
        let known = known.unwrap_or_default();
        self.containers.insert(container, Listening { known, kept_at: None });
    }

    /// Reads the new lines of a container; those a runbook knows are `true` and left to it.
    pub(super) fn read(
        &mut self,
        report: &HealthReport,
        container: &TargetId,
        lines: &[(&LogLine, bool)],
        ill: bool,
    ) {
        let (Some(listening), Some(target)) =
            (self.containers.get_mut(container), report.target(container))
        else {
            return;
        };
        let Some(facts) = target.state.container() else {
            return;
        };
        let phases = Phases::of(facts, &target.state.events);
        listening.kept_at.get_or_insert(report.at);
        listening.known.pass(report.at, !ill && facts.is_up(), facts);
        listening.known.read(lines, &phases, ill, report.at);
    }

    /// What is odd in the containers of a report.
    pub(super) fn findings(
        &mut self,
        report: &HealthReport,
        ill: &BTreeSet<TargetId>,
    ) -> Vec<Finding> {
        let mut findings = vec![];
        for (container, listening) in &mut self.containers {
            let facts = report.target(container).and_then(|target| target.state.container());
            if let Some(facts) = facts.filter(|_| !lies_in_peace(report, container)) {
                let ill = ill.contains(container);
                findings.extend(listening.known.speak(container, facts, ill, report.at));
            }
        }
        findings
    }

    /// What began at the same moment in several containers, and what they share.
    pub(super) fn together(&self, report: &HealthReport, graph: &Graph) -> Vec<Finding> {
        let begun = self.containers.iter().filter_map(|(container, listening)| {
            let facts = report.target(container)?.state.container()?;
            let begun = listening.known.began(report.at)?;
            Some(together::TurnedOdd { container: container.clone(), facts, begun })
        });
        together::findings(begun.collect(), report, graph)
    }

    /// What is to be written down now.
    pub(super) fn due_to_be_kept(&mut self, now: Timestamp) -> Vec<(TargetId, KnownLines)> {
        let mut due = vec![];
        for (container, listening) in &mut self.containers {
            let Some(kept_at) = listening.kept_at else {
                continue;
            };
            let wait = if listening.known.has_news() { KEEP_NEWS_AFTER } else { KEEP_EVERY };
            if now - kept_at >= wait {
                listening.kept_at = Some(now);
                due.push((container.clone(), listening.known.written_down()));
            }
        }
        due
    }

    /// Stops listening to containers that are no more.
    pub(super) fn retain(&mut self, is_there: impl Fn(&TargetId) -> bool) {
        self.containers.retain(|container, _| is_there(container));
    }
}

/// The containers that something is wrong with, whatever shows it.
pub(super) fn ill_containers(report: &HealthReport, findings: &[Finding]) -> BTreeSet<TargetId> {
    let by_finding = findings.iter().filter(|f| f.is_trouble()).map(|f| &f.target);
    let by_check = report.targets.iter().filter(|t| t.verdict().is_bad()).map(TargetReport::id);
    by_finding.chain(by_check).filter_map(|id| container_of_target(report, id)).collect()
}
