//! Where drills take place: the stack as Docker and its own endpoints show it, and the running
//! Selfheal as its API tells.
//!
//! Looking never fails: what cannot be seen is not well.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use futures_util::future::join_all;
use selfheal_agents::model::{ContainerFacts, Endpoint, Facts, HealthStatus, IncidentId, TargetId};
use selfheal_agents::ports::{ContainerRuntime as _, Prober as _};
use tokio::time::Instant;

use super::stack::{Member, ailment};
use super::verdict::Did;
use crate::cli::client::{CallError, Client};
use crate::cli::output::tell;
use crate::docker::Docker;
use crate::http::body::{CheckRequest, IncidentDetail, IncidentList, Success};
use crate::probes::Probes;

/// How long an endpoint may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// How long is waited until the stack is well and Selfheal has finished with it.
const CALM_LIMIT: Duration = Duration::from_mins(15);
/// How often is looked for that.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How often Selfheal is asked to look, so that it sees what is over.
const ASK_AGAIN: Duration = Duration::from_secs(15);
/// A container must have run for so long: what was started a moment ago is a deployment.
const SETTLED: TimeDelta = TimeDelta::seconds(15);
/// Incidents looked through.
const INCIDENTS: usize = 100;

/// One look at the stack.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Each container, as far as it could be seen.
    pub(super) containers: BTreeMap<TargetId, Option<ContainerFacts>>,
    /// Endpoints that do not answer as they should.
    pub(super) failing: BTreeSet<TargetId>,
}

impl Seen {
    /// What is wrong, if anything: one sentence.
    pub(super) fn trouble(&self) -> Option<String> {
        let of_container = self.containers.iter().find_map(|(id, facts)| {
            let ill = match facts {
                None => Some("it cannot be seen".to_owned()),
                Some(facts) if facts.health == Some(HealthStatus::Starting) => {
                    Some("it has not had its time to start".to_owned())
                }
                Some(facts) => ailment(facts),
            };
            ill.map(|ill| format!("{id}: {ill}"))
        });
        of_container.or_else(|| self.failing.first().map(|id| format!("{id} does not answer")))
    }

    /// Who does not work beside this container.
    pub(super) fn suffering(&self, broken: &TargetId) -> BTreeSet<TargetId> {
        let others = self.containers.iter().filter(|(id, _)| *id != broken);
        let ill = others.filter(|(_, facts)| facts.as_ref().is_some_and(|f| ailment(f).is_some()));
        ill.map(|(id, _)| id.clone()).chain(self.failing.iter().cloned()).collect()
    }

    fn is_young(&self) -> bool {
        let lately = Utc::now() - SETTLED;
        let started = self.containers.values().flatten().filter_map(|facts| facts.started_at);
        started.max().is_some_and(|at| at > lately)
    }
}

/// The stack and its Selfheal.
pub(super) struct Site {
    /// Docker, asked directly.
    pub(super) docker: Docker,
    /// The running Selfheal.
    pub(super) client: Client,
    /// Asks endpoints.
    pub(super) probes: Probes,
    /// The marked containers that ran at the beginning.
    pub(super) members: Vec<Member>,
}

impl Site {
    /// Looks once at everything.
    pub(super) async fn look(&self) -> Seen {
        let containers = join_all(self.members.iter().map(|member| async {
            (member.id.clone(), self.docker.container(&member.facts.name).await.ok())
        }));
        let endpoints = self.members.iter().flat_map(|member| &member.endpoints);
        let failing =
            join_all(endpoints.map(|(id, endpoint)| async {
                (!self.answers(endpoint).await).then(|| id.clone())
            }));
        let (containers, failing) = tokio::join!(containers, failing);
        let containers = containers.into_iter().collect();
        Seen { containers, failing: failing.into_iter().flatten().collect() }
    }

    async fn answers(&self, endpoint: &Endpoint) -> bool {
        match self.probes.probe(endpoint, ANSWER).await {
            Facts::Http(facts) => facts.ok,
            Facts::Tcp(facts) => facts.reachable,
            Facts::Redis(facts) => facts.reachable,
            Facts::Postgres(facts) | Facts::Mysql(facts) => facts.reachable,
            Facts::Host(_) | Facts::Container(_) => false,
        }
    }

