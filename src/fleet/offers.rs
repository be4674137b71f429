//! What this node has that containers of other nodes may need.

use std::collections::{BTreeMap, BTreeSet};

use selfheal_agents::health_monitor::Inventory;
use selfheal_agents::model::{
    ContainerFacts, Endpoint, HostPort, Target, TargetId, Verdict, clean, engine_of,
};

use super::server::OfferRow;
use crate::coordinator::TargetSummary;
use crate::docker::is_this_machine;

/// The longest sentence about a target.
pub(super) const LONGEST: usize = 200;

/// Makes them, and remembers where those are reached that do not run.
#[derive(Default)]
pub(super) struct Offers {
    ports: BTreeMap<TargetId, BTreeSet<u16>>,
}

/// What is told of one.
#[derive(Default)]
struct Offer {
    ports: BTreeSet<u16>,
    /// Places at one address of the host alone.
    bound: BTreeSet<String>,
    /// Under these it is looked for: what runs in a container goes with that.
    names: Vec<TargetId>,
    is_down: bool,
    fails: Option<String>,
    detail: String,
    blames: String,
}

impl Offers {
    /// Everything: the containers of the own engine, and what runs on this host beside them.
    pub(super) fn of(
        &mut self,
        inventory: &Inventory,
        standing: &[TargetSummary],
        hosts: &BTreeSet<String>,
        node: &str,
    ) -> Vec<OfferRow> {
        let mut offers: BTreeMap<TargetId, Offer> = BTreeMap::new();
        let own = inventory.containers.values().filter(|facts| engine_of(&facts.name).is_none());
        for facts in own {
            offers.insert(TargetId::container(&facts.name), container(facts, hosts));
        }
        for target in inventory.targets.values() {
            take_in(&mut offers, target);
        }
        for summary in standing {
            let container = inventory.targets.get(&summary.id).and_then(|t| t.container.as_deref());
            let id = container.map_or_else(|| summary.id.clone(), TargetId::container);
            if let Some(offer) = offers.get_mut(&id) {
                judge(offer, summary, inventory);
            }
        }
        // What a container that does not run publishes by its program alone is not seen.
        for (id, offer) in &mut offers {
            if offer.is_down && offer.ports.is_empty() {
                offer.ports = self.ports.get(id).cloned().unwrap_or_default();
            }
        }
        leave_to_who_runs(&mut offers);
        self.ports = offers.iter().map(|(id, offer)| (id.clone(), offer.ports.clone())).collect();
        offers.into_iter().map(|(id, offer)| row(&id, offer, hosts, node)).collect()
    }
}

/// A port is that of the container that runs; one that was left behind, or a check of the same port,
/// would make two of it.
fn leave_to_who_runs(offers: &mut BTreeMap<TargetId, Offer>) {
    let runs = |id: &TargetId, offer: &Offer| id.container_name().is_some() && !offer.is_down;
    let running = || offers.iter().filter(|(id, offer)| runs(id, offer)).map(|(_, offer)| offer);
    let ports: BTreeSet<u16> = running().flat_map(|offer| offer.ports.clone()).collect();
    let bound: BTreeSet<String> = running().flat_map(|offer| offer.bound.clone()).collect();
    for (id, offer) in offers {
        if !runs(id, offer) {
            offer.ports.retain(|port| !ports.contains(port));
            offer.bound.retain(|place| !bound.contains(place));
        }
    }
}

fn container(facts: &ContainerFacts, hosts: &BTreeSet<String>) -> Offer {
    let at_one = facts.outside.bound.iter().filter(|(address, _)| hosts.contains(address));
    let is_down = facts.is_down();
    Offer {
        ports: facts.outside.ports.values().copied().collect(),
        bound: at_one.map(|(at, port)| HostPort::new(at, *port).to_string()).collect(),
        is_down,
        detail: if is_down {
            format!("it does not run ({})", facts.status.as_str())
        } else {
            String::new()
        },
        ..Offer::default()
    }
}

fn take_in(offers: &mut BTreeMap<TargetId, Offer>, target: &Target) {
    let container = target.container.as_deref().map(TargetId::container);
    let of = container.filter(|container| offers.contains_key(container));
    let port = target.endpoint.as_ref().and_then(own_port);
    if of.is_none() && port.is_none() {
        return;
    }
    let offer = offers.entry(of.unwrap_or_else(|| target.id.clone())).or_default();
    offer.ports.extend(port);
    offer.names.push(target.id.clone());
}

/// It fails where its own node sees trouble: what was stopped and is missed by nobody is none.
fn judge(offer: &mut Offer, summary: &TargetSummary, inventory: &Inventory) {
    if summary.verdict != Verdict::Critical && summary.incident.is_none() {
        return;
    }
    if summary.verdict == Verdict::Critical || offer.is_down {
        offer.fails.get_or_insert_with(|| clean(&summary.detail, LONGEST));
    }
    if let Some(cause) = &summary.symptom_of
        && inventory.neighbours.contains_key(cause)
    {
        offer.blames = cause.to_string();
    }
}

