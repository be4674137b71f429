//! Containers of other engines beside those of the own one.

use super::*;
use crate::model::Outside;

#[test]
fn a_label_means_the_container_beside_unless_it_names_the_engine() {
    let needs = |name: &str, what: &str| with_labels(name, &[("selfheal.depends-on", what)]);
    let inventory = take(&[
        container("db"),
        container("nas/db"),
        needs("web", "db"),
        needs("nas/web", "db"),
        needs("shop", "nas/db"),
        needs("lost", "cache"),
        container("nas/cache"),
    ]);
    let expected = [
        "container:nas/web -> container:nas/db Label",
        "container:shop -> container:nas/db Label",
        "container:web -> container:db Label",
    ];
    assert_eq!(edges(&inventory), expected);
    assert!(inventory.warnings[0].contains("`lost`"), "{:?}", inventory.warnings);
}

fn published(of: ContainerFacts, host: Option<&str>, ports: &[(u16, u16)]) -> ContainerFacts {
    let outside = Outside {
        host: host.map(str::to_owned),
        ports: ports.iter().copied().collect(),
        ..Outside::default()
    };
    ContainerFacts { outside, ..of }
}

#[test]
fn what_the_environment_names_is_needed_where_another_host_publishes_it_at_that_port() {
    let published = |name: &str, port| published(container(name), Some("NAS.lan"), &[(port, port)]);
    let asks = |name: &str, url: &str| with_environment(name, &[("DATABASE_URL", url)]);
    let inventory = take(&[
        published("nas/db", 5432),
        published("nas/cache", 6379),
        asks("web", "postgres://me@nas.lan/shop"),
        asks("till", "redis://nas.lan:6379"),
        asks("job", "postgres://me@nas.lan:5433/shop"),
        asks("mail", "postgres://me@db/shop"),
        // On its own host, by the host's name.
        asks("nas/web", "postgres://me@nas.lan/shop"),
        with_environment("cron", &[("DB_HOST", "nas.lan")]),
    ]);
    let expected = [
        "container:nas/web -> container:nas/db Environment",
        "container:till -> container:nas/cache Environment",
        "container:web -> container:nas/db Environment",
    ];
    assert_eq!(edges(&inventory), expected);
}

#[test]
fn no_service_is_looked_for_at_an_address_of_another_host() {
    let far = with_image("nas/db", "postgres:17");
    let inventory = take(&[
        with_image("db", "postgres:17"),
        far.clone(),
        published(ContainerFacts { name: "pi/db".to_owned(), ..far }, Some("pi"), &[(80, 80)]),
    ]);
    assert!(inventory.targets.contains_key(&id("postgres:db")));
    assert!(!inventory.targets.contains_key(&id("postgres:nas/db")));
    assert!(!inventory.targets.contains_key(&id("postgres:pi/db")), "it publishes another port");
}

#[test]
fn what_a_container_of_another_engine_publishes_is_asked_at_its_host() {
    let database = |name: &str| with_image(name, "redis:8");
    let down = ContainerFacts { status: ContainerStatus::Exited, ..database("nas/down") };
    let away = ContainerFacts { status: ContainerStatus::Unknown, ..database("nas/away") };
    let page = ContainerFacts {
        name: "nas/web".to_owned(),
        ..checked_by(&["CMD", "curl", "-f", "http://localhost:8080/health"])
    };
    let at = |of, port| published(of, Some("nas.lan"), &[port]);
    let inventory = take(&[
        at(database("nas/up"), (6379, 16379)),
        at(down, (6379, 6379)),
        at(away, (6379, 6379)),
        at(page, (8080, 81)),
        // Its own are asked where they are.
        published(container("own"), None, &[(6379, 6379)]),
    ]);
    let endpoint = |name: &str| inventory.targets[&id(name)].endpoint.clone();
    let Some(Endpoint::Redis(up)) = endpoint("redis:nas/up") else { panic!("no endpoint") };
    assert_eq!((up.host.as_str(), up.port), ("nas.lan", 16379));
    assert_eq!((endpoint("redis:nas/down"), endpoint("redis:nas/away")), (None, None));
    let Some(Endpoint::Http(page)) = endpoint("http:nas/web") else { panic!("no endpoint") };
    assert_eq!(page.url, "http://nas.lan:81/health");
    assert!(!inventory.targets.contains_key(&id("redis:own")));
}

#[test]
fn a_selfheal_of_another_engine_heals_that_one_alone() {
    let selfheal = ContainerFacts {
        environment: environment(&[("DOCKER_HOST", "tcp://proxy:2375")]),
        ..with_image("nas/selfheal", "selfheal:1")
    };
    let inventory = take(&[selfheal, container("web"), container("nas/web")]);
    assert_eq!(inventory.other_selfheal, None);
    assert_eq!(inventory.healed_elsewhere["nas/web"], "nas/selfheal");
    assert!(!inventory.healed_elsewhere.contains_key("web"));
}

#[test]
fn what_was_on_an_engine_that_is_away_may_still_be_there() {
    let away = BTreeMap::from([("nas".to_owned(), "no route".to_owned())]);
    let inventory = Inventory { away, ..take(&[]) };
    assert!(inventory.may_be_away(&id("container:nas/web")));
    assert!(!inventory.is_gone(&id("container:nas/web")) && !inventory.is_gone(&id("host")));
    for gone in ["container:web", "container:pi/web"] {
        assert!(!inventory.may_be_away(&id(gone)) && inventory.is_gone(&id(gone)), "{gone}");
    }
}
