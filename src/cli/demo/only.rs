//! Docker as the demo sees it: its own container and nothing else.
//!
//! Its invariant: no call names another container. What was done before the watch began (the
//! demo's own making of the container) is not told, so that it is not taken for a deployment
//! under way.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use selfheal_agents::health_monitor::DEMO_LABEL;
use selfheal_agents::model::{
    Blueprint, ContainerFacts, ImageFacts, LogBatch, LogCursor, LogLine, MemoryLimits,
    NetworkAttachment, RehearsalClone, Remake, RuntimeEvent, TargetId, Timestamp, Usage,
};
use selfheal_agents::ports::{
    BuildCache, ContainerRuntime, Rehearsals, Remakes, WorldError, WorldResult,
};

/// A runtime with one container.
pub(super) struct Only {
    /// Everything.
    pub(super) all: Arc<dyn ContainerRuntime>,
    /// The one container.
    pub(super) name: String,
    /// When the watch began.
    pub(super) since: Timestamp,
}

impl Only {
    fn inner(&self, name: &str) -> WorldResult<&dyn ContainerRuntime> {
        if name == self.name {
            return Ok(self.all.as_ref());
        }
        Err(WorldError::NotFound { what: format!("container `{name}` in the demo") })
    }
}

/// Without the label by which every other Selfheal leaves it alone.
fn unmarked(mut facts: ContainerFacts) -> ContainerFacts {
    facts.labels.remove(DEMO_LABEL);
    facts
}

#[async_trait]
impl ContainerRuntime for Only {
    async fn containers(&self) -> WorldResult<Vec<ContainerFacts>> {
        match self.all.container(&self.name).await {
            Ok(facts) => Ok(vec![unmarked(facts)]),
            Err(WorldError::NotFound { .. }) => Ok(vec![]),
            Err(error) => Err(error),
        }
    }

    async fn container(&self, name: &str) -> WorldResult<ContainerFacts> {
        self.inner(name)?.container(name).await.map(unmarked)
    }

    async fn usage(&self, name: &str) -> WorldResult<Usage> {
        self.inner(name)?.usage(name).await
    }

    async fn processes(&self, name: &str) -> WorldResult<Vec<String>> {
        self.inner(name)?.processes(name).await
    }

    async fn pulls(&self, beside: &str, since: Timestamp) -> WorldResult<Vec<String>> {
        self.all.pulls(beside, since.max(self.since)).await
    }

    async fn logs(
        &self,
        name: &str,
        since: Option<LogCursor>,
        max_lines: usize,
    ) -> WorldResult<LogBatch> {
        self.inner(name)?.logs(name, since, max_lines).await
    }

