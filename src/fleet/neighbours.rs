//! Needs between the nodes: what each has for others, and what each finds of theirs.
//!
//! A node tells where its containers are reached (by the names and addresses of its host, and the
//! ports that they publish) and how they do. A node whose container names such a place asks for
//! that place alone. Nobody reads the rows of all, and nobody is told of what nobody asked for.
//! It judges nothing: what follows from it is the coordinator's to say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use selfheal_agents::model::{
    HostPort, Neighbour, NeighbourState, Silence, Sought, TargetId, clean,
};

use super::names::Names;
use super::offers::{LONGEST, Offers};
use super::registry::{SILENT, is_forgotten};
use super::server::{FoundRow, OfferRow, Server};
use super::{Fleet, State, clock};
use crate::coordinator::{Changes, Coordinator};

/// How often the others are told and asked.
const EVERY: Duration = Duration::from_secs(2);
/// A container that asks for more places than this is a list of them, and needs few.
const MOST_SOUGHT: usize = 500;

/// What was found of other nodes' targets.
pub(super) struct Found {
    /// Each with how long its node had said nothing then.
    neighbours: Vec<(Neighbour, Duration)>,
    /// By the clock of leases: it grows old while the server is away.
    read_at: Duration,
}

/// What is kept between two turns.
struct Memory {
    changes: Changes,
    names: Names,
    /// How others call this host.
    hosts: BTreeSet<String>,
    offers: Offers,
    told: Option<Vec<OfferRow>>,
}

pub(super) async fn run(fleet: &Fleet, coordinator: &Coordinator) {
    let mut memory = Memory {
        changes: coordinator.changes(),
        names: Names::default(),
        hosts: BTreeSet::new(),
        offers: Offers::default(),
        told: None,
    };
    let mut complained = false;
    let mut turns = tokio::time::interval(EVERY);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        if fleet.state().away.is_some() {
            // Who was away for long may have been forgotten: it tells all again.
            memory.told = None;
            continue;
        }
        match turn(fleet, coordinator, &mut memory).await {
            Ok(()) => complained = false,
            Err(error) => {
                memory.told = None;
                if !std::mem::replace(&mut complained, true) {
                    tracing::warn!(%error, "what nodes have for each other is not told or read");
                }
            }
        }
    }
}

async fn turn(fleet: &Fleet, coordinator: &Coordinator, memory: &mut Memory) -> sqlx::Result<()> {
    let (configured, sought) = {
        let state = fleet.state();
        (state.hosts.clone(), state.sought.clone())
    };
    let (server, me) = (&fleet.inner.server, fleet.node());
    if fleet.state().found.as_ref().is_some_and(|found| is_forgotten(found.read_at)) {
        memory.told = None;
    }
    let hosts = memory.names.own(&configured, coordinator.is_contained());
    let is_called_otherwise = memory.hosts != hosts;
    memory.hosts = hosts;
    if memory.changes.any() || is_called_otherwise || memory.told.is_none() {
        offer(server, coordinator, memory, me).await?;
    }
    let keys = keys(&mut memory.names, &sought).await;
    let mut neighbours = vec![];
    if !keys.is_empty() {
        let places: Vec<&str> = keys.keys().map(String::as_str).collect();
        let rows = server.find(me, &places).await?;
        neighbours = rows.iter().flat_map(|row| met(row, &keys, &memory.names, me)).collect();
    }
    fleet.state().found = Some(Found { neighbours, read_at: clock() });
    Ok(())
}

/// Tells what this node has, where that is not what it told last.
async fn offer(
    server: &Server,
    coordinator: &Coordinator,
    memory: &mut Memory,
    me: &str,
) -> sqlx::Result<()> {
    let inventory = coordinator.inventory().borrow().clone();
    // Before the first look nothing is known, which is not that there is nothing.
    if inventory.targets.is_empty() {
        return Ok(());
    }
    let rows = memory.offers.of(&inventory, &coordinator.standing().targets, &memory.hosts, me);
    if memory.told.as_ref() != Some(&rows) {
        server.offer(me, &rows).await?;
        memory.told = Some(rows);
    }
    Ok(())
}

/// By what is asked of the table: what is sought by it. A name is asked for with all addresses that it
/// leads to.
async fn keys(names: &mut Names, sought: &BTreeSet<Sought>) -> BTreeMap<String, Vec<Sought>> {
    let hosts = sought.iter().take(MOST_SOUGHT).filter_map(host).collect();
    names.look_up(&hosts).await;
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
fn met(
    row: &FoundRow,
    keys: &BTreeMap<String, Vec<Sought>>,
    names: &Names,
    me: &str,
) -> Vec<(Neighbour, Duration)> {
    // Of another version: a name that cannot be read is not known.
    let Ok(target) = row.target.parse::<TargetId>() else { return vec![] };
    let secs = |secs: f64| Duration::try_from_secs_f64(secs.max(0.0)).unwrap_or_default();
    let own = row.blames.rsplit_once('@').filter(|(_, node)| *node == me);
    let blames = own.and_then(|(name, _)| name.parse::<TargetId>().ok());
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
        blames: blames.clone(),
        state,
        detail: clean(&row.detail, LONGEST),
        silence: None,
    };
    let sought = keys.get(&row.place).into_iter().flatten();
    sought.map(|sought| (of(sought), secs(row.silent_secs))).collect()
}

