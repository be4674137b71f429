//! What the templates print: words and tones, made of the API's bodies. Pure.

use std::collections::BTreeMap;

use askama::Template;
use selfheal_agents::model::{
    IncidentId, IncidentState, Mode, Severity, TargetId, TargetKind, Timestamp, Verdict,
};

use crate::coordinator::{Freeze, Hour, Standing, TargetSummary};
use crate::http::body::IncidentRow;

mod approvals;
mod backups;
mod bars;
mod chart;
mod course;
mod fall;
mod fleet;
pub(in crate::http) mod frame;
mod incident;
mod knowledge;
mod learning;
mod pipeline;
mod plot;
mod ring;
mod settings;
mod target;
mod targets;

use bars::Bars;
use frame::Frame;

pub(super) use approvals::ApprovalsPage;
pub(super) use backups::{BackupPage, BackupsPage};
pub(super) use fleet::FleetPage;
pub(super) use incident::{Beside, IncidentPage};
pub(super) use knowledge::{ExplainedPage, KnowledgePage, RunbookPage};
pub(super) use learning::LearningPage;
pub(super) use pipeline::{Depths, PipelinePage};
pub(super) use settings::{MadeToken, ReadSettings, SettingsPage, Shown, Tested, Tokens};
pub(super) use target::{TargetFacts, TargetPage};
pub(super) use targets::TargetsPage;

/// A moment, three ways.
pub(super) struct When {
    pub(super) exact: String,
    pub(super) clock: String,
    pub(super) ago: String,
}

impl When {
    fn new(at: Timestamp, now: Timestamp) -> Self {
        Self {
            exact: at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            clock: at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
            ago: ago((now - at).num_seconds()),
        }
    }
}

/// A length of time before now, as a person says it; a future one is `in ...`.
fn ago(seconds: i64) -> String {
    let length = length(seconds.unsigned_abs());
    if seconds < 0 { format!("in {length}") } else { format!("{length} ago") }
}

/// A length of time, as a person says it.
fn length(seconds: u64) -> String {
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min", seconds / 60),
        3600..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// How long something has been so.
fn so_long(since: Timestamp, now: Timestamp) -> String {
    length((now - since).num_seconds().unsigned_abs())
}

const fn tone(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Unknown => "calm",
        Verdict::Warning => "warning",
        Verdict::Critical => "critical",
    }
}

const fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "well",
        Verdict::Unknown => "unknown",
        Verdict::Warning => "warning",
        Verdict::Critical => "critical",
    }
}

/// One incident in a list.
pub(super) struct IncidentLine {
    pub(super) id: IncidentId,
    pub(super) target: String,
    pub(super) title: String,
    pub(super) state: &'static str,
    pub(super) tone: &'static str,
    pub(super) said: String,
    pub(super) opened: When,
}

impl IncidentLine {
    fn new(row: &IncidentRow, now: Timestamp) -> Self {
        let tone = match (row.state, row.severity) {
            (IncidentState::Resolved, _) => "ok",
            (IncidentState::Stuck, _) | (IncidentState::Held, Severity::Critical) => "critical",
            (IncidentState::Fixing | IncidentState::Validating, _) => "calm",
            _ => "warning",
        };
        Self {
            id: row.id,
            target: row.target.to_string(),
            title: row.title.clone(),
            state: state_word(row.state),
            tone,
            said: said(row),
            opened: When::new(row.opened_at, now),
        }
    }
}

const fn state_word(state: IncidentState) -> &'static str {
    match state {
        IncidentState::RolledBack => "rolled back",
        other => other.as_str(),
    }
}

/// One sentence: what is, was or would be done, and why not.
fn said(row: &IncidentRow) -> String {
    let sure = row.confidence.map(|c| format!(" ({c} sure)")).unwrap_or_default();
    match (&row.fix, row.state) {
        (Some(fix), IncidentState::Held) => {
            let why = row.holds.first().map_or("a person must decide", |hold| hold.text.as_str());
            format!("Waits: {why}. It would {}{sure}.", lower(fix))
        }
        (None, IncidentState::Held) => {
            row.holds.first().map_or_else(String::new, |hold| format!("{}.", upper(&hold.text)))
        }
        (Some(fix), IncidentState::Resolved) if row.applied => {
            format!("Healed: {}{sure}.", lower(fix))
        }
        (Some(fix), IncidentState::RolledBack) => {
            format!("Taken back, it did not help: {}.", lower(fix))
        }
        (Some(fix), IncidentState::Stuck) => {
            format!("Stuck, a person must look: {}.", lower(fix))
        }
        (Some(fix), _) => format!("Doing: {}{sure}.", lower(fix)),
        (_, IncidentState::Resolved) => "It is well again without a fix of ours.".to_owned(),
        (None, IncidentState::Stuck) => "Stuck: a person must look.".to_owned(),
        (None, _) => "The cause is being looked for.".to_owned(),
    }
}

