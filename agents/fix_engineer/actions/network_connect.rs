//! `network.connect`: brings a container back to a network it lost.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Action, Reversal};
use crate::fix_engineer::plan::{PlanRequest, Planned, repair};
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

#[expect(clippy::unused_async, reason = "every action plans by the same call")]
pub(super) async fn plan(request: &PlanRequest<'_>) -> Planned {
    let facts = request.container()?;
    let on = |network: &str| facts.networks.iter().any(|n| n.network == network);
    let lost: Vec<NetworkAttachment> = request
        .workshop
        .remembered
        .networks
        .iter()
        .filter(|n| !on(&n.network))
        .map(|n| NetworkAttachment { ip: None, ..n.clone() })
        .collect();
    if lost.is_empty() {
        return Err("it was never seen on a network that it is not on now".to_owned());
    }
    let connect = |attachment| {
        let container = facts.name.clone();
        repair(Action::NetworkConnect(NetworkConnect { container, attachment }))
    };
    Ok(lost.into_iter().map(connect).collect())
}
