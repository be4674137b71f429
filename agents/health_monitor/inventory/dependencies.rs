//! Who needs whom, each edge with where it was learnt.
//!
//! Names are compared whole, never as parts of other words, and only among containers that
//! can reach each other. A container that lost its network is still matched by the network
//! it was created for: the edge is needed most when it is broken.

use std::collections::BTreeSet;

use super::environment::{Place, places_in_url, places_named};
use super::{Declared, Inventory, Learnt, edge, tidy};
use crate::model::{
    ContainerFacts, Dependency, DependencySource, Endpoint, HostPort, Sought, TargetId, TargetKind,
    engine_of,
};

/// Every edge, tidied.
pub(super) fn all(inventory: &mut Inventory, declared: &Declared) -> Vec<Dependency> {
    let mut edges = declared.dependencies.clone();
    let declared_ids: BTreeSet<&TargetId> = declared.targets.iter().map(|t| &t.id).collect();
    for target in inventory.targets.values().filter(|t| t.id.kind() != TargetKind::Container) {
        if let Some(container) = &target.container {
            let by_person = declared_ids.contains(&target.id);
            let source =
                if by_person { DependencySource::Settings } else { DependencySource::Hosting };
            edges.push(edge(&target.id, &TargetId::container(container), source));
        }
    }
    let containers: Vec<ContainerFacts> = inventory.containers.values().cloned().collect();
    for container in &containers {
        let from = TargetId::container(&container.name);
        for (to, source) in of_container(container, &containers, inventory) {
            edges.push(edge(&from, &to, source));
            edges.extend(services_in(inventory, &to).iter().map(|s| edge(&from, s, source)));
        }
    }
    tidy(edges)
}

fn of_container(
    container: &ContainerFacts,
    all: &[ContainerFacts],
    inventory: &mut Inventory,
) -> Vec<(TargetId, DependencySource)> {
    let mut needed = vec![];
    for name in words(container, "selfheal.depends-on") {
        let found = by_label(container, name, all, inventory);
        if let Some(other) = of_another_node(name).filter(|_| found.is_empty()) {
            inventory.seek(Sought::Called(other), id(container));
        } else if found.is_empty() {
            let text = format!(
                "label selfheal.depends-on names `{name}`, which is no container, service or \
                 target here"
            );
            inventory.warn(&container.name, &text);
        }
        needed.extend(found.into_iter().map(|id| (id, DependencySource::Label)));
    }
    for entry in words(container, "com.docker.compose.depends_on") {
        let service = entry.split(':').next().unwrap_or_default();
        let found = in_project(container, service, all);
        needed.extend(found.map(|c| (id(c), DependencySource::Compose)));
    }
    for place in places_named(container) {
        let found = all.iter().filter(|other| {
            reaches(container, other) && answers_to(other, &place.host)
                || place.port.is_some_and(|port| is_published_at(other, &place.host, port))
        });
        let mut here: Vec<TargetId> = found.map(id).collect();
        here.extend(at_host(inventory, &place));
        if let Some(port) = place.port.filter(|_| here.is_empty() && !is_own_host(&place.host)) {
            inventory.seek(Sought::At(HostPort::new(&place.host, port)), id(container));
        }
        needed.extend(here.into_iter().map(|id| (id, DependencySource::Environment)));
    }
    if let Some(other) = container.network_mode.strip_prefix("container:") {
        let found = all.iter().filter(|c| c.name == other || c.id == other);
        needed.extend(found.map(|c| (id(c), DependencySource::Hosting)));
    }
    needed.retain(|(to, _)| to.container_name() != Some(container.name.as_str()));
    needed
}

/// The edges of what was learnt by looking: configuration of proxies, and connections.
pub(super) fn learnt(inventory: &Inventory, learnt: &Learnt) -> Vec<Dependency> {
    let all: Vec<&ContainerFacts> = inventory.containers.values().collect();
    let mut edges = vec![];
    for container in &all {
        let from = id(container);
        let hosts = learnt.upstreams.get(&container.name).into_iter().flatten();
        for host in hosts {
            let found = all.iter().filter(|c| reaches(container, c) && answers_to(c, host));
            edges.extend(found.map(|c| edge(&from, &id(c), DependencySource::Proxy)));
        }
        if is_traefik(container) {
            let served = all.iter().filter(|c| reaches(container, c) && is_served_by_traefik(c));
            edges.extend(served.map(|c| edge(&from, &id(c), DependencySource::Proxy)));
        }
        for peer in learnt.peers.get(&container.name).into_iter().flatten() {
            let to = TargetId::container(peer);
            let services = services_in(inventory, &to);
            edges.extend(services.iter().map(|s| edge(&from, s, DependencySource::Connection)));
            edges.push(edge(&from, &to, DependencySource::Connection));
        }
    }
    edges.retain(|edge| edge.from != edge.to);
    edges
}

fn is_traefik(container: &ContainerFacts) -> bool {
    let image = container.image.split([':', '@']).next().unwrap_or_default();
    image.rsplit('/').next() == Some("traefik")
}

