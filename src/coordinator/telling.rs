//! Queues what people are told, for the channels that it is routed to.

use chrono::TimeDelta;
use selfheal_agents::ports::{Alert, StoreResult};

use super::state::Inner;
use crate::alerts;

impl Inner {
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
