//! Judges a whole catalogue: what its runbooks get wrong between themselves, how good each
//! is, and what they cover.
//!
//! Invariant: only what a catalogue says is judged, and every problem comes with a remedy.
//! What one file must obey to be in force at all is the work of the rules; whether the
//! knowledge is true nobody here can tell.

mod problems;
mod score;

use std::collections::BTreeMap;

use serde::Serialize;

use super::catalogue::Catalogue;
use crate::model::{Provenance, Runbook};

pub use score::Score;

/// Something to be mended in a runbook that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, as `TECHNOLOGY/ID.toml`.
    pub file: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    /// A problem of this runbook.
    pub fn of(runbook: &Runbook, what: String, remedy: impl Into<String>) -> Self {
        Self { file: file_of(runbook), what, remedy: remedy.into() }
    }
}

/// What is known of one technology.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Its name.
    pub technology: String,
    /// Runbooks.
    pub runbooks: usize,
    /// Those of them whose trouble was provoked in the real program.
    pub reproduced: usize,
    /// Log patterns of the program itself.
    pub server_patterns: usize,
    /// Log patterns of its clients.
    pub client_patterns: usize,
    /// Conditions on checks.
    pub checks: usize,
    /// Runbooks with a fix.
    pub with_fix: usize,
}

/// A catalogue judged.
#[derive(Debug, Clone, Serialize)]
pub struct Review {
    /// What is wrong, by file.
    pub problems: Vec<Problem>,
    /// One a runbook, worst first.
    pub scores: Vec<Score>,
    /// By technology.
    pub coverage: Vec<Coverage>,
}

/// Judges every runbook by itself and against the examples of all others.
///
/// `is_built_in` tells whose runbooks have to be complete; a person's own need not be.
pub fn review(catalogue: &Catalogue, is_built_in: &dyn Fn(&Runbook) -> bool) -> Review {
    let mut problems = problems::between(catalogue);
    problems.extend(catalogue.iter().flat_map(problems::unguarded));
    problems.extend(catalogue.iter().flat_map(problems::unheard));
    for runbook in catalogue.iter().filter(|runbook| is_built_in(runbook)) {
        problems.extend(problems::gaps(runbook));
    }
    problems.sort_by(|a, b| (&a.file, &a.what).cmp(&(&b.file, &b.what)));
    let mut scores: Vec<Score> = catalogue.iter().map(score::of).collect();
    scores.sort_by(|a, b| (a.points, &a.runbook).cmp(&(b.points, &b.runbook)));
    Review { problems, scores, coverage: coverage(catalogue) }
}

/// What is covered, by technology.
pub fn coverage(catalogue: &Catalogue) -> Vec<Coverage> {
    let mut by_technology: BTreeMap<&str, Coverage> = BTreeMap::new();
    for runbook in catalogue.iter() {
        let entry = by_technology.entry(&runbook.technology).or_default();
        let of_client = |s: &&crate::model::Signature| s.side == crate::model::Side::Client;
        let patterns = runbook.signatures.iter().filter(|s| s.log.is_some()).count();
        let clients = runbook.signatures.iter().filter(of_client).count();
        entry.technology.clone_from(&runbook.technology);
        entry.runbooks += 1;
        entry.reproduced += usize::from(runbook.status == Provenance::Reproduced);
        entry.server_patterns += patterns - clients;
        entry.client_patterns += clients;
        entry.checks += runbook.signatures.len() - patterns;
        entry.with_fix += usize::from(!runbook.fixes.is_empty());
    }
    by_technology.into_values().collect()
}

/// Where a runbook lies, seen from the folder of all.
fn file_of(runbook: &Runbook) -> String {
    format!("{}/{}.toml", runbook.technology, runbook.id)
}

#[cfg(test)]
mod tests;
