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
    Endpoint, Facts, Finding, HealthReport, Hold, HostPort, Neighbour, NeighbourSeen,
    NeighbourState, NeighbourTrouble, Silence, TargetId, Timestamp,
};
use selfheal_agents::root_cause::Graph;

use super::look::Seen;
use super::state::{Inner, lock};

/// How long a place is tried.
const LIMIT: Duration = Duration::from_secs(3);
/// For so long a node may look for itself why nothing answers there.
const GIVEN: TimeDelta = TimeDelta::seconds(60);
/// For so long a node may mend what fails there before a person here is told, too.
const PATIENCE: TimeDelta = TimeDelta::minutes(15);

/// A time of trouble.
#[derive(Clone, Copy)]
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
        if let Some(found) = self.fleet.neighbours() {
            inventory.meet(&found);
        }
        inventory
    }

    /// How those do that something failing needs.
    pub(super) async fn look_at_neighbours(
        &self,
        inventory: &Inventory,
        graph: &Graph,
        findings: &[Finding],
        report: &HealthReport,
    ) -> BTreeMap<TargetId, NeighbourSeen> {
        let now = report.at;
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
        let mut spells = lock(&self.unreached);
        spells.retain(|id, _| inventory.neighbours.contains_key(id));
        for (id, spell) in spells.iter_mut().filter(|(id, _)| !needed.contains(*id)) {
            // Nothing suffers any more: known only of what was looked at.
            let dependents = graph.dependents_of(id);
            let mut here = dependents.iter().filter(|one| inventory.targets.contains_key(*one));
            if here.all(|dependent| report.target(dependent).is_some()) {
                spell.until.get_or_insert(now);
            }
        }
        seen.into_iter().collect()
    }

    async fn look_at_neighbour(
        &self,
        neighbour: &Neighbour,
        now: Timestamp,
    ) -> (TargetId, NeighbourSeen) {
        let id = neighbour.target.clone();
        let told = neighbour.told();
        let is_out = told.is_none() && self.is_out(neighbour).await;
        let mut spells = lock(&self.unreached);
        if told.is_none() && !is_out {
            let reached_since = spells.get_mut(&id).map(|spell| *spell.until.get_or_insert(now));
            let works_since = works_since(neighbour, now).max(reached_since);
            return (id, NeighbourSeen { trouble: None, works_since });
        }
        let new = Spell { since: now, until: None };
        let spell = spells.entry(id.clone()).or_insert(new);
        if spell.until.is_some() {
            *spell = new;
        }
        let lasts = now - spell.since;
        let trouble = match told {
            Some(told) if neighbour.state == NeighbourState::Fails => in_time(told, lasts),
            Some(told) => told,
            None => trouble_of(neighbour, lasts),
        };
        (id, NeighbourSeen { trouble: Some(trouble), works_since: None })
    }

    /// Whether nothing answers where it is reached; where that cannot be tried, whether its node says
    /// that it does not run.
    async fn is_out(&self, neighbour: &Neighbour) -> bool {
        if neighbour.tried_at.is_empty() {
            return neighbour.silence.is_none() && !neighbour.detail.is_empty();
        }
        // Whoever needs it tries one address after the other.
        !join_all(neighbour.tried_at.iter().map(|place| self.answers(place))).await.contains(&true)
    }

    async fn answers(&self, place: &HostPort) -> bool {
        let endpoint = Endpoint::Tcp { host: place.host().to_owned(), port: place.port() };
        match self.world.prober.glance(&endpoint, LIMIT).await {
            Facts::Tcp(facts) => facts.reachable,
            _ => false,
        }
    }
}

/// Since when its node sees it work again.
fn works_since(neighbour: &Neighbour, now: Timestamp) -> Option<Timestamp> {
    match neighbour.state {
        NeighbourState::WorksAgain(since) => Some(now - TimeDelta::from_std(since).ok()?),
        NeighbourState::Works | NeighbourState::Fails => None,
    }
}

/// What a node says it looks after, as long as that may take.
fn in_time(told: NeighbourTrouble, lasts: TimeDelta) -> NeighbourTrouble {
    match told {
        NeighbourTrouble::LookedAfter { node, why } if lasts > PATIENCE => {
            let minutes = lasts.num_minutes();
            NeighbourTrouble::Unreached {
                why: format!("{why}, and node `{node}` has not mended it for {minutes} min"),
            }
        }
        told => told,
    }
}

/// Nothing answers where its node sees it work, or sees nothing any more.
fn trouble_of(neighbour: &Neighbour, lasts: TimeDelta) -> NeighbourTrouble {
    let node = neighbour.node.clone();
    let places: Vec<String> = neighbour.tried_at.iter().map(HostPort::to_string).collect();
    let what = if places.is_empty() {
        neighbour.detail.clone()
    } else {
        format!("nothing answers at {}", places.join(" or "))
    };
    let why = match neighbour.silence {
        Some(Silence::Node(silent)) => format!(
            "node `{node}` has said nothing for {} s: look whether that host is still there",
            silent.as_secs()
        ),
        _ if lasts < GIVEN => {
            let why = format!("{what}, and node `{node}` is about to see why");
            return NeighbourTrouble::LookedAfter { node, why };
        }
        Some(Silence::Here) => format!(
            "what node `{node}` says of it is not known, since the fleet's PostgreSQL does not answer"
        ),
        None if !neighbour.detail.is_empty() => {
            format!("node `{node}` says that {}, and nobody there misses it", neighbour.detail)
        }
        None => format!(
            "node `{node}` sees it work: look at the way between the two hosts (network, firewall, \
             the address it listens at)"
        ),
    };
    NeighbourTrouble::Unreached { why: format!("{what}; {why}") }
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
