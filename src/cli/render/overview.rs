//! `status`, `targets`, `backups`, `check`, `freeze`.

use std::fmt::Write;

use serde::Serialize;

use super::incident::incidents_table;
use super::{ago, plural, verdict_word};
use crate::cli::output::Style;
use crate::cli::table::{Tone, cell, paint, table, word};
use crate::coordinator::{AgentStep, CycleStatus, Freeze, Happening, TargetSummary};
use crate::http::body::{
    AutonomousMode, BackupList, Checked, FreezeState, IncidentRow, Status, TargetDetail, TargetList,
};
use selfheal_agents::model::{Verdict, clean};

/// Changes shown of one target; `--json` has more.
const CHANGES_SHOWN: usize = 10;

/// Everything `status` shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Overview {
    /// Where the daemon answers; none is running without it.
    pub daemon: Option<String>,
    /// Where it stands.
    pub status: Status,
    /// What is watched.
    pub targets: Vec<TargetSummary>,
    /// What is not closed, newest first.
    pub open_incidents: Vec<IncidentRow>,
}

const fn mode_word(mode: AutonomousMode) -> &'static str {
    match mode {
        AutonomousMode::Enabled => "auto: heals by itself when every guard agrees",
        AutonomousMode::Approve => "approve: asks a person for each fix",
        AutonomousMode::Observe => "observe: only reports what it would have done",
        AutonomousMode::Frozen => "frozen: no automatic fixes",
    }
}

/// How everything stands, in one screen.
pub(crate) fn overview(view: &Overview, style: &Style) -> String {
    let mut text = headline(view, style);
    let status = &view.status;
    let _ = write!(text, "\n\nmode    {}", mode_word(status.autonomous_mode));
    for freeze in &status.freezes {
        let _ = write!(text, "\nfrozen  {}", freeze_line(freeze));
    }
    let check = |at: Option<_>| at.map_or("not yet".to_owned(), |at| ago(at, style.now));
    let _ = write!(text, "\nchecks  last {}", check(status.last_check));
    if let Some(next) = status.next_check {
        let _ = write!(text, ", next {}", ago(next, style.now));
    }
    let fixes = &status.fix_statistics;
    let share = (fixes.success_rate * 100.0).round();
    let proven = if fixes.total_fixes == 0 {
        "no fix yet".to_owned()
    } else {
        format!("{}, {share:.0} % proven to help", plural_fixes(fixes.total_fixes))
    };
    let _ = write!(text, "\nfixes   {proven}");
    if let Some(url) = &view.daemon {
        let _ = write!(text, "\npage    {url}/");
    }
    for blind in &status.blind {
        let _ = write!(text, "\n{} {}", paint(style, "blind", Tone::Warning), clean(blind, 400));
    }
    let bad: Vec<&TargetSummary> = view.targets.iter().filter(|t| deserves_a_line(t)).collect();
    if !bad.is_empty() {
        let _ = write!(text, "\n\n{}", targets_table(bad.into_iter(), style));
    }
    if !view.open_incidents.is_empty() {
        let _ = write!(text, "\n\n{}", incidents_table(&view.open_incidents, style));
    }
    if let Some(first) = view.open_incidents.first() {
        let _ = write!(text, "\n\nnext: selfheal explain {}", super::short(first.id));
    }
    text
}

fn freeze_line(freeze: &Freeze) -> String {
    let what = freeze.target.as_ref().map_or_else(|| "everything".to_owned(), ToString::to_string);
    let until = freeze.until.map_or_else(
        || {
            let only = freeze.target.as_ref().map(|target| format!(" --target {target}"));
            format!("`selfheal unfreeze{}` ends it", only.unwrap_or_default())
        },
        |until| format!("until {}", until.format("%Y-%m-%d %H:%M UTC")),
    );
    clean(&format!("{what}, by {}: {} ({until})", freeze.by, freeze.reason), 400)
}

fn plural_fixes(count: usize) -> String {
    if count == 1 { "1 fix".to_owned() } else { format!("{count} fixes") }
}

