//! Who else acts on this engine's containers: healers, updaters, another Selfheal.
//!
//! Known by their images as their makers publish them, and by their settings. It does not judge
//! what they do at the moment.

use std::collections::BTreeMap;

use super::discovery::{image_words, variable};
use crate::model::{ContainerFacts, engine_of};

/// Images of programs that replace a container by one of a newer image. Those that only tell of new
/// images, as diun does, are none.
const UPDATERS: [&str; 4] = ["watchtower", "ouroboros", "wud", "shepherd"];
/// What a Selfheal is told to reach Docker by, beside a mounted socket.
const ENGINE: [&str; 2] = ["DOCKER_HOST", "SELFHEAL__DOCKER__HOST"];

/// Running containers that replace others.
pub(super) fn updaters(all: &[ContainerFacts]) -> Vec<String> {
    let updates = |container: &&ContainerFacts| {
        let words = image_words(container);
        // `whats-up-docker` is the name that `wud` had before.
        let old_name = words.iter().any(|word| word == "whats");
        let named = words.iter().any(|word| UPDATERS.contains(&word.as_str()));
        container.is_up() && (named || old_name)
    };
    all.iter().filter(updates).map(|container| container.name.clone()).collect()
}

/// Which containers a running autoheal restarts, with its name: those with its label, or all;
/// without a health check it never touches one. A Selfheal of another engine heals all of that.
pub(super) fn healed_elsewhere(all: &[ContainerFacts]) -> BTreeMap<String, String> {
    let mut healed = BTreeMap::new();
    for healer in all.iter().filter(|container| container.is_up() && is_selfheal(container)) {
        let Some(engine) = engine_of(&healer.name) else { continue };
        let others = all.iter().filter(|c| engine_of(&c.name) == Some(engine));
        healed.extend(others.map(|c| (c.name.clone(), healer.name.clone())));
    }
    for healer in all.iter().filter(|container| container.is_up()) {
        let Some(label) = watched_label(healer) else { continue };
        let others = all.iter().filter(|c| {
            let beside = engine_of(&c.name) == engine_of(&healer.name);
            beside && c.name != healer.name && c.health_check.is_some()
        });
        for container in others {
            let labelled = container.labels.get(&label).is_some_and(|v| v.trim() == "true");
            if labelled || label == "all" {
                healed.insert(container.name.clone(), healer.name.clone());
            }
        }
    }
    healed
}

/// The label by which a healer knows what to restart, `all` for everything; `None` for what is no
/// healer.
fn watched_label(container: &ContainerFacts) -> Option<String> {
    let words = image_words(container);
    if words.iter().any(|word| word == "deunhealth") {
        return Some("deunhealth.restart.on.unhealthy".to_owned());
    }
    let is_autoheal = words.iter().any(|word| word == "autoheal");
    let label = || variable(container, &["AUTOHEAL_CONTAINER_LABEL"]);
    is_autoheal.then(|| label().unwrap_or_else(|| "autoheal".to_owned()))
}

/// A running container in which another Selfheal reaches a Docker engine, started before ours: of
/// two only one may heal, or they undo each other's work. One that runs in no container is seen by
/// none and goes after all.
pub(super) fn other_selfheal(all: &[ContainerFacts], own: Option<&str>) -> Option<String> {
    let own = own.and_then(|own| all.iter().find(|container| container.name == own));
    all.iter()
        .filter(|container| container.is_up() && is_selfheal(container))
        .filter(|container| engine_of(&container.name).is_none())
        .filter(|other| {
            own.is_none_or(|own| (other.started_at, &other.name) < (own.started_at, &own.name))
        })
        .map(|other| other.name.clone())
        .min()
}