fn cased(text: &str, case: fn(&char) -> char) -> String {
    let text = text.trim_end_matches('.');
    let mut chars = text.chars();
    chars.next().map(|c| case(&c)).into_iter().chain(chars).collect()
}

fn lower(text: &str) -> String {
    cased(text, char::to_ascii_lowercase)
}

fn upper(text: &str) -> String {
    cased(text, char::to_ascii_uppercase)
}

/// One target in the grid.
pub(super) struct TargetCard {
    id: String,
    verdict: &'static str,
    tone: &'static str,
    detail: String,
    quiet: bool,
    quiet_word: &'static str,
    holds: Vec<String>,
    notes: Vec<String>,
    turned: Vec<String>,
    incident: Option<IncidentId>,
    symptom_of: Option<String>,
    day: Option<Bars>,
}

impl TargetCard {
    fn new(target: &TargetSummary, day: Option<&Vec<Hour>>) -> Self {
        Self {
            day: Bars::of(day),
            id: target.id.to_string(),
            verdict: verdict_word(target.verdict),
            tone: tone(target.verdict),
            detail: target.detail.clone(),
            quiet: target.excluded || target.external,
            quiet_word: if target.excluded { "never touched" } else { "not ours" },
            holds: target.holds.iter().map(ToString::to_string).collect(),
            notes: target.notes.clone(),
            turned: target.turned.clone(),
            incident: target.incident,
            symptom_of: target.symptom_of.as_ref().map(ToString::to_string),
        }
    }
}

/// The sentence on top.
pub(super) struct Headline {
    text: String,
    short: String,
    tone: &'static str,
}

impl Headline {
    fn new(standing: &Standing, open: &[IncidentRow]) -> Self {
        let watched = standing.targets.len();
        let bad = standing.targets.iter().filter(|t| t.verdict.is_bad()).count();
        let worst = standing.targets.iter().map(|t| t.verdict).max().unwrap_or(Verdict::Unknown);
        let waiting = open.iter().filter(|i| i.state == IncidentState::Held).count();
        let healing = standing.applying + standing.validating;
        if watched == 0 {
            let text = "Selfheal is taking its first look.".to_owned();
            return Self { short: "Starting".to_owned(), tone: "calm", text };
        }
        if bad == 0 && waiting == 0 && healing == 0 {
            let blind = !standing.blind.is_empty();
            let text = if blind {
                format!("What can be seen is well: {}.", count(watched, "target"))
            } else {
                format!("All is well: {} watched.", count(watched, "target"))
            };
            let tone = if blind { "warning" } else { "ok" };
            let short = if blind { "Not all seen" } else { "All is well" };
            return Self { short: short.to_owned(), tone, text };
        }
        let mut parts = vec![];
        if bad > 0 {
            parts.push(format!("{bad} of {} not well", count(watched, "target")));
        }
        if healing > 0 {
            parts.push(format!("{} under way", count(healing, "repair")));
        }
        if waiting > 0 {
            parts.push(format!(
                "{} for you",
                if waiting == 1 {
                    "1 incident waits".to_owned()
                } else {
                    format!("{waiting} incidents wait")
                }
            ));
        }
        let short = if bad > 0 { format!("{bad} not well") } else { "Healing".to_owned() };
        Self { text: format!("{}.", parts.join("; ")), short, tone: tone(worst) }
    }
}

fn count(n: usize, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}

struct ModeBadge {
    word: &'static str,
    meaning: &'static str,
}

fn mode_badge(standing: &Standing) -> ModeBadge {
    let of_everything = || standing.freezes.iter().filter(|freeze| freeze.target.is_none());
    let stopped = of_everything().any(|freeze| freeze.safety_stop);
    let (word, meaning) = match (of_everything().next().is_some(), standing.mode) {
        (true, _) if stopped => {
            ("frozen", "It stopped itself: it watches and reports until a person has looked.")
        }
        (true, _) => ("frozen", "It watches and reports; a person stopped all automatic fixes."),
        (_, Mode::Auto) => ("auto", "It heals by itself when every guard agrees."),
        (_, Mode::Approve) => ("approve", "It asks you before each fix."),
        (_, Mode::Observe) => ("observe", "It only reports what it would have done."),
    };
    ModeBadge { word, meaning }
}

