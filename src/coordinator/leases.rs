//! Who works on which target: one repair at a time, and our own effects known as ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use selfheal_agents::model::{TargetId, Timestamp};

/// Events of our own effects carry a time at most this much later than the effect: both are
/// taken on this machine. A longer echo would take a person's quick stop for ours.
const ECHO_SECS: i64 = 1;
/// How long the time of an ended lease is remembered, for events that come late.
const SPAN_KEPT: TimeDelta = TimeDelta::hours(1);

#[derive(Default)]
struct Held {
    busy: BTreeSet<TargetId>,
    /// Begin and end of the newest lease of each target.
    spans: BTreeMap<TargetId, (Timestamp, Option<Timestamp>)>,
}

/// The leases of this process.
#[derive(Clone, Default)]
pub(super) struct Leases {
    held: Arc<Mutex<Held>>,
}

/// A lease on some targets; dropping it gives it back.
pub(super) struct Lease {
    leases: Leases,
    targets: Vec<TargetId>,
    clock: Arc<dyn selfheal_agents::ports::Clock>,
}

impl Leases {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all of `targets`, or none if one is taken.
    pub(super) fn take(
        &self,
        targets: Vec<TargetId>,
        clock: &Arc<dyn selfheal_agents::ports::Clock>,
    ) -> Option<Lease> {
        let mut held = self.held();
        if targets.iter().any(|target| held.busy.contains(target)) {
            return None;
        }
        let (now, echo) = (clock.now(), TimeDelta::seconds(ECHO_SECS));
        // Events come late at times, but not by hours.
        held.spans.retain(|_, (_, to)| to.is_none_or(|to| now - to <= echo + SPAN_KEPT));
        for target in &targets {
            held.busy.insert(target.clone());
            held.spans.insert(target.clone(), (now, None));
        }
        Some(Lease { leases: self.clone(), targets, clock: Arc::clone(clock) })
    }

    /// Whether something is being done to the target.
    pub(super) fn is_busy(&self, target: &TargetId) -> bool {
        self.held().busy.contains(target)
    }

    /// Everything to which something is being done.
    pub(super) fn all_busy(&self) -> BTreeSet<TargetId> {
        self.held().busy.clone()
    }

    /// Whether an event of that time is an echo of what we do or did.
    pub(super) fn is_ours(&self, target: &TargetId, at: Timestamp) -> bool {
        self.held().spans.get(target).is_some_and(|(from, to)| {
            at >= *from && to.is_none_or(|to| at <= to + TimeDelta::seconds(ECHO_SECS))
        })
    }
}

impl Lease {
    /// Until [`Self::begin`] nothing is done to the targets, only by others: what happens to them
    /// is no effect of ours.
    pub(super) fn only_reserve(&self) {
        self.leases.held().spans.retain(|target, _| !self.targets.contains(target));
    }

    /// From now on effects are ours.
    pub(super) fn begin(&self) {
        let now = self.clock.now();
        let begun = self.targets.iter().map(|target| (target.clone(), (now, None)));
        self.leases.held().spans.extend(begun);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut held = self.leases.held();
        for target in &self.targets {
            held.busy.remove(target);
            if let Some((_, to)) = held.spans.get_mut(target) {
                *to = Some(self.clock.now());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use selfheal_agents::fakes::FakeClock;
    use selfheal_agents::ports::Clock;

    use super::*;

    #[test]
    fn a_target_is_leased_once_and_given_back_on_drop() {
        let fake = FakeClock::at(Timestamp::UNIX_EPOCH);
        let clock: Arc<dyn Clock> = Arc::new(fake.clone());
        let leases = Leases::default();
        let web = TargetId::container("web");
        let lease = leases.take(vec![web.clone()], &clock).unwrap();
        assert!(leases.take(vec![web.clone(), TargetId::container("db")], &clock).is_none());
        assert_eq!(leases.all_busy(), BTreeSet::from([web.clone()]));
        assert!(!leases.is_busy(&TargetId::container("db")), "all or none");
        drop(lease);
        assert!(leases.take(vec![web], &clock).is_some());
    }

    #[test]
    fn what_happens_to_a_target_that_is_only_reserved_is_not_ours() {
        let fake = FakeClock::at(Timestamp::UNIX_EPOCH);
        let clock: Arc<dyn Clock> = Arc::new(fake.clone());
        let (leases, web) = (Leases::default(), TargetId::container("web"));
        let lease = leases.take(vec![web.clone()], &clock).unwrap();
        lease.only_reserve();
        let at = |secs| Timestamp::UNIX_EPOCH + TimeDelta::seconds(secs);
        assert!(leases.is_busy(&web) && !leases.is_ours(&web, at(5)));
        fake.advance_secs(10);
        lease.begin();
        assert!(leases.is_ours(&web, at(10)) && !leases.is_ours(&web, at(9)));
        drop(lease);
        assert!(!leases.is_busy(&web) && leases.is_ours(&web, at(11)));
    }

    #[test]
    fn events_during_and_just_after_a_lease_are_ours_and_later_ones_are_not() {
        let fake = FakeClock::at(Timestamp::UNIX_EPOCH);
        let clock: Arc<dyn Clock> = Arc::new(fake.clone());
        let leases = Leases::default();
        let web = TargetId::container("web");
        let lease = leases.take(vec![web.clone()], &clock).unwrap();
        fake.advance_secs(10);
        drop(lease);
        let at = |secs| Timestamp::UNIX_EPOCH + TimeDelta::seconds(secs);
        assert!(leases.is_ours(&web, at(5)) && leases.is_ours(&web, at(11)));
        assert!(!leases.is_ours(&web, at(12)) && !leases.is_ours(&web, at(-1)));
    }
}
