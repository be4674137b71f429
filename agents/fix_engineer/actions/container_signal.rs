//! `container.signal`: tells a program to read its settings again.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Action, Reversal};
use crate::fix_engineer::plan::{PlanRequest, Planned, repair};
use crate::model::{Captured, TargetId};
use crate::ports::{World, WorldResult};

/// Sends a signal to a container's first process.
///
/// Only for signals that may be repeated without harm (`HUP`, `USR1`, `USR2`): whether one
/// arrived cannot be seen from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSignal {
    /// The container's name.
    pub container: String,
    /// `HUP`, `USR1` or `USR2`.
    pub signal: String,
}

impl ContainerSignal {
    /// Signals that ask and never end a well-behaved program.
    pub const ALLOWED: [&'static str; 3] = ["HUP", "USR1", "USR2"];
}

#[async_trait]
impl Act for ContainerSignal {
    fn target(&self) -> TargetId {
        TargetId::container(&self.container)
    }

    fn describe(&self) -> String {
        format!("send {} to container `{}`", self.signal, self.container)
    }

    fn reversal(&self) -> Reversal {
        Reversal::PostCondition("the container still runs; the signal may be repeated")
    }

    fn by_hand(&self) -> String {
        format!("docker kill -s {} {}", self.signal, self.container)
    }

    fn interruption_secs(&self) -> u64 {
        0
    }

    async fn capture(&self, world: &World) -> WorldResult<Captured> {
        super::capture_container(world, &self.container).await
    }

    async fn is_applied(&self, _world: &World, _before: &Captured) -> WorldResult<bool> {
        // Unknowable; repeating is harmless by choice of signals.
        Ok(false)
    }

    async fn apply(&self, world: &World, _before: &Captured) -> WorldResult<Option<String>> {
        world.runtime.signal(&self.container, &self.signal).await.map(|()| None)
    }

    async fn undo(&self, _world: &World, _before: &Captured) -> WorldResult<()> {
        Ok(())
    }
}

#[expect(clippy::unused_async, reason = "every action plans by the same call")]
pub(super) async fn plan(request: &PlanRequest<'_>) -> Planned {
    let facts = request.container()?;
    let signal = request.template.parameters.signal.as_deref().unwrap_or("HUP");
    if !ContainerSignal::ALLOWED.contains(&signal) {
        return Err(format!("the signal {signal} is not one that may be repeated without harm"));
    }
    if !facts.is_up() {
        return Err("the container does not run".to_owned());
    }
    let (container, signal) = (facts.name.clone(), signal.to_owned());
    Ok(vec![repair(Action::ContainerSignal(ContainerSignal { container, signal }))])
}
