//! Drives the flow: first what the last run left, then one cycle after the other, and beside them
//! the windows.
//!
//! Its invariant: nothing is healed before the journal was read, and nothing that has to do with what
//! it tells of before that is brought to an end. That holds after every start, and what follows a fault of ours that breaks the work
//! off (a panic) is a start: the other half of the work is stopped as by a crash, what is being
//! applied comes to its end, what the agents remembered is dropped since it may be half changed,
//! and the journal is taken up again. The same is done with a cycle that does not end, and with
//! windows that are not looked after any more: a crash in the midst of anything is provided for.
//!
//! Rejected: to end the process. It heals nothing where no service manager starts it again, and it
//! would cut off the fixes that are being applied well beside the fault.

use std::sync::Arc;
use std::time::Duration;

use selfheal_agents::model::IncidentId;
use selfheal_agents::ports::{StoreError, StoreResult};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::look::Senses;
use super::queue::Waiting;
use super::retries::RETRY_EVERY;
use super::state::{Inner, TICK, lock};
use super::{Scope, Trigger};
use crate::alerts;
use crate::upkeep::Spell;

/// How often what the last run left is asked for again while the store or the container runtime is
/// away.
const RECOVER_AGAIN: Duration = Duration::from_secs(2);
/// What the work is called beside the parts that run beside it.
const WORK: &str = "the work";
/// How often is looked whether the work stands still.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long work that is broken off may take to stop: longer means that it blocks its thread.
const STOPS_WITHIN: Duration = Duration::from_secs(30);
/// How often is asked whether a reminder or the digest is due.
const TELL_EVERY: Duration = Duration::from_mins(1);
/// Everything in a cycle has a time limit: one that takes this long does not end.
const NEVER_ENDS: Duration = Duration::from_mins(15);

/// Whether triggers are taken and handled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Work {
    /// They are, as soon as one comes.
    #[default]
    Waits,
    /// A cycle runs.
    Cycle {
        /// Since when; a clock that is set changes nothing about it.
        since: Instant,
    },
    /// A fault of ours broke it off; it is about to be taken up again.
    BrokenOff,
    /// A fault of ours blocks it, and it cannot even be broken off.
    Blocked,
    /// The journal cannot be read: no cycle runs any more.
    Refused,
}

impl Work {
    /// What keeps triggers from being handled, if anything does.
    fn fault(&self) -> Option<String> {
        match self {
            Self::Waits => None,
            Self::Cycle { since } => (since.elapsed() >= NEVER_ENDS).then(|| {
                format!("a cycle has not ended for {} minutes", since.elapsed().as_secs() / 60)
            }),
            Self::BrokenOff => Some(
                "a fault of Selfheal's own broke its work off; it is taken up again".to_owned(),
            ),
            Self::Blocked => {
                Some("a fault of Selfheal's own blocks its work; only a restart helps".to_owned())
            }
            // Why is for the log and the alert: it may name files.
            Self::Refused => Some(
                "the journal cannot be read and nothing is healed; the log says why".to_owned(),
            ),
        }
    }
}

