//! `container.set_memory`: raises (or restores) a container's memory limit while it runs.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Reversal};
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
}

const MIB: u64 = 1024 * 1024;

fn shown(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |bytes| format!("{} MiB", bytes / MIB))
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
        let argument = |limit: Option<u64>| limit.map_or(-1, |b| i64::try_from(b).unwrap_or(-1));
        format!(
            "docker update --memory {} --memory-swap {} {}",
            argument(self.limits.memory_bytes),
            argument(self.limits.memory_swap_bytes),
            self.container
        )
    }

    fn interruption_secs(&self) -> u64 {
        0
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
                world.runtime.restart(&self.container, None, 10).await?;
                world.runtime.set_memory_limits(&self.container, *limits).await
            }
            other => other,
        }
    }
}
