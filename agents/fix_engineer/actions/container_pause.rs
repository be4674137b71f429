//! `container.pause`: freezes a container that harms others, as a quarantine.
//!
//! Nothing of it is lost: its memory and files stay as they are for a person to look at. No runbook
//! that comes with Selfheal asks for it; one of a person's own may.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Action, Reversal};
use crate::fix_engineer::plan::{PlanRequest, Planned, repair};
use crate::model::{Captured, ContainerStatus, TargetId};
use crate::ports::{World, WorldResult};

/// Freezes a running container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerPause {
    /// The container's name.
    pub container: String,
}

#[async_trait]
impl Act for ContainerPause {
    fn target(&self) -> TargetId {
        TargetId::container(&self.container)
    }

    fn describe(&self) -> String {
        format!("freeze container `{}`, so that it harms nobody", self.container)
    }

    fn reversal(&self) -> Reversal {
        Reversal::Undo
    }

    fn by_hand(&self) -> String {
        format!("docker pause {}", self.container)
    }

    fn undo_by_hand(&self, _before: &Captured) -> Option<String> {
        Some(format!("docker unpause {}", self.container))
    }

    /// How long it is frozen is a person's decision.
    fn interruption_secs(&self) -> u64 {
        0
    }

    async fn capture(&self, world: &World) -> WorldResult<Captured> {
        super::capture_container(world, &self.container).await
    }

    async fn is_applied(&self, world: &World, _before: &Captured) -> WorldResult<bool> {
        let now = world.runtime.container(&self.container).await?;
        Ok(now.status == ContainerStatus::Paused)
    }

    async fn apply(&self, world: &World, _before: &Captured) -> WorldResult<Option<String>> {
        world.runtime.pause(&self.container).await.map(|()| None)
    }

    async fn undo(&self, world: &World, before: &Captured) -> WorldResult<()> {
        let Captured::Container { paused, .. } = before else {
            return Err(super::wrong_capture("a container's life"));
        };
        // Somebody may have thawed it meanwhile, or ended it.
        if *paused || !self.is_applied(world, before).await? {
            return Ok(());
        }
        world.runtime.unpause(&self.container).await
    }
}

#[expect(clippy::unused_async, reason = "every action plans by the same call")]
pub(super) async fn plan(request: &PlanRequest<'_>) -> Planned {
    let facts = request.container()?;
    if !facts.is_up() {
        return Err("the container does not run".to_owned());
    }
    let id = TargetId::container(&facts.name);
    let dependents = request.workshop.evidence.graph.dependents_of(&id);
    if let Some(other) = dependents.iter().find(|other| other.container_name().is_some()) {
        return Err(format!("`{other}` needs it, and would fail while it is frozen"));
    }
    Ok(vec![repair(Action::ContainerPause(ContainerPause { container: facts.name.clone() }))])
}
