//! What a log line means: the runbooks that know it, and what they would do.

use selfheal_agents::error_detector::{Catalogue, Match};
use selfheal_agents::model::{Side, clean};
use serde::Serialize;

use super::words::{remedies, severity, status};

/// The longest line read, in bytes; the rest of it is left out.
pub(crate) const MAX_LINE: usize = 64 * 1024;
/// Length of a shown line, in characters.
const SHOWN: usize = 400;

/// A line and what is known of it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Explained {
    /// Counted from 1.
    pub(crate) number: u64,
    pub(crate) line: String,
    pub(crate) known: Vec<Known>,
}

/// A runbook that knows a line.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Known {
    pub(crate) runbook: String,
    pub(crate) title: String,
    pub(crate) technology: String,
    pub(crate) category: String,
    pub(crate) severity: String,
    pub(crate) status: String,
    /// Who writes such a line.
    pub(crate) side: Side,
    pub(crate) signature: String,
    /// The part of the line that the signature matched.
    pub(crate) part: String,
    /// Lines within ten minutes before it counts.
    pub(crate) at_least: u64,
    pub(crate) means: String,
    pub(crate) would: Vec<String>,
    pub(crate) never: Vec<String>,
    pub(crate) sources: Vec<String>,
}

impl Known {
    /// Whether it is said by somebody who needs what the runbook is about.
    pub(crate) fn is_of_client(&self) -> bool {
        self.side == Side::Client
    }
}

/// What is known of a line, the `number`-th of what was given.
pub(crate) fn of_line(catalogue: &Catalogue, number: u64, line: &str) -> Explained {
    let known = catalogue.matches(line).map(|found| known(&found, line)).collect();
    Explained { number, line: clean(line, SHOWN), known }
}

fn known(found: &Match<'_>, line: &str) -> Known {
    let runbook = found.runbook;
    let signature = &runbook.signatures[found.signature];
    let target = match found.side() {
        Side::Server => "the program that wrote this",
        Side::Client => "what the writer of this needs",
    };
    let means = runbook.diagnosis.summary.replace("{target}", target);
    let would = match found.side() {
        Side::Server => remedies(runbook),
        Side::Client => vec!["nothing to the writer: it looks at what that one needs".to_owned()],
    };
    Known {
        runbook: runbook.id.clone(),
        title: runbook.title.clone(),
        technology: runbook.technology.clone(),
        category: runbook.category.as_str().to_owned(),
        severity: severity(runbook.severity).to_owned(),
        status: status(runbook).to_owned(),
        side: found.side(),
        signature: signature.log.clone().unwrap_or_default(),
        part: clean(found.part(line).unwrap_or_default(), SHOWN),
        at_least: signature.at_least.unwrap_or(1),
        means: means.replace("{value}", "that").trim().to_owned(),
        would,
        never: runbook.avoid.clone(),
        sources: runbook.links.clone(),
    }
}
