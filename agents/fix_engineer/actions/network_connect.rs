//! `network.connect`: brings a container back to a network it lost.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Reversal};
use crate::model::{Captured, NetworkAttachment, TargetId};
use crate::ports::{World, WorldResult};

/// Connects a container to a network, with the names others know it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkConnect {
    /// The container's name.
    pub container: String,
    /// The network and the aliases; without them the name stays unresolvable.
    pub attachment: NetworkAttachment,
}

#[async_trait]
impl Act for NetworkConnect {
    fn target(&self) -> TargetId {
        TargetId::container(&self.container)
    }

    fn describe(&self) -> String {
        format!("connect container `{}` to network `{}`", self.container, self.attachment.network)
    }

    fn reversal(&self) -> Reversal {
        Reversal::Undo
    }

    fn by_hand(&self) -> String {
        let aliases: String =
            self.attachment.aliases.iter().map(|alias| format!("--alias {alias} ")).collect();
        format!("docker network connect {aliases}{} {}", self.attachment.network, self.container)
    }

    fn interruption_secs(&self) -> u64 {
        0
    }

    async fn capture(&self, world: &World) -> WorldResult<Captured> {
        let now = world.runtime.container(&self.container).await?;
        Ok(Captured::Networks { id: now.id, networks: now.networks })
    }

    async fn is_applied(&self, world: &World, _before: &Captured) -> WorldResult<bool> {
        let now = world.runtime.container(&self.container).await?;
        Ok(now.networks.iter().any(|n| n.network == self.attachment.network))
    }

    async fn apply(&self, world: &World, _before: &Captured) -> WorldResult<Option<String>> {
        world.runtime.connect_network(&self.container, &self.attachment).await.map(|()| None)
    }

    async fn undo(&self, world: &World, before: &Captured) -> WorldResult<()> {
        let Captured::Networks { networks, .. } = before else {
            return Err(super::wrong_capture("networks"));
        };
        if networks.iter().any(|n| n.network == self.attachment.network) {
            return Ok(());
        }
        world.runtime.disconnect_network(&self.container, &self.attachment.network).await
    }
}
