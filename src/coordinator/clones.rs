//! The clones that this process has in use, and the removal of those that nobody has.
//!
//! Its invariant: there is one rehearsal at a time, for each may take half of the memory that is
//! free, and no clone is taken for a left one while it is rehearsed on here, whatever the clock
//! says. It does not say how a clone is made, nor what it proves.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use selfheal_agents::model::{Incident, rehearsal_name};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};
use tokio::time::Duration;
use tokio_util::task::TaskTracker;

use super::look::Seen;
use super::state::{Inner, TICK, lock};

/// The longest pause before a clone is tried to be removed again.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of clones.
#[derive(Default)]
pub(super) struct Clones {
    /// Held from before a clone is made until it is removed.
    stage: AsyncMutex<()>,
    /// The names of those that are rehearsed on.
    in_use: Mutex<BTreeSet<String>>,
    /// Removes what expired, apart from the repairs that people are told the number of.
    clearing: TaskTracker,
}

/// The turn to rehearse on the clone of this name; dropping it ends it.
pub(super) struct OnStage<'a> {
    clones: &'a Clones,
    name: String,
    _turn: MutexGuard<'a, ()>,
}

impl Clones {
    /// Waits until no other fix is rehearsed.
    pub(super) async fn enter(&self, name: &str) -> OnStage<'_> {
        let turn = self.stage.lock().await;
        lock(&self.in_use).insert(name.to_owned());
        OnStage { clones: self, name: name.to_owned(), _turn: turn }
    }

    fn is_in_use(&self, name: &str) -> bool {
        lock(&self.in_use).contains(name)
    }
}

impl Drop for OnStage<'_> {
    fn drop(&mut self) {
        lock(&self.clones.in_use).remove(&self.name);
    }
}

impl Inner {
    /// Begins to remove clones that nobody removed in time, whoever made them. No cycle waits for
    /// that: a runtime that hangs takes its time over each.
    pub(super) fn remove_expired_clones(self: &Arc<Self>, seen: &Seen) {
        if !self.clones.clearing.is_empty() {
            return;
        }
        let now = self.world.clock.now();
        let expired = |(name, expires): (&String, &String)| {
            // One whose time cannot be read is left to a person.
            let at = DateTime::parse_from_rfc3339(expires).ok()?.with_timezone(&Utc);
            (at <= now && !self.clones.is_in_use(name)).then(|| name.clone())
        };
        let expired: Vec<String> = seen.inventory.clones.iter().filter_map(expired).collect();
        if expired.is_empty() {
            return;
        }
        let inner = Arc::clone(self);
        self.clones.clearing.spawn(async move {
            inner.cancel.run_until_cancelled(inner.clear_away(&expired)).await;
        });
    }

    /// Tries once: the next cycle sees what is left.
    async fn clear_away(&self, expired: &[String]) {
        for clone in expired {
            tracing::warn!(container.name = clone, "a clone has expired and is removed");
            if let Err(error) = self.world.runtime.unstage(clone).await {
                tracing::warn!(container.name = clone, %error, "an expired clone is not removed");
            }
        }
    }

    /// Removes what an end of Selfheal in the midst of a rehearsal left.
    pub(super) async fn unstage_clones_of(&self, incident: &Incident) {
        let Some(fix) = &incident.fix else { return };
        for target in fix.touches() {
            if let Some(name) = target.container_name() {
                self.unstage(&rehearsal_name(name, fix.id)).await;
            }
        }
    }

    /// Removes a clone, with some patience.
    pub(super) async fn unstage(&self, clone: &str) {
        let mut wait = TICK;
        loop {
            let Err(error) = self.world.runtime.unstage(clone).await else { return };
            if !error.is_transient() || wait > PATIENCE {
                tracing::warn!(
                    container.name = clone, %error,
                    "a clone is not removed; that is tried again when it has expired"
                );
                return;
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
    }
}