/// Traefik's Docker provider reads what to serve from the labels of those served
/// (<https://doc.traefik.io/traefik/providers/docker/>).
fn is_served_by_traefik(container: &ContainerFacts) -> bool {
    let is = |value: &str| container.labels.get("traefik.enable").is_some_and(|v| v == value);
    let routed = container.labels.keys().any(|label| {
        label.starts_with("traefik.http.routers.") || label.starts_with("traefik.tcp.routers.")
    });
    !is("false") && (is("true") || routed)
}

fn id(container: &ContainerFacts) -> TargetId {
    TargetId::container(&container.name)
}

fn words<'a>(container: &'a ContainerFacts, label: &str) -> impl Iterator<Item = &'a str> {
    let value = container.labels.get(label).map_or("", String::as_str);
    value.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn by_label(
    container: &ContainerFacts,
    name: &str,
    all: &[ContainerFacts],
    inventory: &Inventory,
) -> Vec<TargetId> {
    if let Ok(id) = name.parse::<TargetId>()
        && inventory.targets.contains_key(&id)
    {
        return vec![id];
    }
    let service: Vec<TargetId> = in_project(container, name, all).map(id).collect();
    if !service.is_empty() {
        return service;
    }
    let beside = all.iter().find(|c| is_called(c, name) && are_beside(c, container));
    if let Some(exact) = beside.or_else(|| all.iter().find(|c| c.name == name)) {
        return vec![id(exact)];
    }
    let aliased = all.iter().filter(|other| reaches(container, other) && answers_to(other, name));
    aliased.map(id).collect()
}

/// Whether the container is called so on its own engine.
fn is_called(container: &ContainerFacts, name: &str) -> bool {
    container.name.rsplit('/').next() == Some(name)
}

/// Whether both are of one engine.
fn are_beside(one: &ContainerFacts, other: &ContainerFacts) -> bool {
    engine_of(&one.name) == engine_of(&other.name)
}

fn in_project<'a>(
    container: &ContainerFacts,
    service: &str,
    all: &'a [ContainerFacts],
) -> impl Iterator<Item = &'a ContainerFacts> {
    let project = container.compose_project();
    let service = service.to_owned();
    all.iter().filter(move |other| {
        project.is_some()
            && other.compose_project() == project
            && other.compose_service() == Some(&service)
    })
}

fn networks(container: &ContainerFacts) -> BTreeSet<&str> {
    let created_for = Some(container.network_mode.as_str())
        .filter(|mode| !matches!(*mode, "" | "none" | "host") && !mode.contains(':'))
        .map(|mode| if mode == "default" { "bridge" } else { mode });
    container.networks.iter().map(|n| n.network.as_str()).chain(created_for).collect()
}

fn reaches(container: &ContainerFacts, other: &ContainerFacts) -> bool {
    !networks(container).is_disjoint(&networks(other))
}

fn answers_to(container: &ContainerFacts, host: &str) -> bool {
    let mut names = container.networks.iter().flat_map(|n| n.aliases.iter().chain(&n.ip));
    container.name == host
        || container.compose_service().is_some_and(|service| service == host)
        || names.any(|name| name == host)
}

/// Whether it is another host's, and reached there from everywhere.
fn is_published_at(container: &ContainerFacts, host: &str, port: u16) -> bool {
    let outside = &container.outside;
    let is_there = outside.host.as_ref().is_some_and(|there| there.eq_ignore_ascii_case(host));
    is_there && outside.ports.values().any(|published| *published == port)
}

/// Declared targets that are reached at this host, and at this port where one is named.
fn at_host(inventory: &Inventory, place: &Place) -> impl Iterator<Item = TargetId> {
    let host = place.host.as_str();
    let is_port = |port: u16| place.port.is_none_or(|asked| asked == port);
    let is_there = |endpoint: &Endpoint| match endpoint {
        Endpoint::Postgres(e) | Endpoint::Mysql(e) | Endpoint::Redis(e) => {
            e.host == host && is_port(e.port)
        }
        Endpoint::Http(e) => {
            places_in_url(&e.url).iter().any(|p| p.host == host && p.port.is_none_or(is_port))
        }
        Endpoint::Tcp { host: h, port } => h == host && is_port(*port),
    };
    let found: Vec<TargetId> = inventory
        .targets
        .values()
        .filter(|t| !is_own_host(host) && !inventory.found.contains(&t.id))
        .filter(|t| t.endpoint.as_ref().is_some_and(is_there))
        .map(|t| t.id.clone())
        .collect();
    found.into_iter()
}

/// Whether a container means itself, or the host that it is on.
fn is_own_host(host: &str) -> bool {
    let of_docker = ["host.docker.internal", "gateway.docker.internal"];
    matches!(host, "localhost" | "127.0.0.1" | "::1" | "0.0.0.0") || of_docker.contains(&host)
}

/// What a label calls by a name with that of its node behind an `@`, as in `db@nas`.
fn of_another_node(name: &str) -> Option<TargetId> {
    let (name_there, node) = name.rsplit_once('@')?;
    let is_whole = !name_there.is_empty() && !node.is_empty();
    is_whole.then(|| name.parse().unwrap_or_else(|_| TargetId::container(name)))
}

/// The data services that run in a container.
fn services_in(inventory: &Inventory, container: &TargetId) -> Vec<TargetId> {
    inventory
        .targets
        .values()
        .filter(|t| {
            t.id.kind().is_data_service() && t.container.as_deref() == container.container_name()
        })
        .map(|t| t.id.clone())
        .collect()
}
