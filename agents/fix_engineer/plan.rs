//! What an action needs to plan itself for the target at hand.

use crate::model::{
    ContainerFacts, Diagnosis, FixTemplate, Hold, Maker, Step, StepRole, Target, TargetId,
    TargetPolicy, Timestamp, engine_of,
};
use crate::ports::World;
use crate::root_cause::{Evidence, Unmet, holds, will_hold};

use super::actions::{Action, ContainerRestart};
use super::remembered::Remembered;

/// Docker's own time between stop signal and kill.
pub(crate) const DOCKER_STOP_TIMEOUT_SECS: u32 = 10;
/// The same for what keeps data, where nobody said otherwise: it has to be written down, and a
/// start after a kill takes longer still.
const DATA_STOP_TIMEOUT_SECS: u32 = 30;
/// Parts of the names of images that keep data.
const DATA_IMAGES: [&str; 24] = [
    "cassandra",
    "clickhouse",
    "cockroach",
    "couchdb",
    "elasticsearch",
    "etcd",
    "influxdb",
    "kafka",
    "keydb",
    "mariadb",
    "minio",
    "mongo",
    "mssql",
    "mysql",
    "neo4j",
    "opensearch",
    "percona",
    "pgvector",
    "postgis",
    "postgres",
    "rabbitmq",
    "redis",
    "timescale",
    "valkey",
];

/// Limits on what a fix may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The highest memory limit a fix may set, in bytes.
    pub memory_cap_bytes: u64,
}

/// The bench a fix is made on: the world, what was seen, what is remembered.
#[derive(Clone, Copy)]
pub struct Workshop<'a> {
    /// For reading files.
    pub world: &'a World,
    /// What the diagnosis was made from.
    pub evidence: Evidence<'a>,
    /// What is remembered of the blamed container.
    pub remembered: &'a Remembered,
    /// How far fixes may go.
    pub limits: Limits,
}

/// One template to be planned for one diagnosis.
#[derive(Clone, Copy)]
pub struct PlanRequest<'a> {
    /// What the runbook asks for.
    pub template: &'a FixTemplate,
    /// What it is for.
    pub diagnosis: &'a Diagnosis,
    /// The bench.
    pub workshop: Workshop<'a>,
}

/// The steps, or why this action does not fit here.
pub type Planned = Result<Vec<Step>, String>;

/// Why an action does not fit here, and from when on it would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// Why, in words.
    pub why: String,
    /// When only time is lacking that it will fit; `None` where more is.
    pub from: Option<Timestamp>,
}

impl From<String> for Unfit {
    fn from(why: String) -> Self {
        Self { why, from: None }
    }
}

impl From<&str> for Unfit {
    fn from(why: &str) -> Self {
        why.to_owned().into()
    }
}

/// Actions that need nothing but the engine or the server itself: neither a file nor a measure of
/// the container's host. A person's own command does what that person wrote.
const ELSEWHERE: [&str; 12] = [
    "container.start",
    "container.restart",
    "container.signal",
    "container.pause",
    "container.unpause",
    "network.connect",
    "postgres.terminate_backends",
    "postgres.reload",
    "mysql.kill_connections",
    "redis.kill_clients",
    "redis.set_policy",
    "command",
];

/// Why an action cannot be done on this container, if that is one of another engine.
pub(super) fn unfit_beside(container: &str, action: &str) -> Option<Unfit> {
    let engine = engine_of(container).filter(|_| !ELSEWHERE.contains(&action))?;
    let why = format!(
        "it needs files or measures of the host of engine `{engine}`, which only a Selfheal on \
         that host has"
    );
    Some(why.into())
}

impl<'a> PlanRequest<'a> {
    /// Why the action cannot be done where the container is, if that is another engine's host.
    pub fn unfit_elsewhere(&self) -> Option<Unfit> {
        let container = self.workshop.evidence.container_of(&self.diagnosis.blamed)?;
        unfit_beside(container.name(), &self.template.action)
    }

    /// Why the action is left to whoever made the container.
    pub fn left_to_manager(&self) -> Option<Hold> {
        Maker::of(self.container().ok()?)?.leaves(&self.template.action)
    }

    /// Whether the template's own condition holds.
    pub fn applies(&self) -> bool {
        self.template
            .when
            .as_ref()
            .is_none_or(|when| holds(when, &self.workshop.evidence, &self.diagnosis.blamed))
    }

