//! What the command line does by itself where no daemon runs: one cycle, one rollback, a freeze.
//!
//! The store is opened for this process alone, so that a daemon cannot start beside it; if
//! one holds it already, nothing is done.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use selfheal_agents::model::{BackupId, IncidentId, TargetId, clean};
use selfheal_agents::ports::{Backups as _, Incidents as _, Occasion};
use tokio::sync::broadcast::error::RecvError;

use super::daemon::{not_started, start_log};
use super::decide::{PROVING, ended, finished};
use super::output::{Exit, Failure, Outcome, Output, tell};
use super::render::live_line;
use crate::app::{App, assemble, store_alone};
use crate::audit::{Act, By, Via};
use crate::config::{Logs, Settings};
use crate::coordinator::{Coordinator, CycleStatus, Freeze, RequestError, Scope, Trigger, freezes};
use crate::http::body::{CheckRequest, Checked, Done, FreezeRequest, FreezeState};
use crate::store::{self, OpenError, SqlStore};

/// How long a rollback waits for what the last run left: a container may take its time to stop.
const TAKING_UP: Duration = Duration::from_mins(2);

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let exit = match error {
            RequestError::NotFound(_) => Exit::Usage,
            RequestError::Conflict(_) | RequestError::NotYet(_) | RequestError::Failed(_) => {
                Exit::Wrong
            }
        };
        Self::new(exit, error)
    }
}

/// A Selfheal in this process, for what somebody does; that is written down first.
async fn started(settings: &Settings, act: &Act) -> Result<App, Failure> {
    // What agents do is shown line by line anyway; the log only says what went wrong.
    start_log(&Logs { level: "warn".to_owned(), ..settings.logs.clone() })?;
    let app = assemble(settings.clone()).await.map_err(not_started)?;
    app.coordinator.audit().write(std::slice::from_ref(act)).await;
    Ok(app)
}

/// Somebody does something on the command line.
pub(super) fn act(who: &str, what: &str) -> Act {
    Act::new(Utc::now(), By { who: who.to_owned(), via: Via::Cli }, what)
}

/// One cycle in this process; waits until what it began has proved itself.
pub(super) async fn check(
    settings: &Settings,
    request: &CheckRequest,
    who: &str,
    out: Output,
) -> Outcome {
    let asked = act(who, "check").on_one(request.target.as_ref());
    let asked = asked.saying(if request.dry_run { "dry_run=true" } else { "" });
    let app = started(settings, &asked).await?;
    app.start_remembering().await;
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
    let mut exit = finished(&checked, request, out)?;
    for freeze in app.coordinator.standing().freezes {
        let (what, which) = freeze.target.map_or_else(
            || ("everything".to_owned(), String::new()),
            |id| (id.to_string(), format!(" --target {id}")),
        );
        let (by, why) = (freeze.by, freeze.reason);
        tell(format!("frozen: {what}, by {by}: {why}; `selfheal unfreeze{which}` ends that"));
    }
    if exit == Exit::Done && checked.report.status == CycleStatus::Healing && !request.dry_run {
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
    app.take_snapshot(Occasion::Housekeeping).await;
    app.cancel.cancel();
    following.abort();
    Ok(exit)
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
    tell(format!("{PROVING}; Ctrl-C leaves that to the next start"));
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
        exit = ended(incident, state, exit);
    }
    Ok(exit)
}

/// A freeze, written down for the next start.
pub(super) async fn freeze(
    settings: &Settings,
    request: &FreezeRequest,
    who: &str,
) -> Result<FreezeState, Failure> {
    let until = request.until(Utc::now()).map_err(|what| Failure::new(Exit::Usage, what))?;
    let (reason, target) = (request.reason(), request.target.clone());
    let freeze =
        Freeze { target, until, reason, by: clean(who, 80), safety_stop: false, stuck: None };
    let lasts =
        request.duration.as_ref().map_or_else(String::new, |lasts| format!(", for={lasts}"));
    let asked = act(who, "freeze").on_one(freeze.target.as_ref());
    let asked = asked.saying(format!("reason={}{lasts}", freeze.reason));
    let (store, found) = own_store(settings, asked).await?;
    if let Some(found) = found {
        tell(format!("everything is frozen: {found}"));
    }
    let freezes = freezes::add(store.as_ref(), freeze.clone(), Utc::now()).await?;
    Ok(FreezeState::frozen(&freeze, freezes))
}

