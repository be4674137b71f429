//! Cycles that wait: a storm of triggers becomes one.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::{CycleReport, Scope, Trigger};

/// Who waits for a cycle's report.
pub(super) type Waiter = oneshot::Sender<Arc<CycleReport>>;

/// One cycle that waits, with everybody who asked for it.
pub(super) struct Waiting {
    pub(super) scope: Scope,
    /// The first trigger; the others only widened the scope.
    pub(super) trigger: Trigger,
    pub(super) dry_run: bool,
    pub(super) waiters: Vec<Waiter>,
}

/// At most one real and one dry cycle wait at any time.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Vec<Waiting>>,
    added: Notify,
}

impl Queue {
    /// Adds a trigger, merged into what waits already.
    pub(super) fn add(
        &self,
        scope: Scope,
        trigger: Trigger,
        dry_run: bool,
        waiter: Option<Waiter>,
    ) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = waiting.iter_mut().find(|w| w.dry_run == dry_run) {
            let before = std::mem::replace(&mut same.scope, Scope::All);
            same.scope = before.merge(scope);
            same.waiters.extend(waiter);
        } else {
            waiting.push(Waiting {
                scope,
                trigger,
                dry_run,
                waiters: waiter.into_iter().collect(),
            });
        }
        drop(waiting);
        self.added.notify_one();
    }

    /// How many cycles wait.
    pub(super) fn depth(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The next cycle, as soon as there is one. Safe to cancel.
    pub(super) async fn next(&self) -> Waiting {
        loop {
            {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                if !waiting.is_empty() {
                    return waiting.remove(0);
                }
            }
            self.added.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use selfheal_agents::model::TargetId;

    use super::*;

    #[tokio::test]
    async fn a_storm_of_triggers_becomes_one_cycle_over_all_it_named() {
        let queue = Queue::default();
        for name in ["a", "b", "a", "c"] {
            let scope = Scope::target(TargetId::container(name));
            queue.add(scope, Trigger::RuntimeEvent, false, None);
        }
        assert_eq!(queue.depth(), 1);
        let next = queue.next().await;
        assert_eq!(queue.depth(), 0);
        let all: BTreeSet<TargetId> = ["a", "b", "c"].map(TargetId::container).into();
        assert_eq!(next.scope, Scope::Targets(all));
        let more = tokio::time::timeout(std::time::Duration::ZERO, queue.next()).await;
        assert!(more.is_err(), "nothing else waits");
    }

    #[tokio::test]
    async fn a_dry_run_is_never_merged_into_a_real_cycle() {
        let queue = Queue::default();
        queue.add(Scope::All, Trigger::Api, true, None);
        queue.add(Scope::All, Trigger::Schedule, false, None);
        assert!(queue.next().await.dry_run);
        assert!(!queue.next().await.dry_run);
    }
}
