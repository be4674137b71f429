//! Does a job, by the same calls that people's decisions go through, and written down as theirs.

use std::borrow::Cow;

use chrono::TimeDelta;
use selfheal_agents::model::{
    Actor, Incident, IncidentState, Message, Stream, TargetId, Timestamp,
};
use serde_json::{Value, json};

use super::fields::Fields;
use super::jobs::{Job, RollbackRequest, Work};
use crate::audit::{Act, By};
use crate::coordinator::{Coordinator, CycleReport, RequestError, RollbackDone, Scope, Trigger};
use crate::fleet::Fleet;
use crate::http::body::{CheckRequest, FreezeRequest, FreezeState};

/// What a job came to.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Whether it was done; else it cannot be done as things are.
    pub(crate) done: bool,
    /// What came of it, or why not.
    pub(crate) result: Value,
    /// What it was about: a backup or an incident.
    about: Option<String>,
    took: TimeDelta,
}

impl Answer {
    /// What is told of it.
    pub(super) fn message(&self, job: &Job, now: Timestamp) -> Message {
        let mut result = self.result.clone();
        if let Some(result) = result.as_object_mut() {
            result.insert("execution_time".to_owned(), json!(self.took.as_seconds_f64()));
        }
        Fields::of(format!("{}/result", job.id))
            .with("job_id", &job.id)
            .with("repair_id", self.about.as_ref().unwrap_or(&job.id))
            .with("status", if self.done { "success" } else { "failed" })
            .with("result", result)
            .at(now, Stream::Results)
    }
}

/// Does it, in a fleet wherever what it is about is. The error says why it is tried again. `again` says
/// that it was begun before and may be done already, without an answer.
pub(crate) async fn attend(
    coordinator: &Coordinator,
    fleet: Option<&Fleet>,
    job: &Job,
    again: bool,
) -> Result<Answer, String> {
    let own = fleet.map_or(Cow::Borrowed(job), |fleet| fleet.as_own(job));
    let (job, begun) = (own.as_ref(), coordinator.now());
    let about = about(&job.work);
    let act = act(job, begun);
    coordinator.audit().write(std::slice::from_ref(&act)).await;
    let mut came_to = match is_clear(coordinator, fleet, job).await {
        Ok(()) => attempt(coordinator, job).await,
        Err(error) => Err(error),
    };
    if again && matches!(came_to, Err(RequestError::Conflict(_))) && is_done(coordinator, job).await
    {
        came_to = Ok(json!({ "done_before": true }));
    }
    if let Some(fleet) = fleet {
        came_to = elsewhere(coordinator, fleet, job, came_to).await;
    }
    let now = coordinator.now();
    let took = now - begun;
    if let Err(error) = &came_to {
        coordinator.audit().write(&[act.refused(now, &error.to_string())]).await;
    }
    match came_to {
        Ok(result) => Ok(Answer { done: true, result, about, took }),
        Err(RequestError::NotFound(why) | RequestError::Conflict(why)) => {
            Ok(Answer { done: false, result: json!({ "error": why }), about, took })
        }
        Err(RequestError::NotYet(why) | RequestError::Failed(why)) => Err(why),
    }
}

/// Sees that whoever reads a job does what is meant: backups of two nodes may have one id.
async fn is_clear(
    coordinator: &Coordinator,
    fleet: Option<&Fleet>,
    job: &Job,
) -> Result<(), RequestError> {
    let (Some(fleet), Work::Rollback(request)) = (fleet, &job.work) else { return Ok(()) };
    let Ok(Some(id)) = request.backup() else { return Ok(()) };
    match coordinator.store().backup(&id).await {
        Ok(Some(_)) => fleet.is_only_here(id.as_str()).await,
        // It is looked for again where it is taken back.
        Ok(None) | Err(_) => Ok(()),
    }
}

/// What it comes to with the other nodes: they have what is not here, and what is about everything is
/// about them as well.
async fn elsewhere(
    coordinator: &Coordinator,
    fleet: &Fleet,
    job: &Job,
    here: Result<Value, RequestError>,
) -> Result<Value, RequestError> {
    let mut result = match here {
        Err(RequestError::NotFound(_)) => return fleet.pass_on(job).await,
        here => here?,
    };
    match &job.work {
        Work::TriggerCheck(CheckRequest { target: None, .. })
        | Work::Freeze(FreezeRequest { target: None, .. })
        | Work::Unfreeze(None) => {
            result["nodes"] = Value::Object(fleet.pass_to_all(job).await?);
        }
        Work::Unfreeze(Some(target)) => {
            let there = fleet.unfreeze_elsewhere(target, &job.by).await?;
            let is_ended = there || result["message"] == FreezeState::ENDED;
            if !is_ended && !coordinator.watches(target) {
                return fleet.pass_on(job).await;
            }
        }
        _ => {}
    }
    Ok(result)
}

/// What the audit log says of it, in the words that it has for people's acts.
fn act(job: &Job, at: Timestamp) -> Act {
    let by = By { who: job.by.clone(), via: job.via };
    let act = |word: &str| Act::new(at, by.clone(), word).saying(format!("job {}", job.id));
    match &job.work {
        Work::TriggerCheck(request) => act("check").on_one(request.target.as_ref()),
        Work::Approve(id, _) => act("approve").about(*id),
        Work::Dismiss(id, _) => act("dismiss").about(*id),
        Work::Rollback(RollbackRequest { incident_id: Some(id), .. }) => act("rollback").about(*id),
        Work::Rollback(request) => {
            act("rollback").on(request.backup_id.clone().unwrap_or_default())
        }
        Work::Freeze(request) => act("freeze").on_one(request.target.as_ref()),
        Work::Unfreeze(target) => act("unfreeze").on_one(target.as_ref()),
    }
}

