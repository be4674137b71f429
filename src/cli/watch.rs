//! `status --watch` and `incidents --follow`: they go on until Ctrl-C, or until nobody reads any more.
//!
//! A daemon that goes away, or that cannot answer now, is said once and waited for, and so is that it is
//! back. They decide nothing, so that they end as if all was well, whatever they showed.

use std::time::Duration;

use chrono::Utc;
use selfheal_agents::model::{IncidentState, TargetId, Timestamp, clean};
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
    let first = overview_of(client.clone(), settings).await?.1;
    let mut seen: Result<_, Failure> = Ok(first);
    let (mut before, mut newest) = (String::new(), Utc::now());
    let mut word = Word::default();
    loop {
        let style = Style { now: Utc::now(), ..out.style };
        let trouble = match seen {
            Ok(overview) => {
                let text = if out.json {
                    serde_json::to_string(&overview).map_err(|e| Failure::new(Exit::Wrong, e))?
                } else {
                    render::overview(&overview, &style)
                };
                newest = style.now;
                let is_due = out.style.terminal || text != before;
                before = text;
                if is_due && !out.part(&frame(&before, &style, None, out))? {
                    return Ok(Exit::Done);
                }
                None
            }
            Err(failure) => Some(failure.text()),
        };
        // On a terminal the frame itself says it: what stands beside it is wiped away.
        if let Some(trouble) = trouble.as_ref().filter(|_| out.style.terminal && !out.json) {
            if !out.part(&frame(&before, &style, Some((trouble, newest)), out))? {
                return Ok(Exit::Done);
            }
        } else {
            word.say(trouble);
        }
        tokio::time::sleep(EVERY).await;
        seen = overview_of(client.clone(), settings).await.map(|(_, overview)| overview);
    }
}

/// One look at the overview; with a trouble it is the last one that was had.
fn frame(text: &str, style: &Style, trouble: Option<(&String, Timestamp)>, out: Output) -> String {
    let at = style.now.format("%H:%M:%S UTC");
    match (out.json, out.style.terminal, trouble) {
        (true, ..) => text.to_owned(),
        (false, false, _) => format!("{text}\n"),
        (false, true, None) => format!("{CLEAR}{at}  {text}"),
        (false, true, Some((trouble, newest))) => {
            let newest = newest.format("%H:%M:%S UTC");
            format!("{CLEAR}{at}  {trouble}\n\nas it was at {newest}:\n{text}")
        }
    }
}

/// What was said of a trouble last: each is said once, and so is its end.
#[derive(Default)]
struct Word(Option<String>);

impl Word {
    fn say(&mut self, trouble: Option<String>) {
        if trouble == self.0 {
            return;
        }
        tell(trouble.as_deref().unwrap_or("note: the daemon answers again"));
        self.0 = trouble;
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
    let mut word = Word::default();
    let mut events = match client.events(None).await {
        Ok(answer) => Some(Events::of(answer)),
        Err(CallError::NotNow(why)) => {
            word.say(Some(not_followed(client, &why)));
            None
        }
        Err(error) => return Err(error.into()),
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
            word.say(Some(format!(
                "note: the daemon at {} went away; it is tried again",
                client.url()
            )));
        }
        tokio::time::sleep(AGAIN).await;
        match client.events(newest.as_deref()).await {
            Ok(answer) => {
                word.say(None);
                events = Some(Events::of(answer));
            }
            Err(CallError::NotNow(why)) => word.say(Some(not_followed(client, &why))),
            Err(CallError::Absent(_)) => {}
            Err(CallError::Refused(failure)) => return Err(failure),
        }
    }
}

fn not_followed(client: &Client, why: &str) -> String {
    let why = clean(why, 300);
    format!(
        "note: the daemon at {} is not followed for now: {why}; it is tried again",
        client.url()
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_terminal_a_trouble_stands_over_the_last_look_and_says_of_when_that_is() {
        let now = Timestamp::UNIX_EPOCH + chrono::TimeDelta::seconds(90);
        let style = Style { terminal: true, color: false, width: 80, now };
        let out = Output { json: false, style };
        let trouble = "error: the store is slow".to_owned();
        let told = frame("all is well", &style, Some((&trouble, Timestamp::UNIX_EPOCH)), out);
        assert_eq!(
            told.trim_start_matches(CLEAR),
            "00:01:30 UTC  error: the store is slow\n\nas it was at 00:00:00 UTC:\nall is well"
        );
        let well = frame("all is well", &style, None, out);
        assert_eq!(well.trim_start_matches(CLEAR), "00:01:30 UTC  all is well");
    }
}
