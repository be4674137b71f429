//! Places alerts of other programs: which target one is about, by its labels.
//!
//! Pure. A label names a target only if exactly one that is watched is meant: what fits two, or
//! none, says nothing, and the next label is asked. An alert that nobody can place stands at the
//! host, where it is told of and nothing more. Labels are strangers' words: they are compared,
//! never interpreted.

use std::collections::BTreeMap;

use crate::health_monitor::Inventory;
use crate::model::{
    ContainerFacts, Endpoint, Finding, FindingSource, OutsideAlert, Target, TargetId, Trend,
};

type Labels = BTreeMap<String, String>;

/// Says outright which target it is: `container:web`.
const OURS: &str = "selfheal_target";
/// Hold the name of a container.
const CONTAINER: [&str; 4] = ["container", "container_name", "name", "pod"];
/// Hold the name of a Compose service, as exporters write that label of a container.
const COMPOSE_SERVICE: [&str; 3] =
    ["container_label_com_docker_compose_service", "com_docker_compose_service", "compose_service"];
/// Hold the name of a Compose project.
const COMPOSE_PROJECT: [&str; 3] =
    ["container_label_com_docker_compose_project", "com_docker_compose_project", "compose_project"];
/// Hold an address.
const ADDRESS: [&str; 3] = ["instance", "target", "url"];
/// Hold what somebody called the service.
const SERVICE: [&str; 2] = ["service", "job"];

/// The target an alert is about, if it names one that is watched.
pub fn place(alert: &OutsideAlert, inventory: &Inventory) -> Option<TargetId> {
    let labels = &alert.labels;
    // Whoever says it outright means that one and no other.
    if let Some(text) = labels.get(OURS) {
        return text.parse().ok().filter(|id| inventory.targets.contains_key(id));
    }
    let of = |names: &'static [&'static str]| names.iter().filter_map(|name| labels.get(*name));
    of(&CONTAINER)
        .find_map(|name| container(name, inventory))
        .or_else(|| compose(labels, inventory))
        .or_else(|| of(&ADDRESS).find_map(|text| address(text, inventory)))
        .or_else(|| of(&SERVICE).find_map(|name| called(name, inventory)))
}

/// What an alert is worth as a finding: placed, or at the host.
pub fn finding(alert: &OutsideAlert, inventory: &Inventory) -> Finding {
    let placed = place(alert, inventory);
    let nowhere =
        if placed.is_none() { "; its labels name nothing that is watched here" } else { "" };
    let target = placed.unwrap_or_else(TargetId::host);
    let says = if alert.summary.is_empty() { "" } else { ": " };
    let labels: Vec<String> =
        alert.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    Finding {
        key: Finding::alert_key(&target, &alert.fingerprint),
        source: FindingSource::Alert {
            name: alert.name.clone(),
            fingerprint: alert.fingerprint.clone(),
        },
        // It is nobody's family: the program that alerts has families of its own.
        category: crate::model::Category::Exceptions,
        severity: alert.severity,
        message: format!("another program alerts `{}`{says}{}{nowhere}", alert.name, alert.summary),
        samples: vec![crate::model::clean(&labels.join(", "), 600)],
        count: 1,
        first_seen: alert.first_heard,
        last_seen: alert.last_heard,
        trend: Trend::Steady,
        target,
    }
}

fn container(name: &str, inventory: &Inventory) -> Option<TargetId> {
    let name = name.trim_start_matches('/');
    inventory.containers.contains_key(name).then(|| TargetId::container(name))
}

fn compose(labels: &Labels, inventory: &Inventory) -> Option<TargetId> {
    let service = COMPOSE_SERVICE.iter().find_map(|name| labels.get(*name))?;
    let project = COMPOSE_PROJECT.iter().find_map(|name| labels.get(*name));
    only_container(inventory, |facts| {
        facts.compose_service() == Some(service)
            && project.is_none_or(|project| facts.compose_project() == Some(project))
    })
}

/// By an address or a URL: an endpoint that is asked there, or the container behind it.
fn address(text: &str, inventory: &Inventory) -> Option<TargetId> {
    let is_url = |target: &Target| matches!(&target.endpoint, Some(Endpoint::Http(http)) if http.url == text);
    let (host, port) = host_and_port(text);
    let is_there = |target: &Target| {
        port.is_some() && target.endpoint.as_ref().map(asked_at) == Some((host.to_owned(), port))
    };
    only_target(inventory, is_url)
        .or_else(|| only_target(inventory, is_there))
        .or_else(|| container(host, inventory))
        .or_else(|| only_container(inventory, |facts| is_known_as(facts, host)))
        .or_else(|| {
            let here = matches!(host, "localhost" | "127.0.0.1" | "::1" | "host.docker.internal");
            let port = port.filter(|_| here)?;
            only_container(inventory, |facts| facts.published_ports.contains(&port))
        })
}

/// By what somebody calls it: a container, a Compose service, or a target of that name.
fn called(name: &str, inventory: &Inventory) -> Option<TargetId> {
    container(name, inventory)
        .or_else(|| {
            only_container(inventory, |facts| {
                facts.compose_service().is_some_and(|service| service == name)
            })
        })
        .or_else(|| only_target(inventory, |target| target.id.name() == name))
}

/// Whether others reach it by this name or address.
fn is_known_as(facts: &ContainerFacts, host: &str) -> bool {
    facts.networks.iter().any(|network| {
        network.ip.as_deref() == Some(host) || network.aliases.iter().any(|alias| alias == host)
    })
}

fn asked_at(endpoint: &Endpoint) -> (String, Option<u16>) {
    match endpoint {
        Endpoint::Postgres(at) | Endpoint::Mysql(at) | Endpoint::Redis(at) => {
            (at.host.clone(), Some(at.port))
        }
        Endpoint::Tcp { host, port } => (host.clone(), Some(*port)),
        Endpoint::Http(http) => {
            let (host, port) = host_and_port(&http.url);
            (host.to_owned(), port)
        }
    }
}

/// Host and port of a URL or an address; the port of the scheme where none stands there.
fn host_and_port(text: &str) -> (&str, Option<u16>) {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let usual = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.starts_with('[') => {
            (host.trim_matches(['[', ']']), port.parse().ok())
        }
        _ => (authority.trim_matches(['[', ']']), usual),
    }
}

fn only_container(
    inventory: &Inventory,
    is_it: impl Fn(&ContainerFacts) -> bool,
) -> Option<TargetId> {
    let found = only(inventory.containers.values().filter(|facts| is_it(facts)))?;
    Some(TargetId::container(&found.name))
}

fn only_target(inventory: &Inventory, is_it: impl Fn(&Target) -> bool) -> Option<TargetId> {
    only(inventory.targets.values().filter(|target| is_it(target))).map(|target| target.id.clone())
}

/// The one there is, unless there are more.
fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    all.next().filter(|_| all.next().is_none())
}

#[cfg(test)]
mod tests;
