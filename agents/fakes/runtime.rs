//! The fake container runtime.

use std::collections::BTreeMap;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};

use super::world::{FakeContainer, State, When};
use super::{Behaviour, Failure, FakeWorld};
use crate::model::{
    ContainerFacts, ContainerStatus, HealthStatus, LogBatch, LogCursor, LogLine, MemoryLimits,
    NetworkAttachment, RuntimeEvent, RuntimeEventKind, Timestamp, Usage, engine_of,
    rehearsed_container,
};
use crate::ports::{BuildCache, ContainerRuntime, WorldError, WorldResult};

/// How long the runtime is waited for.
const READ_LIMIT: Duration = Duration::from_secs(10);

fn missing(name: &str) -> WorldError {
    WorldError::NotFound { what: format!("container `{name}`") }
}

fn refused(what: String, why: &str) -> WorldError {
    WorldError::Refused { what, why: why.to_owned() }
}

impl FakeWorld {
    /// Runs a read or a change under the failures a test injected for `operation`.
    pub(super) fn call<T>(
        &self,
        operation: &str,
        what: &str,
        run: impl FnOnce(&mut State) -> WorldResult<T>,
    ) -> WorldResult<T> {
        let away = engine_of(what).is_some_and(|engine| self.state().away.contains(engine));
        let injected = self.injected(operation).or(away.then_some(Failure::Unreachable));
        let what = format!("{operation} {what}");
        match injected {
            Some(failure @ Failure::TimedOutAfterwards) => {
                run(&mut self.state())?;
                Err(failure.error(&what))
            }
            Some(failure) => Err(failure.error(&what)),
            None => run(&mut self.state()),
        }
    }

    /// An engine beside the own does not answer from now on, or does again.
    pub fn engine_answers(&self, engine: &str, answers: bool) -> &Self {
        let mut state = self.state();
        if answers {
            state.away.remove(engine);
        } else {
            state.away.insert(engine.to_owned());
        }
        drop(state);
        self
    }
}

impl State {
    fn listed(&self) -> Vec<ContainerFacts> {
        let mut all: Vec<_> = self.containers.values().map(|c| c.facts.clone()).collect();
        let is_away = |facts: &ContainerFacts| {
            engine_of(&facts.name).is_some_and(|engine| self.away.contains(engine))
        };
        for facts in all.iter_mut().filter(|facts| is_away(facts)) {
            (facts.status, facts.health) = (ContainerStatus::Unknown, None);
        }
        all
    }
}

impl FakeWorld {
    /// An error if a test stalls this question.
    pub(super) async fn in_time(&self, operation: &str, name: &str) -> WorldResult<()> {
        let what = format!("{operation} {name}");
        if !self.answered(&what, READ_LIMIT).await {
            return Err(WorldError::TimedOut { what, limit: READ_LIMIT });
        }
        Ok(())
    }
}

impl State {
    fn get(&mut self, name: &str) -> WorldResult<&mut FakeContainer> {
        self.containers.get_mut(name).ok_or_else(|| missing(name))
    }

    pub(super) fn stop(
        &mut self,
        name: &str,
        at: Timestamp,
        signal: Option<&str>,
    ) -> WorldResult<()> {
        let container = self.get(name)?;
        if !matches!(container.facts.status, ContainerStatus::Running | ContainerStatus::Paused) {
            return Ok(());
        }
        // A process that hangs ignores the signal and is killed when the time is up.
        let exit_code = if container.broken { 137 } else { 0 };
        container.end(at, exit_code);
        let signal = signal.unwrap_or("15").to_owned();
        self.emit(at, name, RuntimeEventKind::Kill { signal });
        self.emit(at, name, RuntimeEventKind::Die { exit_code });
        self.emit(at, name, RuntimeEventKind::Stop);
        Ok(())
    }

    /// A port of the host that it publishes and another running container has.
    fn taken_port(&mut self, name: &str) -> WorldResult<Option<u16>> {
        let wanted = self.get(name)?.facts.published_ports.clone();
        let others = self.containers.values().filter(|c| c.facts.name != name && c.facts.is_up());
        let taken: Vec<u16> = others.flat_map(|c| c.facts.published_ports.clone()).collect();
        Ok(wanted.into_iter().find(|port| taken.contains(port)))
    }

