//! How far a target may be touched: labels and settings together.

use super::*;
use crate::model::{Mode, TargetPolicy};

fn declared(id_text: &str, container: Option<&str>, policy: TargetPolicy) -> Target {
    let container = container.map(str::to_owned);
    Target { container, policy, ..Target::bare(id(id_text)) }
}

fn policy_of(containers: &[ContainerFacts], target: Target) -> TargetPolicy {
    let name = target.id.clone();
    let declared = Declared { targets: vec![target], ..Declared::default() };
    take_inventory(containers, &declared).targets[&name].policy.clone()
}

#[test]
fn what_is_declared_of_a_container_is_restrained_by_its_labels() {
    let labelled = |name, label, value| ContainerFacts {
        labels: labels(&[(label, value)]),
        ..with_image(name, "postgres:15")
    };
    let plain = TargetPolicy::default;
    for (target, container) in [
        ("postgres:orders", Some("db")),
        ("postgres:db", None),
        ("http:shop", Some("db")),
        ("tcp:db", Some("db")),
    ] {
        let of = |label, value| {
            policy_of(&[labelled("db", label, value)], declared(target, container, plain()))
        };
        assert!(of("selfheal.enable", "false").excluded, "{target}");
        assert!(of("selfheal.external", "true").external, "{target}");
        assert_eq!(of("selfheal.mode", "observe").mode, Some(Mode::Observe), "{target}");
    }
    let others = [labelled("other", "selfheal.enable", "false"), with_image("db", "postgres:15")];
    let elsewhere = declared("postgres:orders", Some("db"), plain());
    assert_eq!(policy_of(&others, elsewhere), plain(), "labels of another container say nothing");
}

#[test]
fn of_settings_and_labels_the_more_careful_holds_for_a_declared_target() {
    let free = with_labels("db", &[("selfheal.external", "no"), ("selfheal.mode", "auto")]);
    let strict = with_labels("db", &[("selfheal.external", "yes"), ("selfheal.mode", "observe")]);
    let told = TargetPolicy {
        external: true,
        mode: Some(Mode::Approve),
        stop_timeout_secs: Some(7),
        ..TargetPolicy::default()
    };
    let with =
        |container| policy_of(&[container], declared("postgres:orders", Some("db"), told.clone()));
    assert_eq!(with(free), told);
    assert_eq!(with(strict), TargetPolicy { mode: Some(Mode::Observe), ..told.clone() });
}

#[test]
fn labels_restrain_and_unreadable_ones_restrain_too() {
    let web = with_labels(
        "web",
        &[
            ("selfheal.enable", "nope"),
            ("selfheal.external", "true"),
            ("selfheal.mode", "Approve"),
            ("autoheal.stop.timeout", "ten"),
        ],
    );
    let inventory = take(&[web]);
    let policy = &inventory.targets[&id("container:web")].policy;
    assert!(policy.excluded && policy.external);
    assert_eq!(policy.mode, Some(Mode::Approve));
    assert_eq!(policy.stop_timeout_secs, None);
    assert_eq!(inventory.warnings.len(), 2, "{:?}", inventory.warnings);
}
