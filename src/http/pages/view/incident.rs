//! The page of one incident.

use askama::Template;
use selfheal_agents::model::{Rehearsal, Timestamp, Validation, ValidationVerdict};

use super::{Frame, IncidentLine, When, state_word};
use crate::http::body::{Decisions, FileDiff, FixRow, HoldRow, IncidentDetail, TimelineRow};

struct Cause {
    summary: String,
    blamed: String,
    affected: String,
    issue_type: String,
}

struct Entry {
    points: String,
    what: String,
    tone: &'static str,
}

struct FindingLine {
    target: String,
    message: String,
    samples: Vec<String>,
    count: u64,
}

pub(super) struct DiffLine {
    pub(super) kind: &'static str,
    pub(super) text: String,
}

/// How one file is changed.
pub(super) struct Diff {
    fix: String,
    pub(super) lines: Vec<DiffLine>,
}

struct Rehearsed {
    said: String,
    lines: Vec<String>,
}

struct Line {
    at: When,
    actor: String,
    text: String,
    state: &'static str,
}

/// `/incidents/{id}`.
#[derive(Template)]
#[template(path = "incident.html")]
pub(in crate::http::pages) struct IncidentPage {
    frame: Frame,
    row: IncidentLine,
    can: Decisions,
    holds: Vec<HoldRow>,
    cause: Option<Cause>,
    confidence: String,
    ledger: Vec<Entry>,
    changes: Vec<String>,
    ways: Vec<String>,
    considered: Vec<String>,
    findings: Vec<FindingLine>,
    fix: Option<FixRow>,
    by_hand: Vec<String>,
    diff: Vec<Diff>,
    backups: Vec<String>,
    rehearsal: Option<Rehearsed>,
    window: Option<String>,
    timeline: Vec<Line>,
}

impl IncidentPage {
    pub(in crate::http::pages) fn new(incident: &IncidentDetail, now: Timestamp) -> Self {
        let diagnosis = incident.diagnosis.as_ref();
        Self {
            frame: Frame::within("/incidents"),
            row: IncidentLine::new(&incident.row, now),
            can: incident.can,
            holds: incident.row.holds.clone(),
            cause: diagnosis.map(|d| Cause {
                summary: d.summary.clone(),
                blamed: d.blamed.to_string(),
                affected: d.affected.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
                issue_type: d.issue_type.clone(),
            }),
            confidence: incident.ledger.total().to_string(),
            ledger: incident.ledger.entries.iter().map(entry).collect(),
            changes: diagnosis
                .map(|d| d.changes.iter().map(ToString::to_string).collect())
                .unwrap_or_default(),
            ways: diagnosis
                .map(|d| d.ways.iter().map(ToString::to_string).collect())
                .unwrap_or_default(),
            considered: diagnosis
                .map(|d| d.considered.iter().map(considered).collect())
                .unwrap_or_default(),
            findings: incident.findings.iter().map(finding).collect(),
            fix: incident.fix_detail.clone(),
            by_hand: incident.by_hand.clone(),
            diff: incident.diff.iter().map(diff).collect(),
            backups: incident.backups.clone(),
            rehearsal: incident.rehearsal.as_ref().map(rehearsed),
            window: incident.validation.as_ref().map(window),
            timeline: incident.timeline.iter().map(|row| line(row, now)).collect(),
        }
    }
}

fn entry(entry: &selfheal_agents::model::LedgerEntry) -> Entry {
    Entry {
        points: format!("{:+}", entry.points),
        what: entry.what.clone(),
        tone: if entry.points < 0 { "against" } else { "for" },
    }
}

fn considered(other: &selfheal_agents::model::Considered) -> String {
    format!("{} for {} ({}): {}", other.runbook, other.target, other.confidence, other.why_not)
}

fn finding(finding: &selfheal_agents::model::Finding) -> FindingLine {
    FindingLine {
        target: finding.target.to_string(),
        message: finding.message.clone(),
        samples: finding.samples.clone(),
        count: finding.count,
    }
}

pub(super) fn diff(file: &FileDiff) -> Diff {
    let line = |(sign, text): (char, &str)| DiffLine {
        kind: match sign {
            '-' => "del",
            '+' => "add",
            _ => "same",
        },
        text: text.to_owned(),
    };
    Diff { fix: file.fix.clone(), lines: file.signed().map(line).collect() }
}

fn rehearsed(rehearsal: &Rehearsal) -> Rehearsed {
    let Rehearsal { fix, verdict, took_secs, why, .. } = rehearsal;
    let verdict = verdict.as_str();
    let said = format!("On a clone, to {fix}: {verdict} after {took_secs:.1} s; {why}.");
    Rehearsed { said, lines: rehearsal.lines.clone() }
}

fn window(window: &Validation) -> String {
    let looks = window.samples.len();
    let well = window.samples.iter().filter(|sample| sample.healthy).count();
    let why = window.why.as_deref().unwrap_or_default();
    match window.verdict {
        None => format!(
            "The fix must prove itself until {}; {well} of {looks} looks were good so far.",
            window.ends_at.format("%H:%M:%S UTC")
        ),
        Some(ValidationVerdict::Kept) => {
            format!("Kept: {well} of {looks} looks were good. {why}")
        }
        Some(ValidationVerdict::RolledBack) => {
            format!("Not kept: {well} of {looks} looks were good. {why}")
        }
    }
}

fn line(row: &TimelineRow, now: Timestamp) -> Line {
    Line {
        at: When::new(row.at, now),
        actor: row.actor.clone(),
        text: row.text.clone(),
        state: row.state.map_or("", state_word),
    }
}