    fn start(&mut self, name: &str, at: Timestamp) -> WorldResult<()> {
        let behaviour = self.get(name)?.behaviour.clone();
        if let Behaviour::CannotStart { error } = behaviour {
            self.get(name)?.facts.start_error.clone_from(&error);
            return Err(refused(format!("starting container `{name}`"), &error));
        }
        if let Some(port) = self.taken_port(name)? {
            let error = format!("Bind for 0.0.0.0:{port} failed: port is already allocated");
            self.get(name)?.facts.start_error.clone_from(&error);
            return Err(refused(format!("starting container `{name}`"), &error));
        }
        let (works_at_start, dies) = self.in_its_place(name, |state, name| {
            let dies = match &behaviour {
                Behaviour::DiesOnStart { exit_code } => Some(*exit_code),
                Behaviour::DiesUnless { exit_code, cured } => {
                    (!cured(&state.scene())).then_some(*exit_code)
                }
                _ => None,
            };
            (state.conditions_hold(name, When::AtStart), dies)
        });
        self.speaks(name, at);
        let container = self.get(name)?;
        let facts = &mut container.facts;
        facts.status = ContainerStatus::Running;
        facts.started_at = Some(at);
        facts.exit_code = None;
        facts.finished_at = None;
        facts.oom_killed = false;
        facts.start_error.clear();
        facts.restart_count = 0;
        facts.health = facts.health_check.as_ref().map(|_| HealthStatus::Healthy);
        container.broken = !works_at_start || matches!(behaviour, Behaviour::StaysUnhealthy);
        container.show_health(!container.broken);
        if matches!(behaviour, Behaviour::StaysStarting) {
            container.facts.health = Some(HealthStatus::Starting);
        }
        self.emit(at, name, RuntimeEventKind::Start);
        if let Some(exit_code) = dies {
            self.get(name)?.end(at, exit_code);
            self.emit(at, name, RuntimeEventKind::Die { exit_code });
        }
        Ok(())
    }

    pub(super) fn effect(&mut self, text: String) {
        self.effects.push(text);
    }
}

fn set_limits(container: &mut FakeContainer, limits: MemoryLimits) -> WorldResult<()> {
    let what = format!("setting the memory limits of `{}`", container.facts.name);
    if let (Some(memory), Some(both)) = (limits.memory_bytes, limits.memory_swap_bytes)
        && memory > both
    {
        return Err(refused(what, "the memory limit is above the swap limit"));
    }
    let in_use = container.usage.memory_bytes.unwrap_or(0);
    if container.facts.is_up() && limits.memory_bytes.is_some_and(|limit| limit < in_use) {
        return Err(refused(what, "device or resource busy"));
    }
    container.facts.limits = limits;
    Ok(())
}

fn batch(lines: &[LogLine], since: Option<LogCursor>, max_lines: usize) -> LogBatch {
    let mut seen_at_cursor = 0;
    let fresh: Vec<&LogLine> = lines
        .iter()
        .filter(|line| {
            since.is_none_or(|cursor| {
                seen_at_cursor += u32::from(line.at == cursor.at);
                line.at > cursor.at || (line.at == cursor.at && seen_at_cursor > cursor.seen_at)
            })
        })
        .collect();
    let cursor = fresh.last().map(|last| {
        let same = lines.iter().filter(|line| line.at == last.at).count();
        LogCursor { at: last.at, seen_at: u32::try_from(same).unwrap_or(u32::MAX) }
    });
    let dropped = fresh.len().saturating_sub(max_lines);
    LogBatch {
        lines: fresh.into_iter().skip(dropped).cloned().collect(),
        cursor: cursor.or(since),
        dropped: dropped as u64,
    }
}

#[async_trait]
impl ContainerRuntime for FakeWorld {
    async fn containers(&self) -> WorldResult<Vec<ContainerFacts>> {
        self.call("containers", "", |state| {
            state.refresh_health();
            Ok(state.listed())
        })
    }

    fn elsewhere(&self) -> Vec<ContainerFacts> {
        let mut all = self.state().listed();
        all.retain(|facts| engine_of(&facts.name).is_some());
        all
    }

