//! Several engines behind the one port: this host's own, and those of other hosts.
//!
//! A container of another engine is called `ENGINE/NAME`, and its networks and its Compose project
//! likewise, so that nothing of two hosts is taken for one. The invariant: of such a container only
//! that is told which means the same on this host as on its own. Addresses it has now, process ids,
//! published ports and mounts are left out, since here they are somebody else's; what it publishes
//! is told with its host's name. An engine that
//! does not answer is told of; what it held is still listed, and nobody knows how that does. The
//! others go on.
//!
//! Containers of other engines are neither made again nor cloned.

mod routing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use chrono::Utc;
use futures_util::future::{join, join_all, try_join};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use selfheal_agents::model::{
    ContainerFacts, ContainerStatus, MountFacts, NetworkAttachment, Outside, RuntimeEvent,
    RuntimeEventKind, TargetId, Timestamp, engine_of,
};
use selfheal_agents::ports::{ContainerRuntime, WorldError, WorldResult};

use super::Docker;

/// An engine that gives no sign of life for so long is away.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);
/// It is asked again after so long.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Its events are asked for again after so long, and then ever later.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const PROJECT: &str = ContainerFacts::COMPOSE_PROJECT;
/// The network that Docker makes by itself; no container has another name on it.
const BRIDGE: &str = "bridge";

/// The own engine and the others.
pub struct Engines {
    own: Arc<dyn ContainerRuntime>,
    others: BTreeMap<String, Other>,
}

/// An engine of another host.
#[derive(Clone)]
struct Other {
    name: String,
    docker: Docker,
    known: Arc<Mutex<Known>>,
}

/// What is known of it.
#[derive(Default)]
struct Known {
    containers: Vec<ContainerFacts>,
    /// Why it failed to answer, where that was the last of it.
    away: Option<WorldError>,
    /// Whether it is one that is looked after already, under another name.
    is_twin: bool,
}

impl Engines {
    /// Puts them together, each of the others with its name.
    pub fn new(
        own: Arc<dyn ContainerRuntime>,
        others: impl IntoIterator<Item = (String, Docker)>,
    ) -> Self {
        let other = |(name, docker): (String, Docker)| {
            (name.clone(), Other { name, docker, known: Arc::default() })
        };
        Self { own, others: others.into_iter().map(other).collect() }
    }

    /// The other engine of a container and the container's name there; `None` for the own one's.
    fn other<'a>(&self, name: &'a str) -> WorldResult<Option<(&Other, &'a str)>> {
        let Some(engine) = engine_of(name) else { return Ok(None) };
        let there = &name[engine.len() + 1..];
        let other = self.others.get(engine).ok_or_else(|| WorldError::NotFound {
            what: format!("container `{name}`: an engine `{engine}`"),
        })?;
        let known = other.known();
        if known.is_twin {
            let what = format!("container `{name}`: `{engine}` is another engine's second name");
            return Err(WorldError::NotFound { what });
        }
        // Whoever asks for one thing must not wait for what answers nobody.
        match &known.away {
            Some(error) => Err(error.clone()),
            None => Ok(Some((other, there))),
        }
    }

    async fn list(&self) -> WorldResult<Vec<ContainerFacts>> {
        let others = join_all(self.others.values().map(Other::list));
        let (own, others) = join(self.own.containers(), others).await;
        let (mut all, failed) = match own {
            Ok(all) => (all, None),
            Err(error) => (vec![], Some(error)),
        };
        for (other, theirs) in self.others.values().zip(others) {
            // While the own one is away nobody knows whether it holds the same.
            let was_twin = failed.is_some() && other.known().is_twin;
            if !was_twin && !other.is_twin(&theirs, &all) {
                all.extend(theirs);
            }
        }
        failed.map_or(Ok(all), Err)
    }

    fn held_elsewhere(&self) -> Vec<ContainerFacts> {
        let held = |other: &Other| {
            let known = other.known();
            match (known.is_twin, known.away.is_some()) {
                (true, _) => vec![],
                (false, false) => known.containers.clone(),
                (false, true) => known.containers.iter().map(of_unknown_status).collect(),
            }
        };
        self.others.values().flat_map(held).collect()
    }

    fn all_events(
        &self,
        since: Option<Timestamp>,
    ) -> BoxStream<'static, WorldResult<RuntimeEvent>> {
        // The others come back by themselves; only the own engine's end is one.
        let ended = || {
            let what = "the container runtime".to_owned();
            let why = "it closed the connection".to_owned();
            Err(WorldError::Unreachable { what, why })
        };
        let own = self.own.events(since).chain(stream::once(async move { ended() })).boxed();
        let others = self.others.values().map(|other| other.clone().follow_events(since));
        stream::select_all(others.chain([own])).boxed()
    }

    async fn all_past_events(&self, since: Timestamp) -> WorldResult<Vec<RuntimeEvent>> {
        let others = join_all(self.others.values().map(|other| async move {
            let told = other.docker.past_events(since).await.unwrap_or_else(|error| {
                tracing::debug!(engine = other.name, %error, "what happened there is not known");
                vec![]
            });
            let told = told.into_iter().filter(|_| !other.known().is_twin);
            told.map(|event| other.named(event)).collect::<Vec<_>>()
        }));
        let (own, others) = join(self.own.past_events(since), others).await;
        let mut events = own?;
        events.extend(others.into_iter().flatten());
        events.sort_by_key(|event| event.at);
        Ok(events)
    }
}

