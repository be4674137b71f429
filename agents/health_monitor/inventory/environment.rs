//! The places that a container's environment names: hosts, with ports where they are told.
//!
//! Reads values as the programs write them (addresses, lists of hosts, pairs of `key=value`) and
//! judges nothing: a word that only looks like a host does no harm, since a place counts only where
//! somebody is (`dependencies`).

use std::collections::BTreeSet;

use crate::model::ContainerFacts;

/// Where something is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

/// Variables whose whole value is a host, or a list of hosts with ports.
const HOST_ENDINGS: [&str; 10] = [
    "HOST", "HOSTNAME", "ADDR", "ADDRESS", "SERVER", "SERVERS", "ENDPOINT", "BROKERS", "URL",
    "UPSTREAM",
];

/// The ports of addresses that name none.
const USUAL_PORTS: [(&str, u16); 18] = [
    ("amqp", 5672),
    ("amqps", 5671),
    ("clickhouse", 9000),
    ("http", 80),
    ("https", 443),
    ("ldap", 389),
    ("mariadb", 3306),
    ("mongodb", 27017),
    ("mqtt", 1883),
    ("mysql", 3306),
    ("nats", 4222),
    ("postgres", 5432),
    ("postgresql", 5432),
    ("redis", 6379),
    ("rediss", 6379),
    ("smtp", 25),
    ("valkey", 6379),
    ("ws", 80),
];

/// Every place that a container's environment names.
pub(super) fn places_named(container: &ContainerFacts) -> BTreeSet<Place> {
    let mut places = BTreeSet::new();
    for (name, value) in &container.environment {
        let value = value.expose();
        let last_word = name.rsplit('_').next().unwrap_or_default().to_ascii_uppercase();
        if value.contains("://") {
            places.extend(value.split_whitespace().flat_map(places_in_url));
        } else if HOST_ENDINGS.contains(&last_word.as_str()) || last_word == "PGHOST" {
            let port = port_beside(container, name);
            places.extend(value.split(',').filter_map(|text| place(text, port)));
        } else {
            // `host=db port=5432 dbname=shop`
            let of = |key| value.split_whitespace().find_map(|word| word.strip_prefix(key));
            let port = of("port=").map_or(Some(5432), |port| port.parse().ok());
            let hosts = of("host=").into_iter().flat_map(|list| list.split(','));
            places.extend(hosts.filter_map(|text| place(text, port)));
        }
    }
    places
}

/// What stands in the variable of the same name but for its end: `DB_PORT` beside `DB_HOST`.
fn port_beside(container: &ContainerFacts, name: &str) -> Option<u16> {
    if name.ends_with("PGHOST") {
        let port = container.environment.get(&name.replace("PGHOST", "PGPORT"));
        return port.map_or(Some(5432), |port| port.expose().trim().parse().ok());
    }
    let beside = format!("{}PORT", &name[..=name.rfind('_')?]);
    container.environment.get(&beside)?.expose().trim().parse().ok()
}

/// The places in an address such as `postgres://user:password@db,standby:5433/shop`.
pub(super) fn places_in_url(url: &str) -> Vec<Place> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![] };
    // `jdbc:postgresql`, `postgresql+psycopg`, and in a word `DSN=postgres`.
    let words = scheme.split(|c: char| !c.is_ascii_alphanumeric());
    let usual = |word| USUAL_PORTS.iter().find(|(name, _)| *name == word).map(|(_, port)| *port);
    let usual = words.filter_map(usual).next_back();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let hosts = authority.rsplit('@').next().unwrap_or_default();
    hosts.split(',').filter_map(|text| place(text, usual)).collect()
}

/// A host with the port that stands behind it, else the usual one.
fn place(text: &str, usual: Option<u16>) -> Option<Place> {
    let text = text.trim();
    let (host, rest) = match text.strip_prefix('[') {
        Some(v6) => v6.split_once(']').unwrap_or((v6, "")),
        None => text.split_at(text.find([':', '/']).unwrap_or(text.len())),
    };
    let digits = rest.strip_prefix(':').and_then(|rest| rest.split('/').next());
    let port = digits.map_or(usual, |digits| digits.parse().ok());
    (!host.is_empty()).then(|| Place { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{container, environment};

    #[test]
    fn hosts_are_read_with_their_ports_however_a_program_wants_them() {
        for (values, expected) in [
            (&[("DATABASE_URL", "postgres://me:x@nas.lan/shop?a=b")][..], &["nas.lan 5432"][..]),
            (&[("SPRING_URL", "jdbc:mysql://nas:3307/shop")], &["nas 3307"]),
            (&[("DSN", "mongodb://one,two:27018/shop")], &["one 27017", "two 27018"]),
            (&[("WORKER", "postgresql+psycopg://[fd00::7]:6000/x")], &["fd00::7 6000"]),
            (&[("DB_HOST", "nas"), ("DB_PORT", "5433")], &["nas 5433"]),
            (&[("DB_HOST", "nas")], &["nas none"]),
            (&[("CACHE_ADDR", "nas:6380"), ("CACHE_PORT", "1")], &["nas 6380"]),
            (&[("PGHOST", "nas")], &["nas 5432"]),
            (&[("PGHOST", "nas"), ("PGPORT", "5433")], &["nas 5433"]),
            (&[("CONNECTION", "host=nas,pi port=5433 dbname=shop")], &["nas 5433", "pi 5433"]),
            (&[("CONNECTION", "dbname=shop host=nas")], &["nas 5432"]),
            (&[("BROKERS", "a:9092,b:9093")], &["a 9092", "b 9093"]),
            (&[("ODD_URL", "unheard-of://nas/x")], &["nas none"]),
            (&[("DB_HOST", "nas:many"), ("GREETING", "hello: host")], &["nas none"]),
        ] {
            let facts = ContainerFacts { environment: environment(values), ..container("web") };
            let port = |port: Option<u16>| port.map_or("none".to_owned(), |port| port.to_string());
            let shown = |place: Place| format!("{} {}", place.host, port(place.port));
            let found: Vec<String> = places_named(&facts).into_iter().map(shown).collect();
            assert_eq!(found, expected, "{values:?}");
        }
    }
}
