//! The page of one incident.

use std::collections::BTreeMap;

use askama::Template;
use chrono::TimeDelta;
use selfheal_agents::model::{IncidentState, Rehearsal, Timestamp, Validation, ValidationVerdict};

use super::course::Course;
use super::fall::{self, Entry};
use super::{Frame, IncidentLine, When, length, state_word};
use crate::http::body::{Decisions, FileDiff, HoldRow, IncidentDetail};

/// What is in no record of an incident.
#[derive(Default)]
pub(in crate::http::pages) struct Beside {
    /// What a rollback would do now.
    pub(in crate::http::pages) would_undo: Vec<String>,
    /// What stands against one.
    pub(in crate::http::pages) against: Vec<String>,
    /// How long the steps of the fix took that were applied.
    pub(in crate::http::pages) took: BTreeMap<usize, TimeDelta>,
}

struct Cause {
    summary: String,
    blamed: String,
    affected: String,
    issue_type: String,
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
    /// How long after the first line.
    after: String,
    actor: String,
    text: String,
    state: &'static str,
    /// What it was concluded from, or did, as it was.
    raw: Vec<String>,
}

/// A state of its life, and how long after its beginning it was reached.
struct Stage {
    word: &'static str,
    after: String,
}

struct StepLine {
    what: String,
    reversal: String,
    by_hand: String,
    took: Option<String>,
}

struct Fix {
    summary: String,
    interruption_secs: u64,
    steps: Vec<StepLine>,
    warnings: Vec<String>,
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
    fix: Option<Fix>,
    would_undo: Vec<String>,
    against: Vec<String>,
    by_hand: Vec<String>,
    diff: Vec<Diff>,
    backups: Vec<String>,
    rehearsal: Option<Rehearsed>,
    window: Option<String>,
    course: Option<Course>,
    stages: Vec<Stage>,
    timeline: Vec<Line>,
}

impl IncidentPage {
    pub(in crate::http::pages) fn new(
        incident: &IncidentDetail,
        beside: &Beside,
        now: Timestamp,
    ) -> Self {
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
            ledger: fall::entries(&incident.ledger),
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
            fix: fix(incident, beside),
            would_undo: beside.would_undo.clone(),
            against: beside.against.clone(),
            by_hand: incident.by_hand.clone(),
            diff: incident.diff.iter().map(diff).collect(),
            backups: incident.backups.clone(),
            rehearsal: incident.rehearsal.as_ref().map(rehearsed),
            window: incident.validation.as_ref().map(window),
            course: incident
                .validation
                .as_ref()
                .and_then(|window| Course::of(window, incident.row.opened_at, now)),
            stages: stages(incident),
            timeline: timeline(incident, beside, now),
        }
    }
}

fn fix(incident: &IncidentDetail, beside: &Beside) -> Option<Fix> {
    let fix = incident.fix_detail.as_ref()?;
    let step = |(index, step): (usize, &crate::http::body::StepRow)| StepLine {
        what: step.what.clone(),
        reversal: step.reversal.clone(),
        by_hand: step.by_hand.clone(),
        took: beside.took.get(&index).map(|took| briefly(*took)),
    };
    Some(Fix {
        summary: fix.summary.clone(),
        interruption_secs: fix.interruption_secs,
        steps: fix.steps.iter().enumerate().map(step).collect(),
        warnings: fix.warnings.clone(),
    })
}

/// A short time, as exactly as it matters.
fn briefly(took: TimeDelta) -> String {
    match took.num_milliseconds() {
        ..1000 => format!("{} ms", took.num_milliseconds().max(0)),
        milliseconds @ 1000..10_000 => format!("{:.1} s", milliseconds as f64 / 1000.0),
        _ => length(took.num_seconds().unsigned_abs()),
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

/// Every state it reached, the first time.
fn stages(incident: &IncidentDetail) -> Vec<Stage> {
    let mut stages = vec![Stage { word: "detected", after: String::new() }];
    for row in &incident.timeline {
        let Some(word) = row.state.map(state_word) else { continue };
        if stages.iter().all(|stage| stage.word != word) {
            let after = format!("after {}", briefly(row.at - incident.row.opened_at));
            stages.push(Stage { word, after });
        }
    }
    stages
}

/// What happened, each line with what stands behind it; that is told with the first of its kind.
fn timeline(incident: &IncidentDetail, beside: &Beside, now: Timestamp) -> Vec<Line> {
    let mut behind = raw(incident, beside);
    let line = |(index, row): (usize, &crate::http::body::TimelineRow)| {
        let kind = if index == 0 { Some(IncidentState::Open) } else { row.state };
        Line {
            at: When::new(row.at, now),
            after: briefly(row.at - incident.row.opened_at),
            actor: row.actor.clone(),
            text: row.text.clone(),
            state: row.state.map_or("", state_word),
            raw: kind.and_then(|kind| behind.remove(&kind)).unwrap_or_default(),
        }
    };
    incident.timeline.iter().enumerate().map(line).collect()
}

/// What stands behind the lines of a timeline, by the state that they led to.
fn raw(incident: &IncidentDetail, beside: &Beside) -> BTreeMap<IncidentState, Vec<String>> {
    let samples = incident.findings.iter().flat_map(|finding| {
        finding.samples.iter().map(|sample| format!("{}: {sample}", finding.target))
    });
    let ledger = incident.ledger.entries.iter();
    let steps = fix(incident, beside).map_or(vec![], |fix| fix.steps);
    let looks = incident.validation.iter().flat_map(|window| &window.samples);
    BTreeMap::from([
        (IncidentState::Open, samples.collect()),
        (
            IncidentState::Diagnosed,
            ledger.map(|entry| format!("{:+} {}", entry.points, entry.what)).collect(),
        ),
        (
            IncidentState::Fixing,
            steps
                .into_iter()
                .map(|step| {
                    let took = step.took.map_or_else(String::new, |took| format!(" (took {took})"));
                    format!("{}{took}: {}", step.what, step.by_hand)
                })
                .collect(),
        ),
        (
            IncidentState::Validating,
            looks
                .map(|look| {
                    let word = if look.healthy { "well" } else { "not well" };
                    let at = look.at.format("%H:%M:%S UTC");
                    format!("{at} {word}, {} error lines: {}", look.error_lines, look.detail)
                })
                .collect(),
        ),
    ])
}
