//! Tells from time to time what went on, once for each slot.
//!
//! Its invariant: the slot is written down after its digest is queued, and the digest has the slot in
//! its key, so that a crash in between loses none and sends none twice.

use selfheal_agents::model::Timestamp;
use selfheal_agents::ports::{IncidentQuery, StoreResult};

use super::schedule::CronSchedule;
use super::state::Inner;
use crate::alerts::{Period, digest};
use crate::config::Schedule;

/// Where the last slot is kept among the store's values.
const LAST_DIGEST: &str = "alerts.digest.last_slot";
/// More than happens between two digests.
const MOST_INCIDENTS: usize = 10_000;
const MOST_BACKUPS: usize = 1000;

impl Inner {
    /// Queues the digest if its time has come.
    pub(super) async fn tell_digest(&self) {
        if let Err(error) = self.queue_digest().await {
            tracing::warn!(%error, "the digest is tried again");
        }
    }

    async fn queue_digest(&self) -> StoreResult<()> {
        let rules = self.rules();
        let Some(cron) = rules.digest.clone() else { return Ok(()) };
        let schedule = Schedule { cron, timezone: rules.timezone.clone(), ..Schedule::default() };
        // The settings refuse what cannot be read.
        let Ok(schedule) = CronSchedule::new(&schedule, "") else { return Ok(()) };
        let now = self.world.clock.now();
        let Some(last) = self.recall::<Timestamp>(LAST_DIGEST).await? else {
            return self.keep_in_mind(LAST_DIGEST, &now).await;
        };
        let Some(slot) = schedule.due(last, now) else { return Ok(()) };
        let period = self.period(last).await?;
        self.queue_alert(&digest(&period, slot.nominal)).await?;
        self.keep_in_mind(LAST_DIGEST, &slot.nominal).await
    }

    async fn period(&self, since: Timestamp) -> StoreResult<Period> {
        let query =
            IncidentQuery { since: Some(since), limit: MOST_INCIDENTS, ..Default::default() };
        let mut backups = self.store.backups(MOST_BACKUPS).await?;
        backups.retain(|backup| backup.at >= since);
        Ok(Period {
            since: Some(since),
            incidents: self.store.incidents(&query).await?,
            outcomes: self.store.outcomes(Some(since)).await?,
            backups,
            waits: self.waiting_for_a_person().await?,
            audited: self.audit.witness().await,
        })
    }
}
