//! Says what happened so that somebody woken at three in the morning knows what to do.
//!
//! The first line alone is enough: what broke, what was done, the result, what you must
//! do. Pure; everything that strangers wrote is cleaned here once more. What is wrong with Selfheal
//! itself is told in `of_itself`.

use selfheal_agents::fix_engineer::actions::Act;
use selfheal_agents::model::{
    Actor, Fix, Hold, Incident, IncidentState, Severity, TargetId, Timestamp, clean,
};
use selfheal_agents::ports::Alert;

/// What an alert tells of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertEvent {
    /// The fix, if any, was not applied.
    Held,
    /// A fix was applied and proved itself.
    Resolved,
    /// It ended without a fix.
    Recovered,
    /// A fix did not help, or a person did not want it, and was taken back.
    RolledBack,
    /// A fix failed and could not be taken back.
    Stuck,
}

impl AlertEvent {
    /// The word used in the alert's key and in webhooks.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Resolved => "resolved",
            Self::Recovered => "recovered",
            Self::RolledBack => "rolled_back",
            Self::Stuck => "stuck",
        }
    }
}

pub(super) const TITLE_CHARS: usize = 400;
const LINE_CHARS: usize = 500;
const NAME_CHARS: usize = 60;
/// A longer ledger or list is cut; `selfheal explain` shows all of it.
const MOST_LINES: usize = 12;

/// The alert for something that happened to an incident.
pub fn alert_for(incident: &Incident, event: AlertEvent) -> Alert {
    let severity = match event {
        AlertEvent::Resolved | AlertEvent::Recovered => Severity::Info,
        AlertEvent::Stuck => Severity::Critical,
        AlertEvent::Held | AlertEvent::RolledBack => incident.severity,
    };
    let title = format!(
        "{}. {}. {}.",
        what_broke(incident),
        what_was_done(incident, event),
        what_you_must_do(incident, event)
    );
    Alert {
        key: format!("{} {}", incident.id, event.as_str()),
        event: event.as_str().to_owned(),
        severity,
        title: clean(&title, TITLE_CHARS),
        body: body(incident, event),
        incident: Some(incident.id),
        target: Some(incident.target.clone()),
        holds: if event == AlertEvent::Held { incident.holds.clone() } else { vec![] },
        at: incident.updated_at,
    }
}

/// The alert that what a person approved was not begun after all, if a person did: they were told
/// that it would be, and that it waited was told before.
pub fn approved_in_vain(incident: &Incident) -> Option<Alert> {
    let (who, approved_at) = incident.approval()?;
    let known = alert_for(incident, AlertEvent::Held);
    let title = format!(
        "{}. {} was approved by {}, and was not begun{}. You must look at it, and approve it again \
         if it is still wanted.",
        what_broke(incident),
        fix_in_words(incident),
        clean(who, NAME_CHARS),
        incident.holds.first().map_or_else(String::new, |hold| format!(": {hold}")),
    );
    Some(Alert {
        key: format!("{} approved {}", known.key, approved_at.to_rfc3339()),
        title: clean(&title, TITLE_CHARS),
        ..known
    })
}

/// The alert that a target began to flap `at` that time, with the share of changes in percent.
pub fn flapping(target: &TargetId, percent: u32, at: Timestamp) -> Alert {
    Alert {
        key: format!("flapping {target} {}", at.to_rfc3339()),
        event: "flapping".to_owned(),
        severity: Severity::Warning,
        title: clean(
            &format!(
                "{target} flaps: its state changed at {percent} % of its last looks. Nothing is \
                 changed there by itself, and its single spells are not told, until that calms \
                 down. You must look for what makes it change."
            ),
            TITLE_CHARS,
        ),
        body: section(
            "What to do",
            [format!("selfheal targets {target}   how it does and what changed")],
        ),
        incident: None,
        target: Some(target.clone()),
        holds: vec![],
        at,
    }
}

pub(super) fn without_stop(text: &str) -> &str {
    text.trim_end().trim_end_matches('.')
}

pub(super) fn what_broke(incident: &Incident) -> String {
    if let Some(diagnosis) = &incident.diagnosis {
        return format!("{}: {}", diagnosis.blamed, without_stop(&diagnosis.title));
    }
    let worst = incident.findings.iter().max_by_key(|finding| finding.severity);
    match worst {
        Some(finding) => format!("{}: {}", finding.target, without_stop(&finding.message)),
        None => format!("{}: something is wrong", incident.target),
    }
}

