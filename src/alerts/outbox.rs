//! Carries what is to be said now, one loop a channel, so that a channel that hangs delays no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join_all;
use selfheal_agents::model::clean;
use selfheal_agents::ports::{Clock, Delivery, Store, StoreResult};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::parcels::{Lately, Parcel, Taste, parcels};
use super::threads::Threads;
use super::{Channel, Channels, Sending, backoff};

/// How often the outbox is looked at when nobody calls.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// More than ever wait at once.
const MOST_AT_ONCE: usize = 5000;
/// An alert that could not be delivered for so long is given up, loudly ...
const GIVE_UP_AFTER: TimeDelta = TimeDelta::hours(24);
/// ... but not before this many tries, since Selfheal itself may have been off that long.
const LEAST_ATTEMPTS: u32 = 10;

/// Carries alerts until `cancel`; `wake` (by `notify_waiters`) makes it look at once.
///
/// When `channels` change, what is being sent through the old ones is broken off, since they
/// may hang, and goes through the new ones.
pub async fn run(
    outbox: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    mut channels: watch::Receiver<Channels>,
    wake: Arc<Notify>,
    cancel: CancellationToken,
) {
    let mut unmarked: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    while !cancel.is_cancelled() {
        let now = channels.borrow_and_update().clone();
        if let Err(error) = give_up_orphans(&*outbox, &*clock, &now).await {
            tracing::warn!("the outbox cannot be read: {error}");
        }
        let stop = cancel.child_token();
        let carriers = now.into_iter().map(|channel| {
            Carrier {
                threads: Threads::of(&channel.name, Arc::clone(&outbox)),
                outbox: Arc::clone(&outbox),
                clock: Arc::clone(&clock),
                stop: stop.clone(),
                unmarked: unmarked.remove(&channel.name).unwrap_or_default(),
                failing: false,
                channel,
            }
            .run(&wake)
        });
        let carriers = join_all(carriers);
        let (ended, ()) = tokio::join!(carriers, stop_at_a_change(&mut channels, &stop));
        unmarked.extend(ended);
    }
}

/// Ends the carriers when the channels are no longer those they know.
async fn stop_at_a_change(channels: &mut watch::Receiver<Channels>, stop: &CancellationToken) {
    match stop.run_until_cancelled(channels.changed()).await {
        Some(Ok(())) => stop.cancel(),
        // Nobody is left to change them.
        Some(Err(_)) => stop.cancelled().await,
        None => {}
    }
}

/// Alerts for a channel that is no longer configured wait a day for it to come back.
async fn give_up_orphans(
    outbox: &dyn Store,
    clock: &dyn Clock,
    channels: &[Arc<Channel>],
) -> StoreResult<()> {
    let now = clock.now();
    let names: BTreeSet<&str> = channels.iter().map(|channel| channel.name.as_str()).collect();
    for orphan in outbox.due(now, MOST_AT_ONCE).await? {
        if !names.contains(orphan.channel.as_str()) && now - orphan.alert.at > GIVE_UP_AFTER {
            outbox.failed(orphan.id, "the channel is not configured", None).await?;
        }
    }
    Ok(())
}

struct Carrier {
    threads: Threads,
    outbox: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    channel: Arc<Channel>,
    stop: CancellationToken,
    /// Arrived, but the store could not note it: never sent again by this process.
    unmarked: BTreeSet<i64>,
    /// Whether the last try failed; tells once that a channel is down and once that it
    /// is back.
    failing: bool,
}

