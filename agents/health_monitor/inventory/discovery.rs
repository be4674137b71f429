//! Data services, endpoints and other healers, found in what containers say of themselves.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use crate::model::{
    ContainerFacts, ContainerStatus, DatabaseEndpoint, Endpoint, HttpEndpoint, SecretText, Target,
    TargetId, TargetKind, engine_of,
};

const POSTGRES: [&str; 6] =
    ["postgres", "postgresql", "postgis", "timescale", "timescaledb", "pgvector"];
const MYSQL: [&str; 3] = ["mysql", "mariadb", "percona"];
const REDIS: [&str; 3] = ["redis", "valkey", "keydb"];
/// Programs named after a database that are something else.
const COMPANIONS: [&str; 13] = [
    "exporter",
    "backup",
    "admin",
    "proxy",
    "operator",
    "commander",
    "insight",
    "ui",
    "client",
    "sentinel",
    "bouncer",
    "pgbouncer",
    "pgpool",
];

/// The services found in a container. Without an address (it does not run, or is off every
/// network) they have no endpoint. In one of another engine only what it publishes is found.
pub(super) fn services(container: &ContainerFacts, all: &[ContainerFacts]) -> Vec<Target> {
    let is_far = engine_of(&container.name).is_some();
    let address = if is_far { far_address(container) } else { address(container, all, 0) };
    // The port here of what listens at a port there.
    let port_of = |inside: u16| {
        if is_far { container.outside.ports.get(&inside).copied() } else { Some(inside) }
    };
    let is_within_reach = |endpoint: &DatabaseEndpoint| port_of(endpoint.port).is_some();
    let at = |endpoint: DatabaseEndpoint| {
        let (host, port) = (address.clone()?, port_of(endpoint.port)?);
        Some(DatabaseEndpoint { host, port, ..endpoint })
    };
    let target = |kind: TargetKind, endpoint: Option<Endpoint>| Target {
        endpoint,
        container: Some(container.name.clone()),
        ..Target::bare(TargetId::lossy(kind, &container.name))
    };
    let mut found = vec![];
    if let Some((kind, endpoint)) = database(container).filter(|(_, e)| is_within_reach(e)) {
        let wrap = match kind {
            TargetKind::Postgres => Endpoint::Postgres,
            TargetKind::Mysql => Endpoint::Mysql,
            _ => Endpoint::Redis,
        };
        found.push(target(kind, at(endpoint).map(wrap)));
    }
    let http = http(container).and_then(|(inside, endpoint)| Some((port_of(inside)?, endpoint)));
    if let Some((port, endpoint)) = http {
        let reached = address.map(|host| Endpoint::Http(at_host(endpoint, &host, port)));
        found.push(target(TargetKind::Http, reached));
    }
    found
}

/// The database in a container, as it is seen from inside.
fn database(container: &ContainerFacts) -> Option<(TargetKind, DatabaseEndpoint)> {
    if is_postgres(container) {
        return Some((TargetKind::Postgres, postgres(container)));
    }
    if let Some(login) = is_mysql(container).then(|| mysql_login(container)).flatten() {
        return Some((TargetKind::Mysql, mysql(container, login)));
    }
    is_redis(container).then(|| (TargetKind::Redis, redis(container)))
}

/// The host of another engine, as long as that answers: nobody knows what is there otherwise.
fn far_address(container: &ContainerFacts) -> Option<String> {
    let is_there = !container.is_down() && container.status != ContainerStatus::Unknown;
    container.outside.host.clone().filter(|_| is_there)
}

/// Where a container that may run is reached from the host.
fn address(container: &ContainerFacts, all: &[ContainerFacts], depth: u8) -> Option<String> {
    if container.is_down() || depth > 3 {
        return None;
    }
    if container.network_mode == "host" {
        return Some("127.0.0.1".to_owned());
    }
    // `container:ID` lives in the other one's network.
    if let Some(other) = container.network_mode.strip_prefix("container:") {
        let other = all.iter().find(|c| c.name == other || c.id == other)?;
        return address(other, all, depth + 1);
    }
    container.ip().map(str::to_owned)
}

/// Words of the image's own name, without registry, tag and digest.
pub(super) fn image_words(container: &ContainerFacts) -> Vec<String> {
    let image = container.image.split('@').next().unwrap_or_default();
    let name = image.rsplit('/').next().unwrap_or_default();
    let name = name.split(':').next().unwrap_or_default().to_ascii_lowercase();
    name.split(['-', '_', '.']).map(str::to_owned).collect()
}

/// `postgres-ha` and `lab-postgres` are servers; `shop-postgres-worker` is not known to be.
fn named_after(container: &ContainerFacts, known: &[&str]) -> bool {
    let words = image_words(container);
    let is_known = |word: Option<&String>| word.is_some_and(|w| known.contains(&w.as_str()));
    is_known(words.first()) || is_known(words.last())
}

fn is_companion(container: &ContainerFacts) -> bool {
    image_words(container).iter().any(|word| COMPANIONS.contains(&word.as_str()))
}

fn is_postgres(container: &ContainerFacts) -> bool {
    let exposed = container.exposed_ports.contains(&5432);
    let says_so = container.environment.contains_key("PGDATA") || exposed;
    !is_companion(container) && (named_after(container, &POSTGRES) || says_so)
}

