//! What the command line does by itself where no daemon runs: one cycle, one rollback.
//!
//! The store is opened for this process alone, so that a daemon cannot start beside it; if
//! one holds it already, nothing is done.

use std::time::Duration;

use selfheal_agents::model::{BackupId, IncidentState, TargetId};
use tokio::sync::broadcast::error::RecvError;

use super::daemon::{not_started, start_log};
use super::decide::finished;
use super::output::{Exit, Failure, Outcome, Output, tell};
use super::render::live_line;
use crate::app::{App, assemble};
use crate::config::{Logs, Settings};
use crate::coordinator::{Coordinator, CycleStatus, RequestError, Scope, Trigger};
use crate::http::body::{CheckRequest, Checked, Done};

/// How long a rollback waits for what the last run left: a container may take its time to stop.
const TAKING_UP: Duration = Duration::from_mins(2);

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let exit = match error {
            RequestError::NotFound(_) => Exit::Usage,
            RequestError::Conflict(_) | RequestError::Failed(_) => Exit::Wrong,
        };
        Self::new(exit, error)
    }
}

async fn started(settings: &Settings) -> Result<App, Failure> {
    // What agents do is shown line by line anyway; the log only says what went wrong.
    start_log(&Logs { level: "warn".to_owned(), ..settings.logs.clone() })?;
    assemble(settings.clone()).await.map_err(not_started)
}

/// One cycle in this process; waits until what it began has proved itself.
pub(super) async fn check(settings: &Settings, request: &CheckRequest, out: Output) -> Outcome {
    let app = started(settings).await?;
    let following = tokio::spawn(show(app.coordinator.clone()));
    let scope = request.target.clone().map_or(Scope::All, Scope::target);
    let report = app.coordinator.check(scope, Trigger::CommandLine, request.dry_run).await?;
    if let Some(target) =
        request.target.as_ref().filter(|id| report.targets.iter().all(|t| t.id != **id))
    {
        let what = format!("no target `{target}`");
        return Err(Failure::new(Exit::Usage, what).next("selfheal check --dry-run"));
    }
    let checked = Checked::from(report.as_ref().clone());
    let mut exit = finished(&checked, out)?;
    if checked.report.status == CycleStatus::Healing && !request.dry_run {
        exit = healed(&app.coordinator, &checked).await?;
    }
    if exit == Exit::Done && !checked.report.rising.is_empty() {
        // One look cannot tell a peak from what lasts, and nobody looks again.
        let rising: Vec<String> = checked.report.rising.iter().map(TargetId::to_string).collect();
        tell(format!(
            "above a limit, and not known for how long: {}; a running `selfheal run` looks again",
            rising.join(", ")
        ));
        exit = Exit::Wrong;
    }
    app.cancel.cancel();
    following.abort();
    let blind = !app.coordinator.standing().runtime_connected && request.target.is_none();
    for text in &checked.report.blind {
        tell(format!("not seen: {text}"));
    }
    Ok(if blind { Exit::Unreachable } else { exit })
}

async fn show(coordinator: Coordinator) {
    let mut live = coordinator.subscribe();
    loop {
        match live.recv().await {
            Ok(event) => live_line(&event.what).into_iter().for_each(tell),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Waits for the windows of what the cycle began; a person may leave earlier.
async fn healed(coordinator: &Coordinator, checked: &Checked) -> Outcome {
    tell("being healed: each fix must prove itself; Ctrl-C leaves that to the next start");
    tokio::select! {
        () = coordinator.settled() => {}
        _ = tokio::signal::ctrl_c() => {
            coordinator.applied().await;
            tell("left: the next `selfheal run` or `check` goes on with what is not proven");
            return Ok(Exit::Wrong);
        }
    }
    let mut exit = Exit::Done;
    for incident in &checked.report.incidents {
        let now = coordinator.store().incident(incident.id).await?;
        let state = now.map_or(incident.state, |incident| incident.state());
        tell(format!("  {:<16} {}: {}", state.as_str(), incident.target, incident.title));
        if state != IncidentState::Resolved {
            exit = Exit::Wrong;
        }
    }
    Ok(exit)
}

/// One rollback in this process.
pub(super) async fn rollback(
    settings: &Settings,
    id: &BackupId,
    who: &str,
    force: bool,
) -> Result<Done, Failure> {
    let app = started(settings).await?;
    if !app.coordinator.taken_up_within(TAKING_UP).await {
        app.cancel.cancel();
        let what =
            "what the last run left under way is not finished: Docker or the store does not answer";
        return Err(Failure::new(Exit::Unreachable, what).next("selfheal doctor"));
    }
    let done = app.coordinator.rollback(id, who, force).await;
    app.cancel.cancel();
    let done = done.map_err(|error| Failure::from(error).next("selfheal backups"))?;
    let message = format!("Rolled back to backup {}", done.backup_id);
    Ok(Done { steps: done.undone, ..Done::new(message) })
}
