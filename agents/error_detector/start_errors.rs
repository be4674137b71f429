//! Findings from what the runtime says of a container that it could not start.
//!
//! Such a start writes no log and emits no event; the reason stands in the container's own
//! state. It is read like one line of its log, for as long as it stands there: it neither
//! fades nor adds up. A container that runs has left its start error behind.

use std::collections::BTreeMap;

use super::{Catalogue, Match, Program, checks, home};
use crate::model::{Finding, FindingSource, HealthReport, TargetReport, Trend, clean};

/// Length of the sample, in characters.
const SAMPLE_CHARS: usize = 300;

/// A finding for every runbook that knows the start error of a container of `report`.
pub(super) fn findings(report: &HealthReport, catalogue: &Catalogue) -> Vec<Finding> {
    report.targets.iter().flat_map(|target| of_container(report, target, catalogue)).collect()
}

fn of_container(
    report: &HealthReport,
    target: &TargetReport,
    catalogue: &Catalogue,
) -> Vec<Finding> {
    let facts = target.state.container().filter(|f| f.is_down() && !f.start_error.is_empty());
    let Some(facts) = facts else {
        return vec![];
    };
    let program = checks::container_of(report, target.id()).map(Program::from);
    let since = facts.finished_at.unwrap_or(report.at);
    let known = catalogue.matches(&facts.start_error).filter(says_it_in_one_line);
    let known: BTreeMap<&str, Match<'_>> = known.map(|m| (m.runbook.id.as_str(), m)).collect();
    known
        .into_values()
        .filter_map(|found| {
            let home = home(report, target.id(), program, &found)?;
            let runbook = found.runbook;
            Some(Finding {
                key: Finding::log_key(&home, &runbook.id, found.side()),
                target: home,
                source: FindingSource::Log { runbook: runbook.id.clone(), side: found.side() },
                category: runbook.category,
                severity: runbook.severity,
                message: format!("{} (in its start error)", runbook.title),
                samples: vec![clean(&facts.start_error, SAMPLE_CHARS)],
                count: 1,
                first_seen: since,
                last_seen: report.at,
                trend: Trend::Steady,
            })
        })
        .collect()
}

/// A start error is one line; what only many lines prove, it cannot.
fn says_it_in_one_line(found: &Match<'_>) -> bool {
    found.runbook.signatures[found.signature].at_least.unwrap_or(1) <= 1
}