/// Where a container that names the place ends up, where that is known here, too.
fn tried_at(sought: &Sought, names: &Names) -> Vec<HostPort> {
    let Sought::At(place) = sought else { return vec![] };
    if place.host().parse::<IpAddr>().is_ok() {
        return vec![place.clone()];
    }
    let by_address = |ip: IpAddr| HostPort::new(&ip.to_string(), place.port());
    names.addresses(place.host()).map(by_address).collect()
}

impl State {
    /// What other nodes have of what is needed here, and why that may be old; `None` until they were
    /// asked. Nodes of long leases give signs of life more rarely.
    pub(super) fn neighbours_now(&self, lease: Duration) -> Option<Vec<Neighbour>> {
        let found = self.found.as_ref()?;
        let old = clock().saturating_sub(found.read_at);
        let now = |(one, silent): &(Neighbour, Duration)| {
            let silence = match (old > SILENT, *silent) {
                (true, _) => Some(Silence::Here),
                (false, silent) if silent > SILENT.max(lease) => Some(Silence::Node(silent + old)),
                (false, _) => None,
            };
            let state = match one.state {
                NeighbourState::WorksAgain(since) => NeighbourState::WorksAgain(since + old),
                state => state,
            };
            Neighbour { silence, state, ..one.clone() }
        };
        Some(found.neighbours.iter().map(now).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(place: &str, fails: bool, blames: &str) -> FoundRow {
        FoundRow {
            place: place.to_owned(),
            node: "nas".to_owned(),
            target: "container:db".to_owned(),
            fails,
            detail: "it ended".to_owned(),
            blames: blames.to_owned(),
            works_secs: None,
            silent_secs: 1.0,
        }
    }

    #[tokio::test]
    async fn a_place_is_asked_for_by_its_name_and_tried_where_that_is_an_address() {
        let at = |host: &str| Sought::At(HostPort::new(host, 5432));
        let called = Sought::Called(TargetId::container("db").at_node("nas"));
        let (far, name, own) = (at("192.0.2.7"), at("nas.invalid"), at("127.0.0.1"));
        let sought = BTreeSet::from([far.clone(), name.clone(), own, called.clone()]);
        let mut names = Names::default();
        let keys = keys(&mut names, &sought).await;
        let asked: Vec<&str> = keys.keys().map(String::as_str).collect();
        assert_eq!(asked, ["192.0.2.7:5432", "container:db@nas", "nas.invalid:5432"]);
        let tried = |place: &str| {
            let found = met(&row(place, true, ""), &keys, &names, "shop");
            (found[0].0.state, found[0].0.tried_at.first().map(ToString::to_string))
        };
        let fails = NeighbourState::Fails;
        assert_eq!(tried("192.0.2.7:5432"), (fails, Some("192.0.2.7:5432".to_owned())));
        assert_eq!(tried("nas.invalid:5432"), (fails, None));
        assert_eq!(tried("container:db@nas"), (fails, None));
    }

    #[tokio::test]
    async fn what_of_this_node_another_waits_for_has_its_own_name_here() {
        let far = Sought::At(HostPort::new("192.0.2.7", 5432));
        let mut names = Names::default();
        let keys = keys(&mut names, &BTreeSet::from([far])).await;
        let blames = |of: &str| {
            met(&row("192.0.2.7:5432", true, of), &keys, &names, "shop")[0].0.blames.clone()
        };
        assert_eq!(blames("container:web@pi"), None);
        assert_eq!(blames("container:web@shop"), Some(TargetId::container("web")));
    }

    #[test]
    fn a_node_is_silent_for_its_own_silence_and_not_for_that_of_the_server() {
        let found = |silent, read_at| State {
            found: Some(Found {
                neighbours: vec![(
                    Neighbour {
                        sought: Sought::At(HostPort::new("nas.lan", 80)),
                        target: TargetId::container("db").at_node("nas"),
                        node: "nas".to_owned(),
                        tried_at: vec![],
                        blames: None,
                        state: NeighbourState::Works,
                        detail: String::new(),
                        silence: None,
                    },
                    Duration::from_secs(silent),
                )],
                read_at,
            }),
            ..State::default()
        };
        let silence = |state: State, lease| {
            state.neighbours_now(Duration::from_secs(lease)).unwrap()[0].silence
        };
        assert_eq!(silence(found(10, clock()), 8), None);
        assert!(matches!(silence(found(20, clock()), 8), Some(Silence::Node(_))));
        assert_eq!(silence(found(20, clock()), 60), None);
        let long_ago = clock().saturating_sub(Duration::from_secs(30));
        assert_eq!(silence(found(1, long_ago), 8), Some(Silence::Here));
        assert!(State::default().neighbours_now(SILENT).is_none());
    }
}
