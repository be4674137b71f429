use selfheal_agents::fakes::{Failure, FakeWorld, container};
use selfheal_agents::ports::ContainerRuntime as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::time::Instant;

use super::*;

fn nas() -> Other {
    // Nobody listens there.
    nas_at("unix:///nowhere/at/all.sock")
}

fn nas_at(address: &str) -> Other {
    let docker = Docker::connect(address).unwrap();
    Other { name: "nas".to_owned(), docker, known: Arc::default() }
}

fn attached(network: &str) -> NetworkAttachment {
    NetworkAttachment {
        network: network.to_owned(),
        aliases: vec!["www".to_owned()],
        ip: Some("172.18.0.2".to_owned()),
        fixed_ip: Some("172.18.0.9".to_owned()),
    }
}

#[test]
fn what_is_told_of_another_hosts_container_names_its_engine_and_nothing_of_its_host() {
    let mount = |source: &str| MountFacts {
        bind: true,
        source: source.to_owned(),
        destination: source.to_owned(),
        writable: true,
    };
    let there = ContainerFacts {
        networks: vec![attached("front")],
        network_mode: "default".to_owned(),
        labels: BTreeMap::from([(PROJECT.to_owned(), "shop".to_owned())]),
        mounts: vec![mount("/etc/shop"), mount("/var/run/docker.sock")],
        pid: Some(7),
        published_ports: vec![80],
        outside: Outside { ports: BTreeMap::from([(8080, 80)]), ..Outside::default() },
        ..container("web")
    };
    let by_name = Docker::connect("tcp://nas.lan:2375").unwrap();
    let reached = Other { docker: by_name, ..nas() }.told_here(there.clone()).outside;
    assert_eq!((reached.host.as_deref(), reached.ports[&8080]), (Some("nas.lan"), 80));
    let here = nas().told_here(there);
    assert_eq!(here.outside, Outside::default(), "of this engine no host is known");
    assert_eq!((here.name.as_str(), here.network_mode.as_str()), ("nas/web", "nas/bridge"));
    assert_eq!(here.labels[PROJECT], "nas/shop");
    assert_eq!((here.networks[0].network.as_str(), here.ip()), ("nas/front", None));
    assert_eq!(here.networks[0].aliases, ["www", "web"]);
    assert!(here.pid.is_none() && here.published_ports.is_empty());
    assert_eq!(here.mounts.len(), 1, "{:?}", here.mounts);
    assert!(!here.mounts[0].bind && !here.mounts[0].writable);
    assert_eq!((&here.networks[0].ip, here.ip()), (&None, None));
    let back = nas().attachment_there("web", &here.networks[0]);
    assert_eq!(
        (back.network.as_str(), back.aliases.as_slice()),
        ("front", &["www".to_owned()][..])
    );
    assert_eq!(back.fixed_ip.as_deref(), Some("172.18.0.9"), "it joins again with its address");
}

#[test]
fn what_another_host_publishes_is_told_as_that_hosts_unless_it_is_called_like_this_one() {
    let ports = BTreeMap::from([(5432, 5433)]);
    let of = |host: &str| Outside {
        host: Some(host.to_owned()),
        ports: ports.clone(),
        ..Outside::default()
    };
    for (address, expected) in [
        ("tcp://nas.lan:2375", of("nas.lan")),
        ("tcp://127.0.0.1:2375", Outside::default()),
        ("unix:///nowhere/at/all.sock", Outside::default()),
    ] {
        let there = ContainerFacts {
            published_ports: vec![5433],
            outside: Outside { ports: ports.clone(), ..Outside::default() },
            ..container("db")
        };
        let here = nas_at(address).told_here(there);
        assert_eq!((here.outside, here.published_ports), (expected, vec![]), "{address}");
    }
}

#[tokio::test]
async fn an_engine_that_does_not_answer_keeps_its_containers_and_hides_no_other() {
    let fake = FakeWorld::default();
    let own = fake.add(container("web")).world().runtime;
    let engines = Engines { own, others: BTreeMap::from([("nas".to_owned(), nas())]) };
    let other = &engines.others["nas"];
    let there = ContainerFacts { id: "another".to_owned(), ..container("web") };
    let known = other.told_here(there);
    other.known().containers = vec![known];
    let listed = engines.containers().await.unwrap();
    let seen: Vec<_> = listed.iter().map(|c| (c.name.as_str(), c.status)).collect();
    let expected = [("web", ContainerStatus::Running), ("nas/web", ContainerStatus::Unknown)];
    assert_eq!(seen, expected);
    assert!(engines.away()["nas"].contains("/nowhere/at/all.sock"));
    assert!(engines.restart("nas/web", None, 1).await.unwrap_err().is_transient());
    assert!(fake.events_so_far().is_empty(), "the other one of that name is left alone");
    engines.restart("web", None, 1).await.unwrap();
    assert!(!fake.events_so_far().is_empty());
    let stranger = engines.start("pi/web").await.unwrap_err();
    assert!(matches!(stranger, WorldError::NotFound { .. }), "{stranger}");
}

