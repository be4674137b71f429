//! Sends each call to the engine that the container's name begins with.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use selfheal_agents::model::{
    Blueprint, ContainerFacts, ImageFacts, LogBatch, LogCursor, LogLine, MemoryLimits,
    NetworkAttachment, RehearsalClone, Remake, RuntimeEvent, Timestamp, Usage, engine_of,
};
use selfheal_agents::ports::{
    BuildCache, ContainerRuntime, Rehearsals, Remakes, WorldError, WorldResult,
};

use super::Engines;

/// The same call to the own engine, or to another with the container's name there.
macro_rules! routed {
    ($engines:ident.$call:ident($name:ident $(, $argument:expr)*)) => {
        match $engines.other($name)? {
            None => $engines.own.$call($name $(, $argument)*).await,
            Some((other, there)) => other.docker.$call(there $(, $argument)*).await,
        }
    };
}

#[async_trait]
impl ContainerRuntime for Engines {
    async fn containers(&self) -> WorldResult<Vec<ContainerFacts>> {
        self.list().await
    }

    fn away(&self) -> BTreeMap<String, String> {
        let away = |(name, other): (&String, &super::Other)| {
            let why = other.known().away.as_ref()?.to_string();
            Some((name.clone(), why))
        };
        self.others.iter().filter_map(away).collect()
    }

    fn elsewhere(&self) -> Vec<ContainerFacts> {
        self.held_elsewhere()
    }

    async fn container(&self, name: &str) -> WorldResult<ContainerFacts> {
        match self.other(name)? {
            None => self.own.container(name).await,
            Some((other, there)) => Ok(other.told_here(other.docker.container(there).await?)),
        }
    }

    async fn usage(&self, name: &str) -> WorldResult<Usage> {
        routed!(self.usage(name))
    }

    async fn processes(&self, name: &str) -> WorldResult<Vec<String>> {
        routed!(self.processes(name))
    }

    async fn pulls(&self, beside: &str, since: Timestamp) -> WorldResult<Vec<String>> {
        routed!(self.pulls(beside, since))
    }

    async fn logs(
        &self,
        name: &str,
        since: Option<LogCursor>,
        max_lines: usize,
    ) -> WorldResult<LogBatch> {
        routed!(self.logs(name, since, max_lines))
    }

    fn follow_logs(&self, name: &str, since: Timestamp) -> BoxStream<'static, LogLine> {
        match self.other(name) {
            Ok(None) => self.own.follow_logs(name, since),
            Ok(Some((other, there))) => other.docker.follow_logs(there, since),
            Err(_) => stream::empty().boxed(),
        }
    }

    fn events(&self, since: Option<Timestamp>) -> BoxStream<'static, WorldResult<RuntimeEvent>> {
        self.all_events(since)
    }

    async fn past_events(&self, since: Timestamp) -> WorldResult<Vec<RuntimeEvent>> {
        self.all_past_events(since).await
    }

    async fn start(&self, name: &str) -> WorldResult<()> {
        routed!(self.start(name))
    }

    async fn restart(
        &self,
        name: &str,
        signal: Option<&str>,
        stop_timeout_secs: u32,
    ) -> WorldResult<()> {
        routed!(self.restart(name, signal, stop_timeout_secs))
    }

    async fn stop(&self, name: &str, stop_timeout_secs: u32) -> WorldResult<()> {
        routed!(self.stop(name, stop_timeout_secs))
    }

    async fn signal(&self, name: &str, signal: &str) -> WorldResult<()> {
        routed!(self.signal(name, signal))
    }

    async fn pause(&self, name: &str) -> WorldResult<()> {
        routed!(self.pause(name))
    }

    async fn unpause(&self, name: &str) -> WorldResult<()> {
        routed!(self.unpause(name))
    }

    // Room is made on this host alone.
    async fn build_cache(&self, unused_for: Duration) -> WorldResult<BuildCache> {
        self.own.build_cache(unused_for).await
    }

    async fn prune_build_cache(&self, unused_for: Duration) -> WorldResult<u64> {
        self.own.prune_build_cache(unused_for).await
    }

    async fn set_memory_limits(&self, name: &str, limits: MemoryLimits) -> WorldResult<()> {
        routed!(self.set_memory_limits(name, limits))
    }

    async fn set_cpu_limit(&self, name: &str, limit_nanos: Option<u64>) -> WorldResult<()> {
        routed!(self.set_cpu_limit(name, limit_nanos))
    }

    async fn connect_network(&self, name: &str, attachment: &NetworkAttachment) -> WorldResult<()> {
        match self.other(name)? {
            None => self.own.connect_network(name, attachment).await,
            Some((other, there)) => {
                let attachment = other.attachment_there(there, attachment);
                other.docker.connect_network(there, &attachment).await
            }
        }
    }

    async fn disconnect_network(&self, name: &str, network: &str) -> WorldResult<()> {
        match self.other(name)? {
            None => self.own.disconnect_network(name, network).await,
            Some((other, there)) => {
                let network = other.network_there(network);
                other.docker.disconnect_network(there, network).await
            }
        }
    }
}

/// What has to do with the own engine's host alone.
fn only_here(name: &str) -> WorldResult<()> {
    let Some(engine) = engine_of(name) else { return Ok(()) };
    Err(WorldError::Refused {
        what: format!("making container `{name}` again"),
        why: format!("it runs on the engine `{engine}`, of whose host too little is known here"),
    })
}

#[async_trait]
impl Remakes for Engines {
    async fn image(&self, id: &str) -> WorldResult<ImageFacts> {
        self.own.image(id).await
    }

    async fn blueprint(&self, name: &str) -> WorldResult<Blueprint> {
        only_here(name)?;
        self.own.blueprint(name).await
    }

    async fn set_aside(
        &self,
        name: &str,
        id: &str,
        aside: &str,
        stop_timeout_secs: u32,
    ) -> WorldResult<()> {
        only_here(name)?;
        self.own.set_aside(name, id, aside, stop_timeout_secs).await
    }

    async fn make(&self, name: &str, from: &Blueprint, with: &Remake) -> WorldResult<()> {
        only_here(name)?;
        self.own.make(name, from, with).await
    }

    async fn put_back(&self, aside: &str, name: &str, from: &Blueprint) -> WorldResult<()> {
        only_here(name)?;
        self.own.put_back(aside, name, from).await
    }

    async fn remove(&self, name: &str, id: &str) -> WorldResult<()> {
        only_here(name)?;
        self.own.remove(name, id).await
    }
}

#[async_trait]
impl Rehearsals for Engines {
    async fn stage(
        &self,
        clone: &RehearsalClone,
        from: &Blueprint,
        with: &Remake,
    ) -> WorldResult<()> {
        only_here(&clone.name)?;
        self.own.stage(clone, from, with).await
    }

    async fn unstage(&self, name: &str) -> WorldResult<()> {
        // None was ever made elsewhere, so there is none to remove.
        if engine_of(name).is_some() {
            return Ok(());
        }
        self.own.unstage(name).await
    }
}