    fn away(&self) -> BTreeMap<String, String> {
        let named = |engine: &String| (engine.clone(), "no route to it".to_owned());
        self.state().away.iter().map(named).collect()
    }

    async fn container(&self, name: &str) -> WorldResult<ContainerFacts> {
        self.in_time("container", name).await?;
        self.call("container", name, |state| {
            state.refresh_health();
            state.get(name).map(|c| c.facts.clone())
        })
    }

    async fn usage(&self, name: &str) -> WorldResult<Usage> {
        self.in_time("usage", name).await?;
        self.call("usage", name, |state| {
            let container = state.get(name)?;
            if container.facts.is_up() {
                Ok(container.usage)
            } else {
                Err(refused(format!("sampling `{name}`"), "it does not run"))
            }
        })
    }

    async fn processes(&self, name: &str) -> WorldResult<Vec<String>> {
        self.call("processes", name, |state| Ok(state.get(name)?.processes.clone()))
    }

    async fn pulls(&self, beside: &str, since: Timestamp) -> WorldResult<Vec<String>> {
        self.call("pulls", beside, |state| {
            let pulled = state.pulls.iter().filter(|(at, _)| *at >= since);
            Ok(pulled.map(|(_, image)| image.clone()).collect())
        })
    }

    async fn logs(
        &self,
        name: &str,
        since: Option<LogCursor>,
        max_lines: usize,
    ) -> WorldResult<LogBatch> {
        self.in_time("logs", name).await?;
        self.call("logs", name, |state| Ok(batch(&state.get(name)?.logs, since, max_lines)))
    }