impl Other {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        // A panic elsewhere cannot leave half of it behind: each is set at once.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its containers; those known last, each of unknown status, where it does not answer.
    async fn list(&self) -> Vec<ContainerFacts> {
        // Nothing on this host waits for one that is away.
        if self.known().away.is_some() {
            return self.last_known();
        }
        match self.ask().await {
            Ok(all) => all,
            Err(error) => {
                self.went_away(error);
                self.last_known()
            }
        }
    }

    /// Its containers as they are now. One that is switched off is not waited for as long as a list
    /// may take.
    async fn ask(&self) -> WorldResult<Vec<ContainerFacts>> {
        let lives = async {
            // To log in may take longer, and is done once for all that is asked.
            self.docker.reached().await?;
            let lives = tokio::time::timeout(SIGN_OF_LIFE, self.docker.ping()).await;
            let what = format!("a sign of life of the engine `{}`", self.name);
            // Whether it lets us in is seen by what it lists.
            lives.map(drop).map_err(|_| WorldError::TimedOut { what, limit: SIGN_OF_LIFE })
        };
        let ((), all) = try_join(lives, self.docker.containers()).await?;
        let all: Vec<_> = all.into_iter().map(|facts| self.told_here(facts)).collect();
        self.known().containers.clone_from(&all);
        Ok(all)
    }

    /// From now on it is asked beside everything else, until it answers again.
    fn went_away(&self, error: WorldError) {
        let mut known = self.known();
        if known.away.is_none() {
            tracing::warn!(engine = self.name, %error, "the engine cannot be reached");
            let (name, docker) = (self.name.clone(), self.docker.clone());
            tokio::spawn(ask_again(name, docker, Arc::downgrade(&self.known)));
        }
        known.away = Some(error);
    }

    /// Whether it holds one of the containers that are listed already: no two engines give the same
    /// id, and two names must not let one container be healed twice over.
    fn is_twin(&self, theirs: &[ContainerFacts], listed: &[ContainerFacts]) -> bool {
        let ids: BTreeSet<&str> = listed.iter().map(|facts| facts.id.as_str()).collect();
        let same = theirs.iter().find(|facts| ids.contains(facts.id.as_str()));
        let was_twin = std::mem::replace(&mut self.known().is_twin, same.is_some());
        if let Some(same) = same.filter(|_| !was_twin) {
            tracing::warn!(
                engine = self.name,
                container.name = same.name,
                "it is left out: the engine is looked after already; remove one of its names from the settings"
            );
        }
        same.is_some()
    }

    fn last_known(&self) -> Vec<ContainerFacts> {
        self.known().containers.iter().map(of_unknown_status).collect()
    }

    fn name_here(&self, there: &str) -> String {
        format!("{}/{there}", self.name)
    }