    /// Waits until all of the stack is well and Selfheal has nothing open about it; the error says
    /// what keeps it from that.
    pub(super) async fn calm(&self) -> Result<(), String> {
        let deadline = Instant::now() + CALM_LIMIT;
        let mut asked: Option<Instant> = None;
        let mut told = false;
        loop {
            let seen = self.look().await;
            if asked.is_none_or(|at| at.elapsed() >= ASK_AGAIN) {
                self.ask_to_look().await.map_err(|error| unanswered(&error))?;
                asked = Some(Instant::now());
            }
            let trouble = match seen.trouble() {
                None if seen.is_young() => Some("a container was started a moment ago".to_owned()),
                None => self.open_incident().await.map_err(|error| unanswered(&error))?,
                trouble => trouble,
            };
            let Some(trouble) = trouble else { return Ok(()) };
            if Instant::now() >= deadline {
                return Err(format!("the stack is not well: {trouble}"));
            }
            if !told {
                tell(format!("  waiting until all is well: {trouble}"));
                told = true;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn ask_to_look(&self) -> Result<(), CallError> {
        let request = CheckRequest { target: None, dry_run: false };
        let path = "/api/monitoring/trigger-check";
        let _: Success<serde_json::Value> = self.client.post(path, Some(&request)).await?;
        Ok(())
    }

    async fn open_incident(&self) -> Result<Option<String>, CallError> {
        let path = format!("/api/incidents?limit={INCIDENTS}&state=open");
        let list: IncidentList = self.client.get(&path).await?;
        let open = list.incidents.into_iter().find(|incident| self.is_ours(&incident.target));
        Ok(open.map(|incident| {
            format!(
                "Selfheal has an incident about {} ({})",
                incident.target,
                incident.state.as_str()
            )
        }))
    }

    /// Whether it is a container of the stack, or asks one.
    fn is_ours(&self, id: &TargetId) -> bool {
        self.members.iter().any(|member| {
            member.id == *id
                || member.asked_by.contains(id)
                || member.endpoints.iter().any(|(endpoint, _)| endpoint == id)
        })
    }

    /// The newest incidents there are.
    pub(super) async fn incidents(&self) -> Result<IncidentList, CallError> {
        self.client.get(&format!("/api/incidents?limit={INCIDENTS}")).await
    }

    /// What Selfheal did about the stack in incidents that are not among `before`.
    pub(super) async fn deeds(&self, before: &BTreeSet<IncidentId>) -> Result<Vec<Did>, CallError> {
        let mut deeds = vec![];
        for row in self.incidents().await?.incidents {
            if before.contains(&row.id) {
                continue;
            }
            let detail: IncidentDetail =
                self.client.get(&format!("/api/incidents/{}", row.id)).await?;
            let did = Did::from(&detail);
            let about = [Some(&did.target), did.fix_target.as_ref()];
            if about.into_iter().flatten().any(|id| self.is_ours(id)) {
                deeds.push(did);
            }
        }
        // Oldest first.
        deeds.reverse();
        Ok(deeds)
    }
}

/// Why Selfheal's own word cannot be had.
fn unanswered(error: &CallError) -> String {
    match error {
        CallError::Absent(text) | CallError::NotNow(text) => text.clone(),
        CallError::Refused(failure) => failure.what.clone(),
    }
}

#[cfg(test)]
mod tests {
    use selfheal_agents::fakes::{container, healthy};
    use selfheal_agents::model::ContainerStatus;

    use super::*;

    fn seen(containers: Vec<ContainerFacts>) -> Seen {
        let each = containers.into_iter().map(|facts| (TargetId::container(&facts.name), facts));
        let containers = each.map(|(id, facts)| (id, Some(facts))).collect();
        Seen { containers, failing: BTreeSet::new() }
    }

    #[test]
    fn a_stack_is_well_only_if_all_of_it_is_seen_to_be() {
        let fine = || seen(vec![container("a"), healthy("b")]);
        assert_eq!(fine().trouble(), None);
        let gone = (TargetId::container("c"), None);
        let unseen =
            Seen { containers: fine().containers.into_iter().chain([gone]).collect(), ..fine() };
        assert!(unseen.trouble().unwrap().contains("container:c"));
        let silent = Seen { failing: BTreeSet::from(["http:b".parse().unwrap()]), ..fine() };
        assert!(silent.trouble().unwrap().contains("http:b"));
        let starting = ContainerFacts { health: Some(HealthStatus::Starting), ..healthy("b") };
        assert!(seen(vec![container("a"), starting]).trouble().is_some());
    }

    #[test]
    fn who_suffers_is_ill_itself_and_not_the_broken_one() {
        let down = |name| ContainerFacts { status: ContainerStatus::Exited, ..container(name) };
        let sick = ContainerFacts { health: Some(HealthStatus::Unhealthy), ..healthy("c") };
        let starting = ContainerFacts { health: Some(HealthStatus::Starting), ..healthy("d") };
        let look = seen(vec![down("a"), down("b"), sick, starting, container("e")]);
        let wanted = [TargetId::container("b"), TargetId::container("c")];
        assert_eq!(look.suffering(&TargetId::container("a")), BTreeSet::from(wanted));
    }
}
