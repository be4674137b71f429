//! `container.restart`: stops a container that lives but does not work, and starts it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Reversal};
use crate::fix_engineer::plan::{PlanRequest, Planned, repair};
use crate::model::{Captured, TargetId};
use crate::ports::{World, WorldResult};

/// Restarts a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRestart {
    /// The container's name.
    pub container: String,
    /// Time between the stop signal and killing, in seconds. A process that ignored its
    /// probes gets little: it will ignore the signal too, and waiting is downtime.
    pub stop_timeout_secs: u32,
    /// The stop signal where the program wants another than its image says, such as
    /// `SIGINT` for PostgreSQL's fast shutdown.
    pub signal: Option<String>,
}

#[async_trait]
impl Act for ContainerRestart {
    fn target(&self) -> TargetId {
        TargetId::container(&self.container)
    }

    fn describe(&self) -> String {
        format!("restart container `{}`", self.container)
    }

    fn reversal(&self) -> Reversal {
        Reversal::PostCondition("the container runs since a later time than before")
    }

    fn by_hand(&self) -> String {
        format!("docker restart -t {} {}", self.stop_timeout_secs, self.container)
    }

    fn interruption_secs(&self) -> u64 {
        u64::from(self.stop_timeout_secs) + 2
    }

    fn stop_timeout_secs(&self) -> u32 {
        self.stop_timeout_secs
    }

    async fn capture(&self, world: &World) -> WorldResult<Captured> {
        super::capture_container(world, &self.container).await
    }

    async fn is_applied(&self, world: &World, before: &Captured) -> WorldResult<bool> {
        let now = world.runtime.container(&self.container).await?;
        let Captured::Container { started_at, .. } = before else {
            return Ok(false);
        };
        Ok(now.is_up() && now.started_at > *started_at)
    }

    async fn apply(&self, world: &World, _before: &Captured) -> WorldResult<Option<String>> {
        world
            .runtime
            .restart(&self.container, self.signal.as_deref(), self.stop_timeout_secs)
            .await
            .map(|()| None)
    }

    async fn undo(&self, _world: &World, _before: &Captured) -> WorldResult<()> {
        Ok(())
    }
}

#[expect(clippy::unused_async, reason = "every action plans by the same call")]
pub(super) async fn plan(request: &PlanRequest<'_>) -> Planned {
    Ok(vec![repair(request.restart()?)])
}