fn is_redis(container: &ContainerFacts) -> bool {
    let exposed = container.exposed_ports.contains(&6379);
    !is_companion(container) && (named_after(container, &REDIS) || exposed)
}

fn is_mysql(container: &ContainerFacts) -> bool {
    let exposed = container.exposed_ports.contains(&3306);
    !is_companion(container) && (named_after(container, &MYSQL) || exposed)
}

/// Who may come in, by what the images take: the administrator before the application, since one
/// connection more is kept for the former. Nobody where no password is told: a server counts and
/// logs those who guess.
fn mysql_login(container: &ContainerFacts) -> Option<(String, SecretText)> {
    let root = variable(container, &["MARIADB_ROOT_PASSWORD", "MYSQL_ROOT_PASSWORD"]).map(|word| {
        let user = variable(container, &["MARIADB_ROOT_USER", "MYSQL_ROOT_USER"]);
        (user.unwrap_or_else(|| "root".to_owned()), word)
    });
    let login = root.or_else(|| {
        variable(container, &["MARIADB_USER", "MYSQL_USER"])
            .zip(variable(container, &["MARIADB_PASSWORD", "MYSQL_PASSWORD"]))
    });
    login.map(|(user, password)| (user, SecretText::new(password)))
}

fn mysql(container: &ContainerFacts, login: (String, SecretText)) -> DatabaseEndpoint {
    let (user, password) = login;
    DatabaseEndpoint {
        host: String::new(),
        port: port(
            container,
            &["MYSQL_PORT_NUMBER", "MARIADB_PORT_NUMBER", "MYSQL_TCP_PORT"],
            3306,
        ),
        user: Some(user),
        password: Some(password),
        database: None,
        tls: false,
    }
}

pub(super) fn variable(container: &ContainerFacts, names: &[&str]) -> Option<String> {
    names
        .iter()
        .find_map(|name| container.environment.get(*name))
        .map(|value| value.expose().to_owned())
        .filter(|value| !value.is_empty())
}

fn port(container: &ContainerFacts, names: &[&str], usual: u16) -> u16 {
    variable(container, names).and_then(|port| port.trim().parse().ok()).unwrap_or(usual)
}

fn postgres(container: &ContainerFacts) -> DatabaseEndpoint {
    let user = variable(container, &["POSTGRES_USER", "POSTGRESQL_USERNAME", "PGUSER"])
        .unwrap_or_else(|| "postgres".to_owned());
    let database = variable(container, &["POSTGRES_DB", "POSTGRESQL_DATABASE", "PGDATABASE"]);
    DatabaseEndpoint {
        host: String::new(),
        port: port(container, &["PGPORT", "POSTGRESQL_PORT_NUMBER"], 5432),
        password: variable(container, &["POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD", "PGPASSWORD"])
            .map(SecretText::new),
        database: Some(database.unwrap_or_else(|| user.clone())),
        user: Some(user),
        tls: false,
    }
}

fn redis(container: &ContainerFacts) -> DatabaseEndpoint {
    // `REDIS_ARGS="--requirepass SECRET"` is how the stack image takes it.
    let from_arguments = || {
        let arguments = variable(container, &["REDIS_ARGS"])?;
        let mut words = arguments.split_whitespace().skip_while(|word| *word != "--requirepass");
        words.nth(1).map(str::to_owned)
    };
    DatabaseEndpoint {
        host: String::new(),
        port: port(container, &["REDIS_PORT_NUMBER", "VALKEY_PORT_NUMBER"], 6379),
        user: None,
        password: variable(container, &["REDIS_PASSWORD", "VALKEY_PASSWORD"])
            .or_else(from_arguments)
            .map(SecretText::new),
        database: None,
        tls: false,
    }
}

static OWN_URL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"http://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\])(?::(\d{1,5}))?(/[^\s"'`|;&)>$\\]*)?([\s"'`|;&)>]|$)"#)
        .expect("the pattern is constant and tested")
});

/// The port and what the container's own health check asks there; its URL is the path alone.
fn http(container: &ContainerFacts) -> Option<(u16, HttpEndpoint)> {
    let test = &container.health_check.as_ref()?.test;
    let command = test.get(1..)?.join(" ");
    let found = OWN_URL.captures(&command)?;
    let port = found.get(1).map_or(Ok(80), |port| port.as_str().parse::<u16>()).ok()?;
    let path = found.get(2).map_or("/", |path| path.as_str());
    let endpoint = HttpEndpoint {
        url: path.to_owned(),
        expected_status: accepted_status(&command),
        body_contains: None,
        headers: BTreeMap::new(),
    };
    Some((port, endpoint))
}

/// `curl` without `-f` is content with any answer, so we must be, too.
fn accepted_status(command: &str) -> Vec<u16> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let curl = words.iter().any(|word| word.rsplit('/').next() == Some("curl"));
    let fails = words.iter().any(|word| {
        let short = word.starts_with('-') && !word.starts_with("--") && word.contains('f');
        word.starts_with("--fail") || short
    });
    if curl && !fails { (200..600).collect() } else { vec![] }
}

fn at_host(endpoint: HttpEndpoint, host: &str, port: u16) -> HttpEndpoint {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    HttpEndpoint { url: format!("http://{host}:{port}{}", endpoint.url), ..endpoint }
}
