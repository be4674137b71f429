//! `status`, `incidents`, `explain`, `targets`, `backups`, `shadow`, `fleet`.

use std::fmt::Write as _;

use selfheal_agents::model::{TargetId, clean};

use super::client::Client;
use super::output::{Exit, Failure, Outcome, Output};
use super::render::{self, Overview};
use super::source::Source;
use crate::config::Settings;
use crate::http::body::FleetView;
use crate::http::body::Restarted;

/// How everything stands. Something not well, or not seen, is exit code 1; a container runtime
/// that does not answer is 3.
pub(super) async fn status(client: Client, settings: &Settings, out: Output) -> Outcome {
    let (source, overview) = overview_of(client, settings).await?;
    out.show(&overview, render::overview)?;
    if !source.is_live() {
        return Ok(Exit::Unreachable);
    }
    if overview.status.last_check.is_some() && !overview.status.runtime_connected {
        return Ok(Exit::Unreachable);
    }
    let well = overview.open_incidents.is_empty()
        && overview.status.blind.is_empty()
        && overview.targets.iter().all(|target| !target.verdict.is_bad());
    Ok(if well { Exit::Done } else { Exit::Wrong })
}

/// Everything that `status` shows, and where it was read.
pub(super) async fn overview_of(
    client: Client,
    settings: &Settings,
) -> Result<(Source, Overview), Failure> {
    let url = client.url().to_owned();
    let source = Source::open(client, settings).await?;
    let overview = Overview {
        daemon: source.is_live().then_some(url),
        status: source.status().await?,
        targets: source.targets().await?.targets,
        open_incidents: source.incidents(Some("open"), None, 50).await?.incidents,
    };
    Ok((source, overview))
}

/// Whether the daemon itself works, whatever becomes of what it watches; with `alive` only what
/// starting it again would mend counts against it.
pub(super) async fn own_status(client: &Client, alive: bool, out: Output) -> Outcome {
    let health = client.own_health().await?;
    out.show(&health, |health, _| {
        let mut text = match &health.detail {
            None => format!("{} works", client.url()),
            Some(fault) => format!("{} does not work: {}", client.url(), clean(fault, 500)),
        };
        if let Some(heartbeat) = &health.heartbeat {
            let _ = write!(text, "\n  the sign of life {}", clean(heartbeat, 100));
        }
        for Restarted { part, times } in &health.restarted {
            let part = clean(part, 100);
            let _ = write!(text, "\n  begun anew after a fault of its own, {times}x: {part}");
        }
        text
    })?;
    let is_well = if alive { !health.hangs } else { health.is_healthy() };
    Ok(if is_well { Exit::Done } else { Exit::Wrong })
}

/// Which incidents are wanted.
pub(super) struct Wanted {
    pub(super) state: Option<String>,
    pub(super) target: Option<TargetId>,
    pub(super) limit: usize,
}

pub(super) async fn incidents(
    client: Client,
    settings: &Settings,
    wanted: &Wanted,
    out: Output,
) -> Outcome {
    let source = Source::open(client, settings).await?;
    let list =
        source.incidents(wanted.state.as_deref(), wanted.target.as_ref(), wanted.limit).await?;
    out.show(&list, render::incidents)?;
    Ok(Exit::Done)
}

pub(super) async fn incident(
    client: Client,
    settings: &Settings,
    id: &str,
    with_timeline: bool,
    out: Output,
) -> Outcome {
    let source = Source::open(client, settings).await?;
    let detail = source.incident(id).await?;
    out.show(&detail, |detail, style| render::incident(detail, with_timeline, style))?;
    Ok(Exit::Done)
}

pub(super) async fn targets(
    client: Client,
    settings: &Settings,
    id: Option<TargetId>,
    out: Output,
) -> Outcome {
    let source = Source::open(client, settings).await?;
    match id {
        Some(id) => out.show(&source.target(&id).await?, render::target)?,
        None => out.show(&source.targets().await?, render::targets)?,
    }
    Ok(if source.is_live() { Exit::Done } else { Exit::Unreachable })
}

pub(super) async fn backups(client: Client, settings: &Settings, out: Output) -> Outcome {
    let source = Source::open(client, settings).await?;
    out.show(&source.backups().await?, render::backups)?;
    Ok(Exit::Done)
}

pub(super) async fn shadow(client: Client, settings: &Settings, out: Output) -> Outcome {
    let source = Source::open(client, settings).await?;
    out.show(&source.shadow(settings).await?, render::shadow)?;
    Ok(Exit::Done)
}

/// All nodes; one that is silent or not well is exit code 1.
pub(super) async fn fleet(client: &Client, out: Output) -> Outcome {
    let view: FleetView = client.get("/api/fleet").await?;
    out.show(&view, render::fleet)?;
    let well = view.nodes.iter().all(|node| !node.is_silent && node.summary.incidents.is_empty());
    Ok(if well { Exit::Done } else { Exit::Wrong })
}
