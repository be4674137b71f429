//! How targets of other nodes do that something failing here needs.
//!
//! Their own node says how they do and heals them. What it does not see yet, or cannot say, shows
//! when the place is tried: whoever only suffers from it is not restarted for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join_all;
use selfheal_agents::health_monitor::Inventory;
use selfheal_agents::model::{
    Endpoint, Facts, Finding, Hold, HostPort, Neighbour, NeighbourSeen, NeighbourState,
    NeighbourTrouble, TargetId, Timestamp,
};
use selfheal_agents::root_cause::Graph;

use super::look::Seen;
use super::state::{Inner, lock};

/// How long a place is tried.
const LIMIT: Duration = Duration::from_secs(3);
/// For so long a node may look for itself why nothing answers there.
const GIVEN: TimeDelta = TimeDelta::seconds(60);

/// A time in which nothing answered.
pub(super) struct Spell {
    since: Timestamp,
    until: Option<Timestamp>,
}

/// The last spell of each target of another node.
pub(super) type Unreached = Mutex<BTreeMap<TargetId, Spell>>;

impl Inner {
    /// Adds to what is there what other nodes have of what it needs, and asks them for it.
    pub(super) fn meet_neighbours(&self, inventory: Inventory) -> Inventory {
        let mut inventory = inventory;
        self.fleet.seek(inventory.sought.keys().cloned().collect());
        inventory.meet(&self.fleet.neighbours());
        inventory
    }

    /// How those do that something failing needs.
    pub(super) async fn look_at_neighbours(
        &self,
        inventory: &Inventory,
        graph: &Graph,
        findings: &[Finding],
        now: Timestamp,
    ) -> BTreeMap<TargetId, NeighbourSeen> {
        if inventory.neighbours.is_empty() {
            lock(&self.unreached).clear();
            return BTreeMap::new();
        }
        let failing: BTreeSet<&TargetId> =
            findings.iter().filter(|finding| finding.is_trouble()).map(|one| &one.target).collect();
        let needed: BTreeSet<TargetId> =
            failing.into_iter().flat_map(|id| graph.perhaps_needed_by(id)).collect();
        let asked = inventory.neighbours.values().filter(|one| needed.contains(&one.target));
        let seen = join_all(asked.map(|one| self.look_at_neighbour(one, now))).await;
        lock(&self.unreached).retain(|id, _| inventory.neighbours.contains_key(id));
        seen.into_iter().collect()
    }

    async fn look_at_neighbour(
        &self,
        neighbour: &Neighbour,
        now: Timestamp,
    ) -> (TargetId, NeighbourSeen) {
        let id = neighbour.target.clone();
        let told = neighbour.told();
        let tried = match neighbour.tried_at.as_ref().filter(|_| told.is_none()) {
            Some(place) => Some((place, self.answers(place).await)),
            None => None,
        };
        let mut unreached = lock(&self.unreached);
        if let Some((place, false)) = tried {
            let spell = unreached.entry(id.clone()).or_insert(Spell { since: now, until: None });
            if spell.until.is_some() {
                *spell = Spell { since: now, until: None };
            }
            let trouble = Some(trouble_of(neighbour, place, now - spell.since));
            return (id, NeighbourSeen { trouble, works_since: None });
        }
        let reached_since = unreached.get_mut(&id).map(|spell| *spell.until.get_or_insert(now));
        let works_since = match neighbour.state {
            NeighbourState::WorksAgain(since) => TimeDelta::from_std(since).ok().map(|d| now - d),
            NeighbourState::Works | NeighbourState::Fails => None,
        };
        (id, NeighbourSeen { trouble: told, works_since: works_since.max(reached_since) })
    }

    async fn answers(&self, place: &HostPort) -> bool {
        let endpoint = Endpoint::Tcp { host: place.host().to_owned(), port: place.port() };
        match self.world.prober.glance(&endpoint, LIMIT).await {
            Facts::Tcp(facts) => facts.reachable,
            _ => false,
        }
    }
}

/// Nothing answers where its node sees it work, or sees nothing any more.
fn trouble_of(neighbour: &Neighbour, place: &HostPort, since: TimeDelta) -> NeighbourTrouble {
    let node = neighbour.node.clone();
    match neighbour.silent {
        Some(silent) => NeighbourTrouble::Unreached {
            why: format!(
                "nothing answers at {place}, and node `{node}` has said nothing for {} s: look \
                 whether that host is still there",
                silent.as_secs()
            ),
        },
        None if since < GIVEN => NeighbourTrouble::LookedAfter {
            why: format!("nothing answers at {place}, and node `{node}` is about to see why"),
            node,
        },
        None => NeighbourTrouble::Unreached {
            why: format!(
                "nothing answers at {place}, although node `{node}` sees it work: look at the way \
                 between the two hosts (network, firewall, the address it listens at)"
            ),
        },
    }
}

impl Seen {
    /// Why nothing is done here about what another node looks after.
    pub(super) fn looked_after_there(&self, target: &TargetId) -> Option<Hold> {
        match self.neighbours.get(target)?.trouble.as_ref()? {
            NeighbourTrouble::LookedAfter { node, .. } => {
                Some(Hold::LeasedElsewhere { node: node.clone() })
            }
            NeighbourTrouble::Unreached { .. } => None,
        }
    }
}
