//! `container.start`: starts a container that ended and should not have.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Action, Reversal};
use crate::fix_engineer::plan::{PlanRequest, Planned, repair};
use crate::model::{Captured, TargetId};
use crate::ports::{World, WorldResult};

/// Starts a stopped container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStart {
    /// The container's name.
    pub container: String,
}

#[async_trait]
impl Act for ContainerStart {
    fn target(&self) -> TargetId {
        TargetId::container(&self.container)
    }

    fn describe(&self) -> String {
        format!("start container `{}`", self.container)
    }

    fn reversal(&self) -> Reversal {
        // Stopping it again would bring back the very fault; a start that does not help
        // leaves the container as its own program leaves it.
        Reversal::PostCondition("the container runs")
    }

    fn by_hand(&self) -> String {
        format!("docker start {}", self.container)
    }

    fn interruption_secs(&self) -> u64 {
        0
    }

    async fn capture(&self, world: &World) -> WorldResult<Captured> {
        super::capture_container(world, &self.container).await
    }

    async fn is_applied(&self, world: &World, _before: &Captured) -> WorldResult<bool> {
        Ok(world.runtime.container(&self.container).await?.is_up())
    }

    async fn apply(&self, world: &World, _before: &Captured) -> WorldResult<Option<String>> {
        world.runtime.start(&self.container).await.map(|()| None)
    }

    async fn undo(&self, _world: &World, _before: &Captured) -> WorldResult<()> {
        Ok(())
    }
}

#[expect(clippy::unused_async, reason = "every action plans by the same call")]
pub(super) async fn plan(request: &PlanRequest<'_>) -> Planned {
    let facts = request.container()?;
    if facts.is_up() {
        return Err("the container runs already".to_owned());
    }
    Ok(vec![repair(Action::ContainerStart(ContainerStart { container: facts.name.clone() }))])
}
