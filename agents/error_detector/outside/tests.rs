use super::*;
use crate::fakes::{healthy, labels, network};
use crate::health_monitor::{Declared, take_inventory};
use crate::model::{HttpEndpoint, TargetKind, Timestamp};
use proptest::prelude::*;

fn inventory() -> Inventory {
    let compose = |name: &str, service: &str| {
        let mut facts = healthy(name);
        facts.labels = labels(&[
            ("com.docker.compose.project", "shop"),
            ("com.docker.compose.service", service),
        ]);
        facts.networks = vec![network("app", name)];
        facts
    };
    let mut web = compose("shop-web-1", "web");
    web.published_ports = vec![8080];
    web.networks[0].ip = Some("172.20.0.9".to_owned());
    let workers = [compose("shop-worker-1", "worker"), compose("shop-worker-2", "worker")];
    let containers: Vec<ContainerFacts> =
        [web, compose("shop-db-1", "db")].into_iter().chain(workers).collect();
    let endpoint = Endpoint::Http(HttpEndpoint {
        url: "https://shop.example/health".to_owned(),
        expected_status: vec![],
        body_contains: None,
        headers: BTreeMap::new(),
    });
    let page = TargetId::lossy(TargetKind::Http, "page");
    let declared = Declared {
        targets: vec![Target { endpoint: Some(endpoint), ..Target::bare(page) }],
        ..Declared::default()
    };
    take_inventory(&containers, &declared)
}

fn alert(pairs: &[(&str, &str)]) -> OutsideAlert {
    OutsideAlert::heard("", &labels(pairs), &BTreeMap::new(), Timestamp::UNIX_EPOCH)
}

fn placed(pairs: &[(&str, &str)]) -> Option<String> {
    place(&alert(pairs), &inventory()).map(|id| id.to_string())
}

#[test]
fn each_way_of_naming_a_target_leads_to_it() {
    for (label, value, target) in [
        ("selfheal_target", "http:page", "http:page"),
        ("container", "shop-web-1", "container:shop-web-1"),
        ("container_name", "/shop-web-1", "container:shop-web-1"),
        ("name", "shop-db-1", "container:shop-db-1"),
        ("pod", "shop-db-1", "container:shop-db-1"),
        ("container_label_com_docker_compose_service", "web", "container:shop-web-1"),
        ("instance", "https://shop.example/health", "http:page"),
        ("instance", "shop.example:443", "http:page"),
        ("instance", "shop-db-1:9187", "container:shop-db-1"),
        ("instance", "172.20.0.9:9100", "container:shop-web-1"),
        ("instance", "http://localhost:8080/metrics", "container:shop-web-1"),
        ("service", "db", "container:shop-db-1"),
        ("job", "page", "http:page"),
    ] {
        assert_eq!(placed(&[(label, value)]).as_deref(), Some(target), "{label}={value}");
    }
}

#[test]
fn what_fits_two_or_none_names_nobody_and_the_next_label_is_asked() {
    for (label, value) in [
        ("container", "somebody-elses"),
        ("service", "worker"),
        ("instance", "10.0.0.1:9100"),
        ("instance", "10.0.0.1:8080"),
        ("instance", ""),
        ("job", "node"),
    ] {
        assert_eq!(placed(&[(label, value)]), None, "{label}={value}");
    }
    let next = placed(&[("container", "elsewhere"), ("service", "worker"), ("job", "db")]);
    assert_eq!(next.as_deref(), Some("container:shop-db-1"));
}

#[test]
fn who_says_outright_what_is_meant_is_not_guessed_about() {
    assert_eq!(placed(&[("selfheal_target", "container:gone"), ("container", "shop-web-1")]), None);
}

#[test]
fn what_names_nobody_stands_at_the_host_and_says_so() {
    let found = finding(&alert(&[("alertname", "Odd"), ("job", "node")]), &inventory());
    assert_eq!(found.target, TargetId::host());
    assert!(found.message.contains("`Odd`") && found.message.contains("nothing that is watched"));
    assert!(found.samples[0].contains("job=\"node\""), "{found:?}");
}

proptest! {
    #[test]
    fn no_label_is_too_strange(name in ".{0,40}", value in ".{0,300}", which in 0_usize..12) {
        let names = ["selfheal_target", "container", "instance", "url", "job", "alertname"];
        let name = names.get(which).map_or(name, |name| (*name).to_owned());
        let found = finding(&alert(&[(&name, &value)]), &inventory());
        prop_assert!(inventory().targets.contains_key(&found.target));
        prop_assert!(!found.message.chars().any(char::is_control));
    }
}
