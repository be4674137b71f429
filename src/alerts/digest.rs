//! Tells from time to time what went on while nobody had to look. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use selfheal_agents::model::{
    Backup, Incident, IncidentState, Outcome, Severity, TargetId, Timestamp,
};
use selfheal_agents::ports::Alert;

use super::compose::{section_of, what_broke};
use crate::audit::Head;

/// Lines of a list; `selfheal incidents` shows the rest.
const MOST_LINES: usize = 10;
const LINE_CHARS: usize = 240;

/// What happened between two digests.
#[derive(Debug, Clone, Default)]
pub struct Period {
    /// From when on; `None` since ever.
    pub since: Option<Timestamp>,
    /// Incidents that were opened in it.
    pub incidents: Vec<Incident>,
    /// What became of fixes in it.
    pub outcomes: Vec<Outcome>,
    /// Backups that were made in it.
    pub backups: Vec<Backup>,
    /// What waits for a person now, whenever it began.
    pub waits: Vec<Incident>,
    /// The newest entry of the audit log, so that it is known elsewhere as well.
    pub audited: Option<Head>,
}

/// The digest of what happened until the slot `at`.
pub fn digest(period: &Period, at: Timestamp) -> Alert {
    let Period { incidents, outcomes, .. } = period;
    let healed = outcomes.iter().filter(|outcome| outcome.success).count();
    let waits = period.waits.len();
    let needed = match waits {
        0 => "You need to do nothing".to_owned(),
        1 => "One incident waits for you".to_owned(),
        waits => format!("{waits} incidents wait for you"),
    };
    let since = period.since.map_or_else(String::new, |since| format!(" since {}", day(since)));
    let is_empty = incidents.is_empty() && outcomes.is_empty();
    let title = if is_empty {
        format!("Nothing broke{since}, and nothing was changed. {needed}.")
    } else {
        let many = counted(incidents.len(), "incident");
        format!("{many}{since}, {} healed without you. {needed}.", counted(healed, "fault"))
    };
    Alert {
        key: format!("digest {}", at.to_rfc3339()),
        event: "digest".to_owned(),
        severity: Severity::Info,
        title,
        body: if is_empty && waits == 0 { audited(period) } else { body(period) },
        incident: None,
        target: None,
        holds: vec![],
        at,
    }
}

fn day(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Empty sections are left out.
fn body(period: &Period) -> String {
    let sections = [
        ("What waits for you", waiting(&period.waits)),
        ("How the incidents ended", ends(&period.incidents)),
        ("What was repaired", repaired(&period.outcomes)),
        ("What was forecast", forecasts(&period.incidents)),
        ("What was saved before a change", saved(&period.backups)),
    ];
    let told = sections.into_iter().filter(|(_, lines)| !lines.is_empty());
    let mut parts: Vec<String> = told.map(|(heading, lines)| section(heading, lines)).collect();
    let next = "selfheal incidents   all of them\n  selfheal status      how everything stands";
    parts.push(format!("What to do\n  {next}"));
    parts.push(audited(period));
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

/// Up to where the audit log is as it should be, for whoever compares it one day.
fn audited(period: &Period) -> String {
    period
        .audited
        .as_ref()
        .map_or_else(String::new, |head| format!("The audit log's newest entry\n  {head}"))
}

fn section(heading: &str, lines: Vec<String>) -> String {
    section_of(heading, lines, MOST_LINES, LINE_CHARS)
}

fn waiting(waits: &[Incident]) -> Vec<String> {
    let mut waits: Vec<&Incident> = waits.iter().collect();
    waits.sort_by_key(|incident| (Reverse(incident.severity), incident.opened_at));
    let line = |incident: &Incident| {
        format!("{} (since {}, {})", what(incident), day(incident.opened_at), incident.state())
    };
    waits.into_iter().map(line).collect()
}

/// What an incident is about.
fn what(incident: &Incident) -> String {
    what_broke(incident)
}

fn ends(incidents: &[Incident]) -> Vec<String> {
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for incident in incidents {
        *counts.entry(end_of(incident)).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| Reverse(*count));
    counts.into_iter().map(|(end, count)| format!("{count} {end}")).collect()
}

fn end_of(incident: &Incident) -> &'static str {
    let was_fixed = incident.timeline.iter().any(|e| e.state == Some(IncidentState::Fixing));
    match incident.state() {
        IncidentState::Resolved if was_fixed => "healed",
        IncidentState::Resolved => "over without a change",
        IncidentState::RolledBack => "where the fix did not help and was taken back",
        IncidentState::Stuck => "where the fix could not be taken back",
        IncidentState::Fixing | IncidentState::Validating => "being repaired",
        IncidentState::Held => "not changed",
        IncidentState::Open | IncidentState::Diagnosed => "just begun",
    }
}

/// Fixes that proved themselves, by what they are and where.
fn repaired(outcomes: &[Outcome]) -> Vec<String> {
    let mut fixes: BTreeMap<(&TargetId, &str), Vec<f64>> = BTreeMap::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.success) {
        let times = fixes.entry((&outcome.target, &outcome.fix_type)).or_default();
        times.push(outcome.time_to_repair_secs.unwrap_or(f64::NAN));
    }
    let mut fixes: Vec<_> = fixes.into_iter().collect();
    fixes.sort_by_key(|(_, times)| Reverse(times.len()));
    let line = |((target, fix_type), times): ((&TargetId, &str), Vec<f64>)| {
        let known: Vec<f64> = times.iter().copied().filter(|secs| secs.is_finite()).collect();
        let after = longest(&known).map_or_else(String::new, |secs| {
            let at_most = if known.len() > 1 { "at most " } else { "" };
            format!(", works again after {at_most}{secs:.0} s")
        });
        let often = if times.len() > 1 { format!(" {} times", times.len()) } else { String::new() };
        format!("{target}: {fix_type}{often}{after}")
    };
    fixes.into_iter().map(line).collect()
}

fn longest(times: &[f64]) -> Option<f64> {
    times.iter().copied().reduce(f64::max)
}

fn forecasts(incidents: &[Incident]) -> Vec<String> {
    let findings = incidents.iter().flat_map(|incident| &incident.findings);
    let forecast = findings.filter(|finding| finding.key.contains("_forecast"));
    forecast.map(|finding| format!("{}: {}", finding.target, finding.message)).collect()
}

fn saved(backups: &[Backup]) -> Vec<String> {
    if backups.is_empty() {
        return vec![];
    }
    let back = backups.iter().filter(|backup| backup.rolled_back_at.is_some()).count();
    vec![format!("{}, {back} of them taken back", counted(backups.len(), "backup"))]
}
