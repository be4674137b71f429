//! Listens to the container runtime, remembers what it says, and asks for a look at once.
//!
//! A gap is normal: after each lost connection everything is listed anew, what was said
//! meanwhile is asked for again, and a cycle over everything is called for. Where events are
//! refused and the list is not, as by a proxy before the socket, there is no gap to make up
//! for: they are asked for ever more rarely, and the schedule looks. Events are remembered
//! before a cycle is called for, so that the cycle finds them. It judges nothing: which event
//! means trouble is decided from all facts by the cycle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use chrono::TimeDelta;
use futures_util::StreamExt;
use selfheal_agents::model::{
    HealthStatus, RuntimeEvent, RuntimeEventKind, TargetId, Timestamp, rehearsed_container,
};
use selfheal_agents::ports::{Clock, ContainerRuntime, Store, WorldError, WorldResult};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Fire;
use crate::coordinator::{Scope, Trigger};

/// The longest pause between two tries to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A connection that lived for so long works, even if nothing was said.
const WORKS_AFTER: Duration = Duration::from_secs(10);
/// After so long a silence the connection is made anew, in case it died without a word.
const LONGEST_SILENCE: Duration = Duration::from_mins(5);
/// One runaway process gives dozens of `oom` events in seconds; one look is enough.
const BETWEEN_OOM_LOOKS: TimeDelta = TimeDelta::seconds(10);
/// How far back is asked for at the first start: who stopped what is worth knowing.
const FIRST_LOOK_BACK: TimeDelta = TimeDelta::hours(1);
/// How many events are known again when they are told twice.
const REMEMBERED: usize = 512;

/// Says whether Selfheal was changing this target at that time.
pub type IsOurs = Arc<dyn Fn(&TargetId, Timestamp) -> bool + Send + Sync>;

/// What listening needs.
#[derive(Clone)]
pub struct Listener {
    /// Who is listened to.
    pub runtime: Arc<dyn ContainerRuntime>,
    /// Where events are remembered.
    pub store: Arc<dyn Store>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Marks what Selfheal itself caused.
    pub is_ours: IsOurs,
    /// Asks for a cycle.
    pub fire: Fire,
}

/// What is remembered between two connections.
struct Heard {
    last: Timestamp,
    recent: VecDeque<RuntimeEvent>,
    oom_looks: BTreeMap<TargetId, Timestamp>,
    /// Targets that Selfheal is stopping: only a death asked for by us is ours.
    ending: BTreeSet<TargetId>,
    store_failed: bool,
}

/// Why a connection ended.
enum End {
    Cancelled,
    Silent,
    Lost(WorldError),
}

/// How the last tries to listen went.
struct Tries {
    pauses: ExponentialBackoff,
    /// How many failed since it last worked.
    failed: u32,
    /// Why, as it was told last.
    told: Option<String>,
    first: bool,
}

impl Tries {
    fn new() -> Self {
        Self { pauses: pauses(), failed: 0, told: None, first: true }
    }

    /// The connection works: what comes is a new trouble.
    fn work(&mut self) {
        if self.failed > 1 {
            tracing::info!("the container runtime's events are heard");
        }
        *self = Self { first: self.first, ..Self::new() };
    }

    /// It failed; answers whether that is news.
    fn failed(&mut self, why: &str) -> bool {
        self.failed = self.failed.saturating_add(1);
        // A runtime that is away from the start is told of by the first cycle.
        if std::mem::take(&mut self.first) || self.told.as_deref() == Some(why) {
            return false;
        }
        self.told = Some(why.to_owned());
        true
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times()
        .build()
}

/// Listens until cancelled.
pub async fn run(listener: Listener, cancel: CancellationToken) {
    let mut heard = Heard::since(listener.last_recorded().await);
    let mut tries = Tries::new();
    loop {
        match listener.listen(&mut heard, &mut tries, &cancel).await {
            End::Cancelled => return,
            End::Silent => {}
            End::Lost(error) => {
                let worked = tries.failed == 0;
                if tries.failed(&error.to_string()) {
                    tracing::warn!("lost the container runtime's events, trying again: {error}");
                }
                let Some(was_away) = listener.reconnected(&mut tries.pauses, &cancel).await else {
                    return;
                };
                if worked || was_away {
                    tracing::info!("the container runtime answers again; everything is looked at");
                    (listener.fire)(Scope::All, Trigger::RuntimeEvent);
                }
            }
        }
    }
}

impl Listener {
    /// The time of the newest event in the store, at most an hour ago.
    async fn last_recorded(&self) -> Timestamp {
        let since = self.clock.now() - FIRST_LOOK_BACK;
        let recorded = self.store.events(None, since).await.unwrap_or_default();
        recorded.iter().map(|event| event.at).max().unwrap_or(since)
    }

    /// Remembers what happened since the last event known, and calls for nothing: for whoever looks
    /// once, who ended a container is as good as unknown without it.
    pub async fn catch_up(&self) -> WorldResult<()> {
        let since = self.last_recorded().await;
        let mut events = self.runtime.past_events(since).await?;
        events.retain(|event| !is_of_a_clone(event));
        let mut heard = Heard::since(since);
        for event in &mut events {
            event.by_selfheal = heard.is_ours(event, (self.is_ours)(&event.target, event.at));
        }
        if let Err(error) = self.store.record_events(&events).await {
            tracing::error!("events of the container runtime are not remembered: {error}");
        }
        Ok(())
    }

