//! `network.connect`: brings a container back to a network it lost.

use std::collections::BTreeSet;

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
    /// Whether it was on the network, without all its names: it has to leave first.
    #[serde(default)]
    pub rejoins: bool,
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
        let connect = self.connect_by_hand(&self.attachment);
        if self.rejoins { format!("{} && {connect}", self.leave_by_hand()) } else { connect }
    }

    fn undo_by_hand(&self, before: &Captured) -> Option<String> {
        let Captured::Networks { networks, .. } = before else { return None };
        let leave = self.leave_by_hand();
        Some(match self.of(networks) {
            Some(before) => format!("{leave} && {}", self.connect_by_hand(before)),
            None => leave,
        })
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
        Ok(self.is_attached(&now.networks))
    }

    async fn apply(&self, world: &World, _before: &Captured) -> WorldResult<Option<String>> {
        self.attach(world).await.map(|()| None)
    }

    /// Where its names are missing it leaves the network first, and may have got no further.
    async fn is_begun(&self, world: &World, before: &Captured) -> WorldResult<bool> {
        let now = world.runtime.container(&self.container).await?.networks;
        Ok(!are_same(self.of(before_of(before)?), self.of(&now)))
    }

    async fn undo(&self, world: &World, before: &Captured) -> WorldResult<()> {
        let now = world.runtime.container(&self.container).await?.networks;
        let before = self.of(before_of(before)?);
        if are_same(before, self.of(&now)) {
            return Ok(());
        }
        self.leave(world, &now).await?;
        match before {
            Some(before) => world.runtime.connect_network(&self.container, before).await,
            None => Ok(()),
        }
    }

    async fn overtaken(&self, world: &World, before: &Captured) -> WorldResult<Option<String>> {
        let now = world.runtime.container(&self.container).await?.networks;
        let known = self.is_attached(&now)
            || are_same(self.of(before_of(before)?), self.of(&now));
        let network = &self.attachment.network;
        let what = || format!("what `{}` is called on `{network}` was changed since", self.container);
        Ok((!known).then(what))
    }
}

impl NetworkConnect {
    /// Attaches the container like this; names can only be given anew by leaving first.
    async fn attach(&self, world: &World) -> WorldResult<()> {
        let now = world.runtime.container(&self.container).await?.networks;
        if self.is_attached(&now) {
            return Ok(());
        }
        self.leave(world, &now).await?;
        world.runtime.connect_network(&self.container, &self.attachment).await
    }

    async fn leave(&self, world: &World, now: &[NetworkAttachment]) -> WorldResult<()> {
        match self.of(now) {
            Some(now) => world.runtime.disconnect_network(&self.container, &now.network).await,
            None => Ok(()),
        }
    }

    fn of<'a>(&self, networks: &'a [NetworkAttachment]) -> Option<&'a NetworkAttachment> {
        networks.iter().find(|n| n.network == self.attachment.network)
    }

    /// Whether it is on the network, by all the names and the fixed address it is to have there.
    pub fn is_attached(&self, networks: &[NetworkAttachment]) -> bool {
        is_as(&self.attachment, networks)
    }

    fn leave_by_hand(&self) -> String {
        format!("docker network disconnect {} {}", self.attachment.network, self.container)
    }

    fn connect_by_hand(&self, attachment: &NetworkAttachment) -> String {
        let aliases: String =
            attachment.aliases.iter().map(|alias| format!("--alias {alias} ")).collect();
        let ip = attachment.fixed_ip.as_ref().map(|ip| format!("--ip {ip} ")).unwrap_or_default();
        let (network, container) = (&attachment.network, &self.container);
        format!("docker network connect {aliases}{ip}{network} {container}")
    }
}

fn before_of(before: &Captured) -> WorldResult<&[NetworkAttachment]> {
    match before {
        Captured::Networks { networks, .. } => Ok(networks),
        _ => Err(super::wrong_capture("networks")),
    }
}

