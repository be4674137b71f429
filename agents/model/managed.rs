//! Containers that another program makes and makes again: the pods of a kubelet, the tasks of a
//! Docker Swarm.
//!
//! When one ends, its manager puts a new container beside it, and whoever starts the old one fights
//! it. Known by the labels that the manager itself writes. Nothing here looks at whether the manager
//! still runs: what it made is its own until it is removed.

use super::{ContainerFacts, Hold, clean};

/// Actions that change nothing of a container that its manager would make otherwise: they speak with
/// the server in it, or make room on a disk; or they are a person's own. All others are left to the
/// manager.
const INSIDE: [&str; 10] = [
    "logs.trim",
    "build_cache.prune",
    "postgres.terminate_backends",
    "postgres.reload",
    "postgres.alter_system",
    "mysql.kill_connections",
    "redis.set_memory",
    "redis.set_policy",
    "redis.kill_clients",
    "command",
];

/// Who makes a container again, and what it is for there: of two for the same the newer counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Maker<'a> {
    /// The kubelet.
    Kubernetes {
        /// The pod's namespace.
        namespace: &'a str,
        /// The pod.
        pod: &'a str,
        /// The container within the pod.
        container: &'a str,
    },
    /// Docker Swarm.
    Swarm {
        /// The service.
        service: &'a str,
        /// Which of its tasks, as `web.2`; a newer one takes the place of an older.
        slot: &'a str,
    },
}

impl<'a> Maker<'a> {
    /// Who makes this one, if anybody but a person does.
    pub fn of(container: &'a ContainerFacts) -> Option<Self> {
        let label = |name| container.labels.get(name).map(String::as_str);
        if let Some(pod) = label("io.kubernetes.pod.name") {
            return Some(Self::Kubernetes {
                namespace: label("io.kubernetes.pod.namespace").unwrap_or("default"),
                pod,
                container: label("io.kubernetes.container.name").unwrap_or_default(),
            });
        }
        let task = label("com.docker.swarm.task.id");
        let service = label("com.docker.swarm.service.name")
            .or_else(|| label("com.docker.swarm.service.id"))
            .or(task)?;
        // `web.2.TASK`: the task's id is at its end.
        let name = label("com.docker.swarm.task.name").unwrap_or(service);
        let slot = task.and_then(|task| name.strip_suffix(task)?.strip_suffix('.'));
        Some(Self::Swarm { service, slot: slot.unwrap_or(name) })
    }

    /// Why this action on a container of its is left to it, if it is.
    pub fn leaves(&self, action: &str) -> Option<Hold> {
        (!INSIDE.contains(&action)).then(|| self.hold())
    }

    /// What a person is told instead.
    pub fn hold(&self) -> Hold {
        let word = |text: &str| clean(text, 100);
        let (manager, instead) = match self {
            Self::Kubernetes { namespace, pod, .. } => (
                "the kubelet",
                format!("kubectl describe pod {} -n {}", word(pod), word(namespace)),
            ),
            Self::Swarm { service, .. } => {
                ("Docker Swarm", format!("docker service update --force {}", word(service)))
            }
        };
        let why =
            format!("{manager} looks after it and makes a new one itself; see or type `{instead}`");
        Hold::ManagedElsewhere { why }
    }
}

/// Whether its manager has put a newer one in the place of this one, which is down: that one counts.
pub fn is_succeeded(container: &ContainerFacts, all: &[ContainerFacts]) -> bool {
    let Some(maker) = Maker::of(container).filter(|_| container.is_down()) else { return false };
    all.iter().any(|other| {
        other.created_at > container.created_at
            && other.name != container.name
            && Maker::of(other).as_ref() == Some(&maker)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{container, labels};
    use crate::fix_engineer::actions::Action;
    use crate::model::{ContainerStatus, Timestamp};

    fn labelled(name: &str, of: &[(&str, &str)]) -> ContainerFacts {
        ContainerFacts { labels: labels(of), ..container(name) }
    }

    fn pod() -> ContainerFacts {
        labelled(
            "k8s_app_shop_prod_1",
            &[
                ("io.kubernetes.pod.name", "shop-5d"),
                ("io.kubernetes.pod.namespace", "prod"),
                ("io.kubernetes.container.name", "app"),
            ],
        )
    }

    fn task(id: &str) -> ContainerFacts {
        labelled(
            &format!("web.2.{id}"),
            &[
                ("com.docker.swarm.service.name", "web"),
                ("com.docker.swarm.task.id", id),
                ("com.docker.swarm.task.name", &format!("web.2.{id}")),
            ],
        )
    }

    #[test]
    fn every_action_but_those_inside_a_server_or_on_a_disk_is_left_to_the_manager() {
        for managed in [pod(), task("abc")] {
            let maker = Maker::of(&managed).unwrap();
            let done = |name: &&&str| maker.leaves(name).is_none();
            let done: Vec<_> = Action::NAMES.iter().filter(done).copied().collect();
            assert_eq!(done, INSIDE);
            assert!(maker.leaves("an action that nobody thought of").is_some());
        }
        for name in Action::NAMES.iter().filter(|name| name.starts_with("container.")) {
            assert!(!INSIDE.contains(name), "{name}");
        }
        assert_eq!(Maker::of(&container("web")), None);
        let composed = labelled("web", &[("com.docker.compose.service", "web")]);
        assert_eq!(Maker::of(&composed), None);
    }

    #[test]
    fn a_person_is_told_who_does_it_and_what_to_type() {
        let said = |facts: &ContainerFacts| Maker::of(facts).unwrap().hold().to_string();
        assert_eq!(
            said(&pod()),
            "the kubelet looks after it and makes a new one itself; see or type `kubectl describe \
             pod shop-5d -n prod`"
        );
        assert!(said(&task("abc")).ends_with("`docker service update --force web`"));
        let bare = labelled("x", &[("com.docker.swarm.service.id", "k3j")]);
        assert!(said(&bare).ends_with("--force k3j`"));
    }

    #[test]
    fn what_ended_is_succeeded_only_by_a_newer_one_in_its_own_place() {
        let at = |minutes| Some(Timestamp::UNIX_EPOCH + chrono::TimeDelta::minutes(minutes));
        let old =
            |facts| ContainerFacts { status: ContainerStatus::Exited, created_at: at(1), ..facts };
        let new = |name: &str, facts: ContainerFacts| ContainerFacts {
            name: name.to_owned(),
            created_at: at(2),
            ..facts
        };
        assert!(is_succeeded(&old(pod()), &[old(pod()), new("k8s_app_shop_prod_2", pod())]));
        assert!(is_succeeded(&old(task("abc")), &[new("web.2.def", task("def"))]));
        let other_slot = labelled(
            "web.1.def",
            &[
                ("com.docker.swarm.service.name", "web"),
                ("com.docker.swarm.task.id", "def"),
                ("com.docker.swarm.task.name", "web.1.def"),
            ],
        );
        for (one, other) in [
            (old(task("abc")), new("web.1.def", other_slot)),
            (old(pod()), new("web", container("web"))),
            (old(container("web")), new("other", container("other"))),
            (ContainerFacts { created_at: at(3), ..old(pod()) }, new("older", pod())),
            (ContainerFacts { status: ContainerStatus::Running, ..old(pod()) }, new("b", pod())),
        ] {
            assert!(!is_succeeded(&one, std::slice::from_ref(&other)), "{one:?} {other:?}");
        }
    }
}
