//! Which container Selfheal itself runs in, so that it never touches that.
//!
//! It only reads. Outside of a container, and in one that Docker does not know, there is none.

use std::path::Path;

use selfheal_agents::model::{ContainerFacts, ContainerStatus};
use selfheal_agents::ports::World;

/// The name of the container Selfheal runs in; `None` outside of one.
///
/// Docker makes the container's short id its host name unless a person chose another. Where that
/// does not tell, as in a pod, whose host name and network are those of another container, the label
/// `selfheal.self=true` does, which our image has.
pub(super) async fn own_container(world: &World) -> Option<String> {
    if !Path::new("/.dockerenv").exists() {
        return None;
    }
    let host_name = tokio::fs::read_to_string("/etc/hostname").await.unwrap_or_default();
    let mounts = tokio::fs::read_to_string("/proc/self/mountinfo").await.unwrap_or_default();
    let containers = world.runtime.containers().await.ok()?;
    own_among(&containers, &host_name, &mounts).map(|facts| facts.name.clone())
}

/// The one that is known by its id, else one that is labelled: another Selfheal, started from the
/// same image for a command say, may have the label too.
fn own_among<'a>(
    containers: &'a [ContainerFacts],
    host_name: &str,
    mounts: &str,
) -> Option<&'a ContainerFacts> {
    let says = |facts: &ContainerFacts, label: &str, value: &str| {
        facts.labels.get(label).is_some_and(|found| found == value)
    };
    let is_sandbox = |facts| says(facts, "io.kubernetes.docker.type", "podsandbox");
    let by_id =
        containers.iter().find(|facts| is_own(&facts.id, host_name, mounts) && !is_sandbox(facts));
    by_id.or_else(|| {
        let runs = |facts: &ContainerFacts| facts.status == ContainerStatus::Running;
        containers.iter().find(|facts| runs(facts) && says(facts, "selfheal.self", "true"))
    })
}

/// Whether this is the id of the container these files are seen in: Docker mounts its
/// `/etc/hostname` from a folder named by it, also where the host name is another.
fn is_own(id: &str, host_name: &str, mounts: &str) -> bool {
    let host_name = host_name.trim();
    let short_id = host_name.len() >= 12 && id.starts_with(host_name);
    short_id
        || mounts.lines().any(|line| {
            let mut fields = line.split(' ').skip(3);
            let (root, at) = (fields.next().unwrap_or_default(), fields.next());
            at == Some("/etc/hostname") && root.contains(id)
        })
}

#[cfg(test)]
mod tests {
    use selfheal_agents::fakes::container;

    use super::*;

    #[test]
    fn the_own_container_is_known_by_its_host_name_or_by_where_that_is_mounted_from() {
        let id = "4f5a2c".repeat(11);
        let other = "9b1e07".repeat(11);
        let mounts = format!(
            "701 650 8:1 /var/lib/docker/containers/{other}/mounts/shm /host/shm rw - tmpfs shm rw\n\
             702 650 8:1 /var/lib/docker/containers/{id}/hostname /etc/hostname rw - ext4 sda1 rw\n"
        );
        assert!(is_own(&id, "4f5a2c4f5a2c\n", ""));
        assert!(is_own(&id, "nas\n", &mounts));
        assert!(!is_own(&other, "nas\n", &mounts));
        assert!(!is_own(&id, "\n", ""), "no name is nobody's");
    }

    #[test]
    fn an_id_goes_before_a_label_and_a_label_before_the_sandbox_of_a_pod() {
        let mut all = ["sandbox", "other", "own"].map(container).to_vec();
        for facts in &mut all {
            facts.id = facts.name.repeat(12);
        }
        let label = |facts: &mut ContainerFacts, label: &str, value: &str| {
            facts.labels.insert(label.to_owned(), value.to_owned());
        };
        for facts in &mut all {
            match facts.name.as_str() {
                "sandbox" => label(facts, "io.kubernetes.docker.type", "podsandbox"),
                _ => label(facts, "selfheal.self", "true"),
            }
        }
        let found = |all: &[ContainerFacts], host_name: &str| {
            own_among(all, host_name, "").map(|facts| facts.name.clone())
        };
        for name in ["own", "other"] {
            assert_eq!(found(&all, &name.repeat(6)).as_deref(), Some(name));
        }
        all.retain(|facts| facts.name != "other");
        assert_eq!(found(&all, &"sandbox".repeat(6)).as_deref(), Some("own"));
        all.retain(|facts| facts.name == "sandbox");
        assert_eq!(found(&all, &"sandbox".repeat(6)), None);
    }
}
