//! `incidents`, `explain`.

use std::fmt::Write;

use selfheal_agents::model::{IncidentId, Rehearsal, TargetId, Timestamp, clean};

use super::{ago, state_tone};
use crate::cli::output::Style;
use crate::cli::table::{Tone, cell, paint, table, word};
use crate::http::body::{FileDiff, FixRow, IncidentDetail, IncidentList, IncidentRow};

/// The end of an id: enough to name an incident, since the beginning is only a time.
pub(crate) fn short(id: IncidentId) -> String {
    id.to_string().split_off(28)
}

/// Incidents, newest first.
pub(crate) fn incidents(list: &IncidentList, style: &Style) -> String {
    if list.incidents.is_empty() && style.terminal {
        return "No incident. See one in a minute: selfheal demo".to_owned();
    }
    incidents_table(&list.incidents, style)
}

pub(super) fn incidents_table(rows: &[IncidentRow], style: &Style) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let id = if style.terminal { short(row.id) } else { row.id.to_string() };
            let opened = if style.terminal {
                ago(row.opened_at, style.now)
            } else {
                row.opened_at.to_rfc3339()
            };
            vec![
                cell(id),
                word(row.state.as_str(), state_tone(row.state)),
                cell(opened),
                cell(&row.target),
                cell(&row.title),
            ]
        })
        .collect();
    table(style, &["INCIDENT", "STATE", "OPENED", "TARGET", "WHAT"], &rows)
}

/// One incident in words; with its timeline, or only why things are as they are.
pub(crate) fn incident(detail: &IncidentDetail, with_timeline: bool, style: &Style) -> String {
    let row = &detail.row;
    let mut text = format!(
        "{}: {}\n{} since {}, opened {}\nid {}",
        row.target,
        clean(&row.title, 300),
        paint(style, row.state.as_str(), state_tone(row.state)),
        row.updated_at.format("%Y-%m-%d %H:%M:%S UTC"),
        ago(row.opened_at, style.now),
        row.id,
    );
    wrong(&mut text, detail);
    cause(&mut text, detail, style);
    if let Some(fix) = &detail.fix_detail {
        steps(&mut text, fix);
    }
    if !detail.by_hand.is_empty() {
        text.push_str("\n\nWhat takes it back by hand, in this order");
        for command in &detail.by_hand {
            let _ = write!(text, "\n  $ {}", clean(command, 400));
        }
    }
    if let Some(rehearsal) = &detail.rehearsal {
        rehearsed(&mut text, rehearsal);
    }
    for file in &detail.diff {
        changed(&mut text, file, style);
    }
    if !row.holds.is_empty() {
        text.push_str("\n\nWhy not automatic");
        for hold in &row.holds {
            let passes = if hold.passes { " (passes by itself)" } else { "" };
            let _ = write!(text, "\n  - {}{passes}", clean(&hold.text, 400));
        }
    }
    if with_timeline {
        text.push_str("\n\nTimeline");
        for line in &detail.timeline {
            let at = line.at.format("%H:%M:%S");
            let _ =
                write!(text, "\n  {at}  {:<16} {}", clean(&line.actor, 30), clean(&line.text, 400));
        }
    }
    next(&mut text, detail);
    text
}

fn changed(text: &mut String, file: &FileDiff, style: &Style) {
    let _ = write!(text, "\n\nWhat changes: {}", clean(&file.fix, 400));
    for (sign, line) in file.signed() {
        let tone = match sign {
            '-' => Tone::Bad,
            '+' => Tone::Good,
            _ => Tone::Plain,
        };
        let _ = write!(text, "\n  {}", paint(style, &clean(line, 300), tone));
    }
}

fn wrong(text: &mut String, detail: &IncidentDetail) {
    text.push_str("\n\nWhat is wrong");
    for finding in &detail.findings {
        let _ = write!(text, "\n  - {}: {}", finding.target, clean(&finding.message, 400));
        for sample in finding.samples.iter().take(2) {
            let _ = write!(text, "\n      {}", clean(sample, 200));
        }
    }
}

fn cause(text: &mut String, detail: &IncidentDetail, style: &Style) {
    let Some(diagnosis) = &detail.diagnosis else {
        text.push_str("\n\nCause\n  Nobody is blamed yet; the next cycle looks again.");
        return;
    };
    let _ = write!(text, "\n\nCause: {}\n  {}", diagnosis.blamed, clean(&diagnosis.summary, 600));
    let _ = write!(text, "\n\nHow sure: {}", detail.ledger.total());
    for entry in &detail.ledger.entries {
        let tone = if entry.points < 0 { Tone::Bad } else { Tone::Plain };
        let points = paint(style, &format!("{:>+4}", entry.points), tone);
        let _ = write!(text, "\n  {points}  {}", clean(&entry.what, 400));
    }
    if !diagnosis.changes.is_empty() {
        text.push_str("\n\nWhat changed before");
        for recent in &diagnosis.changes {
            let _ = write!(text, "\n  {}", clean(&recent.to_string(), 400));
        }
    }
    if !diagnosis.ways.is_empty() {
        text.push_str("\n\nHow it reaches the others");
        for need in &diagnosis.ways {
            let _ = write!(text, "\n  {need}");
        }
    }
    if !diagnosis.considered.is_empty() {
        text.push_str("\n\nWhat else was considered");
    }
    for other in &diagnosis.considered {
        let _ = write!(
            text,
            "\n  not {} for {} ({}): {}",
            clean(&other.runbook, 60),
            other.target,
            other.confidence,
            clean(&other.why_not, 300)
        );
    }
}

fn steps(text: &mut String, fix: &FixRow) {
    let _ = write!(text, "\n\nFix: {}", clean(&fix.summary, 400));
    for (index, step) in fix.steps.iter().enumerate() {
        let _ = write!(text, "\n  {}. {} ({})", index + 1, clean(&step.what, 300), step.reversal);
        let _ = write!(text, "\n     by hand: {}", clean(&step.by_hand, 400));
    }
    for warning in &fix.warnings {
        let _ = write!(text, "\n  never: {}", clean(warning, 400));
    }
}

fn rehearsed(text: &mut String, rehearsal: &Rehearsal) {
    let Rehearsal { fix, verdict, took_secs, why, .. } = rehearsal;
    let _ = write!(text, "\n\nRehearsal on a clone: {} ({took_secs:.1} s)", verdict.as_str());
    let _ = write!(text, "\n  {}: {}", clean(fix, 400), clean(why, 400));
    for line in &rehearsal.lines {
        let _ = write!(text, "\n      {}", clean(line, 200));
    }
}

fn next(text: &mut String, detail: &IncidentDetail) {
    let id = short(detail.row.id);
    let mut commands = vec![];
    if detail.can.approve {
        commands.push(format!("selfheal approve {id}"));
    }
    if detail.can.dismiss {
        commands.push(format!("selfheal dismiss {id} --reason WHY"));
    }
    if detail.can.rollback {
        commands.extend(match &detail.backups[..] {
            [] => None,
            [backup] => Some(format!("selfheal rollback {backup}")),
            _ => Some(format!("selfheal rollback {id}")),
        });
    }
    if !commands.is_empty() {
        let _ = write!(text, "\n\nnext: {}", commands.join("\n  or: "));
    }
}

/// What became of an incident, in a line.
pub(crate) fn incident_line(at: Timestamp, state: &str, target: &TargetId, text: &str) -> String {
    let at = at.format("%Y-%m-%d %H:%M:%S");
    format!("{at}  {state:<11} {target}: {}", clean(text, 300))
}