    /// Passes events on until the connection ends.
    async fn listen(
        &self,
        heard: &mut Heard,
        tries: &mut Tries,
        cancel: &CancellationToken,
    ) -> End {
        let mut events = self.runtime.events(Some(heard.last));
        let mut works = pin!(tokio::time::sleep(WORKS_AFTER));
        let mut is_new = true;
        loop {
            let next = tokio::select! {
                () = cancel.cancelled() => return End::Cancelled,
                () = &mut works, if is_new => {
                    is_new = false;
                    tries.work();
                    continue;
                }
                next = timeout(LONGEST_SILENCE, events.next()) => next,
            };
            match next {
                Err(_) => return End::Silent,
                Ok(Some(Ok(event))) => {
                    if std::mem::take(&mut is_new) {
                        tries.work();
                    }
                    self.take(event, heard).await;
                }
                Ok(Some(Err(error))) => return End::Lost(error),
                Ok(None) => {
                    return End::Lost(WorldError::Unreachable {
                        what: "the container runtime".to_owned(),
                        why: "it closed the connection".to_owned(),
                    });
                }
            }
        }
    }

    /// Remembers an event and calls for a look if it may mean something.
    async fn take(&self, mut event: RuntimeEvent, heard: &mut Heard) {
        event.by_selfheal = heard.is_ours(&event, (self.is_ours)(&event.target, event.at));
        if is_of_a_clone(&event) || heard.knows(&event) {
            return;
        }
        match self.store.record_events(std::slice::from_ref(&event)).await {
            Ok(()) => heard.store_failed = false,
            Err(error) if !heard.store_failed => {
                heard.store_failed = true;
                tracing::error!("events of the container runtime are not remembered: {error}");
            }
            Err(_) => {}
        }
        if !event.by_selfheal && heard.worth_a_look(&event) {
            tracing::debug!(target.id = %event.target, event = event.kind.name(), "an event");
            (self.fire)(Scope::target(event.target), Trigger::RuntimeEvent);
        }
    }

    /// Tries until everything could be listed; answers whether that failed at first, and
    /// nothing when cancelled.
    async fn reconnected(
        &self,
        pauses: &mut ExponentialBackoff,
        cancel: &CancellationToken,
    ) -> Option<bool> {
        let mut was_away = false;
        loop {
            let pause = pauses.next().unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE);
            cancel.run_until_cancelled(tokio::time::sleep(pause)).await?;
            match cancel.run_until_cancelled(self.runtime.containers()).await? {
                Ok(_) => return Some(was_away),
                Err(error) => tracing::debug!("the container runtime does not answer: {error}"),
            }
            was_away = true;
        }
    }
}

/// Whether it is about a clone that a fix is tried on, which is nobody's service.
fn is_of_a_clone(event: &RuntimeEvent) -> bool {
    event.target.container_name().is_some_and(|name| rehearsed_container(name).is_some())
}

impl Heard {
    const fn since(last: Timestamp) -> Self {
        Self {
            last,
            recent: VecDeque::new(),
            oom_looks: BTreeMap::new(),
            ending: BTreeSet::new(),
            store_failed: false,
        }
    }

    /// Whether Selfheal caused this, given whether it was changing the target then.
    ///
    /// A container that dies while we start it died by itself: a death is ours only after
    /// our own stop signal.
    fn is_ours(&mut self, event: &RuntimeEvent, changing: bool) -> bool {
        match event.kind {
            RuntimeEventKind::Kill { .. } if changing => {
                self.ending.insert(event.target.clone());
                true
            }
            RuntimeEventKind::Die { .. } => changing && self.ending.contains(&event.target),
            RuntimeEventKind::Start => {
                self.ending.remove(&event.target);
                changing
            }
            _ => changing,
        }
    }

    /// Whether the event was told before; notes it if not.
    fn knows(&mut self, event: &RuntimeEvent) -> bool {
        let same = |known: &RuntimeEvent| {
            known.at == event.at && known.target == event.target && known.kind == event.kind
        };
        if self.recent.iter().any(same) {
            return true;
        }
        self.last = self.last.max(event.at);
        self.recent.push_back(event.clone());
        if self.recent.len() > REMEMBERED {
            self.recent.pop_front();
        }
        false
    }

    fn worth_a_look(&mut self, event: &RuntimeEvent) -> bool {
        match &event.kind {
            RuntimeEventKind::Die { .. }
            | RuntimeEventKind::Start
            | RuntimeEventKind::NetworkConnect { .. }
            | RuntimeEventKind::NetworkDisconnect { .. }
            | RuntimeEventKind::Create
            | RuntimeEventKind::Destroy => true,
            RuntimeEventKind::Health { status } => *status != HealthStatus::Starting,
            // A signal that ends the process is followed by `die`, a stop follows one.
            RuntimeEventKind::Kill { .. } | RuntimeEventKind::Stop => false,
            RuntimeEventKind::Oom => {
                self.oom_looks.retain(|_, looked| event.at - *looked < BETWEEN_OOM_LOOKS);
                let first = !self.oom_looks.contains_key(&event.target);
                self.oom_looks.entry(event.target.clone()).or_insert(event.at);
                first
            }
        }
    }
}

#[cfg(test)]
mod tests;