    /// A container's facts as they may be told on this host.
    fn told_here(&self, mut facts: ContainerFacts) -> ContainerFacts {
        for attachment in &mut facts.networks {
            // Those beside it know it by its name alone.
            attachment.aliases.push(facts.name.clone());
            attachment.network = self.name_here(&attachment.network);
            // The one it was given for good is needed to join the network again.
            attachment.ip = None;
        }
        facts.network_mode = match facts.network_mode.as_str() {
            "default" => self.name_here(BRIDGE),
            mode @ ("" | "host" | "none") => mode.to_owned(),
            mode if mode.contains(':') => mode.to_owned(),
            mode => self.name_here(mode),
        };
        if let Some(project) = facts.labels.get_mut(PROJECT) {
            *project = self.name_here(project);
        }
        facts.name = self.name_here(&facts.name);
        facts.pid = None;
        facts.published_ports.clear();
        match self.docker.wire.address.far_host() {
            Some(host) => facts.outside.host = Some(host.to_owned()),
            None => facts.outside = Outside::default(),
        }
        // That something there speaks to its engine is told, and is no file to look into.
        facts.mounts.retain(|mount| mount.source.ends_with("docker.sock"));
        let no_file = |mount| MountFacts { bind: false, writable: false, ..mount };
        facts.mounts = facts.mounts.into_iter().map(no_file).collect();
        facts
    }

    /// The network there that is called so here, with the names that were asked for.
    fn attachment_there(&self, name: &str, here: &NetworkAttachment) -> NetworkAttachment {
        let network = self.network_there(&here.network).to_owned();
        let mut aliases = here.aliases.clone();
        aliases.retain(|alias| alias != name);
        NetworkAttachment { network, aliases, ..here.clone() }
    }

    fn network_there<'a>(&self, here: &'a str) -> &'a str {
        here.strip_prefix(&self.name).and_then(|rest| rest.strip_prefix('/')).unwrap_or(here)
    }

    fn named(&self, event: RuntimeEvent) -> RuntimeEvent {
        let kind = match event.kind {
            RuntimeEventKind::NetworkConnect { network } => {
                RuntimeEventKind::NetworkConnect { network: self.name_here(&network) }
            }
            RuntimeEventKind::NetworkDisconnect { network } => {
                RuntimeEventKind::NetworkDisconnect { network: self.name_here(&network) }
            }
            kind => kind,
        };
        let target = TargetId::container(&self.name_here(event.target.name()));
        // A clock that is ahead there must not hide what happens here meanwhile.
        RuntimeEvent { at: event.at.min(Utc::now()), target, kind, ..event }
    }

    /// Its events for ever; after a lost connection those since the last one heard.
    fn follow_events(
        self,
        since: Option<Timestamp>,
    ) -> BoxStream<'static, WorldResult<RuntimeEvent>> {
        let events = self.docker.events(since);
        stream::unfold((self, events, since, FIRST_PAUSE), |state| async move {
            let (other, mut events, mut since, mut pause) = state;
            loop {
                match events.next().await {
                    Some(Ok(event)) => {
                        since = Some(event.at);
                        if other.known().is_twin {
                            continue;
                        }
                        let told = other.named(event);
                        return Some((Ok(told), (other, events, since, FIRST_PAUSE)));
                    }
                    ended => {
                        let error = ended.and_then(Result::err).map(|error| error.to_string());
                        tracing::debug!(engine = other.name, ?error, "its events are not heard");
                    }
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                events = other.docker.events(since);
            }
        })
        .boxed()
    }
}

fn of_unknown_status(facts: &ContainerFacts) -> ContainerFacts {
    ContainerFacts { status: ContainerStatus::Unknown, health: None, ..facts.clone() }
}

/// Asks an engine that is away until it answers again, or nobody looks after it any more.
async fn ask_again(name: String, docker: Docker, known: Weak<Mutex<Known>>) {
    loop {
        tokio::time::sleep(AGAIN_AFTER).await;
        let Some(known) = known.upgrade() else { return };
        let other = Other { name: name.clone(), docker: docker.clone(), known };
        let answer = other.ask().await;
        let is_back = answer.is_ok();
        other.known().away = answer.err();
        if is_back {
            tracing::info!(engine = name, "the engine answers again");
            return;
        }
    }
}

#[cfg(test)]
mod tests;