#[tokio::test]
async fn what_others_hold_is_told_while_the_own_engine_does_not_answer_and_nothing_twice() {
    let fake = FakeWorld::default();
    let own = fake.add(container("web")).world().runtime;
    let named = |name: &str| (name.to_owned(), Other { name: name.to_owned(), ..nas() });
    let engines =
        Engines { own, others: BTreeMap::from([named("nas"), named("twin"), named("own")]) };
    for (name, id) in [("nas", "1"), ("twin", "1"), ("own", container("web").id.as_str())] {
        let held = ContainerFacts { id: id.to_owned(), ..container("db") };
        let other = &engines.others[name];
        other.known().containers = vec![other.told_here(held)];
    }
    let told = || engines.elsewhere().into_iter().map(|facts| facts.name).collect::<Vec<_>>();
    engines.containers().await.unwrap();
    fake.fail_next("containers", &Failure::Unreachable, 1);
    assert!(engines.containers().await.is_err(), "that the own one is away is told as before");
    assert_eq!(told(), ["nas/db"]);
    assert_eq!(engines.elsewhere()[0].status, ContainerStatus::Unknown, "it is away as well");
}

#[tokio::test]
async fn what_was_pulled_is_asked_of_the_engine_it_matters_on() {
    let own = FakeWorld::default().world().runtime;
    let engines = Engines { own, others: BTreeMap::from([("nas".to_owned(), nas())]) };
    assert_eq!(engines.pulls("web", Utc::now()).await.unwrap(), Vec::<String>::new());
    let unknown = engines.pulls("nas/web", Utc::now()).await.unwrap_err();
    assert!(unknown.is_transient(), "nothing is done while that is not known: {unknown}");
}

#[tokio::test]
async fn an_engine_under_a_second_name_is_left_out() {
    let fake = FakeWorld::default();
    let own = fake.add(container("web")).world().runtime;
    let engines = Engines { own, others: BTreeMap::from([("nas".to_owned(), nas())]) };
    let other = &engines.others["nas"];
    let holds = |held: &[ContainerFacts]| {
        let held = held.iter().cloned().map(|facts| other.told_here(facts));
        other.known().containers = held.collect();
    };
    let listed = async || {
        let listed = engines.containers().await.unwrap();
        listed.into_iter().map(|facts| facts.name).collect::<Vec<_>>()
    };
    holds(&[container("web"), container("db")]);
    assert_eq!(listed().await, ["web"]);
    let left_out = engines.restart("nas/web", None, 1).await.unwrap_err();
    assert!(matches!(left_out, WorldError::NotFound { .. }), "{left_out}");

    // The settings may have been right, and what was moved here be gone there.
    holds(&[container("db")]);
    assert_eq!(listed().await, ["web", "nas/db"]);
}

#[tokio::test]
async fn a_container_of_another_engine_is_never_made_again() {
    use selfheal_agents::ports::{Rehearsals as _, Remakes as _};
    let own = FakeWorld::default().world().runtime;
    let engines = Engines { own, others: BTreeMap::from([("nas".to_owned(), nas())]) };
    let refused = engines.blueprint("nas/web").await.unwrap_err();
    assert!(refused.to_string().contains("engine `nas`"), "{refused}");
    engines.unstage("nas/web.selfheal-rehearsal-0123456789ab").await.unwrap();
}

/// Answers every question there as an engine that holds nothing.
async fn answers_all(listener: UnixListener) {
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut asked = vec![];
        while !asked.ends_with(b"\r\n\r\n") {
            asked.push(client.read_u8().await.unwrap());
        }
        let is_list = asked.starts_with(b"GET /containers/json");
        let body = if is_list { "[]" } else { r#"{"Version":"29","ApiVersion":"1.52"}"# };
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close");
        client.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_hangs_is_waited_for_once_and_known_to_be_back_without_a_look() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("docker.sock");
    // It takes whoever comes and says nothing.
    let hanging = UnixListener::bind(&path).unwrap();
    let docker = Docker::connect(&format!("unix://{}", path.display())).unwrap();
    let own = FakeWorld::default().world().runtime;
    let engines = Engines::new(own, [("nas".to_owned(), docker)]);
    let looked = async || {
        let begun = Instant::now();
        engines.containers().await.unwrap();
        begun.elapsed()
    };
    assert!(looked().await < Duration::from_secs(5), "less than a list may take");
    assert!(engines.away()["nas"].contains("sign of life"), "{:?}", engines.away());
    tokio::time::sleep(AGAIN_AFTER + Duration::from_secs(1)).await;
    assert!(looked().await < Duration::from_millis(100), "nobody waits while it is asked");

    drop(hanging);
    std::fs::remove_file(&path).unwrap();
    tokio::spawn(answers_all(UnixListener::bind(&path).unwrap()));
    tokio::time::sleep(3 * AGAIN_AFTER).await;
    assert_eq!(engines.away(), BTreeMap::new());
}
