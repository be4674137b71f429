//! Looks again at values above a limit until their hold time ends.
//!
//! Without this a level that must last a minute would wait for the next slot of the schedule,
//! and two peaks in two slots would pass for one that lasted.

use std::collections::BTreeSet;

use selfheal_agents::model::TargetId;

use super::look::Seen;
use super::state::{Inner, lock};
use super::{Scope, Trigger};

impl Inner {
    /// Takes over from a look when to look again; what fell meanwhile is left alone.
    pub(super) fn look_while_it_rises(&self, seen: &Seen) {
        let mut rising = lock(&self.rising);
        for report in &seen.report.targets {
            match seen.report.rising.get(report.id()) {
                Some(next) => rising.insert(report.id().clone(), next.look_at),
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