/// Whether what is asked for is how it is already, by whoever asks.
async fn is_done(coordinator: &Coordinator, job: &Job) -> bool {
    let store = coordinator.store();
    let decided = |incident: &Incident, state: IncidentState| {
        let mut own = incident.timeline.iter().filter(|entry| entry.state == Some(state));
        own.any(|entry| entry.actor == Actor::Person(job.by.clone()))
    };
    let (id, state) = match &job.work {
        Work::Approve(id, _) => (*id, IncidentState::Fixing),
        Work::Dismiss(id, _) => (*id, IncidentState::Resolved),
        Work::Rollback(RollbackRequest { incident_id: Some(id), .. }) => {
            (*id, IncidentState::RolledBack)
        }
        Work::Rollback(request) => {
            let Ok(Some(id)) = request.backup() else { return false };
            let backup = store.backup(&id).await.ok().flatten();
            return backup.is_some_and(|backup| backup.rolled_back_at.is_some());
        }
        Work::TriggerCheck(_) | Work::Freeze(_) | Work::Unfreeze(_) => return false,
    };
    store.incident(id).await.ok().flatten().is_some_and(|incident| decided(&incident, state))
}

fn about(work: &Work) -> Option<String> {
    match work {
        Work::Approve(id, _)
        | Work::Dismiss(id, _)
        | Work::Rollback(RollbackRequest { incident_id: Some(id), .. }) => Some(id.to_string()),
        Work::Rollback(request) => request.backup_id.clone(),
        Work::TriggerCheck(_) | Work::Freeze(_) | Work::Unfreeze(_) => None,
    }
}

async fn attempt(coordinator: &Coordinator, job: &Job) -> Result<Value, RequestError> {
    let who = job.by.as_str();
    match &job.work {
        Work::TriggerCheck(request) => check(coordinator, request).await,
        Work::Rollback(request) => {
            let done = roll_back(coordinator, request, who).await?;
            Ok(json!({ "backup_id": done.backup_id, "changes": done.undone }))
        }
        Work::Approve(id, request) => {
            if request.always {
                coordinator.approve_always(*id, who).await?;
            } else {
                coordinator.approve(*id, who).await?;
            }
            Ok(json!({ "incident_id": id }))
        }
        Work::Dismiss(id, why) => {
            coordinator.dismiss(*id, who, why).await?;
            Ok(json!({ "incident_id": id }))
        }
        Work::Freeze(request) => freeze(coordinator, request, who).await,
        Work::Unfreeze(target) => {
            let ended = coordinator.unfreeze(target.as_ref(), who).await?;
            Ok(json!(FreezeState::ended(ended, coordinator.standing().freezes)))
        }
    }
}

async fn check(coordinator: &Coordinator, request: &CheckRequest) -> Result<Value, RequestError> {
    let scope = request.target.clone().map_or(Scope::All, Scope::target);
    let report = coordinator.check(scope, Trigger::Stream, request.dry_run).await?;
    if let Some(target) = &request.target
        && report.targets.iter().all(|seen| seen.id != *target)
    {
        return Err(unknown(target));
    }
    Ok(summary(&report))
}

fn summary(report: &CycleReport) -> Value {
    json!({
        "cycle_id": report.cycle_id,
        "status": report.status,
        "issues": report.findings.iter().filter(|finding| finding.is_trouble()).count(),
        "incidents": report.incidents,
        "blind": report.blind,
    })
}

async fn roll_back(
    coordinator: &Coordinator,
    request: &RollbackRequest,
    who: &str,
) -> Result<RollbackDone, RequestError> {
    if let Some(incident) = request.incident_id {
        return coordinator.rollback_incident(incident, who, request.force).await;
    }
    match request.backup().map_err(RequestError::NotFound)? {
        Some(backup) => coordinator.rollback(&backup, who, request.force).await,
        None => Err(RequestError::NotFound("no backup is named".to_owned())),
    }
}

async fn freeze(
    coordinator: &Coordinator,
    request: &FreezeRequest,
    who: &str,
) -> Result<Value, RequestError> {
    // A job without a target is about every node anyhow.
    request.is_of_all().map_err(RequestError::Conflict)?;
    // What another node looks after is watched here as well, though it was never looked at.
    if let Some(target) = &request.target
        && !coordinator.watches(target)
        && coordinator.standing().targets.iter().all(|known| known.id != *target)
    {
        return Err(unknown(target));
    }
    let until = request.until(coordinator.now());
    let until = until.map_err(|what| RequestError::Conflict(format!("`for`: {what}")))?;
    let reason = request.reason();
    let freeze = coordinator.freeze(request.target.clone(), until, &reason, who).await?;
    Ok(json!(FreezeState::frozen(&freeze, coordinator.standing().freezes)))
}

fn unknown(target: &TargetId) -> RequestError {
    RequestError::NotFound(format!(
        "no target `{target}`; `selfheal targets` lists what is watched"
    ))
}