    fn follow_logs(&self, name: &str, since: Timestamp) -> BoxStream<'static, LogLine> {
        let (world, name, mut next) = (self.clone(), name.to_owned(), 0);
        stream::poll_fn(move |context| {
            let mut state = world.state();
            let Some(container) = state.containers.get(&name) else { return Poll::Ready(None) };
            let fresh = container.logs.iter().skip(next).position(|line| line.at >= since);
            if let Some(skipped) = fresh {
                next += skipped + 1;
                return Poll::Ready(Some(container.logs[next - 1].clone()));
            }
            next = container.logs.len();
            if !container.facts.is_up() {
                return Poll::Ready(None);
            }
            state.wait(context);
            Poll::Pending
        })
        .boxed()
    }

    fn events(&self, since: Option<Timestamp>) -> BoxStream<'static, WorldResult<RuntimeEvent>> {
        let world = self.clone();
        let told = self.events_so_far();
        let mut next = since.map_or(told.len(), |since| told.partition_point(|e| e.at < since));
        stream::poll_fn(move |context| {
            if let Some(failure) = world.injected("events") {
                return Poll::Ready(Some(Err(failure.error("events"))));
            }
            let mut state = world.state();
            if let Some(event) = state.events.get(next).cloned() {
                next += 1;
                return Poll::Ready(Some(Ok(event)));
            }
            state.wait(context);
            Poll::Pending
        })
        .boxed()
    }

    async fn past_events(&self, since: Timestamp) -> WorldResult<Vec<RuntimeEvent>> {
        if let Some(failure) = self.injected("events") {
            return Err(failure.error("events"));
        }
        Ok(self.events_so_far().into_iter().filter(|event| event.at >= since).collect())
    }

    async fn start(&self, name: &str) -> WorldResult<()> {
        let now = self.now();
        self.call("start", name, |state| {
            if state.get(name)?.facts.is_up() {
                return Ok(());
            }
            state.start(name, now)?;
            // A clone is nothing that works for anybody.
            if rehearsed_container(name).is_none() {
                state.effect(format!("start {name}"));
            }
            Ok(())
        })
    }

    async fn restart(
        &self,
        name: &str,
        signal: Option<&str>,
        _stop_timeout_secs: u32,
    ) -> WorldResult<()> {
        self.in_time("restart", name).await?;
        let now = self.now();
        self.call("restart", name, |state| {
            state.stop(name, now, signal)?;
            state.start(name, now)?;
            state.effect(format!("restart {name}"));
            Ok(())
        })
    }

    async fn stop(&self, name: &str, _stop_timeout_secs: u32) -> WorldResult<()> {
        let now = self.now();
        self.call("stop", name, |state| {
            if state.get(name)?.facts.is_up() {
                state.stop(name, now, None)?;
                state.effect(format!("stop {name}"));
            }
            Ok(())
        })
    }

    async fn signal(&self, name: &str, signal: &str) -> WorldResult<()> {
        let now = self.now();
        self.call("signal", name, |state| {
            if !state.get(name)?.facts.is_up() {
                return Err(refused(format!("signalling `{name}`"), "it does not run"));
            }
            let works = state.conditions_hold(name, When::AtStart);
            let container = state.get(name)?;
            container.broken = container.broken && !works;
            container.show_health(!container.broken);
            state.emit(now, name, RuntimeEventKind::Kill { signal: signal.to_owned() });
            state.effect(format!("signal {signal} {name}"));
            Ok(())
        })
    }

    async fn pause(&self, name: &str) -> WorldResult<()> {
        self.call("pause", name, |state| {
            let container = state.get(name)?;
            match container.facts.status {
                ContainerStatus::Paused => return Ok(()),
                ContainerStatus::Running => container.facts.status = ContainerStatus::Paused,
                _ => return Err(refused(format!("pausing `{name}`"), "it does not run")),
            }
            state.effect(format!("pause {name}"));
            Ok(())
        })
    }

    async fn unpause(&self, name: &str) -> WorldResult<()> {
        self.call("unpause", name, |state| {
            let container = state.get(name)?;
            if container.facts.status != ContainerStatus::Paused {
                return Err(refused(format!("unpausing `{name}`"), "it is not paused"));
            }
            container.facts.status = ContainerStatus::Running;
            state.effect(format!("unpause {name}"));
            Ok(())
        })
    }

    async fn build_cache(&self, _unused_for: Duration) -> WorldResult<BuildCache> {
        let folder = "/var/lib/docker".to_owned();
        self.call("build_cache", "", |state| Ok(BuildCache { bytes: state.build_cache, folder }))
    }

    async fn prune_build_cache(&self, _unused_for: Duration) -> WorldResult<u64> {
        self.call("prune_build_cache", "", |state| {
            state.effect("prune the build cache".to_owned());
            Ok(std::mem::take(&mut state.build_cache))
        })
    }

    async fn set_memory_limits(&self, name: &str, limits: MemoryLimits) -> WorldResult<()> {
        self.call("set_memory_limits", name, |state| {
            set_limits(state.get(name)?, limits)?;
            let shown = limits
                .memory_bytes
                .map_or_else(|| "unlimited".to_owned(), |bytes| format!("{}MiB", bytes >> 20));
            state.effect(format!("set_memory {name} {shown}"));
            Ok(())
        })
    }

    async fn set_cpu_limit(&self, name: &str, limit_nanos: Option<u64>) -> WorldResult<()> {
        self.call("set_cpu_limit", name, |state| {
            state.get(name)?.facts.cpu_limit_nanos = limit_nanos;
            state.effect(format!("set_cpu {name} {limit_nanos:?}"));
            Ok(())
        })
    }

    async fn connect_network(&self, name: &str, attachment: &NetworkAttachment) -> WorldResult<()> {
        let now = self.now();
        self.call("connect_network", name, |state| {
            let networks = &mut state.get(name)?.facts.networks;
            if networks.iter().any(|n| n.network == attachment.network) {
                return Ok(());
            }
            let fallback = super::network(&attachment.network, name);
            let ip = attachment.ip.clone().or(fallback.ip);
            networks.push(NetworkAttachment { ip, ..attachment.clone() });
            let network = attachment.network.clone();
            state.effect(format!("connect {name} {network}"));
            state.emit(now, name, RuntimeEventKind::NetworkConnect { network });
            Ok(())
        })
    }

    async fn disconnect_network(&self, name: &str, network: &str) -> WorldResult<()> {
        let now = self.now();
        self.call("disconnect_network", name, |state| {
            let networks = &mut state.get(name)?.facts.networks;
            if !networks.iter().any(|n| n.network == network) {
                return Ok(());
            }
            networks.retain(|n| n.network != network);
            let network = network.to_owned();
            state.effect(format!("disconnect {name} {network}"));
            state.emit(now, name, RuntimeEventKind::NetworkDisconnect { network });
            Ok(())
        })
    }
}