fn fix_in_words(incident: &Incident) -> String {
    incident
        .fix
        .as_ref()
        .map_or_else(|| "a fix".to_owned(), |fix| format!("\"{}\"", without_stop(&fix.summary)))
}

fn what_was_done(incident: &Incident, event: AlertEvent) -> String {
    let fix = fix_in_words(incident);
    match event {
        AlertEvent::Held => {
            let why = incident.holds.first().map(|hold| format!(": {hold}"));
            format!("Nothing was changed{}", why.unwrap_or_default())
        }
        AlertEvent::Recovered if incident.state() == IncidentState::RolledBack => {
            format!("Selfheal did {fix}, which was taken back; it works again by now")
        }
        AlertEvent::Recovered => format!("Nothing was changed; {}", ended_by(incident)),
        AlertEvent::Resolved => {
            let recovered = incident.validation.as_ref().and_then(|v| v.recovered_at);
            let after = recovered.map_or_else(String::new, |at| {
                match (at - incident.opened_at).num_seconds() {
                    ..1 => " within a second".to_owned(),
                    seconds => format!(" after {seconds} s"),
                }
            });
            format!("Selfheal did {fix}; it works again{after}")
        }
        AlertEvent::RolledBack => {
            let why = incident.validation.as_ref().and_then(|v| v.why.as_deref());
            let why = why.map_or_else(String::new, |why| format!(" ({})", without_stop(why)));
            format!("Selfheal did {fix}; it was taken back{why}")
        }
        AlertEvent::Stuck => {
            format!("Selfheal did {fix}; it failed and could not be taken back completely")
        }
    }
}

/// Of what nothing was done about: it is over, or a person says that it needs nothing.
fn ended_by(incident: &Incident) -> String {
    // What was noted since, such as what was learnt, ended nothing.
    let last = incident.timeline.iter().rfind(|entry| entry.state.is_some());
    match last.map(|entry| (&entry.actor, &entry.text)) {
        Some((Actor::Person(name), text)) => format!("{name} closed it ({})", without_stop(text)),
        _ => "it works again by itself".to_owned(),
    }
}

fn what_you_must_do(incident: &Incident, event: AlertEvent) -> &'static str {
    match event {
        AlertEvent::Resolved | AlertEvent::Recovered => "You need to do nothing",
        AlertEvent::RolledBack => "You must look at it: the fault may still be there",
        AlertEvent::Stuck => {
            "You must repair it by hand now: Selfheal touches nothing there any more"
        }
        AlertEvent::Held => held_needs(incident),
    }
}

fn held_needs(incident: &Incident) -> &'static str {
    let holds = &incident.holds;
    if incident.passes() {
        return "You must look why that lasts: Selfheal goes on by itself when it has passed";
    }
    if holds.iter().any(|hold| matches!(hold, Hold::StoppedByPerson { .. })) {
        return "Start it when you want it back";
    }
    if incident.fix.is_some() {
        "You must decide: approve the fix below, or repair it by hand"
    } else {
        "You must repair it by hand"
    }
}

fn body(incident: &Incident, event: AlertEvent) -> String {
    let mut sections = vec![what_happened(incident)];
    if event == AlertEvent::Held && !incident.holds.is_empty() {
        let holds = incident.holds.iter().map(|hold| format!("- {hold}"));
        sections.push(section("Why nothing was changed", holds));
    }
    if let Some(rehearsal) = incident.rehearsal.as_ref().filter(|_| is_rehearsed(incident, event)) {
        let told = rehearsal.lines.iter().map(|line| format!("| {line}"));
        sections.push(section(
            "What the clone did that it was tried on",
            [rehearsal.why.clone()].into_iter().chain(told),
        ));
    }
    if let Some(fix) = &incident.fix {
        sections.push(steps(fix, event));
    }
    if event == AlertEvent::Stuck {
        sections.extend(left_to_do(incident));
    }
    if let Some(evidence) = evidence(incident) {
        sections.push(evidence);
    }
    sections.push(next_commands(incident, event));
    sections.join("\n\n")
}

