//! The page of all targets.

use askama::Template;
use selfheal_agents::model::{IncidentId, Observation, Timestamp, Verdict};

use super::{Frame, count, freeze_text, so_long, tone, verdict_word};
use crate::coordinator::{Freeze, Standing, TargetSummary};

/// The worst first.
const ORDER: [Verdict; 4] = [Verdict::Critical, Verdict::Warning, Verdict::Unknown, Verdict::Ok];

/// One target in its group.
struct Row {
    id: String,
    kind: &'static str,
    tone: &'static str,
    detail: String,
    /// For how long it has been like this, where that is known.
    lasting: Option<String>,
    mode: &'static str,
    marks: Vec<&'static str>,
    holds: Vec<String>,
    incident: Option<IncidentId>,
    symptom_of: Option<String>,
}

/// All of one verdict.
struct Group {
    word: &'static str,
    tone: &'static str,
    rows: Vec<Row>,
}

/// `/targets`.
#[derive(Template)]
#[template(path = "targets.html")]
pub(in crate::http::pages) struct TargetsPage {
    frame: Frame,
    sought: String,
    summary: String,
    watched: bool,
    blind: Vec<String>,
    groups: Vec<Group>,
}

impl TargetsPage {
    /// Those in which every word of `sought` is found.
    pub(in crate::http::pages) fn new(standing: &Standing, sought: &str, now: Timestamp) -> Self {
        let found: Vec<&TargetSummary> =
            standing.targets.iter().filter(|target| is_sought(target, sought)).collect();
        let group = |verdict: Verdict| Group {
            word: verdict_word(verdict),
            tone: tone(verdict),
            rows: found
                .iter()
                .filter(|target| target.verdict == verdict)
                .map(|target| Row::new(target, &standing.freezes, now))
                .collect(),
        };
        let all = count(standing.targets.len(), "target");
        Self {
            frame: Frame::on("/targets"),
            summary: match sought {
                "" => format!("{all} watched."),
                _ => format!("{} of {all}.", found.len()),
            },
            sought: sought.to_owned(),
            watched: !standing.targets.is_empty(),
            blind: standing.blind.clone(),
            groups: ORDER.map(group).into_iter().filter(|group| !group.rows.is_empty()).collect(),
        }
    }
}

impl Row {
    fn new(target: &TargetSummary, freezes: &[Freeze], now: Timestamp) -> Self {
        let marks = [
            (target.excluded, "never touched"),
            (target.external, "not ours"),
            (freezes.iter().any(|f| f.target.as_ref() == Some(&target.id)), "frozen"),
        ];
        Self {
            id: target.id.to_string(),
            kind: target.id.kind().as_str(),
            tone: tone(target.verdict),
            detail: target.detail.clone(),
            lasting: since(target).map(|since| so_long(since, now)),
            mode: target.mode.as_str(),
            marks: marks.into_iter().filter_map(|(is, word)| is.then_some(word)).collect(),
            holds: target.holds.iter().map(ToString::to_string).collect(),
            incident: target.incident,
            symptom_of: target.symptom_of.as_ref().map(ToString::to_string),
        }
    }
}

/// Since when a target has been as it is: something has been as bad as the worst of it is now, or
/// all of it has been well.
pub(super) fn since(target: &TargetSummary) -> Option<Timestamp> {
    let as_bad = target.observations.iter().filter(|o| o.verdict == target.verdict);
    let since = as_bad.map(|o: &Observation| o.since);
    if target.verdict == Verdict::Ok { since.max() } else { since.min() }
}

fn is_sought(target: &TargetSummary, sought: &str) -> bool {
    let holds = target.holds.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let said = [
        target.id.to_string().as_str(),
        target.detail.as_str(),
        verdict_word(target.verdict),
        target.mode.as_str(),
        holds.as_str(),
    ]
    .join(" ")
    .to_lowercase();
    sought.to_lowercase().split_whitespace().all(|word| said.contains(word))
}

/// The freezes of one target and of everything, in words.
pub(super) fn freezes_of(target: &TargetSummary, freezes: &[Freeze]) -> Vec<String> {
    let its = |freeze: &&Freeze| freeze.target.as_ref().is_none_or(|id| *id == target.id);
    freezes.iter().filter(its).map(freeze_text).collect()
}
