//! Needs between the nodes: what each has for others, and what each finds of theirs.
//!
//! A node tells where its containers are reached (by the names and addresses of its host, and the
//! ports that they publish) and how they do. A node whose container names such a place asks for
//! that place alone. Nobody reads the rows of all, and nobody is told of what nobody asked for.
//! It judges nothing: what follows from it is the coordinator's to say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use selfheal_agents::health_monitor::Inventory;
use selfheal_agents::model::{
    Endpoint, HostPort, Neighbour, NeighbourState, Sought, TargetId, Verdict, clean, engine_of,
};

use super::names::Names;
use super::registry::SILENT;
use super::server::{FoundRow, OfferRow};
use super::{Fleet, State, clock};
use crate::coordinator::{Coordinator, TargetSummary};
use crate::docker::is_this_machine;

/// How often the others are told and asked.
const EVERY: Duration = Duration::from_secs(2);
/// The longest sentence about a target.
const LONGEST: usize = 200;
/// A container that asks for more places than this is a list of them, and needs few.
const MOST_SOUGHT: usize = 500;
/// So many names are looked up at the same time.
const AT_ONCE: usize = 8;

/// What was found of other nodes' targets.
#[derive(Default)]
pub(super) struct Found {
    neighbours: Vec<Neighbour>,
    /// By the clock of leases: it grows old while the server is away.
    read_at: Duration,
}

pub(super) async fn run(fleet: &Fleet, coordinator: &Coordinator) {
    let mut names = Names::default();
    let mut told = None;
    let mut turns = tokio::time::interval(EVERY);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        if fleet.state().away.is_some() {
            // Who was away for long may have been forgotten: it tells all again.
            told = None;
        } else if let Err(error) = turn(fleet, coordinator, &mut names, &mut told).await {
            told = None;
            tracing::debug!(%error, "what nodes have for each other is not told or read");
        }
    }
}

async fn turn(
    fleet: &Fleet,
    coordinator: &Coordinator,
    names: &mut Names,
    told: &mut Option<Vec<OfferRow>>,
) -> sqlx::Result<()> {
    let (configured, sought) = {
        let state = fleet.state();
        (state.hosts.clone(), state.sought.clone())
    };
    let inventory = coordinator.inventory().borrow().clone();
    let hosts = names.own(&configured, coordinator.is_contained());
    let offers = offers(&inventory, &coordinator.standing().targets, &hosts, fleet.node());
    let server = &fleet.inner.server;
    // Before the first look nothing is known, which is not that there is nothing.
    if !inventory.targets.is_empty() && told.as_ref() != Some(&offers) {
        server.offer(fleet.node(), &offers).await?;
        *told = Some(offers);
    }
    let keys = keys(names, &sought).await;
    let mut neighbours = vec![];
    if !keys.is_empty() {
        let places: Vec<&str> = keys.keys().map(String::as_str).collect();
        let rows = server.find(fleet.node(), &places).await?;
        neighbours = rows.iter().flat_map(|row| met(row, &keys, names)).collect();
    }
    let found = Found { neighbours, read_at: clock() };
    fleet.state().found = found;
    Ok(())
}

/// By what is asked of the table: what is sought by it. A name is asked for with all addresses that it
/// leads to.
async fn keys(names: &mut Names, sought: &BTreeSet<Sought>) -> BTreeMap<String, Vec<Sought>> {
    names.look_up(sought.iter().filter_map(host), AT_ONCE).await;
    let mut keys: BTreeMap<String, Vec<Sought>> = BTreeMap::new();
    for one in sought.iter().take(MOST_SOUGHT) {
        let Sought::At(place) = one else {
            keys.entry(one.to_string()).or_default().push(one.clone());
            continue;
        };
        if names.is_own(place.host()) {
            continue;
        }
        let addresses = names.addresses(place.host());
        let by_address = addresses.map(|ip| HostPort::new(&ip.to_string(), place.port()));
        let all: BTreeSet<String> =
            by_address.chain([place.clone()]).map(|place| place.to_string()).collect();
        for key in all {
            keys.entry(key).or_default().push(one.clone());
        }
    }
    keys
}

fn host(sought: &Sought) -> Option<&str> {
    match sought {
        Sought::At(place) => Some(place.host()),
        Sought::Called(_) => None,
    }
}

