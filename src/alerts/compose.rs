//! Says what happened so that somebody woken at three in the morning knows what to do.
//!
//! The first line alone is enough: what broke, what was done, the result, what you must
//! do. Pure; everything that strangers wrote is cleaned here once more.

use std::path::Path;

use selfheal_agents::fix_engineer::actions::Act;
use selfheal_agents::model::{
    Actor, Backup, Fix, Hold, Incident, IncidentState, Severity, TargetId, Timestamp, clean,
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

/// The alert that a part of the world cannot be seen since `since`; `what` names it with
/// its reason and remedy.
pub fn blind(what: &str, since: Timestamp) -> Alert {
    let what = without_stop(&clean(what, TITLE_CHARS - 120)).to_owned();
    Alert {
        key: format!("blind {} {what}", since.to_rfc3339()),
        event: "blind".to_owned(),
        severity: Severity::Critical,
        title: format!(
            "Selfheal cannot see: {what}. Nothing can be healed there until it can. \
             It tries again by itself; you must remove the cause."
        ),
        body: format!("{what}\n\nWhat to do\n  selfheal doctor   says what is missing"),
        incident: None,
        target: None,
        holds: vec![],
        at: since,
    }
}

/// The alert that a person asks for to see whether a channel works.
pub fn of_test(at: Timestamp) -> Alert {
    Alert {
        key: format!("test {}", at.to_rfc3339()),
        event: "test".to_owned(),
        severity: Severity::Info,
        title: "This is a test by `selfheal alert test`. Nothing is broken, nothing was done, you \
                need not do anything."
            .to_owned(),
        body: "An alert looks like this: its first line says what broke, what was done, the \
               result, and what you must do.\n\nWhat to do\n  \
               selfheal status   how everything stands"
            .to_owned(),
        incident: None,
        target: None,
        holds: vec![],
        at,
    }
}

/// The alert that the database was damaged and set aside at a start, or gone, and a snapshot
/// restored, if there was one, with all that was written until `taken_at`.
///
/// `begun` are the backups of fixes of which nothing else is known.
pub fn damaged(
    set_aside: Option<&Path>,
    taken_at: Option<Timestamp>,
    begun: &[Backup],
    at: Timestamp,
) -> Alert {
    let aside = set_aside.map(|aside| clean(&aside.display().to_string(), TITLE_CHARS - 260));
    let (key, what) = match &aside {
        Some(aside) => {
            (format!("damaged {aside}"), format!("was damaged; it is set aside as {aside}"))
        }
        None => (format!("damaged {}", at.to_rfc3339()), "was gone".to_owned()),
    };
    let (instead, lost) = match taken_at {
        Some(taken_at) => (
            format!(
                "the snapshot of {} is restored, and what happened since is not known",
                taken_at.format("%Y-%m-%d %H:%M:%S UTC")
            ),
            "The history and the journal end there: a fix may have been applied, kept or taken back \
             since. Those that were under way then are stuck, each with what takes it back by hand, \
             and nothing was done about them. The backups are kept.",
        ),
        None => (
            "a new one is begun".to_owned(),
            "The history and the journal were in it: which fixes were under way is not known. The \
             backups are kept.",
        ),
    };
    Alert {
        key,
        event: "damaged".to_owned(),
        severity: Severity::Critical,
        title: format!(
            "Selfheal's database {what}; {instead}. \
             Nothing is healed until you have looked and typed `selfheal unfreeze`."
        ),
        body: format!(
            "{lost}{}\n\nWhat to do\n  \
             look whether every service works, and whether the disk does\n  \
             selfheal incidents   what was going on{}\n  \
             selfheal backups     what was saved before each fix\n  \
             selfheal unfreeze    heal again",
            named(begun),
            if taken_at.is_some() { " until then" } else { "" }
        ),
        incident: None,
        target: None,
        holds: vec![],
        at,
    }
}

/// Fixes of which only the backup is left, and how each is taken back.
fn named(begun: &[Backup]) -> String {
    if begun.is_empty() {
        return String::new();
    }
    let line = |backup: &Backup| {
        let reason = clean(&backup.reason, 200);
        format!(
            "\n  {}   {reason}   $ selfheal rollback {}",
            backup.at.format("%H:%M:%S UTC"),
            backup.id
        )
    };
    let lines: String = begun.iter().map(line).collect();
    format!("\n\nBegun since, and what became of it is not known{lines}")
}

/// The alert that the database turned out to be damaged while Selfheal runs on it.
pub fn spoilt(why: &str, at: Timestamp) -> Alert {
    let why = without_stop(&clean(why, TITLE_CHARS - 260)).to_owned();
    Alert {
        key: format!("damaged {}", at.to_rfc3339()),
        event: "damaged".to_owned(),
        severity: Severity::Critical,
        title: format!(
            "Selfheal's database is damaged: {why}. No snapshot of it is taken any more, so what is \
             written from now on may be lost. You must stop Selfheal and start it again."
        ),
        body:
            "A start examines it, sets it aside and puts the newest snapshot in its place; nothing \
               is healed then until you have looked.\n\nWhat to do\n  \
               look whether the disk works\n  \
               selfheal doctor      of when the newest snapshot is\n  \
               stop Selfheal and start it again"
                .to_owned(),
        incident: None,
        target: None,
        holds: vec![],
        at,
    }
}

/// The alert that a part of Selfheal does not do its work.
pub fn part_fails(part: &str, what: &str, at: Timestamp) -> Alert {
    let what = without_stop(&clean(what, TITLE_CHARS - 200)).to_owned();
    Alert {
        key: format!("part_fails {part} {}", at.to_rfc3339()),
        event: "part_fails".to_owned(),
        severity: Severity::Critical,
        title: format!("A part of Selfheal does not do its work, {part}: {what}."),
        body: "That is a fault of Selfheal's own. What it does without that part goes on.\n\n\
               What to do\n  \
               restart Selfheal\n  \
               report it with the lines of its log that begin with \"a fault of Selfheal's own\""
            .to_owned(),
        incident: None,
        target: None,
        holds: vec![],
        at,
    }
}

/// The alert that too many fixes failed, the last of them `at` that time, and nothing is healed
/// any more.
pub fn stopped(why: &str, at: Timestamp) -> Alert {
    let why = without_stop(&clean(why, TITLE_CHARS - 200)).to_owned();
    Alert {
        key: format!("safety_stop {}", at.to_rfc3339()),
        event: "safety_stop".to_owned(),
        severity: Severity::Critical,
        title: format!(
            "Selfheal has stopped healing: {why}. It watches and reports, and nothing is changed \
             until you have looked and typed `selfheal unfreeze`."
        ),
        body: "It may understand something wrongly that all of them share.\n\nWhat to do\n  \
               look whether every service works\n  \
               selfheal incidents        what was tried and why it failed\n  \
               selfheal approve ID       apply one fix all the same\n  \
               selfheal unfreeze         heal again; the count of failures begins anew"
            .to_owned(),
        incident: None,
        target: None,
        holds: vec![],
        at,
    }
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

/// The alert that the journal cannot be read at a start: nothing is looked at or healed. Said
/// again the next day, should it still be so at a start then.
pub fn unreadable(why: &str, at: Timestamp) -> Alert {
    let why = without_stop(&clean(why, TITLE_CHARS - 200)).to_owned();
    Alert {
        key: format!("unreadable {} {why}", at.format("%Y-%m-%d")),
        event: "unreadable".to_owned(),
        severity: Severity::Critical,
        title: format!(
            "Selfheal cannot read its journal: {why}. Nothing is watched or healed. You must \
             repair that and start it again."
        ),
        body: "Which fixes were under way when it ended is not known.\n\nWhat to do\n  \
               look whether every service works, and whether the disk does\n  \
               start the version of Selfheal that wrote it, if another one did\n  \
               else stop Selfheal and move selfheal.db* away: the newest snapshot takes its place \
               (move snapshots/ away too, and it begins a new one); the backups are kept"
            .to_owned(),
        incident: None,
        target: None,
        holds: vec![],
        at,
    }
}

fn without_stop(text: &str) -> &str {
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
