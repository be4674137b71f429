//! What people decide on one node about what is another's: left at the server, done by the owner.
//!
//! A decision is done once: the owner notes in its own store that it is done before it says so, and
//! goes on with one that it had begun. What waited too long is not done any more.

use std::time::Duration;

use futures_util::future::join_all;
use selfheal_agents::model::{IncidentId, clean};
use serde_json::{Map, Value};
use tokio::sync::Notify;
use uuid::Uuid;

use super::registry::Member;
use super::server::Waiting;
use super::{Fleet, away};
use crate::audit::Via;
use crate::coordinator::{Coordinator, RequestError};
use crate::streams::desk::attend;
use crate::streams::jobs::{Job, work};

/// So soon it is looked for more, and for what could not be done.
const AGAIN: Duration = Duration::from_secs(2);
/// How often whoever asks for an answer looks for it.
const LOOK: Duration = Duration::from_millis(250);

/// So long an answer is waited for: as long as the call waits in which it is asked for.
fn patience(kind: &str) -> Duration {
    Duration::from_secs(match kind {
        "trigger_check" | "rollback" => 150,
        _ => 25,
    })
}

/// What stops automatic fixes, or lets them go on, waits for nothing else that was decided.
pub(super) const FREEZES: [&str; 2] = ["freeze", "unfreeze"];

/// What became of it.
struct Said {
    done: bool,
    answer: String,
}

impl Fleet {
    /// The node that has this incident, if it is another's.
    async fn owner_of(&self, id: IncidentId) -> Result<String, RequestError> {
        let members = self.members().await.map_err(RequestError::NotYet)?;
        let owner = members.iter().find(|member| {
            member.name != self.inner.node
                && member.summary.incidents.iter().any(|incident| incident.id == id)
        });
        match owner {
            Some(member) => Ok(member.name.clone()),
            // What is closed can be taken back.
            None => self.keeper(&members, id).await,
        }
    }

    /// Lets the owner of an incident do what `who` decided here; answers what it said.
    pub async fn decide_incident(
        &self,
        id: IncidentId,
        kind: &str,
        mut payload: Map<String, Value>,
        who: &str,
    ) -> Result<String, RequestError> {
        let node = self.owner_of(id).await?;
        payload.insert("incident_id".to_owned(), Value::String(id.to_string()));
        self.decide(&node, kind, payload, who).await
    }

    /// Lets the node that made a backup take back its fix; answers what it said.
    pub async fn roll_back(
        &self,
        backup: &str,
        force: bool,
        who: &str,
    ) -> Result<String, RequestError> {
        let members = self.members().await.map_err(RequestError::NotYet)?;
        let node = self.keeper_of_backup(&members, backup).await?;
        let payload = [("backup_id", Value::from(backup)), ("force", Value::from(force))];
        let payload = payload.map(|(name, value)| (name.to_owned(), value));
        self.decide(&node, "rollback", Map::from_iter(payload), who).await
    }

    /// Lets a node do what `who` decided here.
    pub async fn decide(
        &self,
        node: &str,
        kind: &str,
        payload: Map<String, Value>,
        who: &str,
    ) -> Result<String, RequestError> {
        self.decide_once(&new_id(), node, kind, payload, who).await
    }

