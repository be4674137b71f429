//! Light probes between the cycles: a change of verdict calls for a look at that target.
//!
//! Each target is asked on its own, with its own time limit, so that one that hangs delays
//! nobody. A first failure is confirmed quickly; one failure alone means nothing. What the
//! answer means is decided by the cycle, which asks again and waits longer: that question is
//! begun with the first failure.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use selfheal_agents::model::{Endpoint, Facts, Target, TargetId};
use selfheal_agents::ports::Prober;
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Doubt, Fire};
use crate::config::{Probes, Settings};
use crate::coordinator::{Scope, Trigger};
use crate::upkeep::{Part, Upkeep};

/// How many targets are asked at the same time.
const AT_ONCE: usize = 32;
/// The prober keeps the time limit itself; this much later it is given up for lost.
const GRACE: Duration = Duration::from_secs(1);

/// What probing needs.
#[derive(Clone)]
pub struct Asking {
    /// Who asks.
    pub prober: Arc<dyn Prober>,
    /// Asks for a cycle.
    pub fire: Fire,
    /// Has a target asked with its whole time limit.
    pub doubt: Doubt,
    /// Keeps each target asked.
    pub upkeep: Upkeep,
}

/// The settings allow no longer pause than an hour.
const PROBE: Part = Part { name: "a probe", turns_within: Some(Duration::from_hours(2)) };

/// Probes every target that has an endpoint until cancelled; follows changes of the targets
/// and of the settings.
pub async fn run(
    asking: Asking,
    mut targets: watch::Receiver<Arc<Vec<Target>>>,
    mut settings: watch::Receiver<Arc<Settings>>,
    cancel: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut running: BTreeMap<TargetId, (Endpoint, AbortHandle)> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    let mut used = settings.borrow_and_update().probes.clone();
    loop {
        let wanted = Arc::clone(&targets.borrow_and_update());
        let wanted = if used.enabled { endpoints(&wanted) } else { BTreeMap::new() };
        running.retain(|id, (endpoint, task)| {
            let stays = wanted.get(id) == Some(endpoint);
            if !stays {
                task.abort();
            }
            stays
        });
        for (id, endpoint) in wanted {
            running.entry(id.clone()).or_insert_with(|| {
                let asked = Asked {
                    prober: Arc::clone(&asking.prober),
                    places: Arc::clone(&places),
                    fire: Arc::clone(&asking.fire),
                    doubt: Arc::clone(&asking.doubt),
                    settings: used.clone(),
                    id,
                    endpoint: endpoint.clone(),
                };
                let ask = move || asked.clone().ask_for_ever();
                (endpoint, tasks.spawn(asking.upkeep.clone().kept(PROBE, ask)))
            });
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            changed = targets.changed() => if changed.is_err() { return },
            changed = settings.changed() => if changed.is_err() { return },
            Some(_) = tasks.join_next() => {}
        }
        let now = settings.borrow_and_update().probes.clone();
        if now != used {
            used = now;
            for (_, (_, task)) in std::mem::take(&mut running) {
                task.abort();
            }
        }
    }
}

/// What can be asked: the targets with an endpoint that are not excluded.
fn endpoints(targets: &[Target]) -> BTreeMap<TargetId, Endpoint> {
    let asked = targets.iter().filter(|target| !target.policy.excluded);
    asked.filter_map(|target| Some((target.id.clone(), target.endpoint.clone()?))).collect()
}

/// One target being asked.
#[derive(Clone)]
struct Asked {
    prober: Arc<dyn Prober>,
    places: Arc<Semaphore>,
    fire: Fire,
    doubt: Doubt,
    settings: Probes,
    id: TargetId,
    endpoint: Endpoint,
}

impl Asked {
    async fn ask_for_ever(self) {
        let mut streak = Streak::default();
        tokio::time::sleep(self.first_pause()).await;
        loop {
            let works = self.ask().await;
            let pause = match streak.take(works, self.settings.failures) {
                Step::Settled => self.settings.interval,
                Step::Confirm => {
                    if !works {
                        (self.doubt)(&self.id);
                    }
                    self.settings.confirm_after
                }
                Step::Changed => {
                    tracing::debug!(target.id = %self.id, works, "a probe changed its verdict");
                    (self.fire)(Scope::target(self.id.clone()), Trigger::Probe);
                    self.settings.interval
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn ask(&self) -> bool {
        let Ok(_place) = self.places.acquire().await else { return false };
        let limit = self.settings.limit;
        let answer = timeout(limit + GRACE, self.prober.glance(&self.endpoint, limit)).await;
        answer.is_ok_and(|facts| works(&facts))
    }

    /// Spreads the targets over the interval, each always at the same place.
    fn first_pause(&self) -> Duration {
        let mut hasher = DefaultHasher::new();
        self.id.hash(&mut hasher);
        let most = u64::try_from(self.settings.interval.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(hasher.finish() % most)
    }
}

/// Whether the service does its work, as far as one question shows.
fn works(facts: &Facts) -> bool {
    match facts {
        Facts::Http(http) => http.ok,
        Facts::Postgres(database) | Facts::Mysql(database) => database.reachable,
        Facts::Redis(redis) => redis.reachable && !redis.writes_rejected && !redis.loading,
        Facts::Tcp(tcp) => tcp.reachable,
        Facts::Host(_) | Facts::Container(_) => true,
    }
}

/// What follows from an answer.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// The verdict stays.
    Settled,
    /// It may be changing: ask again soon.
    Confirm,
    /// It has changed.
    Changed,
}

/// The verdict on a target and the answers in a row that speak against it. A target is
/// believed to work until it was heard.
#[derive(Debug, Default)]
struct Streak {
    failing: bool,
    against: u32,
}

impl Streak {
    fn take(&mut self, works: bool, needed: u32) -> Step {
        if works != self.failing {
            self.against = 0;
            return Step::Settled;
        }
        self.against += 1;
        if self.against < needed {
            return Step::Confirm;
        }
        self.failing = !self.failing;
        self.against = 0;
        Step::Changed
    }
}

#[cfg(test)]
mod tests;
