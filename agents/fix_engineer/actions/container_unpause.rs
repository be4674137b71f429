//! `container.unpause`: thaws a container that was frozen and forgotten.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Action, Reversal};
use crate::fix_engineer::plan::{PlanRequest, Planned, repair};
use crate::model::{Captured, ContainerStatus, TargetId};
use crate::ports::{World, WorldResult};

/// Thaws a paused container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerUnpause {
    /// The container's name.
    pub container: String,
}

#[async_trait]
impl Act for ContainerUnpause {
    fn target(&self) -> TargetId {
        TargetId::container(&self.container)
    }

    fn describe(&self) -> String {
        format!("unpause container `{}`", self.container)
    }

    fn reversal(&self) -> Reversal {
        Reversal::PostCondition("the container is not paused")
    }

    fn by_hand(&self) -> String {
        format!("docker unpause {}", self.container)
    }

    fn interruption_secs(&self) -> u64 {
        0
    }

    async fn capture(&self, world: &World) -> WorldResult<Captured> {
        super::capture_container(world, &self.container).await
    }

    async fn is_applied(&self, world: &World, _before: &Captured) -> WorldResult<bool> {
        let now = world.runtime.container(&self.container).await?;
        Ok(now.status != ContainerStatus::Paused)
    }

    async fn apply(&self, world: &World, _before: &Captured) -> WorldResult<Option<String>> {
        world.runtime.unpause(&self.container).await.map(|()| None)
    }

    async fn undo(&self, _world: &World, _before: &Captured) -> WorldResult<()> {
        Ok(())
    }
}

#[expect(clippy::unused_async, reason = "every action plans by the same call")]
pub(super) async fn plan(request: &PlanRequest<'_>) -> Planned {
    let facts = request.container()?;
    if facts.status != ContainerStatus::Paused {
        return Err("the container is not paused".to_owned());
    }
    Ok(vec![repair(Action::ContainerUnpause(ContainerUnpause { container: facts.name.clone() }))])
}