    fn follow_logs(&self, name: &str, since: Timestamp) -> BoxStream<'static, LogLine> {
        match self.inner(name) {
            Ok(inner) => inner.follow_logs(name, since),
            Err(_) => stream::empty().boxed(),
        }
    }

    fn events(&self, since: Option<Timestamp>) -> BoxStream<'static, WorldResult<RuntimeEvent>> {
        let since = since.map_or(self.since, |since| since.max(self.since));
        let ours = TargetId::container(&self.name);
        let began = self.since;
        let told = move |event: &WorldResult<RuntimeEvent>| {
            let tell = event.as_ref().map_or(true, |e| e.target == ours && e.at >= began);
            std::future::ready(tell)
        };
        self.all.events(Some(since)).filter(told).boxed()
    }

    async fn past_events(&self, since: Timestamp) -> WorldResult<Vec<RuntimeEvent>> {
        let mut events = self.all.past_events(since.max(self.since)).await?;
        events.retain(|event| event.target == TargetId::container(&self.name));
        Ok(events)
    }

    async fn start(&self, name: &str) -> WorldResult<()> {
        self.inner(name)?.start(name).await
    }

    async fn restart(
        &self,
        name: &str,
        signal: Option<&str>,
        stop_timeout_secs: u32,
    ) -> WorldResult<()> {
        self.inner(name)?.restart(name, signal, stop_timeout_secs).await
    }

    async fn stop(&self, name: &str, stop_timeout_secs: u32) -> WorldResult<()> {
        self.inner(name)?.stop(name, stop_timeout_secs).await
    }

    async fn signal(&self, name: &str, signal: &str) -> WorldResult<()> {
        self.inner(name)?.signal(name, signal).await
    }

    async fn pause(&self, name: &str) -> WorldResult<()> {
        self.inner(name)?.pause(name).await
    }

    async fn unpause(&self, name: &str) -> WorldResult<()> {
        self.inner(name)?.unpause(name).await
    }

    // What others built is no part of the demo.
    async fn build_cache(&self, _unused_for: Duration) -> WorldResult<BuildCache> {
        Ok(BuildCache { bytes: 0, folder: "/".to_owned() })
    }

    async fn prune_build_cache(&self, _unused_for: Duration) -> WorldResult<u64> {
        Ok(0)
    }

    async fn set_memory_limits(&self, name: &str, limits: MemoryLimits) -> WorldResult<()> {
        self.inner(name)?.set_memory_limits(name, limits).await
    }

    async fn set_cpu_limit(&self, name: &str, limit_nanos: Option<u64>) -> WorldResult<()> {
        self.inner(name)?.set_cpu_limit(name, limit_nanos).await
    }

    async fn connect_network(&self, name: &str, attachment: &NetworkAttachment) -> WorldResult<()> {
        self.inner(name)?.connect_network(name, attachment).await
    }

    async fn disconnect_network(&self, name: &str, network: &str) -> WorldResult<()> {
        self.inner(name)?.disconnect_network(name, network).await
    }
}

/// A demo makes no container again.
#[async_trait]
impl Remakes for Only {
    async fn image(&self, id: &str) -> WorldResult<ImageFacts> {
        self.all.image(id).await
    }

    async fn blueprint(&self, name: &str) -> WorldResult<Blueprint> {
        Err(not_here(name))
    }

    async fn set_aside(&self, name: &str, _: &str, _: &str, _: u32) -> WorldResult<()> {
        Err(not_here(name))
    }

    async fn make(&self, name: &str, _: &Blueprint, _: &Remake) -> WorldResult<()> {
        Err(not_here(name))
    }

    async fn put_back(&self, _: &str, name: &str, _: &Blueprint) -> WorldResult<()> {
        Err(not_here(name))
    }

    async fn remove(&self, name: &str, _: &str) -> WorldResult<()> {
        Err(not_here(name))
    }
}

/// Nor a clone of any.
#[async_trait]
impl Rehearsals for Only {
    async fn stage(&self, clone: &RehearsalClone, _: &Blueprint, _: &Remake) -> WorldResult<()> {
        Err(not_here(&clone.name))
    }

    async fn unstage(&self, name: &str) -> WorldResult<()> {
        Err(not_here(name))
    }
}

fn not_here(name: &str) -> WorldError {
    let why = "a demo makes no container again".to_owned();
    WorldError::Refused { what: format!("container `{name}`"), why }
}

#[cfg(test)]
mod tests {
    use selfheal_agents::fakes::{FakeClock, FakeWorld, container};

    use super::*;

    #[tokio::test]
    async fn nothing_but_its_own_container_is_seen_or_touched() {
        let world = FakeWorld::new(FakeClock::default());
        let mut demo = container("demo");
        demo.labels.insert(DEMO_LABEL.to_owned(), "1".to_owned());
        world.add(demo);
        world.add(container("web"));
        let all = world.world();
        let only =
            Only { all: Arc::clone(&all.runtime), name: "demo".to_owned(), since: all.clock.now() };
        let seen = only.containers().await.unwrap();
        assert_eq!(seen.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["demo"]);
        assert!(seen[0].labels.is_empty(), "its own mark is hidden from itself");
        assert!(only.container("web").await.is_err());
        assert!(only.start("web").await.is_err());
        assert!(only.restart("web", None, 1).await.is_err());
        only.start("demo").await.unwrap();
    }
}
