//! The page of one target.

use askama::Template;
use selfheal_agents::model::{Change, Observation, Timestamp};

use super::bars::Bars;
use super::chart::{Chart, charts};
use super::ring::Ring;
use super::targets::{freezes_of, since};
use super::{Frame, IncidentLine, When, so_long, tone, verdict_word};
use crate::coordinator::{Allowed, Hour, Level, ModeSource, Standing};
use crate::http::body::{IncidentRow, TargetDetail};

/// What the page is made of.
pub(in crate::http::pages) struct TargetFacts<'a> {
    pub(in crate::http::pages) detail: &'a TargetDetail,
    pub(in crate::http::pages) standing: &'a Standing,
    pub(in crate::http::pages) mode_source: ModeSource,
    /// What was measured of it, check by check.
    pub(in crate::http::pages) levels: &'a [Level],
    /// What people are not asked for any more here.
    pub(in crate::http::pages) allowed: &'a [Allowed],
    /// How it did in the last hours.
    pub(in crate::http::pages) day: Option<&'a Vec<Hour>>,
    /// About it, newest first.
    pub(in crate::http::pages) incidents: &'a [IncidentRow],
}

struct ValueRow {
    check: String,
    value: String,
    tone: &'static str,
    verdict: &'static str,
    detail: String,
    lasting: String,
}

struct ChangeRow {
    at: When,
    kind: &'static str,
    what: String,
    ours: bool,
}

struct AllowedRow {
    issue_type: String,
    fix_type: String,
    by: String,
    at: When,
}

/// `/targets/{id}`.
#[derive(Template)]
#[template(path = "target.html")]
pub(in crate::http::pages) struct TargetPage {
    frame: Frame,
    id: String,
    tone: &'static str,
    verdict: &'static str,
    detail: String,
    lasting: Option<String>,
    mode: &'static str,
    mode_source: &'static str,
    excluded: bool,
    external: bool,
    symptom_of: Option<String>,
    frozen: bool,
    freezes: Vec<String>,
    holds: Vec<String>,
    notes: Vec<String>,
    turned: Vec<String>,
    values: Vec<ValueRow>,
    allowed: Vec<AllowedRow>,
    day: Option<Bars>,
    charts: Vec<Chart>,
    ring: Option<Ring>,
    changes: Vec<ChangeRow>,
    open: Vec<IncidentLine>,
    past: Vec<IncidentLine>,
}

impl TargetPage {
    pub(in crate::http::pages) fn new(facts: &TargetFacts<'_>, now: Timestamp) -> Self {
        let target = &facts.detail.summary;
        let lines = |closed: bool| {
            let its = |row: &&IncidentRow| row.state.is_closed() == closed;
            facts.incidents.iter().filter(its).map(|row| IncidentLine::new(row, now)).collect()
        };
        let freezes = &facts.standing.freezes;
        Self {
            frame: Frame::within("/targets"),
            id: target.id.to_string(),
            tone: tone(target.verdict),
            verdict: verdict_word(target.verdict),
            detail: target.detail.clone(),
            lasting: since(target).map(|since| so_long(since, now)),
            mode: target.mode.as_str(),
            mode_source: mode_source(facts.mode_source),
            excluded: target.excluded,
            external: target.external,
            symptom_of: target.symptom_of.as_ref().map(ToString::to_string),
            frozen: freezes.iter().any(|freeze| freeze.target.as_ref() == Some(&target.id)),
            freezes: freezes_of(target, freezes),
            holds: facts.detail.holds_in_words.clone(),
            notes: target.notes.clone(),
            turned: target.turned.clone(),
            values: target.observations.iter().map(|seen| value(seen, now)).collect(),
            allowed: facts.allowed.iter().map(|one| allowed(one, now)).collect(),
            day: Bars::of(facts.day),
            charts: charts(facts.levels, now),
            ring: Ring::of(target, &facts.standing.targets),
            changes: facts.detail.changes.iter().map(|seen| change(seen, now)).collect(),
            open: lines(false),
            past: lines(true),
        }
    }
}

const fn mode_source(source: ModeSource) -> &'static str {
    match source {
        ModeSource::Policy => "the settings say so for this target ([policy.target])",
        ModeSource::Target => "its label or its own entry in the settings says so",
        ModeSource::Everything => "nothing is said of this target, so what holds for everything",
    }
}

fn value(seen: &Observation, now: Timestamp) -> ValueRow {
    let space = if seen.unit.is_empty() { "" } else { " " };
    ValueRow {
        check: seen.check.clone(),
        value: format!("{}{space}{}", seen.value, seen.unit),
        tone: tone(seen.verdict),
        verdict: verdict_word(seen.verdict),
        detail: seen.detail.clone(),
        lasting: so_long(seen.since, now),
    }
}

fn allowed(one: &Allowed, now: Timestamp) -> AllowedRow {
    AllowedRow {
        issue_type: one.issue_type.clone(),
        fix_type: one.fix_type.clone(),
        by: one.by.clone(),
        at: When::new(one.at, now),
    }
}

fn change(seen: &Change, now: Timestamp) -> ChangeRow {
    ChangeRow {
        at: When::new(seen.at, now),
        kind: seen.kind.as_str(),
        what: seen.what.clone(),
        ours: seen.by_selfheal,
    }
}
