//! The pages of runbooks.

use std::collections::BTreeMap;

use askama::Template;
use selfheal_agents::error_detector::Catalogue;
use selfheal_agents::learning_engine::Statistics;
use selfheal_agents::model::Runbook;

use super::{Frame, count};
use crate::knowledge::explain::Explained;
use crate::knowledge::words::{condition, remedies, severity, sign, status, word};

/// Runbooks of one answer.
const SHOWN: usize = 100;

struct Row {
    id: String,
    title: String,
    about: String,
    status: &'static str,
}

/// A component and how many runbooks are about it.
struct Technology {
    name: String,
    runbooks: usize,
}

/// `/knowledge`.
#[derive(Template)]
#[template(path = "knowledge.html")]
pub(in crate::http::pages) struct KnowledgePage {
    frame: Frame,
    sought: String,
    summary: String,
    rows: Vec<Row>,
    technologies: Vec<Technology>,
}

impl KnowledgePage {
    pub(in crate::http::pages) fn new(
        catalogue: &Catalogue,
        sought: &str,
        found: &[&Runbook],
    ) -> Self {
        let mut technologies: BTreeMap<&str, usize> = BTreeMap::new();
        for runbook in catalogue.iter() {
            *technologies.entry(&runbook.technology).or_default() += 1;
        }
        let all = count(catalogue.len(), "runbook");
        let summary = match (sought, found.len()) {
            ("", _) => format!("{all} in force."),
            (_, many) if many > SHOWN => format!("The first {SHOWN} of {many}; {all} in force."),
            (_, many) => format!("{many} of {all}."),
        };
        Self {
            frame: Frame::on("/knowledge"),
            sought: sought.to_owned(),
            summary,
            rows: found.iter().take(SHOWN).map(|runbook| row(runbook)).collect(),
            technologies: technologies
                .into_iter()
                .map(|(name, runbooks)| Technology { name: name.to_owned(), runbooks })
                .collect(),
        }
    }
}

fn row(runbook: &Runbook) -> Row {
    Row {
        id: runbook.id.clone(),
        title: runbook.title.clone(),
        about: format!("{}, {}", runbook.technology, runbook.category.as_str()),
        status: status(runbook),
    }
}

/// `/knowledge/{id}`.
#[derive(Template)]
#[template(path = "runbook.html")]
pub(in crate::http::pages) struct RunbookPage {
    frame: Frame,
    id: String,
    title: String,
    about: String,
    summary: String,
    base: String,
    blames: String,
    signs: Vec<String>,
    evidence: Vec<Weighed>,
    remedies: Vec<String>,
    avoid: Vec<String>,
    links: Vec<String>,
    here: String,
}

struct Weighed {
    points: String,
    tone: &'static str,
    why: String,
    when: String,
    required: bool,
}

impl RunbookPage {
    /// `here` is what became of its fixes on this machine.
    pub(in crate::http::pages) fn new(runbook: &Runbook, here: &Statistics) -> Self {
        let weighed = |evidence: &selfheal_agents::model::Evidence| Weighed {
            points: format!("{:+}", evidence.weight),
            tone: if evidence.weight < 0 { "against" } else { "for" },
            why: evidence.why.clone(),
            when: condition(&evidence.when),
            required: evidence.required,
        };
        Self {
            frame: Frame::within("/knowledge"),
            id: runbook.id.clone(),
            title: runbook.title.clone(),
            about: format!(
                "{}, {}, {}, {}",
                runbook.technology,
                runbook.category.as_str(),
                severity(runbook.severity),
                status(runbook)
            ),
            summary: of_any_target(runbook.diagnosis.summary.trim()),
            base: runbook.diagnosis.base.to_string(),
            blames: word(&runbook.diagnosis.blames),
            signs: runbook.signatures.iter().map(sign).collect(),
            evidence: runbook.evidence.iter().map(weighed).collect(),
            remedies: remedies(runbook),
            avoid: runbook.avoid.clone(),
            links: runbook.links.clone(),
            here: told(here),
        }
    }
}

/// What a diagnosis says, where it is about no target yet.
fn of_any_target(summary: &str) -> String {
    let begun = summary.strip_prefix("{target}").map(|rest| format!("The target{rest}"));
    let begun = begun.unwrap_or_else(|| summary.to_owned());
    begun.replace("{target}", "the target").replace("{value}", "that")
}

fn told(here: &Statistics) -> String {
    if here.total_fixes == 0 {
        return "No fix of it was applied here yet.".to_owned();
    }
    let helped: usize = here.by_type.values().map(|of_type| of_type.successes).sum();
    format!("Its fixes were applied {} here; {helped} helped.", count(here.total_fixes, "time"))
}

/// `/knowledge/explain`.
#[derive(Template)]
#[template(path = "explained.html")]
pub(in crate::http::pages) struct ExplainedPage {
    frame: Frame,
    summary: String,
    left_out: usize,
    lines: Vec<Explained>,
}

impl ExplainedPage {
    pub(in crate::http::pages) fn new(lines: Vec<Explained>, left_out: usize) -> Self {
        let known = lines.iter().filter(|line| !line.known.is_empty()).count();
        let summary = format!("{known} of {} known.", count(lines.len(), "line"));
        Self { frame: Frame::within("/knowledge").still(), summary, left_out, lines }
    }
}