    /// The same of a decision that has an id: decided a second time, it is only waited for its answer.
    pub(super) async fn decide_once(
        &self,
        id: &str,
        node: &str,
        kind: &str,
        payload: Map<String, Value>,
        who: &str,
    ) -> Result<String, RequestError> {
        self.leave(id, node, kind, payload, who).await?;
        let server = &self.inner.server;
        let answered = async {
            loop {
                if let Ok(Some(answer)) = server.answer(id).await {
                    return answer;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        match tokio::time::timeout(patience(kind), answered).await {
            Ok((true, said)) => Ok(format!("node `{node}`: {said}")),
            Ok((false, said)) => Err(RequestError::Conflict(format!("node `{node}`: {said}"))),
            Err(_) => Err(RequestError::NotYet(format!(
                "node `{node}` has not answered yet; it does it as soon as it can, within ten minutes"
            ))),
        }
    }

    /// Leaves a decision for a node, which does it when it finds it.
    async fn leave(
        &self,
        id: &str,
        node: &str,
        kind: &str,
        payload: Map<String, Value>,
        who: &str,
    ) -> Result<(), RequestError> {
        let by = clean(&format!("{who} at {}", self.node()), 80);
        let payload = Value::Object(payload).to_string();
        let left = self.inner.server.decide(node, id, kind, &payload, &by).await;
        left.map_err(|error| RequestError::NotYet(away(&error)))
    }

    /// Lets every other node do what `who` decided for all; what each said, by its name. One that gives no
    /// sign of life finds it when it is back.
    pub async fn decide_for_others(
        &self,
        kind: &str,
        payload: &Map<String, Value>,
        who: &str,
    ) -> Result<Vec<(String, Result<String, RequestError>)>, RequestError> {
        self.decide_for_all(|_| new_id(), kind, payload, who).await
    }

    /// The same of a decision that has an id for each node. One that is silent need not look, which is all
    /// that is asked of it with anything but a freeze.
    pub(super) async fn decide_for_all(
        &self,
        id: impl Fn(&str) -> String,
        kind: &str,
        payload: &Map<String, Value>,
        who: &str,
    ) -> Result<Vec<(String, Result<String, RequestError>)>, RequestError> {
        let members = self.members().await.map_err(RequestError::NotYet)?;
        let is_asked = |one: &Member| !one.is_silent || FREEZES.contains(&kind);
        let others = members.into_iter().filter(|one| one.name != self.node() && is_asked(one));
        let asked = others.map(|one| {
            let id = id(&one.name);
            async move {
                let said = if one.is_silent {
                    let left = self.leave(&id, &one.name, kind, payload.clone(), who).await;
                    left.and_then(|()| Err(silent(&one.name)))
                } else {
                    self.decide_once(&id, &one.name, kind, payload.clone(), who).await
                };
                (one.name, said)
            }
        });
        Ok(join_all(asked).await)
    }
}

fn new_id() -> String {
    Uuid::now_v7().to_string()
}

fn silent(node: &str) -> RequestError {
    RequestError::NotYet(format!(
        "node `{node}` gives no sign of life; it does it when it is back within ten minutes"
    ))
}

/// Does what waits for this node whenever it is told that anything does: each time that it tells how it
/// is. To ask on its own would be a third of what an idle node asks of the server.
pub(super) async fn run(fleet: &Fleet, coordinator: &Coordinator) {
    let wait = &fleet.inner.decisions_wait;
    tokio::join!(
        attend_to(fleet, coordinator, &wait.freezes, true),
        attend_to(fleet, coordinator, &wait.others, false),
    );
}

/// Does those that are about freezes, or all others.
async fn attend_to(fleet: &Fleet, coordinator: &Coordinator, wait: &Notify, freezes: bool) {
    loop {
        wait.notified().await;
        // Until the server knows this node again, or its name is its own.
        while fleet.state().away.is_none() && !all_are_done(fleet, coordinator, freezes).await {
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Whether nothing waits any more.
async fn all_are_done(fleet: &Fleet, coordinator: &Coordinator, freezes: bool) -> bool {
    let Ok(waiting) = fleet.inner.server.waiting(fleet.node(), freezes).await else { return false };
    let is_last = waiting.is_empty();
    for one in waiting {
        let id = one.id.clone();
        if let Err(error) = carry_out(fleet, coordinator, one).await {
            tracing::warn!(decision = id, "a decision of another node waits: {error:#}");
            if freezes {
                // A freeze that is tried again must not come after the word that ends it.
                return false;
            }
        }
    }
    is_last
}

async fn carry_out(
    fleet: &Fleet,
    coordinator: &Coordinator,
    waiting: Waiting,
) -> anyhow::Result<()> {
    let (server, store) = (&fleet.inner.server, coordinator.store());
    let id = waiting.id.clone();
    let said = if store.is_job_finished(&id).await? {
        Said { done: true, answer: "done before".to_owned() }
    } else if server.begin(&id).await? {
        let said = done(coordinator, waiting).await?;
        // What was refused is refused again, and never told as done.
        if said.done {
            store.finish_job(&id, coordinator.now(), &[]).await?;
        }
        said
    } else {
        let answer = "it waited for more than ten minutes and is not done any more".to_owned();
        Said { done: false, answer }
    };
    server.end(&id, said.done, &said.answer).await?;
    Ok(())
}

/// Does it as for whoever decided; the error says why it is tried again.
async fn done(coordinator: &Coordinator, waiting: Waiting) -> anyhow::Result<Said> {
    let Waiting { id, kind, payload, asked_by, begun } = waiting;
    let payload: Map<String, Value> = serde_json::from_str(&payload).unwrap_or_default();
    let work = match work(&kind, payload) {
        Ok(work) => work,
        Err(answer) => return Ok(Said { done: false, answer }),
    };
    tracing::info!(decision = id, by = asked_by, kind, "another node passes a decision on");
    let job = Job { id, by: asked_by, via: Via::Fleet, work };
    Ok(match attend(coordinator, None, &job, begun).await {
        Ok(answer) => {
            let text = answer.result["error"].as_str().map(str::to_owned);
            let text = text.unwrap_or_else(|| format!("{kind} is done"));
            Said { done: answer.done, answer: text }
        }
        // Such as right after a start.
        Err(why) => anyhow::bail!(why),
    })
}
