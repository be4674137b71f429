//! Jobs of other programs in a fleet: whichever node reads one, it is done once, and by the node that
//! has what it is about.
//!
//! A job about an incident, a backup or a target that this node does not have goes to its owner as a
//! person's decision does; one about everything goes to every node that is there. Of two with one id
//! the server knows that one was done. While it is away each node does what it can do alone.
//!
//! Rejected: a stream for each node. Whoever sends a job would have to know where a container runs.

use std::borrow::Cow;

use selfheal_agents::model::{IncidentId, TargetId};
use serde_json::{Map, Value, json};

use super::registry::{Member, SILENT};
use super::server::{Kept, Taken};
use super::{Fleet, away};
use crate::coordinator::RequestError;
use crate::streams::jobs::{Job, RollbackRequest, Work};

/// Whether this node does a job that it has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It does; whether it may have been begun before.
    Ours { again: bool },
    /// It was done.
    Done,
    /// It is looked at again later: why.
    Later(String),
}

impl Fleet {
    /// Takes a job, so that nobody else does it.
    pub(crate) async fn claim(&self, job: &str) -> Claim {
        let silent = SILENT.max(self.inner.lease);
        match self.inner.server.take_job(job, self.node(), silent).await {
            Ok(Taken::Ours { again }) => Claim::Ours { again },
            Ok(Taken::Done) => Claim::Done,
            Ok(Taken::Theirs(node)) => Claim::Later(format!("node `{node}` is at it")),
            Err(error) => {
                // A job that freezes or approves here is not kept waiting by a server that is away.
                tracing::warn!(job, %error, "whether another node has this job is not known");
                Claim::Ours { again: false }
            }
        }
    }

    /// Notes that it was done.
    pub(crate) async fn job_is_done(&self, job: &str) {
        if let Err(error) = self.inner.server.job_done(job, self.node()).await {
            tracing::warn!(job, %error, "that a job was done is known here alone");
        }
    }

    /// Says that this node is still at it.
    pub(crate) async fn job_goes_on(&self, job: &str) {
        if let Err(error) = self.inner.server.job_goes_on(job, self.node()).await {
            tracing::debug!(job, %error, "the others do not hear that a job is being done");
        }
    }

    /// Lets whoever reads it next try it.
    pub(crate) async fn leaves_job(&self, job: &str) {
        if let Err(error) = self.inner.server.leave_job(job, self.node()).await {
            tracing::debug!(job, %error, "a job is this node's until it has been quiet for a while");
        }
    }

    /// Takes back what was left for others to do of a job that is put aside, and nobody began.
    pub(crate) async fn withdraws(&self, job: &str) {
        if let Err(error) = self.inner.server.withdraw(job).await {
            tracing::warn!(job, %error, "another node may still do its part of a job that is put aside");
        }
    }

    /// Lets the owner of what a job is about do it; the answer is what that one said. An error where
    /// nobody has it.
    pub(crate) async fn pass_on(&self, job: &Job) -> Result<Value, RequestError> {
        let members = self.members().await.map_err(RequestError::NotYet)?;
        let (kind, mut payload) = words(&job.work);
        let node = match about(&job.work) {
            About::Everything => return Err(RequestError::NotFound("nothing".to_owned())),
            About::Backup(id) => self.keeper_of_backup(&members, id).await?,
            About::Incident(id) => self.keeper(&members, id).await?,
            About::Target(target) => {
                let (node, name) = self.owner(&members, target)?;
                payload.insert("target".to_owned(), Value::String(name.to_string()));
                node
            }
        };
        let once = format!("job/{}", job.id);
        let said = self.decide_once(&once, &node, kind, payload, &job.by).await?;
        Ok(json!({ "node": node, "said": said }))
    }

    /// Lets every other node do a job about everything; what each said, by its name. The error names those
    /// that did not: also one that is silent, unless it is only to look.
    pub(crate) async fn pass_to_all(&self, job: &Job) -> Result<Map<String, Value>, RequestError> {
        let (kind, payload) = words(&job.work);
        let once = |node: &str| format!("job/{}/{node}", job.id);
        let answers = self.decide_for_all(once, kind, &payload, &job.by).await?;
        let (mut said, mut failed) = (Map::new(), vec![]);
        for (node, answer) in answers {
            match answer {
                Ok(text) => drop(said.insert(node, Value::String(text))),
                Err(error) => failed.push(error.to_string()),
            }
        }
        if failed.is_empty() {
            return Ok(said);
        }
        let here = std::iter::once(self.node()).chain(said.keys().map(String::as_str));
        let done: Vec<String> = here.map(|node| format!("`{node}`")).collect();
        let why = format!("{}; it is done on {}", failed.join("; "), done.join(", "));
        Err(RequestError::Conflict(why))
    }

