//! `check`, `approve`, `dismiss`, `rollback`, `freeze`, `unfreeze`, `fleet forget`: asked of the daemon,
//! and where none runs, done here if that can be done without one.

use std::time::Duration;

use chrono::Utc;
use selfheal_agents::model::{BackupId, IncidentState, TargetId, clean};
use serde::Serialize;

use super::args::{Command, Nodes};
use super::client::{CallError, Client, escaped};
use super::follow::follow;
use super::local::Undo;
use super::output::{Exit, Failure, Outcome, Output, Style, tell};
use super::source::Source;
use super::{local, render};
use crate::config::Settings;
use crate::coordinator::{CycleStatus, IncidentSummary};
use crate::http::body::{
    ApproveRequest, CheckRequest, Checked, DismissRequest, Done, FreezeRequest, FreezeState,
    IncidentDetail, Success,
};

pub(super) async fn run(
    command: Command,
    client: &Client,
    settings: &Settings,
    out: Output,
) -> Outcome {
    match command {
        Command::Check { dry_run, target } => {
            let request = CheckRequest { target, dry_run };
            check(client, settings, &request, out).await
        }
        Command::Approve { id, always } => {
            // Nothing is sent where nothing is said, as an older daemon wants it.
            let request = always.then_some(ApproveRequest { always });
            incident(client, settings, &id, "approve", request.as_ref(), out).await
        }
        Command::Dismiss { id, reason } => {
            let request = DismissRequest { reason };
            incident(client, settings, &id, "dismiss", Some(&request), out).await
        }
        Command::Rollback { what, force } => rollback(client, settings, &what, force, out).await,
        Command::Freeze { off: true, target, fleet, .. } | Command::Unfreeze { target, fleet } => {
            unfreeze(client, settings, target.as_ref(), fleet, out).await
        }
        Command::Freeze { duration, target, fleet, reason, .. } => {
            let request = FreezeRequest { duration, fleet, target, reason };
            freeze(client, settings, &request, out).await
        }
        Command::Fleet { what: Some(Nodes::Forget { node }) } => {
            let done: Done = client.delete(&format!("/api/fleet/{}", escaped(&node))).await?;
            out.show(&done, done_text)?;
            Ok(Exit::Done)
        }
        _ => {
            Err(Failure::new(Exit::Usage, "this version cannot do that yet")
                .next("selfheal --help"))
        }
    }
}

async fn check(
    client: &Client,
    settings: &Settings,
    request: &CheckRequest,
    out: Output,
) -> Outcome {
    let following = follow(client).await;
    let answer: Result<Success<Checked>, CallError> =
        client.post("/api/monitoring/trigger-check", Some(request)).await;
    drop(following);
    match answer {
        Ok(answer) => {
            let exit = finished(&answer.data, request, out)?;
            if exit != Exit::Done || answer.data.report.status != CycleStatus::Healing {
                return Ok(exit);
            }
            healed(client, &answer.data).await
        }
        Err(CallError::Absent(why)) => {
            tell(format!("note: {why}; this process looks by itself"));
            local::check(settings, request, client.who(), out).await
        }
        Err(refused) => Err(refused.into()),
    }
}

/// Shows a finished cycle; what was found and is not being healed is exit code 1, and who asked
/// for everything of a container runtime that does not answer gets 3.
pub(super) fn finished(checked: &Checked, request: &CheckRequest, out: Output) -> Outcome {
    out.show(checked, render::checked)?;
    for text in &checked.report.blind {
        tell(format!("not seen: {text}"));
    }
    if !checked.report.saw_containers() && request.target.is_none() {
        return Ok(Exit::Unreachable);
    }
    Ok(match checked.report.status {
        CycleStatus::Healthy | CycleStatus::Healing => Exit::Done,
        CycleStatus::IssuesFound => Exit::Wrong,
    })
}

/// How often the daemon is asked how a repair goes.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What to tell while a repair proves itself.
pub(super) const PROVING: &str = "being healed: each fix must prove itself";

