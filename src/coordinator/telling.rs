//! Queues what people are told, for the channels that it is routed to.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use selfheal_agents::ports::{Alert, StoreResult};

use super::state::Inner;
use crate::alerts;
use crate::upkeep::Part;

/// How often is asked whether a part of Selfheal does not run.
const PARTS_EVERY: Duration = Duration::from_secs(5);

impl Inner {
    /// Begins to tell of parts that do not run.
    pub(super) fn tell_of_parts(self: &Arc<Self>) {
        let inner = Arc::clone(self);
        let part = Part { name: "what tells of faults", turns_within: None };
        self.upkeep.keep(part, move || {
            let inner = Arc::clone(&inner);
            async move {
                let pause = || tokio::time::sleep(PARTS_EVERY);
                while inner.cancel.run_until_cancelled(pause()).await.is_some() {
                    inner.tell_of_parts_once().await;
                }
            }
        });
    }

    async fn tell_of_parts_once(&self) {
        for trouble in self.upkeep.untold() {
            let alert = alerts::part_fails(trouble.part, &trouble.what, self.world.clock.now());
            match self.queue_alert(&alert).await {
                Ok(()) => self.upkeep.told(&trouble),
                // It is tried again, and stands in the log.
                Err(error) => tracing::debug!(%error, "the alert is not queued: {}", alert.title),
            }
        }
    }

    /// What is not critical is told of when it has lasted this long.
    pub(super) fn tell_after(&self) -> TimeDelta {
        TimeDelta::from_std(self.rules().tell_after).unwrap_or(TimeDelta::MAX)
    }

    /// Queues an alert for the channels that it is routed to; the same one is sent once.
    pub(super) async fn queue_alert(&self, alert: &Alert) -> StoreResult<()> {
        let queued = self.store.enqueue(alert, &self.channels_for(alert).await).await;
        self.wake.notify_waiters();
        queued
    }

    /// Where an alert goes. Who was told of its incident cannot be lost by a store that does not
    /// answer: then everybody is taken for told.
    pub(super) async fn channels_for(&self, alert: &Alert) -> Vec<String> {
        let rules = self.rules();
        let told = match alert.incident.filter(|_| alert.is_over() && !rules.routes.is_empty()) {
            Some(incident) => {
                self.store.told(incident).await.unwrap_or_else(|_| rules.channels.clone())
            }
            None => vec![],
        };
        alerts::channels_for(alert, &told, &rules.channels, &rules.routes)
    }
}
