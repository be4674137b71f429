//! Needs that lead to containers of other nodes.

use super::*;
use crate::model::{HostPort, Neighbour, NeighbourState, Sought};

fn asks(name: &str, url: &str) -> ContainerFacts {
    with_environment(name, &[("DATABASE_URL", url)])
}

fn found(sought: Sought, target: &str, node: &str) -> Neighbour {
    Neighbour {
        sought,
        target: id(target).at_node(node),
        node: node.to_owned(),
        tried_at: vec![],
        blames: None,
        state: NeighbourState::Works,
        detail: String::new(),
        silence: None,
    }
}

fn at(host: &str, port: u16) -> Sought {
    Sought::At(HostPort::new(host, port))
}

#[test]
fn what_is_named_and_nobody_here_is_is_sought_at_its_place() {
    let inventory = take(&[
        container("db"),
        asks("web", "postgres://me@NAS.lan/shop"),
        asks("job", "postgres://me@nas.lan/shop"),
        asks("near", "postgres://me@db/shop"),
        asks("own", "postgres://me@localhost/shop"),
        asks("host", "postgres://me@host.docker.internal/shop"),
        with_environment("portless", &[("DB_HOST", "nas.lan")]),
        with_labels("told", &[("selfheal.depends-on", "cache@nas, postgres:orders@nas")]),
    ]);
    let sought: Vec<String> =
        inventory.sought.iter().map(|(what, by)| format!("{what} by {by:?}")).collect();
    let named = ["web", "job"].map(TargetId::container);
    assert_eq!(inventory.sought[&at("nas.lan", 5432)], named.into());
    assert_eq!(inventory.sought.len(), 3, "{sought:?}");
    assert!(inventory.sought.contains_key(&Sought::Called(id("container:cache@nas"))));
    assert!(inventory.sought.contains_key(&Sought::Called(id("postgres:orders@nas"))));
    assert!(inventory.warnings.is_empty(), "{:?}", inventory.warnings);
}

#[test]
fn what_one_node_has_there_is_needed_and_what_two_have_is_nobodys() {
    let mut inventory = take(&[
        asks("web", "postgres://me@nas.lan/shop"),
        asks("mail", "redis://vip.lan"),
        with_labels("told", &[("selfheal.depends-on", "cache@nas")]),
        with_labels("lost", &[("selfheal.depends-on", "cache@attic")]),
    ]);
    inventory.meet(&[
        // By its name and by its address.
        found(at("nas.lan", 5432), "container:db", "nas"),
        found(at("nas.lan", 5432), "container:db", "nas"),
        found(at("vip.lan", 6379), "container:cache", "nas"),
        found(at("vip.lan", 6379), "container:cache", "spare"),
        found(Sought::Called(id("container:cache@nas")), "container:cache", "nas"),
    ]);
    let expected = [
        "container:told -> container:cache@nas Label",
        "container:web -> container:db@nas Environment",
    ];
    assert_eq!(edges(&inventory), expected);
    assert_eq!(inventory.neighbours.len(), 2);
    assert!(inventory.warnings[0].contains("`cache@attic`"), "{:?}", inventory.warnings);
}

#[test]
fn what_waits_for_its_own_dependent_is_not_waited_for_and_what_waits_for_another_is() {
    let blaming = |blamed: &str| {
        let mut inventory = take(&[
            asks("web", "postgres://me@nas.lan/shop"),
            with_labels("front", &[("selfheal.depends-on", "web")]),
            container("db"),
        ]);
        let api = found(at("nas.lan", 5432), "container:api", "nas");
        let blames = Some(TargetId::container(blamed));
        inventory.meet(&[Neighbour { blames, state: NeighbourState::Fails, ..api }]);
        inventory.neighbours[&id("container:api").at_node("nas")].state
    };
    assert_eq!(blaming("web"), NeighbourState::Works);
    assert_eq!(blaming("front"), NeighbourState::Works);
    assert_eq!(blaming("db"), NeighbourState::Fails);
}
