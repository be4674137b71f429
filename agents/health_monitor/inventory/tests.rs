mod engines;
mod neighbours;
mod restraint;

use super::*;
use crate::fakes::{container, environment, healthy, labels};
use crate::model::{ContainerStatus, Endpoint, MountFacts, TunableRole};
use crate::root_cause::Graph;

fn id(text: &str) -> TargetId {
    text.parse().unwrap()
}

fn take(containers: &[ContainerFacts]) -> Inventory {
    take_inventory(containers, &Declared::default())
}

fn edges(inventory: &Inventory) -> Vec<String> {
    let shown = |d: &Dependency| format!("{} -> {} {:?}", d.from, d.to, d.source);
    inventory.dependencies.iter().map(shown).collect()
}

fn with_image(name: &str, image: &str) -> ContainerFacts {
    ContainerFacts { image: image.to_owned(), ..container(name) }
}

fn with_labels(name: &str, values: &[(&str, &str)]) -> ContainerFacts {
    ContainerFacts { labels: labels(values), ..container(name) }
}

fn with_environment(name: &str, values: &[(&str, &str)]) -> ContainerFacts {
    ContainerFacts { environment: environment(values), ..container(name) }
}

fn checked_by(test: &[&str]) -> ContainerFacts {
    let mut web = healthy("web");
    web.health_check.as_mut().unwrap().test = test.iter().map(|s| (*s).to_owned()).collect();
    web
}