/// Why a fix could not be taken back, and what a person runs in its place.
fn left_to_do(incident: &Incident) -> Vec<String> {
    let mut told = incident.timeline.iter().rev();
    let stuck = told.find(|entry| entry.state == Some(IncidentState::Stuck));
    let why = stuck.map(|entry| section("Why not all was taken back", [entry.text.clone()]));
    let commands = incident.by_hand.iter().map(|command| format!("$ {command}"));
    let by_hand = (!incident.by_hand.is_empty())
        .then(|| section("What takes it back by hand, in this order", commands));
    why.into_iter().chain(by_hand).collect()
}

/// Whether it is told that the fix failed on a clone.
fn is_rehearsed(incident: &Incident, event: AlertEvent) -> bool {
    let failed = |hold: &Hold| matches!(hold, Hold::RehearsalFailed { .. });
    event == AlertEvent::Held && incident.holds.iter().any(failed)
}

fn section(heading: &str, lines: impl IntoIterator<Item = String>) -> String {
    section_of(heading, lines.into_iter().collect(), MOST_LINES, LINE_CHARS)
}

/// A heading and at most so many lines of so many characters below it; the rest is counted.
pub(super) fn section_of(
    heading: &str,
    mut lines: Vec<String>,
    most: usize,
    chars: usize,
) -> String {
    if lines.len() > most {
        let more = lines.len() - most;
        lines.truncate(most);
        lines.push(format!("... and {more} more"));
    }
    let lines: String = lines.iter().map(|line| format!("\n  {}", clean(line, chars))).collect();
    format!("{heading}{lines}")
}

fn what_happened(incident: &Incident) -> String {
    let mut lines = vec![];
    if let Some(diagnosis) = &incident.diagnosis {
        lines.push(diagnosis.summary.clone());
        if !diagnosis.affected.is_empty() {
            let affected: Vec<String> =
                diagnosis.affected.iter().map(ToString::to_string).collect();
            lines.push(format!("Suffering from it: {}", affected.join(", ")));
        }
    }
    lines.extend(incident.findings.iter().map(|f| format!("{}: {}", f.target, f.message)));
    lines.push(format!("Since {}", incident.opened_at.format("%Y-%m-%d %H:%M:%S UTC")));
    section("What happened", lines)
}

fn steps(fix: &Fix, event: AlertEvent) -> String {
    let heading = match event {
        AlertEvent::Held => "What would repair it (and by hand)",
        AlertEvent::Recovered => "What would have repaired it (and by hand)",
        AlertEvent::Stuck => "What was done",
        _ => "What was done (and by hand)",
    };
    let mut lines = vec![];
    for (number, step) in (1..).zip(&fix.steps) {
        lines.push(format!("{number}. {}", step.action.describe()));
        // Whoever is to undo it must not be shown how to do it again.
        if event != AlertEvent::Stuck {
            lines.push(format!("   $ {}", step.action.by_hand()));
        }
    }
    lines.extend(fix.warnings.iter().map(|warning| format!("Never: {warning}")));
    section(heading, lines)
}

fn evidence(incident: &Incident) -> Option<String> {
    let fix = incident.fix.as_ref().map(|fix| (fix.confidence, &fix.ledger));
    let diagnosis = incident.diagnosis.as_ref().map(|d| (d.confidence, &d.ledger));
    let (confidence, ledger) = fix.or(diagnosis)?;
    let lines = ledger.entries.iter().map(|entry| format!("{:+} {}", entry.points, entry.what));
    Some(section(&format!("Why Selfheal thinks so ({confidence} sure)"), lines))
}

fn next_commands(incident: &Incident, event: AlertEvent) -> String {
    let mut commands = vec![];
    let id = incident.id;
    if event == AlertEvent::Held && incident.fix.is_some() {
        commands.push((format!("selfheal approve {id}"), "apply this fix now"));
    }
    // What took several changes is taken back as a whole.
    let rollback = match &incident.backups[..] {
        [] => None,
        [backup] => Some(format!("selfheal rollback {backup}")),
        _ => Some(format!("selfheal rollback {id}")),
    };
    let what = match event {
        AlertEvent::Resolved => Some("take the fix back"),
        AlertEvent::Stuck => Some("try the undo once more"),
        _ => None,
    };
    commands.extend(rollback.zip(what));
    commands.push((format!("selfheal explain {id}"), "everything that is known about it"));
    let width = commands.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    let lines = commands.iter().map(|(command, what)| format!("{command:width$}   {what}"));
    section("What to do", lines)
}