/// What a row says of everything that was sought by its place.
fn met(row: &FoundRow, keys: &BTreeMap<String, Vec<Sought>>, names: &Names) -> Vec<Neighbour> {
    // Of another version: a name that cannot be read is not known.
    let Ok(target) = row.target.parse::<TargetId>() else { return vec![] };
    let secs = |secs: f64| Duration::try_from_secs_f64(secs.max(0.0)).unwrap_or_default();
    let state = match row.works_secs {
        _ if row.fails => NeighbourState::Fails,
        Some(since) => NeighbourState::WorksAgain(secs(since)),
        None => NeighbourState::Works,
    };
    let of = |sought: &Sought| Neighbour {
        sought: sought.clone(),
        target: target.at_node(&row.node),
        node: row.node.clone(),
        tried_at: tried_at(sought, names),
        state,
        detail: clean(&row.detail, LONGEST),
        silent: Some(secs(row.silent_secs)),
    };
    keys.get(&row.place).into_iter().flatten().map(of).collect()
}

/// Where a container that names the place ends up, where that is known here, too.
fn tried_at(sought: &Sought, names: &Names) -> Option<HostPort> {
    let Sought::At(place) = sought else { return None };
    let is_address = place.host().parse::<IpAddr>().is_ok();
    let looked_up = || names.addresses(place.host()).next();
    let by_address = |ip: IpAddr| HostPort::new(&ip.to_string(), place.port());
    if is_address { Some(place.clone()) } else { looked_up().map(by_address) }
}

/// What this node has for the others: its containers, and what runs on its host beside them.
fn offers(
    inventory: &Inventory,
    standing: &[TargetSummary],
    hosts: &BTreeSet<String>,
    node: &str,
) -> Vec<OfferRow> {
    let known: BTreeMap<&TargetId, &TargetSummary> =
        standing.iter().map(|one| (&one.id, one)).collect();
    let mut ports: BTreeMap<TargetId, BTreeSet<u16>> = BTreeMap::new();
    let mut bound: BTreeMap<TargetId, Vec<String>> = BTreeMap::new();
    let mut failing: BTreeMap<TargetId, String> = BTreeMap::new();
    for (name, facts) in &inventory.containers {
        if engine_of(name).is_some() {
            continue;
        }
        let id = TargetId::container(name);
        ports.insert(id.clone(), facts.outside.ports.values().copied().collect());
        let at_one = facts.outside.bound.iter();
        let at_one = at_one.map(|(port, address)| HostPort::new(address, *port).to_string());
        bound.insert(id.clone(), at_one.collect());
        if facts.is_down() {
            failing.insert(id, format!("it does not run ({})", facts.status.as_str()));
        }
    }
    for (id, target) in &inventory.targets {
        let container = target.container.as_deref().map(TargetId::container);
        let of = container.filter(|container| ports.contains_key(container));
        let port = target.endpoint.as_ref().and_then(own_port);
        if of.is_none() && port.is_none() {
            continue;
        }
        let of = of.unwrap_or_else(|| id.clone());
        ports.entry(of.clone()).or_default().extend(port);
        if let Some(summary) = known.get(id).filter(|one| one.verdict == Verdict::Critical) {
            failing.entry(of).or_insert_with(|| clean(&summary.detail, LONGEST));
        }
    }
    let row = |(target, ports): (TargetId, BTreeSet<u16>)| {
        let all = ports.iter().flat_map(|port| hosts.iter().map(|host| HostPort::new(host, *port)));
        let mut places: Vec<String> = all.map(|place| place.to_string()).collect();
        places.extend(bound.remove(&target).unwrap_or_default());
        places.push(target.at_node(node).to_string());
        let detail = failing.remove(&target);
        OfferRow {
            target: target.to_string(),
            places,
            fails: detail.is_some(),
            detail: detail.unwrap_or_default(),
        }
    };
    ports.into_iter().map(row).collect()
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

impl State {
    /// What other nodes have of what is needed here; who has said nothing for long is called silent.
    pub(super) fn neighbours_now(&self) -> Vec<Neighbour> {
        let old = clock().saturating_sub(self.found.read_at);
        let now = |one: &Neighbour| {
            let silent = one.silent.unwrap_or_default() + old;
            Neighbour { silent: Some(silent).filter(|for_long| *for_long > SILENT), ..one.clone() }
        };
        self.found.neighbours.iter().map(now).collect()
    }
}