impl Carrier {
    /// Until it is stopped; answers for which channel and what is still to be noted.
    async fn run(mut self, wake: &Notify) -> (String, BTreeSet<i64>) {
        loop {
            // Made before looking, so that a call in between is not missed.
            let called = wake.notified();
            match self.round().await {
                Ok(true) if !self.stop.is_cancelled() => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!("the outbox cannot be used now: {error}"),
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return (self.channel.name.clone(), self.unmarked),
                () = called => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Sends what is to be said now, up to the first failure; returns whether anything arrived,
    /// so that what waited behind it may be due now.
    async fn round(&mut self) -> StoreResult<bool> {
        let mut waits = self.outbox.waiting_for(&self.channel.name, MOST_AT_ONCE).await?;
        self.note_unmarked(&mut waits).await?;
        if waits.is_empty() {
            return Ok(false);
        }
        let mut lately = self.lately().await;
        let (quiet, taste) = (&self.channel.quiet, self.channel.taste());
        let now = self.clock.now();
        let mut arrived = false;
        for parcel in parcels(waits, &lately, quiet, taste, now) {
            if !self.send(&parcel, &mut lately).await? {
                break;
            }
            arrived = true;
        }
        Ok(arrived)
    }

    /// What arrived before is noted now, and waits no more.
    async fn note_unmarked(&mut self, waits: &mut Vec<Delivery>) -> StoreResult<()> {
        if self.unmarked.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = self.unmarked.iter().copied().collect();
        self.outbox.all_delivered(&ids, self.clock.now()).await?;
        waits.retain(|delivery| !self.unmarked.contains(&delivery.id));
        self.unmarked.clear();
        Ok(())
    }

    async fn send(&mut self, parcel: &Parcel, lately: &mut Lately) -> StoreResult<bool> {
        // Only the sending is broken off at the end; what arrived is always noted.
        let sending = Sending { alert: &parcel.alert, threads: &self.threads };
        let carried = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Ok(false),
            carried = self.channel.kind.carry(&sending) => carried,
        };
        if let Err(why) = carried {
            self.note_failure(parcel, &clean(&why, 300)).await?;
            return Ok(false);
        }
        if self.failing {
            self.failing = false;
            tracing::info!(channel = self.channel.name, "the alert channel works again");
        }
        let now = self.clock.now();
        let ids: Vec<i64> = parcel.of.iter().map(|delivery| delivery.id).collect();
        self.unmarked.extend(&ids);
        if lately.note(parcel, now) {
            self.keep(lately).await;
        }
        self.outbox.all_delivered(&ids, now).await?;
        self.unmarked.retain(|id| !ids.contains(id));
        Ok(true)
    }

    /// A summary that is refused waits by its first alert.
    async fn note_failure(&mut self, parcel: &Parcel, why: &str) -> StoreResult<()> {
        let Some(first) = parcel.of.first() else { return Ok(()) };
        let (channel, now) = (self.channel.name.as_str(), self.clock.now());
        let attempts = first.attempts.saturating_add(1);
        let retry_at = now + backoff::delay(first.attempts, backoff::noise(first.id));
        if now - first.alert.at > GIVE_UP_AFTER && attempts >= LEAST_ATTEMPTS {
            tracing::error!(
                channel,
                attempts,
                "an alert is given up after a day: {why}. It said: {}",
                parcel.alert.title
            );
            // What was added to it since goes on.
            let (old, young): (Vec<_>, Vec<_>) =
                parcel.of.iter().partition(|d| now - d.alert.at > GIVE_UP_AFTER);
            for delivery in old {
                self.outbox.failed(delivery.id, why, None).await?;
            }
            if let Some(next) = young.first() {
                self.outbox.failed(next.id, why, Some(retry_at)).await?;
            }
            return Ok(());
        }
        if !self.failing {
            self.failing = true;
            tracing::warn!(channel, "an alert could not be delivered and is tried again: {why}");
        }
        self.outbox.failed(first.id, why, Some(retry_at)).await
    }

    /// What was said lately. Where that cannot be read, a person is told more than once at worst.
    async fn lately(&self) -> Lately {
        let kept = self.outbox.value(&self.lately_name()).await.ok().flatten();
        kept.and_then(|kept| serde_json::from_value(kept).ok()).unwrap_or_default()
    }

    async fn keep(&self, lately: &Lately) {
        // The record of everything asks for none.
        if self.channel.taste() == Taste::Everything {
            return;
        }
        let kept = serde_json::json!(lately);
        if let Err(error) = self.outbox.set_value(&self.lately_name(), Some(&kept)).await {
            tracing::warn!("what was told lately cannot be kept: {error}");
        }
    }

    fn lately_name(&self) -> String {
        format!("alerts.lately.{}", self.channel.name)
    }
}