fn headline(view: &Overview, style: &Style) -> String {
    let bad = view.targets.iter().filter(|t| t.verdict.is_bad()).count();
    let watched = plural(view.targets.len(), "target");
    if view.daemon.is_none() {
        return paint(style, "Selfheal is not running: nothing is watched.", Tone::Warning);
    }
    if view.targets.is_empty() {
        return "Selfheal is taking its first look.".to_owned();
    }
    let calm = bad == 0 && view.open_incidents.is_empty();
    if calm && !view.status.blind.is_empty() {
        let text = format!("Not everything can be seen; what can be is well: {watched}.");
        return paint(style, &text, Tone::Warning);
    }
    if calm {
        return paint(style, &format!("All is well: {watched} watched."), Tone::Good);
    }
    let open = plural(view.open_incidents.len(), "incident");
    paint(style, &format!("{bad} of {watched} not well, {open} open."), Tone::Bad)
}

/// Whether the overview shows it: it is not well, or there is something to know of it.
fn deserves_a_line(target: &TargetSummary) -> bool {
    target.verdict != Verdict::Ok || !target.notes.is_empty() || !target.turned.is_empty()
}

fn targets_table<'a>(rows: impl Iterator<Item = &'a TargetSummary>, style: &Style) -> String {
    let rows: Vec<_> = rows
        .map(|target| {
            let mut what = target.detail.clone();
            if let Some(cause) = &target.symptom_of {
                let _ = write!(what, " (a symptom of {cause})");
            }
            for hold in &target.holds {
                let _ = write!(what, "; {hold}");
            }
            for note in target.notes.iter().chain(&target.turned) {
                let _ = write!(what, "; {}", clean(note, 400));
            }
            vec![
                cell(&target.id),
                word(verdict_word(target.verdict), Tone::from(target.verdict)),
                cell(what),
            ]
        })
        .collect();
    table(style, &["TARGET", "VERDICT", "WHAT"], &rows)
}

/// Everything that is watched.
pub(crate) fn targets(list: &TargetList, style: &Style) -> String {
    if list.targets.is_empty() && style.terminal {
        return "Nothing is watched now. Start it: selfheal run".to_owned();
    }
    targets_table(list.targets.iter(), style)
}

