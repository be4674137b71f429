//! Says how long a window must be at least to prove something about this service.

use std::time::Duration;

use chrono::TimeDelta;
use selfheal_agents::health_monitor;
use selfheal_agents::model::{TargetId, Timestamp};

use super::state::Inner;

/// How far back lives are looked at.
const LIVES_BACK: TimeDelta = TimeDelta::hours(1);

impl Inner {
    /// The configured length, or longer where the container died again and again: it must outlive
    /// the longest of these lives by a quarter.
    pub(super) async fn least_window(&self, container: Option<&str>, now: Timestamp) -> Duration {
        let configured = self.rules().validation_window;
        let Some(name) = container else { return configured };
        let id = TargetId::container(name);
        let events = self.store.events(Some(&id), now - LIVES_BACK).await.unwrap_or_default();
        let life = health_monitor::longest_life(&events, now);
        life.map_or(configured, |life| configured.max(life * 5 / 4))
    }
}
