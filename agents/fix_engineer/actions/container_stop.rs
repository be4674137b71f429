//! `container.stop`: stops an older copy of a service that holds a port its successor needs.
//!
//! Nothing but such a left-over is ever stopped: it must be known to be the same service of the
//! same Compose project, made earlier and differently, and needed by nobody as it is.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Action, ContainerStart, Reversal};
use crate::fix_engineer::plan::{PlanRequest, Planned, repair};
use crate::model::{Captured, ContainerFacts, HealthStatus, TargetId};
use crate::ports::{World, WorldResult};

/// Stops a left-over in favour of the container that replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStop {
    /// The left-over's name.
    pub container: String,
    /// Time between the stop signal and killing, in seconds.
    pub stop_timeout_secs: u32,
    /// The container that needs what it holds.
    pub in_favour_of: String,
}

#[async_trait]
impl Act for ContainerStop {
    fn target(&self) -> TargetId {
        TargetId::container(&self.container)
    }

    fn describe(&self) -> String {
        format!(
            "stop container `{}`, which holds a port that `{}` needs",
            self.container, self.in_favour_of
        )
    }

    fn reversal(&self) -> Reversal {
        Reversal::Undo
    }

    fn by_hand(&self) -> String {
        format!("docker stop -t {} {}", self.stop_timeout_secs, self.container)
    }

    fn undo_by_hand(&self, _before: &Captured) -> Option<String> {
        Some(format!("docker stop {} && docker start {}", self.in_favour_of, self.container))
    }

    fn interruption_secs(&self) -> u64 {
        u64::from(self.stop_timeout_secs)
    }

    fn stop_timeout_secs(&self) -> u32 {
        self.stop_timeout_secs
    }

    async fn capture(&self, world: &World) -> WorldResult<Captured> {
        super::capture_container(world, &self.container).await
    }

    async fn is_applied(&self, world: &World, _before: &Captured) -> WorldResult<bool> {
        Ok(!world.runtime.container(&self.container).await?.is_up())
    }

    async fn apply(&self, world: &World, _before: &Captured) -> WorldResult<Option<String>> {
        world.runtime.stop(&self.container, self.stop_timeout_secs).await.map(|()| None)
    }

    async fn undo(&self, world: &World, before: &Captured) -> WorldResult<()> {
        let Captured::Container { running, .. } = before else {
            return Err(super::wrong_capture("a container's life"));
        };
        if !running {
            return Ok(());
        }
        // Only one of the two can have the port; before, it was this one.
        if world.runtime.container(&self.in_favour_of).await.is_ok_and(|other| other.is_up()) {
            world.runtime.stop(&self.in_favour_of, self.stop_timeout_secs).await?;
        }
        world.runtime.start(&self.container).await
    }
}

pub(super) async fn plan(request: &PlanRequest<'_>) -> Planned {
    let facts = request.container()?;
    if facts.is_up() {
        return Err("the container runs".to_owned());
    }
    let all = request.workshop.world.runtime.containers().await.map_err(|e| e.to_string())?;
    let holder = all
        .iter()
        .find(|other| other.name != facts.name && other.is_up() && shares_a_port(other, facts))
        .ok_or("no container holds its port: a program of the host does")?;
    is_left_over(holder, facts)?;
    let dependents =
        request.workshop.evidence.graph.dependents_of(&TargetId::container(&holder.name));
    let others = dependents.iter().any(|id| id.container_name().is_some_and(|n| n != facts.name));
    if others && holder.health == Some(HealthStatus::Healthy) {
        return Err(format!("`{}` is healthy, and others need it", holder.name));
    }
    let stop = ContainerStop {
        container: holder.name.clone(),
        stop_timeout_secs: request.stop_timeout_secs(holder),
        in_favour_of: facts.name.clone(),
    };
    let start = ContainerStart { container: facts.name.clone() };
    Ok(vec![repair(Action::ContainerStop(stop)), repair(Action::ContainerStart(start))])
}

fn shares_a_port(one: &ContainerFacts, other: &ContainerFacts) -> bool {
    one.published_ports.iter().any(|port| other.published_ports.contains(port))
}

/// What Compose writes on every container it makes
/// (`api/labels.go` of docker/compose).
const PROJECT: &str = ContainerFacts::COMPOSE_PROJECT;
const SERVICE: &str = ContainerFacts::COMPOSE_SERVICE;
const NUMBER: &str = "com.docker.compose.container-number";
const ONE_OFF: &str = "com.docker.compose.oneoff";
const CONFIG: &str = "com.docker.compose.config-hash";

/// Whether `holder` is an older copy of what `wanted` is now, or why it is not known to be one.
fn is_left_over(holder: &ContainerFacts, wanted: &ContainerFacts) -> Result<(), String> {
    let label = |of: &ContainerFacts, name: &str| of.labels.get(name).cloned();
    let same = |name: &str| {
        let wanted = label(wanted, name);
        wanted.is_some() && wanted == label(holder, name)
    };
    if !same(PROJECT) || !same(SERVICE) {
        return Err(format!(
            "`{}` holds its port and is another service: a person has to say whose the port is",
            holder.name
        ));
    }
    let older = holder.created_at.zip(wanted.created_at).is_some_and(|(a, b)| a < b);
    if !older {
        return Err(format!("`{}` holds its port and is not older", holder.name));
    }
    // A second copy of the same configuration is a replica that was meant to be there.
    let one_off = label(holder, ONE_OFF).is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let replaced = same(NUMBER) || !same(CONFIG) || holder.image_id != wanted.image_id;
    if one_off || replaced {
        return Ok(());
    }
    Err(format!("`{}` holds its port and is a replica of the same service", holder.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{container, labels};

    fn copy(name: &str, number: &str, config: &str, age_secs: i64) -> ContainerFacts {
        let mut facts = container(name);
        facts.image_id = "sha256:web".to_owned();
        facts.created_at = facts.created_at.map(|at| at - chrono::TimeDelta::seconds(age_secs));
        facts.labels = labels(&[
            (PROJECT, "shop"),
            (SERVICE, "web"),
            (NUMBER, number),
            (CONFIG, config),
        ]);
        facts
    }

    #[test]
    fn only_an_older_and_different_copy_of_the_same_service_is_a_left_over() {
        let wanted = copy("web", "1", "new", 0);
        assert_eq!(is_left_over(&copy("old", "1", "old", 60), &wanted), Ok(()));
        assert_eq!(is_left_over(&copy("old", "2", "old", 60), &wanted), Ok(()));
        assert!(is_left_over(&copy("replica", "2", "new", 60), &wanted).is_err());
        assert!(is_left_over(&copy("newer", "1", "old", -60), &wanted).is_err());
        let mut other = copy("old", "1", "old", 60);
        other.labels.insert(SERVICE.to_owned(), "api".to_owned());
        assert!(is_left_over(&other, &wanted).is_err());
        assert!(is_left_over(&container("old"), &container("web")).is_err(), "nothing says so");
    }
}