/// One target with all its observations.
pub(crate) fn target(target: &TargetDetail, style: &Style) -> String {
    let summary = &target.summary;
    let mut text = format!(
        "{}: {}, {}",
        summary.id,
        paint(style, verdict_word(summary.verdict), Tone::from(summary.verdict)),
        clean(&summary.detail, 400)
    );
    let names = |ids: &[selfheal_agents::model::TargetId]| {
        ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    for need in &summary.needs {
        let sources: Vec<&str> = need.sources.iter().map(|source| source.as_str()).collect();
        let (to, weight) = (&need.to, need.weight);
        let _ = write!(text, "\nneeds      {to} ({}; weight {weight})", sources.join(", "));
    }
    if !target.needed_by.is_empty() {
        let _ = write!(text, "\nneeded by  {}", names(&target.needed_by));
    }
    if let Some(cause) = &summary.symptom_of {
        let _ = write!(text, "\nsymptom of {cause}");
    }
    for note in &summary.notes {
        let _ = write!(text, "\nin its log {}", clean(note, 400));
    }
    for turned in &summary.turned {
        let _ = write!(text, "\nturned     {}", clean(turned, 400));
    }
    for hold in &target.holds_in_words {
        let _ = write!(text, "\nheld       {}", clean(hold, 400));
    }
    changes(&mut text, target);
    let rows: Vec<_> = summary
        .observations
        .iter()
        .map(|seen| {
            vec![
                cell(&seen.check),
                cell(format!("{} {}", seen.value, seen.unit).trim_end()),
                word(verdict_word(seen.verdict), Tone::from(seen.verdict)),
                cell(&seen.detail),
            ]
        })
        .collect();
    let _ = write!(text, "\n\n{}", table(style, &["CHECK", "VALUE", "VERDICT", "WHAT"], &rows));
    text
}

/// Backups, newest first.
pub(crate) fn backups(list: &BackupList, style: &Style) -> String {
    if list.backups.is_empty() && style.terminal {
        return "No backup yet: one is made before every fix.".to_owned();
    }
    let rows: Vec<_> = list
        .backups
        .iter()
        .map(|backup| {
            let state =
                if backup.metadata.rolled_back_at.is_some() { "rolled back" } else { "kept" };
            vec![
                cell(&backup.backup_id),
                cell(ago(backup.at, style.now)),
                cell(&backup.metadata.target),
                cell(state),
                cell(&backup.metadata.reason),
            ]
        })
        .collect();
    table(style, &["BACKUP", "MADE", "TARGET", "STATE", "BEFORE"], &rows)
}

/// What one cycle saw and decided.
pub(crate) fn checked(checked: &Checked, style: &Style) -> String {
    let report = &checked.report;
    let mut text = targets_table(report.targets.iter(), style);
    if !report.incidents.is_empty() {
        let rows: Vec<_> = report
            .incidents
            .iter()
            .map(|incident| {
                let mut why = String::new();
                for hold in &incident.holds {
                    let _ = write!(why, "{}{hold}", if why.is_empty() { "" } else { "; " });
                }
                let fix = incident.fix.as_deref().unwrap_or("no safe automatic fix is known");
                let confidence =
                    incident.confidence.map_or_else(|| "–".to_owned(), |c| c.to_string());
                vec![
                    cell(super::short(incident.id)),
                    word(incident.state.as_str(), super::state_tone(incident.state)),
                    cell(&incident.target),
                    cell(&incident.title),
                    cell(confidence),
                    cell(if why.is_empty() {
                        fix.to_owned()
                    } else {
                        format!("{fix} (held: {why})")
                    }),
                ]
            })
            .collect();
        let heads = ["INCIDENT", "STATE", "TARGET", "DIAGNOSIS", "SURE", "FIX"];
        let _ = write!(text, "\n\n{}", table(style, &heads, &rows));
    }
    if style.terminal {
        let _ = write!(text, "\n\n{}", checked_sentence(checked, style));
    }
    text
}

fn checked_sentence(checked: &Checked, style: &Style) -> String {
    let report = &checked.report;
    let took =
        format!("{} looked at in {:.0} ms", plural(report.targets.len(), "target"), report.took_ms);
    let issues = plural(checked.issues, "finding");
    let (text, tone) = match report.status {
        CycleStatus::Healthy => (format!("All is well. {took}."), Tone::Good),
        CycleStatus::IssuesFound if checked.issues == 0 && !report.blind.is_empty() => {
            (format!("Not everything can be seen; what can be is well. {took}."), Tone::Warning)
        }
        CycleStatus::IssuesFound if report.dry_run => {
            (format!("{issues}; nothing was changed (dry run). {took}."), Tone::Warning)
        }
        CycleStatus::IssuesFound => (format!("{issues}, not healed. {took}."), Tone::Bad),
        CycleStatus::Healing => (format!("{issues}, being healed. {took}."), Tone::Warning),
    };
    paint(style, &text, tone)
}

/// One line for what happens while a cycle runs; nothing for what needs none.
pub(crate) fn live_line(what: &Happening) -> Option<String> {
    match what {
        Happening::Agent { step, .. } => Some(agent_line(step)),
        Happening::Incident { incident, text } => Some(format!(
            "  {:<16} {}: {}",
            incident.state.as_str(),
            incident.target,
            clean(text, 300)
        )),
        Happening::Validation { healthy, detail, .. } => {
            let verdict = if *healthy { "good" } else { "not yet good" };
            Some(format!("  {:<16} {verdict}: {}", "validation", clean(detail, 300)))
        }
        _ => None,
    }
}

fn agent_line(step: &AgentStep) -> String {
    let failed = if step.failed { "FAILED: " } else { "" };
    format!("  {:<16} {failed}{} ({:.0} ms)", step.agent, clean(&step.summary, 300), step.took_ms)
}

/// What a freeze did.
pub(crate) fn freeze_state(state: &FreezeState, _: &Style) -> String {
    let others = state.others.iter().map(|other| format!("\n  - {}", clean(&other.said, 400)));
    format!("{}{}", clean(&state.message, 400), others.collect::<String>())
}

/// The newest changes of its container.
fn changes(text: &mut String, target: &TargetDetail) {
    for change in target.changes.iter().take(CHANGES_SHOWN) {
        let by = if change.by_selfheal { " (by Selfheal)" } else { "" };
        let at = change.at.format("%Y-%m-%d %H:%M:%S");
        let _ = write!(text, "\nchanged    {at}  {}{by}", clean(&change.what, 300));
    }
}