    /// The job with the name that its target has here, where it is written as that of this node.
    pub(crate) fn as_own<'a>(&self, job: &'a Job) -> Cow<'a, Job> {
        let About::Target(target) = about(&job.work) else { return Cow::Borrowed(job) };
        let text = target.to_string();
        let Some((name, node)) = text.rsplit_once('@') else { return Cow::Borrowed(job) };
        let Some(name) = name.parse().ok().filter(|_| node == self.node()) else {
            return Cow::Borrowed(job);
        };
        let mut job = job.clone();
        match &mut job.work {
            Work::TriggerCheck(request) => request.target = Some(name),
            Work::Freeze(request) => request.target = Some(name),
            Work::Unfreeze(target) => *target = Some(name),
            Work::Approve(..) | Work::Dismiss(..) | Work::Rollback(_) => {}
        }
        Cow::Owned(job)
    }

    /// The other node that has an incident in its history.
    pub(super) async fn keeper(
        &self,
        members: &[Member],
        id: IncidentId,
    ) -> Result<String, RequestError> {
        let found = self.others_with(members, Kept::Incident(&id.to_string())).await?;
        found.into_iter().next().ok_or_else(|| {
            RequestError::NotFound(format!("no node of the fleet knows of an incident {id}"))
        })
    }

    /// The other node that made a backup. Two that made one in the same second gave it the same id.
    pub(super) async fn keeper_of_backup(
        &self,
        members: &[Member],
        id: &str,
    ) -> Result<String, RequestError> {
        let mut found = self.others_with(members, Kept::Backup(id)).await?;
        match (found.pop(), found.is_empty()) {
            (Some(node), true) => Ok(node),
            (Some(node), false) => {
                found.push(node);
                Err(several_have(id, &found))
            }
            (None, _) => Err(RequestError::NotFound(format!(
                "no node of the fleet has a backup {id}; `selfheal backups` lists those of one"
            ))),
        }
    }

    /// Sees that no other node has a backup of this id as well: whoever named it for all of them may mean that
    /// one. While the server is away nobody knows of others, and it can be done.
    pub(crate) async fn is_only_here(&self, backup: &str) -> Result<(), RequestError> {
        let Ok(members) = self.members().await else { return Ok(()) };
        let mut found = self.others_with(&members, Kept::Backup(backup)).await?;
        if found.is_empty() {
            return Ok(());
        }
        found.push(self.node().to_owned());
        Err(several_have(backup, &found))
    }

    async fn others_with(
        &self,
        members: &[Member],
        what: Kept<'_>,
    ) -> Result<Vec<String>, RequestError> {
        let others = members.iter().filter(|one| one.name != self.node());
        let names: Vec<String> = others.map(|one| one.name.clone()).collect();
        let found = self.inner.server.whose(&names, what).await;
        found.map_err(|error| RequestError::NotYet(away(&error)))
    }

    /// The other node that has this target, by which name: that of the one it is written at, or of the only
    /// one that has it.
    fn owner(
        &self,
        members: &[Member],
        target: &TargetId,
    ) -> Result<(String, TargetId), RequestError> {
        let has = |one: &Member, id: &TargetId| one.summary.targets.iter().any(|t| t.id == *id);
        let others = || members.iter().filter(|one| one.name != self.node());
        let text = target.to_string();
        if let Some((name, node)) = text.rsplit_once('@')
            && let (Some(one), Ok(name)) =
                (others().find(|one| one.name == node), name.parse::<TargetId>())
        {
            // It knows what it watches; it tells only what it looks at.
            return Ok((one.name.clone(), name));
        }
        let found: Vec<&Member> = others().filter(|one| has(one, target)).collect();
        match found[..] {
            [one] => Ok((one.name.clone(), target.clone())),
            [] => Err(RequestError::NotFound(format!(
                "no node of the fleet watches `{target}`; `selfheal fleet` lists what each does"
            ))),
            _ => {
                let all = found.iter().map(|one| format!("`{target}@{}`", one.name));
                let all: Vec<String> = all.collect();
                Err(RequestError::Conflict(format!(
                    "several nodes have `{target}`: name one of {}",
                    all.join(", ")
                )))
            }
        }
    }
}

fn several_have(backup: &str, nodes: &[String]) -> RequestError {
    RequestError::Conflict(format!(
        "several nodes have a backup {backup} ({}): name the incident of the fix that is meant",
        nodes.join(", ")
    ))
}

enum About<'a> {
    Everything,
    Incident(IncidentId),
    Backup(&'a str),
    Target(&'a TargetId),
}

fn about(work: &Work) -> About<'_> {
    match work {
        Work::Approve(id, _)
        | Work::Dismiss(id, _)
        | Work::Rollback(RollbackRequest { incident_id: Some(id), .. }) => About::Incident(*id),
        Work::Rollback(request) => About::Backup(request.backup_id.as_deref().unwrap_or_default()),
        Work::TriggerCheck(request) => of(request.target.as_ref()),
        Work::Freeze(request) => of(request.target.as_ref()),
        Work::Unfreeze(target) => of(target.as_ref()),
    }
}

fn of(target: Option<&TargetId>) -> About<'_> {
    target.map_or(About::Everything, About::Target)
}

/// What is to be done, as a decision says it.
fn words(work: &Work) -> (&'static str, Map<String, Value>) {
    let (kind, payload) = match work {
        Work::Approve(id, request) => {
            ("approve", json!({ "incident_id": id, "always": request.always }))
        }
        Work::Dismiss(id, why) => ("dismiss", json!({ "incident_id": id, "reason": why })),
        Work::Rollback(request) => (
            "rollback",
            json!({ "incident_id": request.incident_id, "backup_id": request.backup_id,
                "force": request.force }),
        ),
        Work::TriggerCheck(request) => ("trigger_check", json!(request)),
        Work::Freeze(request) => ("freeze", json!(request)),
        Work::Unfreeze(target) => ("unfreeze", json!({ "target": target })),
    };
    let mut payload = payload.as_object().cloned().unwrap_or_default();
    payload.retain(|_, value| !value.is_null());
    (kind, payload)
}
