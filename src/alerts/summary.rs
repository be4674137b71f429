//! Puts many alerts together into one message: how many of which kind, and the worst of them. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use selfheal_agents::model::{Severity, Timestamp, clean};
use selfheal_agents::ports::Alert;

/// Why they are told together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// Too many began at once.
    AtOnce,
    /// They waited for the end of a quiet time.
    AfterQuiet,
}

/// Of many at once only the worst are named.
const WORST: usize = 10;
/// More than a quiet night has.
const NAMED: usize = 100;
const TITLE_CHARS: usize = 400;
const LINE_CHARS: usize = 240;

/// One alert for these, each the last of its conversation; never none of them.
pub(super) fn of(alerts: &[&Alert], why: Occasion, now: Timestamp) -> Alert {
    let open = alerts.iter().filter(|alert| !alert.is_over());
    let severity = open.map(|alert| alert.severity).max().unwrap_or(Severity::Info);
    let first = alerts.first().map_or("", |alert| alert.key.as_str());
    Alert {
        key: format!("summary {} {first}", alerts.len()),
        event: "summary".to_owned(),
        severity,
        title: clean(&title(alerts, why), TITLE_CHARS),
        body: body(alerts, why),
        incident: None,
        target: None,
        holds: vec![],
        at: now,
    }
}

fn title(alerts: &[&Alert], why: Occasion) -> String {
    let (many, over) = (alerts.len(), alerts.iter().filter(|alert| alert.is_over()).count());
    let what =
        if alerts.iter().all(|alert| alert.incident.is_some()) { "incidents" } else { "alerts" };
    let began = match why {
        Occasion::AtOnce => format!("{many} {what} at once"),
        Occasion::AfterQuiet => format!("{many} {what} in the quiet hours"),
    };
    let counted = counted(alerts).join(", ");
    let needed = match (many - over, why) {
        (0, _) => "You need to do nothing".to_owned(),
        (_, Occasion::AtOnce) => "You must look for what they have in common".to_owned(),
        (left, Occasion::AfterQuiet) => format!("You must look at {left} of them"),
    };
    format!("{began}: {counted}. {needed}.")
}

/// How many of which kind, the most first.
fn counted(alerts: &[&Alert]) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for alert in alerts {
        *counts.entry(alert.event.as_str()).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| Reverse(*count));
    counts.into_iter().map(|(event, count)| in_words(event, count)).collect()
}

fn in_words(event: &str, count: usize) -> String {
    let what = match event {
        "held" => "not changed",
        "resolved" => "healed",
        "recovered" => "over by themselves",
        "rolled_back" => "taken back",
        "reminder" => "still waiting for you",
        other => return format!("{count} {}", clean(&other.replace('_', " "), 40)),
    };
    format!("{count} {what}")
}

fn body(alerts: &[&Alert], why: Occasion) -> String {
    let (heading, most) = match why {
        Occasion::AtOnce => ("The worst of them", WORST),
        Occasion::AfterQuiet => ("What happened", NAMED),
    };
    let mut sorted = alerts.to_vec();
    sorted.sort_by_key(|alert| Reverse((!alert.is_over(), alert.severity)));
    let mut lines: Vec<String> =
        sorted.iter().take(most).map(|alert| format!("\n  {}", line(alert))).collect();
    if sorted.len() > most {
        lines.push(format!("\n  ... and {} more", sorted.len() - most));
    }
    let next = "selfheal incidents   all of them\n  selfheal status      how everything stands";
    format!("{heading}{}\n\nWhat to do\n  {next}", lines.concat())
}

/// When, and what it said by itself.
fn line(alert: &Alert) -> String {
    clean(&format!("{} {}", alert.at.format("%H:%M"), alert.title), LINE_CHARS)
}
