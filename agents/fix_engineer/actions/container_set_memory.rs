//! `container.set_memory`: raises (or restores) a container's memory limit while it runs.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::container_restart::ContainerRestart;
use super::{Act, Action, Reversal};
use crate::fix_engineer::plan::{DOCKER_STOP_TIMEOUT_SECS, PlanRequest, Planned, repair};
use crate::model::{Captured, MemoryLimits, TargetId};
use crate::ports::{World, WorldError, WorldResult};

/// Sets a container's memory limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSetMemory {
    /// The container's name.
    pub container: String,
    /// The limits to set; memory and swap go together, since Docker refuses a memory limit
    /// above the swap limit.
    pub limits: MemoryLimits,
    /// How the container is restarted where only that makes room for the old limits again; a
    /// database wants a signal of its own.
    #[serde(default)]
    pub make_room: Option<ContainerRestart>,
}

const MIB: u64 = 1024 * 1024;

fn shown(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |bytes| format!("{} MiB", bytes / MIB))
}

fn update_by_hand(container: &str, limits: MemoryLimits) -> String {
    let argument = |limit: Option<u64>| limit.unwrap_or(MemoryLimits::UNLIMITED_BYTES);
    let (memory, swap) = (argument(limits.memory_bytes), argument(limits.memory_swap_bytes));
    format!("docker update --memory {memory} --memory-swap {swap} {container}")
}

#[async_trait]
impl Act for ContainerSetMemory {
    fn target(&self) -> TargetId {
        TargetId::container(&self.container)
    }

    fn describe(&self) -> String {
        format!(
            "set the memory limit of container `{}` to {}",
            self.container,
            shown(self.limits.memory_bytes)
        )
    }

    fn reversal(&self) -> Reversal {
        Reversal::Undo
    }

    fn by_hand(&self) -> String {
        update_by_hand(&self.container, self.limits)
    }

    fn undo_by_hand(&self, before: &Captured) -> Option<String> {
        let Captured::Limits { limits, .. } = before else { return None };
        Some(update_by_hand(&self.container, *limits))
    }

    fn interruption_secs(&self) -> u64 {
        0
    }

    fn stop_timeout_secs(&self) -> u32 {
        let restart = self.make_room.as_ref();
        restart.map_or(DOCKER_STOP_TIMEOUT_SECS, |restart| restart.stop_timeout_secs)
    }

    async fn capture(&self, world: &World) -> WorldResult<Captured> {
        let now = world.runtime.container(&self.container).await?;
        Ok(Captured::Limits { id: now.id, limits: now.limits })
    }

    async fn is_applied(&self, world: &World, _before: &Captured) -> WorldResult<bool> {
        Ok(world.runtime.container(&self.container).await?.limits == self.limits)
    }

    async fn apply(&self, world: &World, _before: &Captured) -> WorldResult<Option<String>> {
        world.runtime.set_memory_limits(&self.container, self.limits).await.map(|()| None)
    }

    async fn undo(&self, world: &World, before: &Captured) -> WorldResult<()> {
        let Captured::Limits { limits, .. } = before else {
            return Err(super::wrong_capture("memory limits"));
        };
        match world.runtime.set_memory_limits(&self.container, *limits).await {
            // cgroup v1 refuses a limit below what is in use: what uses it must go first.
            Err(WorldError::Refused { .. }) => {
                let signal = self.make_room.as_ref().and_then(|restart| restart.signal.as_deref());
                let timeout = self.stop_timeout_secs();
                world.runtime.restart(&self.container, signal, timeout).await?;
                world.runtime.set_memory_limits(&self.container, *limits).await
            }
            other => other,
        }
    }

    async fn overtaken(&self, world: &World, before: &Captured) -> WorldResult<Option<String>> {
        let Captured::Limits { limits, .. } = before else { return Ok(None) };
        let now = world.runtime.container(&self.container).await?.limits;
        let known = now == *limits || now == self.limits;
        Ok((!known).then(|| format!("the limits of `{}` were changed since", self.container)))
    }
}

/// How much a limit is raised when the runbook does not say.
const DEFAULT_FACTOR: f64 = 1.5;

#[expect(clippy::unused_async, reason = "every action plans by the same call")]
pub(super) async fn plan(request: &PlanRequest<'_>) -> Planned {
    let facts = request.container()?;
    let factor = request.template.parameters.factor.unwrap_or(DEFAULT_FACTOR);
    let cap_bytes = request.workshop.limits.memory_cap_bytes as f64;
    let limits = raised(facts.limits, factor, cap_bytes)?;
    let container = facts.name.clone();
    let Action::ContainerRestart(restart) = request.restart()? else {
        return Err("it is not known how the container is restarted".to_owned());
    };
    let make_room = Some(restart);
    let raise = Action::ContainerSetMemory(ContainerSetMemory { container, limits, make_room });
    let mut steps = vec![repair(raise)];
    if !facts.is_up() {
        // Docker's back-off would hide the cure for up to a minute.
        steps.push(request.activation()?);
    }
    Ok(steps)
}

/// Both limits times `factor`, in whole MiB, the memory limit at most `cap_bytes`.
fn raised(now: MemoryLimits, factor: f64, cap_bytes: f64) -> Result<MemoryLimits, String> {
    let memory = now.memory_bytes.ok_or("the container has no memory limit to raise")?;
    let mib = MIB as f64;
    let wanted = ((memory as f64 * factor) / mib).ceil() * mib;
    let allowed = wanted.min((cap_bytes / mib).floor() * mib);
    if allowed <= memory as f64 {
        return Err(format!(
            "the limit of {} is already as high as this host allows",
            shown(Some(memory))
        ));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and bounded by the host's memory"
    )]
    let raised = allowed as u64;
    // The room for swap stays what it was.
    let swap = now.memory_swap_bytes.map(|both| raised + both.saturating_sub(memory));
    Ok(MemoryLimits { memory_bytes: Some(raised), memory_swap_bytes: swap })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_swap_rise_together_in_whole_mebibytes() {
        let now = MemoryLimits {
            memory_bytes: Some(64 * MIB),
            memory_swap_bytes: Some(64 * MIB),
        };
        let raised = raised(now, 1.5, 1e12).unwrap();
        assert_eq!(raised.memory_bytes, Some(96 * MIB));
        assert_eq!(raised.memory_swap_bytes, Some(96 * MIB));
    }

    #[test]
    fn the_cap_of_the_host_is_never_passed() {
        let now = MemoryLimits { memory_bytes: Some(64 * MIB), memory_swap_bytes: None };
        assert_eq!(
            raised(now, 1.5, 80.5 * MIB as f64).unwrap().memory_bytes,
            Some(80 * MIB)
        );
        assert!(raised(now, 1.5, 64.0 * MIB as f64).is_err());
    }

    #[test]
    fn an_unlimited_container_has_nothing_to_raise() {
        assert!(raised(MemoryLimits::default(), 1.5, 1e12).is_err());
    }
}