/// Whether it is there in the same way: by the same names and the same fixed address, or not at all.
fn are_same(one: Option<&NetworkAttachment>, other: Option<&NetworkAttachment>) -> bool {
    let how = |n: &NetworkAttachment| {
        (n.aliases.iter().cloned().collect::<BTreeSet<_>>(), n.fixed_ip.clone())
    };
    one.map(how) == other.map(how)
}

/// Whether it is on the wanted network, by all the names and the fixed address it is to have there.
fn is_as(wanted: &NetworkAttachment, now: &[NetworkAttachment]) -> bool {
    now.iter().any(|n| {
        n.network == wanted.network
            && wanted.aliases.iter().all(|alias| n.aliases.contains(alias))
            && (wanted.fixed_ip.is_none() || wanted.fixed_ip == n.fixed_ip)
    })
}

#[expect(clippy::unused_async, reason = "every action plans by the same call")]
pub(super) async fn plan(request: &PlanRequest<'_>) -> Planned {
    let facts = request.container()?;
    let lost: Vec<NetworkAttachment> = request
        .workshop
        .remembered
        .networks
        .iter()
        .filter(|wanted| !is_as(wanted, &facts.networks))
        .map(|n| NetworkAttachment { ip: None, ..n.clone() })
        .collect();
    if lost.is_empty() {
        return Err("it is on every network that it was seen on, by all its names".to_owned());
    }
    let connect = |attachment: NetworkAttachment| {
        let container = facts.name.clone();
        let rejoins = facts.networks.iter().any(|n| n.network == attachment.network);
        repair(Action::NetworkConnect(NetworkConnect { container, attachment, rejoins }))
    };
    Ok(lost.into_iter().map(connect).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{FakeWorld, container, network};

    #[tokio::test]
    async fn a_name_that_is_missing_on_its_network_is_given_anew_and_taken_back() {
        let fake = FakeWorld::default();
        let mut api = container("api");
        let before = NetworkAttachment { aliases: vec![], ..network("front", "api") };
        api.networks = vec![before.clone()];
        let world = fake.add(api).world();
        let wanted = NetworkAttachment { aliases: vec!["shop".to_owned()], ..before.clone() };
        let container = "api".to_owned();
        let connect = NetworkConnect { container, attachment: wanted, rejoins: true };
        // Docker refuses to connect what is connected.
        let typed = "docker network disconnect front api && docker network connect --alias shop \
                     front api";
        assert_eq!(connect.by_hand(), typed);
        let captured = connect.capture(&world).await.unwrap();
        assert!(!connect.is_applied(&world, &captured).await.unwrap(), "the name is missing");
        connect.apply(&world, &captured).await.unwrap();
        assert!(connect.is_applied(&world, &captured).await.unwrap());
        let now = world.runtime.container("api").await.unwrap().networks;
        assert_eq!(now.len(), 1);
        assert_eq!(now[0].aliases, ["shop"]);
        // Twice is as good as once, and it goes back to what it was.
        connect.apply(&world, &captured).await.unwrap();
        connect.undo(&world, &captured).await.unwrap();
        let now = world.runtime.container("api").await.unwrap().networks;
        assert_eq!((now.len(), &now[0].aliases), (1, &before.aliases), "{now:?}");
    }

    #[test]
    fn a_chosen_address_and_all_names_are_part_of_what_is_wanted() {
        let is = |names: &[&str], fixed: Option<&str>| NetworkAttachment {
            aliases: names.iter().map(|name| (*name).to_owned()).collect(),
            fixed_ip: fixed.map(str::to_owned),
            ..network("front", "api")
        };
        assert!(is_as(&is(&["a"], None), &[is(&["b", "a"], Some("10.0.0.9"))]));
        assert!(!is_as(&is(&["a", "c"], None), &[is(&["a"], None)]));
        assert!(!is_as(&is(&[], Some("10.0.0.9")), &[is(&[], None)]));
        assert!(!is_as(&is(&[], None), &[]));
    }
}