fn http_of(test: &[&str]) -> Option<crate::model::HttpEndpoint> {
    let inventory = take(&[checked_by(test)]);
    match inventory.targets.get(&id("http:web"))?.endpoint.clone()? {
        Endpoint::Http(endpoint) => Some(endpoint),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_empty_host_is_still_a_target() {
    assert_eq!(take(&[]).targets.keys().collect::<Vec<_>>(), [&TargetId::host()]);
}

#[test]
fn what_a_demo_made_to_break_is_nobody_elses_business() {
    let demo = with_labels("selfheal-demo-1", &[(DEMO_LABEL, "1")]);
    let inventory = take(&[demo, container("web")]);
    assert_eq!(inventory.containers.keys().collect::<Vec<_>>(), ["web"]);
    assert!(!inventory.targets.contains_key(&id("container:selfheal-demo-1")));
}

#[test]
fn databases_are_known_by_image_port_or_environment_and_companions_are_not() {
    for (image, kind) in [
        ("postgres:15", Some("postgres")),
        ("docker.io/library/postgres:15-alpine@sha256:abc", Some("postgres")),
        ("registry:5000/team/postgis", Some("postgres")),
        ("timescale/timescaledb-ha:pg16", Some("postgres")),
        ("pgvector/pgvector:pg16", Some("postgres")),
        ("lab-postgres", Some("postgres")),
        ("redis:7", Some("redis")),
        ("valkey/valkey", Some("redis")),
        ("redis/redis-stack-server:latest", Some("redis")),
        ("prometheuscommunity/postgres-exporter", None),
        ("oliver006/redis_exporter", None),
        ("postgrest/postgrest", None),
        ("shop-postgres-worker", None),
        ("rediscommander/redis-commander", None),
    ] {
        let inventory = take(&[with_image("db", image)]);
        let found = inventory.found.iter().map(|id| id.kind().as_str()).next();
        assert_eq!(found, kind, "{image}");
    }
    let by_port = ContainerFacts { exposed_ports: vec![6379], ..container("cache") };
    assert!(take(&[by_port]).targets.contains_key(&id("redis:cache")));
    let by_data = with_environment("db", &[("PGDATA", "/data")]);
    assert!(take(&[by_data]).targets.contains_key(&id("postgres:db")));
}

#[test]
fn credentials_come_from_the_containers_environment_and_stay_hidden() {
    let db = ContainerFacts {
        environment: environment(&[("POSTGRES_USER", "shop"), ("POSTGRES_PASSWORD", "c4n4ry")]),
        ..with_image("db", "postgres:15")
    };
    let ip = db.ip().unwrap().to_owned();
    let inventory = take(&[db]);
    let Some(Endpoint::Postgres(endpoint)) = &inventory.targets[&id("postgres:db")].endpoint else {
        panic!("no endpoint");
    };
    assert_eq!((endpoint.host.as_str(), endpoint.port), (ip.as_str(), 5432));
    assert_eq!(endpoint.database.as_deref(), Some("shop"));
    assert_eq!(endpoint.password.as_ref().unwrap().expose(), "c4n4ry");
    assert!(!format!("{inventory:?}").contains("c4n4ry"));
}

#[test]
fn a_stopped_database_stays_listed_without_an_endpoint() {
    let mut db = with_image("db", "postgres:15");
    db.status = ContainerStatus::Exited;
    let inventory = take(&[db]);
    let target = &inventory.targets[&id("postgres:db")];
    assert_eq!(target.endpoint, None);
    assert_eq!(target.container.as_deref(), Some("db"));
    assert_eq!(edges(&inventory), ["postgres:db -> container:db Hosting"]);
}

#[test]
fn the_health_checks_own_address_becomes_an_endpoint() {
    let ip = container("web").ip().unwrap().to_owned();
    for (test, path) in [
        (vec!["CMD", "curl", "-f", "http://localhost:8080/health"], ":8080/health"),
        (vec!["CMD-SHELL", "wget -qO- http://127.0.0.1/ping?x=1 || exit 1"], ":80/ping?x=1"),
        (vec!["CMD-SHELL", "python -c \"urlopen('http://localhost:8000/ok')\""], ":8000/ok"),
        (vec!["CMD", "curl", "-fsS", "http://[::1]:81"], ":81/"),
    ] {
        assert_eq!(http_of(&test).unwrap().url, format!("http://{ip}{path}"));
    }
    for test in [
        vec!["CMD", "curl", "-f", "http://other:8080/"],
        vec!["CMD-SHELL", "curl -f http://localhost:$PORT/"],
        vec!["CMD-SHELL", "curl -f http://localhost:80/$P"],
        vec!["CMD", "curl", "-f", "http://localhost:99999/"],
        vec!["CMD", "curl", "-kf", "https://localhost/"],
        vec!["CMD", "pg_isready"],
        vec!["NONE"],
        vec![],
    ] {
        assert_eq!(http_of(&test), None, "{test:?}");
    }
}

#[test]
fn curl_that_accepts_every_answer_makes_us_accept_it_too() {
    let strict = http_of(&["CMD", "curl", "-sf", "http://localhost/"]).unwrap();
    assert!(strict.expected_status.is_empty());
    let lax = http_of(&["CMD", "curl", "-s", "http://localhost/"]).unwrap();
    assert!(lax.expected_status.contains(&404));
}

#[test]
fn a_declared_target_wins_over_a_found_one() {
    let endpoint = Endpoint::Tcp { host: "10.0.0.1".to_owned(), port: 5433 };
    let declared = Target {
        endpoint: Some(endpoint.clone()),
        container: Some("db".to_owned()),
        ..Target::bare(id("postgres:orders"))
    };
    let declared = Declared { targets: vec![declared], ..Declared::default() };
    let inventory = take_inventory(&[with_image("db", "postgres:15")], &declared);
    assert!(!inventory.targets.contains_key(&id("postgres:db")));
    assert_eq!(inventory.targets[&id("postgres:orders")].endpoint, Some(endpoint));
    assert_eq!(edges(&inventory), ["postgres:orders -> container:db Settings"]);
}

#[test]
fn a_tunable_is_found_on_the_host_through_the_innermost_mount() {
    let mount = |bind, source: &str, destination: &str| MountFacts {
        bind,
        source: source.to_owned(),
        destination: destination.to_owned(),
        writable: true,
    };
    let mut web = with_labels(
        "web",
        &[
            ("selfheal.tunable.delay", "/etc/app/a.json#upstream.delay_s:0.1..10"),
            ("selfheal.tunable.timeout", "/etc/app/a.json#timeout:walk_back"),
            ("selfheal.tunable.pool_size", "/etc/app/data/b.ini#pool"),
            ("selfheal.tunable.memory", "/etc/app/../shadow#x"),
            ("selfheal.tunable.speed", "/etc/app/a.json#x"),
            ("selfheal.tunable.batch_size", "/etc/apple/a.json#x:9..1"),
        ],
    );
    web.mounts = vec![
        mount(true, "/srv/app/", "/etc/app"),
        mount(false, "/var/lib/docker/volumes/v", "/etc/app/data"),
    ];
    let inventory = take(&[web]);
    let tunables = &inventory.targets[&id("container:web")].tunables;
    let shown: Vec<_> = tunables
        .iter()
        .map(|t| (t.role, t.file.as_str(), t.key.as_str(), t.min, t.max, t.walk_back))
        .collect();
    assert_eq!(
        shown,
        [
            (TunableRole::Delay, "/srv/app/a.json", "upstream.delay_s", 0.1, 10.0, false),
            (TunableRole::Timeout, "/srv/app/a.json", "timeout", 0.0, 300.0, true),
        ]
    );
    assert_eq!(inventory.warnings.len(), 4, "{:?}", inventory.warnings);
}

#[test]
fn compose_edges_name_services_of_the_same_project_only() {
    let service = |name: &str, project: &str, service: &str, needs: &str| {
        with_labels(
            name,
            &[
                ("com.docker.compose.project", project),
                ("com.docker.compose.service", service),
                ("com.docker.compose.depends_on", needs),
            ],
        )
    };
    let needs = "db:service_healthy:true,cache:service_started:false";
    let all = [
        service("shop-api-1", "shop", "api", needs),
        service("shop-db-1", "shop", "db", ""),
        service("shop-cache-1", "shop", "cache", ""),
        service("blog-db-1", "blog", "db", ""),
    ];
    assert_eq!(
        edges(&take(&all)),
        [
            "container:shop-api-1 -> container:shop-cache-1 Compose",
            "container:shop-api-1 -> container:shop-db-1 Compose",
        ]
    );
}

#[test]
fn environment_edges_match_whole_hosts_on_a_shared_network() {
    let api = with_environment(
        "api",
        &[
            ("DATABASE_URL", "postgres://shop:pw@db:5432/shop?host=ignored"),
            ("CACHE_HOST", "cache:6379"),
            ("DSN", "user=x host=queue port=1"),
            ("MOTTO", "we love mail"),
            ("API_URL", "http://api:80/"),
            ("OTHER_URL", "http://far/"),
        ],
    );
    let mut far = container("far");
    far.networks = vec![crate::fakes::network("elsewhere", "far")];
    far.network_mode = "elsewhere".to_owned();
    let all = [
        api,
        with_image("db", "postgres:15"),
        container("cache"),
        container("queue"),
        container("mail"),
        container("d"),
        far,
    ];
    assert_eq!(
        edges(&take(&all)),
        [
            "container:api -> container:cache Environment",
            "container:api -> container:db Environment",
            "container:api -> container:queue Environment",
            "container:api -> postgres:db Environment",
            "postgres:db -> container:db Hosting",
        ]
    );
}

#[test]
fn a_declared_target_is_needed_where_the_environment_names_its_port_or_none() {
    let declared = |name: &str, endpoint: Endpoint| Target {
        endpoint: Some(endpoint),
        ..Target::bare(id(name))
    };
    let tcp = |port| Endpoint::Tcp { host: "nas.lan".to_owned(), port };
    let mut shop = http_of(&["CMD", "curl", "http://localhost/"]).unwrap();
    shop.url = "http://nas.lan:8080/".to_owned();
    let targets = vec![
        declared("tcp:db", tcp(5432)),
        declared("tcp:cache", tcp(6379)),
        declared("http:shop", Endpoint::Http(shop)),
    ];
    let asks = |name: &str, value: &str| with_environment(name, &[("SHOP_URL", value)]);
    let all = [
        asks("api", "postgres://me@nas.lan/shop"),
        asks("till", "http://nas.lan:8080/till"),
        asks("page", "http://nas.lan/"),
        with_environment("cron", &[("DB_HOST", "nas.lan")]),
    ];
    let inventory = take_inventory(&all, &Declared { targets, ..Declared::default() });
    let expected = [
        "container:api -> tcp:db Environment",
        "container:cron -> http:shop Environment",
        "container:cron -> tcp:cache Environment",
        "container:cron -> tcp:db Environment",
        "container:till -> http:shop Environment",
    ];
    assert_eq!(edges(&inventory), expected);
}

#[test]
fn an_edge_survives_the_loss_of_the_network_it_runs_over() {
    let api = with_environment("api", &[("DB_HOST", "db")]);
    let db = ContainerFacts { networks: vec![], ..container("db") };
    assert_eq!(edges(&take(&[api, db])), ["container:api -> container:db Environment"]);
}

#[test]
fn every_source_of_an_edge_is_kept_and_unknown_names_are_reported() {
    let mut api = with_environment("api", &[("DB_HOST", "db")]);
    api.labels = labels(&[("selfheal.depends-on", "db, container:cache ,nobody")]);
    let inventory = take(&[api, container("db"), container("cache")]);
    assert_eq!(
        edges(&inventory),
        [
            "container:api -> container:cache Label",
            "container:api -> container:db Label",
            "container:api -> container:db Environment",
        ]
    );
    assert!(inventory.warnings[0].contains("nobody"));
}

#[test]
fn what_is_needed_is_found_however_far() {
    let a = with_labels("a", &[("selfheal.depends-on", "b")]);
    let b = with_labels("b", &[("selfheal.depends-on", "c,a")]);
    let inventory = take(&[a, b, container("c"), container("d")]);
    let mut all = Graph::new(&inventory.dependencies).needed_by(&id("container:a"));
    all.insert(id("container:a"));
    assert_eq!(all.len(), 3);
    assert!(!all.contains(&id("container:d")));
}

#[test]
fn a_container_in_anothers_network_is_reached_there_and_needs_it() {
    let vpn = container("vpn");
    let mut web = checked_by(&["CMD", "curl", "-f", "http://localhost/"]);
    web.networks = vec![];
    web.network_mode = format!("container:{}", vpn.id);
    let ip = vpn.ip().unwrap().to_owned();
    let inventory = take(&[vpn, web]);
    let Some(Endpoint::Http(http)) = &inventory.targets[&id("http:web")].endpoint else {
        panic!("no endpoint");
    };
    assert_eq!(http.url, format!("http://{ip}:80/"));
    assert!(edges(&inventory).contains(&"container:web -> container:vpn Hosting".to_owned()));
}

#[test]
fn what_was_learnt_by_looking_becomes_an_edge_only_to_containers_that_are_there() {
    let served = with_labels("shop", &[("traefik.http.routers.shop.rule", "Host(`shop`)")]);
    let hidden =
        with_labels("admin", &[("traefik.enable", "false"), ("traefik.http.routers.a.rule", "x")]);
    let all =
        [with_image("edge", "traefik:v3"), container("nginx"), served, hidden, container("db")];
    let inventory = take(&all);
    let of = |name: &str, to: &[&str]| {
        [(name.to_owned(), to.iter().map(|to| (*to).to_owned()).collect())].into()
    };
    let learnt =
        Learnt { upstreams: of("nginx", &["shop", "nowhere"]), peers: of("shop", &["db"]) };
    let mut edges: Vec<String> = inventory
        .learn(&learnt)
        .iter()
        .map(|d| format!("{} -> {} {}", d.from, d.to, d.source.as_str()))
        .collect();
    edges.sort();
    assert_eq!(
        edges,
        [
            "container:edge -> container:shop proxy",
            "container:nginx -> container:shop proxy",
            "container:shop -> container:db connection",
        ]
    );
}

#[test]
fn a_mysql_is_found_with_the_administrator_before_the_application_and_not_without_a_password() {
    let found = |image: &str, variables: &[(&str, &str)]| {
        let mut db = container("db");
        db.image = image.to_owned();
        db.environment = environment(variables);
        let inventory = take(&[db]);
        match inventory.targets.get(&id("mysql:db")).map(|target| target.endpoint.clone()) {
            Some(Some(Endpoint::Mysql(endpoint))) => {
                let word = endpoint.password.map(|word| word.expose().to_owned());
                Some((endpoint.user.unwrap(), word.unwrap(), endpoint.port))
            }
            None => None,
            Some(other) => panic!("{other:?}"),
        }
    };
    let both = [("MYSQL_ROOT_PASSWORD", "a"), ("MYSQL_USER", "shop"), ("MYSQL_PASSWORD", "b")];
    let told = |user: &str, word: &str| Some((user.to_owned(), word.to_owned(), 3306));
    assert_eq!(found("mysql:8.4", &both), told("root", "a"));
    assert_eq!(found("docker.io/library/mariadb:11", &both[1..]), told("shop", "b"));
    assert_eq!(found("mysql:8.4", &[("MYSQL_ALLOW_EMPTY_PASSWORD", "yes")]), None);
    assert_eq!(found("prom/mysql-exporter", &both), None);
}