fn row(id: &TargetId, offer: Offer, hosts: &BTreeSet<String>, node: &str) -> OfferRow {
    let all =
        offer.ports.iter().flat_map(|port| hosts.iter().map(|host| HostPort::new(host, *port)));
    let mut places: BTreeSet<String> = all.map(|place| place.to_string()).collect();
    places.extend(offer.bound);
    places.extend(offer.names.iter().chain([id]).map(|name| name.at_node(node).to_string()));
    OfferRow {
        target: id.to_string(),
        places: places.into_iter().collect(),
        fails: offer.fails.is_some(),
        detail: offer.fails.filter(|_| !offer.is_down).unwrap_or(offer.detail),
        blames: offer.blames,
    }
}

/// The port of this host at which something is reached from here, and so perhaps from others.
fn own_port(endpoint: &Endpoint) -> Option<u16> {
    let of = |host: &str, port: u16| is_this_machine(host).then_some(port);
    match endpoint {
        Endpoint::Postgres(server) | Endpoint::Mysql(server) | Endpoint::Redis(server) => {
            of(&server.host, server.port)
        }
        Endpoint::Tcp { host, port } => of(host, *port),
        Endpoint::Http(page) => {
            let url = url::Url::parse(&page.url).ok()?;
            of(url.host_str()?, url.port_or_known_default()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use selfheal_agents::fakes::container;
    use selfheal_agents::health_monitor::{Declared, take_inventory};
    use selfheal_agents::model::{ContainerStatus, Outside};

    use super::*;

    fn hosts() -> BTreeSet<String> {
        ["nas.lan", "192.0.2.7"].map(str::to_owned).into()
    }

    fn published(name: &str) -> ContainerFacts {
        let bound = [("192.0.2.7", 81), ("172.17.0.1", 82)].map(|(at, port)| (at.to_owned(), port));
        let outside = Outside { ports: [(5432, 15432)].into(), bound: bound.into(), host: None };
        ContainerFacts { outside, ..container(name) }
    }

    /// A server that is reached at this host, in that container or in none.
    fn on_host(name: &str, port: u16, container: Option<&str>) -> Target {
        let endpoint = Endpoint::Tcp { host: "127.0.0.1".to_owned(), port };
        Target {
            endpoint: Some(endpoint),
            container: container.map(str::to_owned),
            ..Target::bare(name.parse().unwrap())
        }
    }

    fn inventory(containers: &[ContainerFacts], targets: Vec<Target>) -> Inventory {
        take_inventory(containers, &Declared { targets, ..Declared::default() })
    }

    fn places(rows: &[OfferRow]) -> Vec<String> {
        rows.iter().map(|row| format!("{}: {}", row.target, row.places.join(" "))).collect()
    }

    #[test]
    fn what_is_published_and_what_runs_on_the_host_is_told_with_every_name_of_the_host() {
        let own = [published("db"), container("quiet"), published("far/db")];
        let targets =
            vec![on_host("tcp:orders", 7432, None), on_host("tcp:in", 6432, Some("quiet"))];
        let rows = Offers::default().of(&inventory(&own, targets), &[], &hosts(), "nas");
        let expected = [
            "container:db: 192.0.2.7:15432 192.0.2.7:81 container:db@nas nas.lan:15432",
            "container:quiet: 192.0.2.7:6432 container:quiet@nas nas.lan:6432 tcp:in@nas",
            "tcp:orders: 192.0.2.7:7432 nas.lan:7432 tcp:orders@nas",
        ];
        assert_eq!(places(&rows), expected);
        assert!(rows.iter().all(|row| !row.fails));
    }

    #[test]
    fn what_a_container_s_program_publishes_by_itself_is_known_while_it_is_down() {
        let mut offers = Offers::default();
        let up = inventory(&[container("db")], vec![on_host("tcp:in", 6432, Some("db"))]);
        let before = offers.of(&up, &[], &hosts(), "nas");
        let down = ContainerFacts { status: ContainerStatus::Exited, ..container("db") };
        let after = offers.of(&inventory(&[down], vec![]), &[], &hosts(), "nas");
        assert!(after[0].places.contains(&"nas.lan:6432".to_owned()), "{before:?}, then {after:?}");
        // Nobody misses it so far.
        assert!(!after[0].fails && after[0].detail.contains("does not run"), "{after:?}");
    }

    #[test]
    fn a_port_is_that_of_the_container_that_runs() {
        let old = ContainerFacts { status: ContainerStatus::Exited, ..published("db-old") };
        let check = on_host("tcp:db", 15432, None);
        let own = inventory(&[published("db"), old], vec![check]);
        let rows = Offers::default().of(&own, &[], &hosts(), "nas");
        let there = |row: &&OfferRow| row.places.contains(&"nas.lan:15432".to_owned());
        let found: Vec<&str> = rows.iter().filter(there).map(|row| &*row.target).collect();
        assert_eq!(found, ["container:db"]);
    }
}
