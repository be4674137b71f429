//! Follows the logs of running containers: a known error line calls for a look.
//!
//! It calls when a signature has come often enough, and again when it comes twice as often: what
//! comes steadily is no news, and the schedule sees it. At most one look in ten seconds is called
//! for per target and runbook, and none for what is only good to know. The cycle reads the log
//! itself, from its own position; nothing is kept of a line here but when it came.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::StreamExt;
use selfheal_agents::error_detector::Catalogue;
use selfheal_agents::model::{
    ContainerFacts, LogLine, Program, Severity, TargetId, TargetKind, Timestamp,
};
use selfheal_agents::ports::{Clock, ContainerRuntime};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Fire;
use crate::coordinator::{Scope, Trigger};
use crate::upkeep::{Part, Upkeep};

/// Lines of a signature older than this count no more, as in the error detector.
const COUNTED_FOR: TimeDelta = TimeDelta::minutes(10);
/// The shortest time between two looks called for by one runbook on one target.
const BETWEEN_LOOKS: TimeDelta = TimeDelta::seconds(10);
/// A container is listed a little after it started; what it wrote meanwhile counts.
const LOOK_BACK: TimeDelta = TimeDelta::seconds(10);
/// Containers followed at the same time; more are left to the cycles.
const AT_ONCE: usize = 300;
/// The most lines of one signature whose times are kept.
const MOST_COUNTED: usize = 1000;
/// Pause before a log that ended is followed again; doubled up to a minute.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// A running container whose log is followed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Followed {
    /// Docker's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image, as named at creation.
    pub image: String,
    /// TCP ports it listens on, as far as the image or the container says.
    pub ports: Vec<u16>,
    /// When its first process was started: a restart is a new log to follow.
    pub started_at: Option<Timestamp>,
}

impl Followed {
    /// The containers that run.
    pub fn running<'a>(containers: impl IntoIterator<Item = &'a ContainerFacts>) -> Vec<Self> {
        let up = containers.into_iter().filter(|facts| facts.is_up());
        up.map(|facts| Self {
            id: facts.id.clone(),
            name: facts.name.clone(),
            image: facts.image.clone(),
            ports: facts.exposed_ports.clone(),
            started_at: facts.started_at,
        })
        .collect()
    }
}

/// What following needs.
#[derive(Clone)]
pub struct Follower {
    /// Whose logs.
    pub runtime: Arc<dyn ContainerRuntime>,
    /// The signatures.
    pub catalogue: watch::Receiver<Arc<Catalogue>>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Asks for a cycle.
    pub fire: Fire,
    /// Keeps each of them followed.
    pub upkeep: Upkeep,
}

/// A quiet log may be waited for for ever.
const LOG: Part = Part { name: "what follows a log", turns_within: None };

/// Follows the logs of the containers in `running` until cancelled.
pub async fn run(
    follower: Follower,
    mut running: watch::Receiver<Arc<Vec<Followed>>>,
    cancel: CancellationToken,
) {
    let mut following: BTreeMap<Followed, AbortHandle> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let wanted = Arc::clone(&running.borrow_and_update());
        following.retain(|container, task| {
            let stays = wanted.contains(container);
            if !stays {
                task.abort();
            }
            stays
        });
        for container in wanted.iter() {
            if following.len() < AT_ONCE && !following.contains_key(container) {
                let (follower, of) = (follower.clone(), container.clone());
                let upkeep = follower.upkeep.clone();
                let follow = move || follower.clone().follow(of.clone());
                let task = tasks.spawn(upkeep.kept(LOG, follow));
                following.insert(container.clone(), task);
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            changed = running.changed() => if changed.is_err() { return },
            Some(_) = tasks.join_next() => {}
        }
    }
}

impl Follower {
    async fn follow(self, container: Followed) {
        let target = TargetId::container(&container.name);
        let mut counts = Counts::default();
        let recently = self.clock.now() - LOOK_BACK;
        let mut since = container.started_at.map_or(recently, |started| started.max(recently));
        let mut pause = FIRST_PAUSE;
        loop {
            let mut lines = self.runtime.follow_logs(&container.name, since);
            while let Some(line) = lines.next().await {
                // The same moment may be told again after an interruption; a later one not.
                since = since.max(line.at + TimeDelta::nanoseconds(1));
                pause = FIRST_PAUSE;
                if self.calls_for_a_look(&line, &container, &mut counts) {
                    (self.fire)(Scope::target(target.clone()), Trigger::Log);
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn calls_for_a_look(&self, line: &LogLine, of: &Followed, counts: &mut Counts) -> bool {
        let now = self.clock.now();
        let mut look = false;
        let catalogue = Arc::clone(&self.catalogue.borrow());
        for found in catalogue.matches(&line.text) {
            let program = Program { image: &of.image, ports: &of.ports };
            let fits = found.runbook.applies.fits(TargetKind::Container, Some(program));
            let elsewhere = !fits && found.side().is_server();
            if elsewhere || found.runbook.severity == Severity::Info {
                continue;
            }
            let least = found.runbook.signatures[found.signature].at_least.unwrap_or(1);
            let least = usize::try_from(least).unwrap_or(usize::MAX).clamp(1, MOST_COUNTED / 2);
            let Counts { seen, looked } = counts;
            let count = seen.entry((found.runbook.id.clone(), found.signature)).or_default();
            if count.add(line.at) >= count.news_at(least)
                && may_look(looked, &found.runbook.id, now)
            {
                count.known = count.times.len();
                look = true;
            }
        }
        look
    }
}

/// How often each signature came lately in one log, and when a look was called for.
#[derive(Debug, Default)]
struct Counts {
    seen: BTreeMap<(String, usize), Count>,
    looked: BTreeMap<String, Timestamp>,
}

/// How often one signature came lately.
#[derive(Debug, Default)]
struct Count {
    times: VecDeque<Timestamp>,
    /// How many there were at the last look, or since, when they became fewer.
    known: usize,
}

impl Count {
    /// Counts a line; how many there have been within the last ten minutes.
    fn add(&mut self, at: Timestamp) -> usize {
        while self.times.len() >= MOST_COUNTED
            || self.times.front().is_some_and(|first| at - *first > COUNTED_FOR)
        {
            self.times.pop_front();
        }
        self.known = self.known.min(self.times.len());
        self.times.push_back(at);
        self.times.len()
    }

    /// How many are news: enough of them, or twice as many as are known, or as many as are counted
    /// at all. More than that is no news any more: it was a flood before.
    fn news_at(&self, least: usize) -> usize {
        if self.known < least {
            return least;
        }
        (self.known * 2).min(MOST_COUNTED.max(self.known + 1))
    }
}

/// Whether the last look was long enough ago; notes this one if so.
fn may_look(looked: &mut BTreeMap<String, Timestamp>, runbook: &str, now: Timestamp) -> bool {
    // A clock that was set back does not silence the log.
    let recent = |last: &Timestamp| (now - *last).abs() < BETWEEN_LOOKS;
    if looked.get(runbook).is_some_and(recent) {
        return false;
    }
    looked.insert(runbook.to_owned(), now);
    true
}

#[cfg(test)]
mod tests;