fn is_selfheal(container: &ContainerFacts) -> bool {
    let named = image_words(container).first().is_some_and(|word| word == "selfheal");
    let marked = container.labels.get("selfheal.self").is_some_and(|value| value == "true");
    let socket = container.mounts.iter().any(|mount| mount.source.ends_with("docker.sock"));
    (named || marked) && (socket || variable(container, &ENGINE).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{container, environment, healthy, labels};
    use crate::model::{ContainerStatus, MountFacts};

    fn image(name: &str, image: &str) -> ContainerFacts {
        ContainerFacts { image: image.to_owned(), ..container(name) }
    }

    fn selfheal(name: &str, minutes: i64) -> ContainerFacts {
        let socket = MountFacts {
            bind: true,
            source: "/var/run/docker.sock".to_owned(),
            destination: "/var/run/docker.sock".to_owned(),
            writable: true,
        };
        let started_at = crate::model::Timestamp::UNIX_EPOCH + chrono::TimeDelta::minutes(minutes);
        ContainerFacts {
            mounts: vec![socket],
            started_at: Some(started_at),
            ..image(name, "ghcr.io/someone/selfheal:1.2")
        }
    }

    #[test]
    fn updaters_are_known_by_their_images_while_they_run() {
        for known in [
            "containrrr/watchtower",
            "nickfedor/watchtower:1.11",
            "beatkind/watchtower",
            "ghcr.io/getwud/wud:8",
            "fmartinou/whats-up-docker",
            "pyouroboros/ouroboros",
        ] {
            assert_eq!(updaters(&[image("up", known)]), ["up"], "{known}");
            let ended = ContainerFacts { status: ContainerStatus::Exited, ..image("up", known) };
            assert!(updaters(&[ended]).is_empty(), "{known}");
        }
        for other in ["crazymax/diun", "nginx", "watchtowers/web"] {
            assert!(updaters(&[image("web", other)]).is_empty(), "{other}");
        }
    }

    #[test]
    fn an_autoheal_owns_what_it_watches_and_nothing_else() {
        let healer = image("healer", "willfarrell/autoheal:latest");
        let labelled = |name, label: &str| ContainerFacts {
            labels: labels(&[(label, "true")]),
            ..healthy(name)
        };
        let unchecked =
            ContainerFacts { labels: labels(&[("autoheal", "true")]), ..container("c") };
        let all = [labelled("web", "autoheal"), labelled("api", "mend"), unchecked, healthy("db")];
        let owned = |healer: ContainerFacts| {
            let all = [&all[..], &[healer]].concat();
            healed_elsewhere(&all).into_keys().collect::<Vec<_>>()
        };
        let told = |label| ContainerFacts {
            environment: environment(&[("AUTOHEAL_CONTAINER_LABEL", label)]),
            ..healer.clone()
        };
        assert_eq!(owned(healer.clone()), ["web"]);
        assert_eq!(owned(told("mend")), ["api"]);
        assert_eq!(owned(told("all")), ["api", "db", "web"]);
        let stopped = ContainerFacts { status: ContainerStatus::Exited, ..healer };
        assert!(owned(stopped).is_empty());
    }

    #[test]
    fn of_several_selfheals_the_one_that_started_first_heals() {
        let (first, second) = (selfheal("first", 1), selfheal("second", 2));
        let all = [first, second, container("web")];
        assert_eq!(other_selfheal(&all, Some("second")).as_deref(), Some("first"));
        assert_eq!(other_selfheal(&all, Some("first")), None);
        assert_eq!(other_selfheal(&all, None).as_deref(), Some("first"), "ours is in none");
        assert_eq!(other_selfheal(&all[2..], None), None);
    }

    #[test]
    fn what_cannot_reach_docker_or_does_not_run_is_no_other_selfheal() {
        let blind = ContainerFacts { mounts: vec![], ..selfheal("other", 1) };
        assert_eq!(other_selfheal(std::slice::from_ref(&blind), None), None);
        let by_proxy = ContainerFacts {
            environment: environment(&[("DOCKER_HOST", "tcp://proxy:2375")]),
            ..blind
        };
        assert_eq!(other_selfheal(&[by_proxy], None).as_deref(), Some("other"));
        let ended = ContainerFacts { status: ContainerStatus::Exited, ..selfheal("other", 1) };
        assert_eq!(other_selfheal(&[ended], None), None);
        let marked = ContainerFacts {
            labels: labels(&[("selfheal.self", "true")]),
            image: "registry/healer".to_owned(),
            ..selfheal("other", 1)
        };
        assert_eq!(other_selfheal(&[marked], None).as_deref(), Some("other"));
    }
}
