//! Runs the schedule: a heartbeat each second, and the pure brain that says what is due.
//!
//! The cron library only beats: it knows no time zones over a change of summer time and
//! makes up nothing (see `coordinator::schedule` for what does). The slot is remembered
//! before it is run, so that a crash in between costs one slot and never doubles one.

use std::sync::Arc;

use selfheal_agents::model::Timestamp;
use selfheal_agents::ports::{Clock, Memory, Store};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;

use crate::coordinator::Pulse;
use crate::coordinator::schedule::{CronSchedule, LAST_SLOT, Slot};

/// Fires every slot of the schedule once, until cancelled. A changed schedule counts from
/// the next second on.
pub async fn run(
    schedules: watch::Receiver<Arc<CronSchedule>>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    fire: impl Fn(Slot) + Send,
    pulse: Arc<Pulse>,
    cancel: CancellationToken,
) -> Result<(), JobSchedulerError> {
    let (beat, beats) = mpsc::channel(1);
    let mut heartbeat = start_heartbeat(beat).await?;
    follow(schedules, store, clock, beats, fire, pulse, cancel).await;
    heartbeat.shutdown().await
}

async fn start_heartbeat(beat: mpsc::Sender<()>) -> Result<JobScheduler, JobSchedulerError> {
    let scheduler = JobScheduler::new().await?;
    // A beat that finds the last one unread is left out: one is enough.
    let job = Job::new("*/1 * * * * *", move |_, _| {
        let _ = beat.try_send(());
    })?;
    scheduler.add(job).await?;
    scheduler.start().await?;
    Ok(scheduler)
}

async fn follow(
    schedules: watch::Receiver<Arc<CronSchedule>>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    mut beats: mpsc::Receiver<()>,
    fire: impl Fn(Slot) + Send,
    pulse: Arc<Pulse>,
    cancel: CancellationToken,
) {
    let mut last = recalled(&*store, &*clock).await;
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            beat = beats.recv() => if beat.is_none() { return },
        }
        pulse.beat();
        let schedule = Arc::clone(&schedules.borrow());
        let Some(slot) = schedule.due(last, clock.now()) else { continue };
        last = slot.nominal;
        if let Err(error) = store.set_value(LAST_SLOT, Some(&json!(last))).await {
            tracing::warn!("the last slot of the schedule could not be remembered: {error}");
        }
        fire(slot);
    }
}

/// The last slot that was run; now, if there was none.
async fn recalled(store: &dyn Store, clock: &dyn Clock) -> Timestamp {
    let value = match Memory::value(store, LAST_SLOT).await {
        Ok(value) => value,
        Err(error) => {
            tracing::warn!("the last slot of the schedule is not known: {error}");
            None
        }
    };
    value.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_else(|| clock.now())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use selfheal_agents::fakes::{FakeClock, MemoryStore};

    use super::*;
    use crate::config::Schedule;

    struct Running {
        clock: FakeClock,
        fired: Arc<Mutex<Vec<Timestamp>>>,
        beat: mpsc::Sender<()>,
        cancel: CancellationToken,
        task: tokio::task::JoinHandle<()>,
    }

    impl Running {
        fn start(store: Arc<dyn Store>, clock: FakeClock) -> Self {
            let schedule = CronSchedule::new(&Schedule::default(), "host").unwrap();
            let (_, schedules) = watch::channel(Arc::new(schedule));
            let (beat, beats) = mpsc::channel(1);
            let fired = Arc::new(Mutex::new(vec![]));
            let cancel = CancellationToken::new();
            let seen = Arc::clone(&fired);
            let fire = move |slot: Slot| seen.lock().unwrap().push(slot.nominal);
            let time: Arc<dyn Clock> = Arc::new(clock.clone());
            let task = tokio::spawn(follow(
                schedules,
                store,
                time,
                beats,
                fire,
                Arc::default(),
                cancel.clone(),
            ));
            Self { clock, fired, beat, cancel, task }
        }

        /// Beats at each of these moments; a later beat proves that the one before was dealt
        /// with, since the channel holds one.
        async fn beat_at(&self, moments: &[&str]) {
            for moment in moments {
                self.clock.set(moment.parse().unwrap());
                for _ in 0..3 {
                    self.beat.send(()).await.unwrap();
                }
            }
        }

        async fn end(self) -> Vec<Timestamp> {
            self.cancel.cancel();
            self.task.await.unwrap();
            self.fired.lock().unwrap().clone()
        }
    }

    fn times(moments: &[&str]) -> Vec<Timestamp> {
        moments.iter().map(|moment| moment.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_slot_is_fired_once_and_remembered_over_a_restart() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let clock = FakeClock::at("2026-01-01T00:01:00Z".parse().unwrap());
        let first = Running::start(Arc::clone(&store), clock.clone());
        first
            .beat_at(&["2026-01-01T00:04:59Z", "2026-01-01T00:05:00Z", "2026-01-01T00:05:01Z"])
            .await;
        assert_eq!(first.end().await, times(&["2026-01-01T00:05:00Z"]));

        let second = Running::start(store, clock);
        second.beat_at(&["2026-01-01T00:05:02Z", "2026-01-01T01:03:00Z"]).await;
        assert_eq!(second.end().await, times(&["2026-01-01T01:00:00Z"]), "one for all missed");
    }

    #[tokio::test]
    async fn a_store_that_refuses_does_not_stop_the_schedule() {
        let store = MemoryStore::default();
        store.refuse_writes(Some("disk full"));
        let clock = FakeClock::at("2026-01-01T00:01:00Z".parse().unwrap());
        let running = Running::start(Arc::new(store), clock);
        running
            .beat_at(&["2026-01-01T00:04:00Z", "2026-01-01T00:05:00Z", "2026-01-01T00:06:00Z"])
            .await;
        assert_eq!(running.end().await, times(&["2026-01-01T00:05:00Z"]));
    }

    #[tokio::test]
    async fn the_heart_beats() {
        let (beat, mut beats) = mpsc::channel(1);
        let mut heartbeat = start_heartbeat(beat).await.unwrap();
        let deadline = Duration::from_secs(20);
        assert!(tokio::time::timeout(deadline, beats.recv()).await.unwrap().is_some());
        heartbeat.shutdown().await.unwrap();
    }
}