/// Waits until every incident of the cycle has come to an end, or to a person.
async fn healed(client: &Client, checked: &Checked) -> Outcome {
    tell(format!("{PROVING}; Ctrl-C leaves that to the daemon"));
    let mut exit = Exit::Done;
    for incident in &checked.report.incidents {
        let state = loop {
            let path = format!("/api/incidents/{}", incident.id);
            let now: IncidentDetail = client.get(&path).await?;
            let state = now.row.state;
            if !matches!(state, IncidentState::Fixing | IncidentState::Validating) {
                break state;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        };
        exit = ended(incident, state, exit);
    }
    Ok(exit)
}

/// Tells how a repair ended; what was not proven is exit code 1.
pub(super) fn ended(incident: &IncidentSummary, state: IncidentState, exit: Exit) -> Exit {
    tell(format!("  {:<16} {}: {}", state.as_str(), incident.target, incident.title));
    if state == IncidentState::Resolved { exit } else { Exit::Wrong }
}

async fn incident(
    client: &Client,
    settings: &Settings,
    part: &str,
    decision: &str,
    request: Option<&impl Serialize>,
    out: Output,
) -> Outcome {
    // Asking first gives an absent daemon its own message, and a short id its meaning.
    let source = Source::open(client.clone(), settings).await?;
    let id = source.named(part).await?;
    let done: Done = client.post(&format!("/api/incidents/{id}/{decision}"), request).await?;
    out.show(&done, done_text)?;
    Ok(Exit::Done)
}

/// No body.
const NOTHING: Option<&()> = None;

async fn rollback(
    client: &Client,
    settings: &Settings,
    what: &str,
    force: bool,
    out: Output,
) -> Outcome {
    let part_of_an_id = |c: char| c.is_ascii_hexdigit() || c == '-';
    let (id, path) = if !what.is_empty() && what.chars().all(part_of_an_id) {
        let id = Source::open(client.clone(), settings).await?.named(what).await?;
        (Undo::Incident(id), format!("/api/incidents/{id}/rollback?force={force}"))
    } else {
        let id: BackupId = what.parse().map_err(|e| {
            Failure::new(Exit::Usage, format!("`{what}` is {e}")).next("selfheal backups")
        })?;
        let path = format!("/api/monitoring/rollback/{id}?force={force}");
        (Undo::Backup(id), path)
    };
    let done: Done = match client.post(&path, NOTHING).await {
        Err(CallError::Absent(why)) => {
            tell(format!("note: {why}; this process does it by itself"));
            local::rollback(settings, &id, client.who(), force).await?
        }
        answer => answer?,
    };
    out.show(&done, done_text)?;
    Ok(Exit::Done)
}

/// Whoever wants everything stopped gets that with or without a daemon: the next one obeys.
async fn freeze(
    client: &Client,
    settings: &Settings,
    request: &FreezeRequest,
    out: Output,
) -> Outcome {
    request.until(Utc::now()).map_err(|what| {
        Failure::new(Exit::Usage, what).next("selfheal freeze 30m --reason \"upgrade\"")
    })?;
    let state = match client.post("/api/freeze", Some(request)).await {
        Err(CallError::Absent(why)) if request.fleet => return Err(no_others(&why)),
        Err(CallError::Absent(why)) => {
            tell(format!("note: {why}; it is written down for the next one"));
            local::freeze(settings, request, client.who()).await?
        }
        answer => answer?,
    };
    shown(&state, out)
}

async fn unfreeze(
    client: &Client,
    settings: &Settings,
    target: Option<&TargetId>,
    fleet: bool,
    out: Output,
) -> Outcome {
    let query = match target {
        Some(target) => format!("?target={}", escaped(&target.to_string())),
        None if fleet => "?fleet=true".to_owned(),
        None => String::new(),
    };
    let state = match client.delete(&format!("/api/freeze{query}")).await {
        Err(CallError::Absent(why)) if fleet => return Err(no_others(&why)),
        Err(CallError::Absent(why)) => {
            tell(format!("note: {why}; it is written down for the next one"));
            local::unfreeze(settings, target, client.who()).await?
        }
        answer => answer?,
    };
    shown(&state, out)
}

/// What a freeze did; that a node of the fleet did not is exit code 1.
fn shown(state: &FreezeState, out: Output) -> Outcome {
    out.show(state, render::freeze_state)?;
    Ok(if state.is_everywhere() { Exit::Done } else { Exit::Wrong })
}

fn no_others(why: &str) -> Failure {
    let what = format!(
        "{why}, and only a daemon reaches the other nodes; nothing was changed: say the same on a node \
         whose daemon runs, or with its address (--url)"
    );
    Failure::new(Exit::Unreachable, what).next("selfheal doctor")
}

fn done_text(done: &Done, _: &Style) -> String {
    let steps = done.steps.iter().map(|step| format!("\n  - {}", clean(step, 400)));
    format!("{}{}", clean(&done.message, 400), steps.collect::<String>())
}