struct Fact {
    name: &'static str,
    value: String,
    tone: &'static str,
}

fn freeze_text(freeze: &Freeze) -> String {
    let what = freeze.target.as_ref().map_or_else(|| "Everything".to_owned(), ToString::to_string);
    let until = freeze.until.map_or_else(
        || "until a person ends it".to_owned(),
        |until| format!("until {}", until.format("%Y-%m-%d %H:%M UTC")),
    );
    format!("{what} is frozen {until}, by {}: {}", freeze.by, freeze.reason)
}

/// `/`.
#[derive(Template)]
#[template(path = "overview.html")]
pub(super) struct OverviewPage {
    frame: Frame,
    headline: Headline,
    mode: ModeBadge,
    frozen: bool,
    blind: Vec<String>,
    freezes: Vec<String>,
    open: Vec<IncidentLine>,
    last: Vec<IncidentLine>,
    targets: Vec<TargetCard>,
    has_containers: bool,
    own: Vec<Fact>,
}

impl OverviewPage {
    pub(super) fn new(
        standing: &Standing,
        open: &[IncidentRow],
        last: &[IncidentRow],
        writable: bool,
        days: &BTreeMap<TargetId, Vec<Hour>>,
        now: Timestamp,
    ) -> Self {
        let frozen = standing.freezes.iter().any(|freeze| freeze.target.is_none());
        let mut targets: Vec<&TargetSummary> = standing.targets.iter().collect();
        targets.sort_by(|a, b| b.verdict.cmp(&a.verdict).then_with(|| a.id.cmp(&b.id)));
        let lines = |rows: &[IncidentRow]| rows.iter().map(|r| IncidentLine::new(r, now)).collect();
        Self {
            frame: Frame::on("/"),
            headline: Headline::new(standing, open),
            mode: mode_badge(standing),
            frozen,
            blind: standing.blind.clone(),
            freezes: standing.freezes.iter().map(freeze_text).collect(),
            open: lines(open),
            last: lines(last),
            has_containers: targets.iter().any(|t| t.id.kind() == TargetKind::Container),
            targets: targets.into_iter().map(|t| TargetCard::new(t, days.get(&t.id))).collect(),
            own: own_facts(standing, writable, now),
        }
    }
}

fn own_facts(standing: &Standing, writable: bool, now: Timestamp) -> Vec<Fact> {
    let when = |at: Option<Timestamp>| at.map_or("not yet".to_owned(), |at| When::new(at, now).ago);
    let fact = |name, value, tone| Fact { name, value, tone };
    let docker = if standing.runtime_connected { ("connected", "") } else { ("away", "critical") };
    let store = if writable { ("writable", "") } else { ("not writable", "critical") };
    vec![
        fact("Docker", docker.0.to_owned(), docker.1),
        fact("Store", store.0.to_owned(), store.1),
        fact("Last check", when(standing.last_check), ""),
        fact("Next check", when(standing.next_check), ""),
        fact(
            "Last cycle took",
            standing.last_cycle_ms.map_or("–".to_owned(), |ms| format!("{ms:.0} ms")),
            "",
        ),
        fact("Repairs under way", (standing.applying + standing.validating).to_string(), ""),
    ]
}

/// `/incidents`.
#[derive(Template)]
#[template(path = "incidents.html")]
pub(super) struct IncidentsPage {
    frame: Frame,
    incidents: Vec<IncidentLine>,
    next: Option<IncidentId>,
    paged: bool,
}

impl IncidentsPage {
    pub(super) fn new(
        rows: &[IncidentRow],
        next: Option<IncidentId>,
        paged: bool,
        now: Timestamp,
    ) -> Self {
        let incidents = rows.iter().map(|row| IncidentLine::new(row, now)).collect();
        Self { frame: Frame::on("/incidents"), incidents, next, paged }
    }
}

/// A page that could not be shown.
#[derive(Template)]
#[template(path = "error.html")]
pub(super) struct ErrorPage {
    frame: Frame,
    title: String,
    detail: String,
}

impl ErrorPage {
    pub(super) fn new(title: &str, detail: &str) -> Self {
        Self { frame: Frame::elsewhere(), title: title.to_owned(), detail: detail.to_owned() }
    }
}

#[cfg(test)]
mod tests;