impl Inner {
    /// Starts the work, which goes on until all ends.
    pub(super) fn spawn(self: &Arc<Self>) {
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            let cancel = inner.cancel.clone();
            cancel.run_until_cancelled(Box::pin(inner.keep_working())).await;
        });
        self.tell_of_parts();
    }

    /// What keeps triggers from being handled, if anything does.
    pub(super) fn fault(&self) -> Option<String> {
        lock(&self.work).fault()
    }

    /// What hangs, where starting again would cure it: a cycle that does not end, a loop that
    /// stands still, or a thread that is not given back.
    ///
    /// Work that was broken off is taken up again anyhow, and a journal that cannot be read is no
    /// more readable after a restart.
    pub(super) fn hang(&self) -> Option<String> {
        if *lock(&self.work) == Work::BrokenOff {
            return None;
        }
        self.work_hangs().or_else(|| self.upkeep.blocked()).or_else(|| {
            let stopped = self.schedule_pulse.has_stopped();
            stopped.then(|| "the schedule does not look at the clock any more".to_owned())
        })
    }

    /// What of the work hangs.
    fn work_hangs(&self) -> Option<String> {
        match &*lock(&self.work) {
            work @ (Work::Cycle { .. } | Work::Blocked) if work.fault().is_some() => work.fault(),
            _ => self
                .windows_pulse
                .has_stopped()
                .then(|| "the windows are not looked after any more".to_owned()),
        }
    }

    /// Waits until the work hangs; answers how.
    async fn until_the_work_hangs(&self) -> String {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Some(how) = self.work_hangs() {
                return how;
            }
        }
    }

    async fn keep_working(self: Arc<Self>) {
        let mut spell = Spell::default();
        loop {
            let begun = Instant::now();
            let mut halves = JoinSet::new();
            halves.spawn(Arc::clone(&self).drive());
            halves.spawn(Arc::clone(&self).look_after_windows());
            halves.spawn(Arc::clone(&self).tell_in_time());
            let why = tokio::select! {
                ended = halves.join_next() => {
                    ended.and_then(Result::err).map(|error| error.to_string()).unwrap_or_default()
                }
                how = self.until_the_work_hangs() => how,
            };
            let pause = spell.ended_after(begun.elapsed());
            self.break_off(&why, spell.ends());
            self.stop(&mut halves).await;
            self.applied().await;
            *self.senses.lock().await = Senses::new(&self.rules());
            tokio::time::sleep(pause).await;
            self.windows_pulse.beat();
            *lock(&self.work) = Work::Waits;
            // What the broken cycle was asked to look at is not known any more.
            self.queue.add(Scope::All, Trigger::Schedule, false, None);
        }
    }

    /// Says that the work was broken off, and lets nobody touch what is under way.
    fn break_off(&self, why: &str, ends: u32) {
        self.upkeep.note(WORK, why, ends);
        *lock(&self.work) = Work::BrokenOff;
        self.set_taken_up(false);
    }

    /// Stops the work as a crash would.
    async fn stop(&self, halves: &mut JoinSet<()>) {
        if tokio::time::timeout(STOPS_WITHIN, halves.shutdown()).await.is_err() {
            tracing::error!("the work blocks its thread and cannot be stopped; a restart helps");
            *lock(&self.work) = Work::Blocked;
            halves.shutdown().await;
            *lock(&self.work) = Work::BrokenOff;
        }
    }

    /// Recovery, then cycles as they are asked for.
    async fn drive(self: Arc<Self>) {
        let mut recovered = false;
        *lock(&self.left) = None;
        let mut complained = false;
        loop {
            if !recovered {
                recovered = match self.take_up().await {
                    Ok(recovered) => recovered,
                    // A store that does not answer may answer later.
                    Err(StoreError::Unavailable(error)) => {
                        if !std::mem::replace(&mut complained, true) {
                            tracing::error!(%error, "the store does not tell what the last run left; \
                                nothing is healed until it does");
                        }
                        false
                    }
                    // Without a readable journal nothing is healed: fails closed.
                    Err(error) => return self.refuse_all(&error).await,
                };
            }
            let Some(waiting) = self.next_cycle(recovered).await else {
                continue;
            };
            *lock(&self.work) = Work::Cycle { since: Instant::now() };
            // Until it is known what was interrupted, Selfheal only looks.
            let dry_run = waiting.dry_run || !(recovered || self.something_waits());
            let report = self.cycle(waiting.scope, waiting.trigger, dry_run).await;
            *lock(&self.work) = Work::Waits;
            for waiter in waiting.waiters {
                // Whoever asked may have gone.
                let _ = waiter.send(Arc::clone(&report));
            }
        }
    }

    /// Takes up what the last run left: the freezes in force, and the fixes it had under way.
    ///
    /// Answers whether all is taken up; `false` is to be asked again.
    async fn take_up(self: &Arc<Self>) -> StoreResult<bool> {
        if !self.something_waits() {
            self.freezes_are_known().await?;
            self.recall_flaps().await?;
            self.recall_unaudited().await?;
        }
        self.recover().await
    }

    /// The next cycle; `None` when it is time to try again what a crash left.
    async fn next_cycle(&self, recovered: bool) -> Option<Waiting> {
        if recovered {
            return Some(self.queue.next().await);
        }
        tokio::time::timeout(RECOVER_AGAIN, self.queue.next()).await.ok()
    }

    /// Answers whoever asks that no cycle will run: their waiter is dropped.
    async fn refuse_all(&self, error: &StoreError) {
        tracing::error!(%error, "what the last run left cannot be read; nothing is healed");
        *lock(&self.work) = Work::Refused;
        let alert = alerts::unreadable(&error.to_string(), self.world.clock.now());
        if let Err(error) = self.queue_alert(&alert).await {
            tracing::error!(%error, "the alert is not queued: {}", alert.title);
        }
        loop {
            drop(self.queue.next().await);
        }
    }

    /// Looks after each window, and asks for looks that are due.
    async fn look_after_windows(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut since_retry = Duration::ZERO;
        let mut looks = JoinSet::new();
        loop {
            ticks.tick().await;
            self.windows_pulse.beat();
            while let Some(ended) = looks.try_join_next() {
                if let Err(error) = ended {
                    tracing::error!(%error, "a look at a window broke off; it is looked at again");
                }
            }
            let watched: Vec<IncidentId> = lock(&self.watched).iter().copied().collect();
            for id in watched {
                // A service that hangs, or a rollback that takes its time, is waited for by
                // nobody else: early failure elsewhere is taken back at once.
                if let Some(turn) = self.turns.take(id) {
                    looks.spawn(Arc::clone(&self).look_in_turn(id, turn));
                }
            }
            self.look_at_what_rises();
            since_retry += TICK;
            if since_retry >= RETRY_EVERY || self.is_retry_due() {
                since_retry = Duration::ZERO;
                self.retry_held().await;
                self.retry_blind();
            }
        }
    }

    /// Reminds people, tells the digest and writes what the audit log did not take. Beside the
    /// windows: those wait for no store that is slow.
    async fn tell_in_time(self: Arc<Self>) {
        loop {
            tokio::time::sleep(TELL_EVERY).await;
            self.remind().await;
            self.tell_digest().await;
            self.write_unaudited().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_cycle_that_does_not_end_is_a_fault_and_one_that_takes_its_time_is_none() {
        let work = Work::Cycle { since: Instant::now() };
        tokio::time::advance(Duration::from_mins(5)).await;
        assert_eq!(work.fault(), None);
        tokio::time::advance(Duration::from_mins(15)).await;
        let fault = work.fault().unwrap();
        assert!(fault.contains("20 minutes"), "{fault}");
        assert_eq!(Work::Waits.fault(), None);
    }
}