/// The end of a freeze, written down for the next start. One that came only now, because the store
/// was found damaged, nobody has seen yet: it stays.
pub(super) async fn unfreeze(
    settings: &Settings,
    target: Option<&TargetId>,
    who: &str,
) -> Result<FreezeState, Failure> {
    let asked = act(who, "unfreeze").on_one(target);
    let (store, found) = own_store(settings, asked).await?;
    if let Some(found) = found {
        let what = format!("everything is frozen since just now: {found}");
        return Err(Failure::new(Exit::Wrong, what).next("selfheal incidents"));
    }
    let (was_frozen, freezes) = freezes::remove(store.as_ref(), target, Utc::now()).await?;
    Ok(FreezeState::ended(was_frozen, freezes))
}

/// The store for this process alone. Nothing that was interrupted is gone on with: whoever wants
/// everything to stand still does not want that first.
async fn own_store(
    settings: &Settings,
    act: Act,
) -> Result<(Arc<SqlStore>, Option<String>), Failure> {
    store_alone(settings, act).await.map_err(not_started)
}

/// What is to be taken back.
pub(super) enum Undo {
    /// One fix.
    Backup(BackupId),
    /// All that was done for an incident.
    Incident(IncidentId),
}

impl Undo {
    async fn is_known(&self, store: &SqlStore) -> Result<bool, Failure> {
        Ok(match self {
            Self::Backup(id) => store.backup(id).await?.is_some(),
            Self::Incident(id) => store.incident(*id).await?.is_some(),
        })
    }
}

impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backup(id) => write!(f, "backup {id}"),
            Self::Incident(id) => write!(f, "incident {id}"),
        }
    }
}

/// One rollback in this process.
pub(super) async fn rollback(
    settings: &Settings,
    wanted: &Undo,
    who: &str,
    force: bool,
) -> Result<Done, Failure> {
    // Looked up first: who mistypes a name, or a folder, has nothing made or begun for it.
    let known = match store::open_read_only(&settings.data_dir).await {
        Ok(store) => wanted.is_known(&store).await?,
        Err(OpenError::Missing { .. }) => false,
        // What is older or damaged, the start deals with.
        Err(_) => true,
    };
    if !known {
        let what = format!("there is no {wanted} in {}", settings.data_dir.display());
        return Err(Failure::new(Exit::Usage, what).next("selfheal backups"));
    }
    let asked = act(who, "rollback").saying(format!("{wanted}, force={force}"));
    let app = started(settings, &asked).await?;
    // Also what goes on beside the cycles: the end of this process would cut it off.
    let is_over = app.coordinator.taken_up_within(TAKING_UP).await
        && tokio::time::timeout(TAKING_UP, app.coordinator.applied()).await.is_ok();
    if !is_over {
        app.cancel.cancel();
        let what = "what the last run left under way is not finished: Docker, the store or a command of \
             yours takes its time";
        return Err(Failure::new(Exit::Unreachable, what).next("selfheal doctor"));
    }
    let done = match wanted {
        Undo::Backup(id) => app.coordinator.rollback(id, who, force).await,
        Undo::Incident(id) => app.coordinator.rollback_incident(*id, who, force).await,
    };
    if let Err(error) = &done {
        let refused = asked.refused(Utc::now(), &error.to_string());
        app.coordinator.audit().write(&[refused]).await;
    }
    app.cancel.cancel();
    let done = done.map_err(|error| Failure::from(error).next("selfheal backups"))?;
    let message = format!("Rolled back to backup {}", done.backup_id);
    Ok(Done { steps: done.undone, ..Done::new(message) })
}