    /// What the template's own condition still lacks, where only time is lacking.
    pub fn will_apply(&self) -> Option<Unmet> {
        let when = self.template.when.as_ref()?;
        will_hold(when, &self.workshop.evidence, &self.diagnosis.blamed)
    }

    /// The blamed target.
    pub fn target(&self) -> Result<&'a Target, String> {
        self.workshop
            .evidence
            .targets
            .get(&self.diagnosis.blamed)
            .ok_or_else(|| format!("`{}` is not watched any more", self.diagnosis.blamed))
    }

    /// The container to act on: the blamed one, or the one the blamed target runs in.
    pub fn container(&self) -> Result<&'a ContainerFacts, String> {
        let id = self.workshop.evidence.container_of(&self.diagnosis.blamed).ok_or_else(|| {
            format!("`{}` runs in no container known here", self.diagnosis.blamed)
        })?;
        self.workshop
            .evidence
            .report
            .target(&id)
            .and_then(|report| report.state.container())
            .ok_or_else(|| format!("`{id}` could not be looked at"))
    }

    /// A restart of the container, with the stop signal and time that fit it.
    pub fn restart(&self) -> Result<Action, String> {
        let facts = self.container()?;
        Ok(restart_of(facts, self.stop_timeout_secs(facts)))
    }

    /// How long the process of a container may take to end before it is killed, in seconds.
    pub fn stop_timeout_secs(&self, facts: &ContainerFacts) -> u32 {
        let target = self.workshop.evidence.targets.get(&TargetId::container(&facts.name));
        let policy = target.map(|target| &target.policy);
        stop_timeout_secs(facts, policy, self.template.parameters.stop_timeout_secs)
    }

    /// The step that lets a changed file or limit take effect.
    pub fn activation(&self) -> Result<Step, String> {
        Ok(Step { action: self.restart()?, role: StepRole::Activate })
    }
}

/// A restart of a container that gives its process so many seconds to end.
pub fn restart_of(facts: &ContainerFacts, stop_timeout_secs: u32) -> Action {
    Action::ContainerRestart(ContainerRestart {
        container: facts.name.clone(),
        stop_timeout_secs,
        signal: fast_shutdown(facts),
    })
}

/// How long a process may take to end, in seconds: what a person said of its container; else what
/// the runbook thinks fit, which hurries nothing that keeps data.
pub fn stop_timeout_secs(
    facts: &ContainerFacts,
    policy: Option<&TargetPolicy>,
    runbook: Option<u32>,
) -> u32 {
    let said = policy.and_then(|policy| policy.stop_timeout_secs).or(facts.stop_timeout_secs);
    let least = if keeps_data(facts) { DATA_STOP_TIMEOUT_SECS } else { 0 };
    said.unwrap_or_else(|| runbook.unwrap_or(DOCKER_STOP_TIMEOUT_SECS).max(least))
}

/// Whether its image is one of those that keep data.
pub(crate) fn keeps_data(facts: &ContainerFacts) -> bool {
    DATA_IMAGES.iter().any(|part| facts.image.contains(part))
}

/// PostgreSQL waits for every client on SIGTERM; SIGINT is its fast shutdown
/// (PostgreSQL manual, "Shutting Down the Server").
fn fast_shutdown(facts: &ContainerFacts) -> Option<String> {
    let is_postgres = ["postgres", "postgis", "timescale", "pgvector"]
        .iter()
        .any(|part| facts.image.contains(part));
    (is_postgres && facts.stop_signal.is_none()).then(|| "SIGINT".to_owned())
}

/// A repairing step.
pub fn repair(action: Action) -> Step {
    Step { action, role: StepRole::Repair }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::container;

    #[test]
    fn a_person_says_how_long_a_stop_may_take_and_a_runbook_never_hurries_what_keeps_data() {
        for (image, said, runbook, secs) in [
            ("shop/web:2", None, None, 10),
            ("shop/web:2", None, Some(1), 1),
            ("shop/web:2", Some(120), Some(1), 120),
            ("postgres:16", None, Some(5), 30),
            ("postgres:16", None, Some(60), 60),
            ("bitnami/redis", None, None, 30),
            ("postgres:16", Some(300), Some(5), 300),
            // Their own database, their own word.
            ("postgres:16", Some(3), None, 3),
        ] {
            let facts = ContainerFacts { image: image.to_owned(), ..container("x") };
            let policy = TargetPolicy { stop_timeout_secs: said, ..TargetPolicy::default() };
            let given = stop_timeout_secs(&facts, Some(&policy), runbook);
            assert_eq!(given, secs, "{image} {said:?} {runbook:?}");
        }
    }
}
