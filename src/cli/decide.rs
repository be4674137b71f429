//! `check`, `approve`, `dismiss`, `rollback`, `freeze`, `unfreeze`: asked of the daemon.

use selfheal_agents::model::{BackupId, TargetId, clean};

use super::args::Command;
use super::client::{CallError, Client, escaped};
use super::follow::follow;
use super::output::{Exit, Failure, Outcome, Output, Style, tell};
use super::source::Source;
use super::{local, render};
use crate::config::Settings;
use crate::coordinator::CycleStatus;
use crate::http::body::{CheckRequest, Checked, Done, FreezeRequest, FreezeState, Success};

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
        Command::Approve { id } => incident(client, settings, &id, "approve", out).await,
        Command::Dismiss { id } => incident(client, settings, &id, "dismiss", out).await,
        Command::Rollback { backup_id, force } => {
            rollback(client, settings, &backup_id, force, out).await
        }
        Command::Freeze { off: true, target, .. } | Command::Unfreeze { target } => {
            unfreeze(client, target.as_ref(), out).await
        }
        Command::Freeze { duration, target, reason, .. } => {
            let request = FreezeRequest { duration, target, reason };
            let state: FreezeState = client.post("/api/freeze", Some(&request)).await?;
            out.show(&state, render::freeze_state)?;
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
        Ok(answer) => finished(&answer.data, out),
        Err(CallError::Absent(why)) => {
            tell(format!("note: {why}; this process looks by itself"));
            local::check(settings, request, out).await
        }
        Err(refused) => Err(refused.into()),
    }
}

/// Shows a finished cycle; what was found and is not being healed is exit code 1.
pub(super) fn finished(checked: &Checked, out: Output) -> Outcome {
    out.show(checked, render::checked)?;
    Ok(match checked.report.status {
        CycleStatus::Healthy | CycleStatus::Healing => Exit::Done,
        CycleStatus::IssuesFound => Exit::Wrong,
    })
}

async fn incident(
    client: &Client,
    settings: &Settings,
    part: &str,
    decision: &str,
    out: Output,
) -> Outcome {
    // Asking first gives an absent daemon its own message, and a short id its meaning.
    let source = Source::open(client.clone(), settings).await?;
    let id = source.named(part).await?;
    let done: Done = client.post(&format!("/api/incidents/{id}/{decision}"), NOTHING).await?;
    out.show(&done, done_text)?;
    Ok(Exit::Done)
}

/// No body.
const NOTHING: Option<&()> = None;

async fn rollback(
    client: &Client,
    settings: &Settings,
    backup: &str,
    force: bool,
    out: Output,
) -> Outcome {
    let id: BackupId = backup.parse().map_err(|e| {
        Failure::new(Exit::Usage, format!("`{backup}` is {e}")).next("selfheal backups")
    })?;
    let path = format!("/api/monitoring/rollback/{id}?force={force}");
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

async fn unfreeze(client: &Client, target: Option<&TargetId>, out: Output) -> Outcome {
    let query = target.map(|t| format!("?target={}", escaped(&t.to_string()))).unwrap_or_default();
    let state: FreezeState = client.delete(&format!("/api/freeze{query}")).await?;
    out.show(&state, render::freeze_state)?;
    Ok(Exit::Done)
}

fn done_text(done: &Done, _: &Style) -> String {
    let steps = done.steps.iter().map(|step| format!("\n  - {}", clean(step, 400)));
    format!("{}{}", clean(&done.message, 400), steps.collect::<String>())
}
