//! `status --watch` and `incidents --follow`: they go on until Ctrl-C, or until nobody reads any more.
//!
//! A daemon that goes away is said once and waited for. They decide nothing, so that they end as if
//! all was well, whatever they showed.

use std::time::Duration;

use chrono::Utc;
use selfheal_agents::model::{IncidentState, TargetId, Timestamp};
use serde::Serialize;

use super::client::{CallError, Client};
use super::follow::Events;
use super::output::{Exit, Failure, Outcome, Output, Style, tell};
use super::read::{Wanted, overview_of};
use super::render;
use super::source::Source;
use crate::config::Settings;
use crate::coordinator::{Happening, LiveEvent};

/// How often the overview is asked for.
const EVERY: Duration = Duration::from_secs(2);
/// A daemon that went away is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);
/// Moves to the beginning of a terminal and empties it.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Shows the overview anew, on a terminal in place, elsewhere whenever it is another.
pub(super) async fn status(client: &Client, settings: &Settings, out: Output) -> Outcome {
    // Whoever asks for what cannot be had at all is told so, and not again and again.
    let mut seen = Some(overview_of(client.clone(), settings).await?.1);
    let mut before = String::new();
    loop {
        let style = Style { now: Utc::now(), ..out.style };
        let text = match &seen {
            Some(overview) if out.json => {
                serde_json::to_string(overview).map_err(|e| Failure::new(Exit::Wrong, e))?
            }
            Some(overview) => render::overview(overview, &style),
            None => before.clone(),
        };
        let at = style.now.format("%H:%M:%S UTC");
        let (frame, is_due) = match (out.json, out.style.terminal) {
            (true, _) => (text.clone(), text != before),
            (false, true) => (format!("{CLEAR}{at}  {text}"), true),
            (false, false) => (format!("{text}\n"), text != before),
        };
        if is_due && !out.part(&frame)? {
            return Ok(Exit::Done);
        }
        before = text;
        tokio::time::sleep(EVERY).await;
        seen = match overview_of(client.clone(), settings).await {
            Ok((_, overview)) => Some(overview),
            Err(failure) => {
                tell(failure.text());
                None
            }
        };
    }
}

/// Shows the newest incidents, oldest first, and then what becomes of any.
pub(super) async fn incidents(
    client: &Client,
    settings: &Settings,
    wanted: &Wanted,
    out: Output,
) -> Outcome {
    // First the stream, then the list: nothing falls between them.
    let mut events = match client.events(None).await {
        Ok(answer) if answer.status().is_success() => Some(Events::of(answer)),
        Ok(_) => None,
        Err(absent) => return Err(absent.into()),
    };
    let source = Source::open(client.clone(), settings).await?;
    let list = source.incidents(None, wanted.target.as_ref(), wanted.limit).await?;
    for incident in list.incidents.iter().rev() {
        let line = Line { at: incident.opened_at, text: &incident.title, incident };
        if !line.shown(incident.state, &incident.target, out)? {
            return Ok(Exit::Done);
        }
    }
    let mut newest = None;
    loop {
        if let Some(mut events) = events.take() {
            while let Some(some) = events.next().await {
                for event in &some {
                    if !told(event, wanted, out)? {
                        return Ok(Exit::Done);
                    }
                }
            }
            newest = events.newest.or(newest);
            tell(format!("note: the daemon at {} went away; it is tried again", client.url()));
        }
        tokio::time::sleep(AGAIN).await;
        events = again(client, newest.as_deref()).await?;
    }
}

async fn again(client: &Client, after: Option<&str>) -> Result<Option<Events>, Failure> {
    match client.events(after).await {
        Ok(answer) if answer.status().is_success() => Ok(Some(Events::of(answer))),
        Ok(_) | Err(CallError::Absent(_)) => Ok(None),
        Err(CallError::Refused(failure)) => Err(failure),
    }
}

/// Shows one event, if it is one of an incident that is wanted; whether anybody still reads.
fn told(event: &LiveEvent, wanted: &Wanted, out: Output) -> Result<bool, Failure> {
    let Happening::Incident { incident, text } = &event.what else { return Ok(true) };
    if wanted.target.as_ref().is_some_and(|target| *target != incident.target) {
        return Ok(true);
    }
    let line = Line { at: event.at, text, incident };
    line.shown(incident.state, &incident.target, out)
}

/// What became of an incident.
#[derive(Serialize)]
struct Line<'a, T> {
    at: Timestamp,
    text: &'a str,
    incident: &'a T,
}

impl<T: Serialize> Line<'_, T> {
    /// Shows it; whether anybody still reads.
    fn shown(&self, state: IncidentState, target: &TargetId, out: Output) -> Result<bool, Failure> {
        if out.json {
            let line = serde_json::to_string(self).map_err(|e| Failure::new(Exit::Wrong, e))?;
            return out.part(&line);
        }
        out.part(&render::incident_line(self.at, state.as_str(), target, self.text))
    }
}
