//! What a program said of something it needs before that came back. It tells nothing of now: if the
//! program still fails, it gave up, and is to be mended itself.

use std::collections::BTreeSet;

use super::{Evidence, Explained};
use crate::model::{
    Blames, ContainerFacts, Finding, FindingSource, LedgerSource, Side, TargetId, Verdict,
};

/// Parts the findings into those that count and complaints that are over, each with what came back.
pub(super) fn part(evidence: &Evidence<'_>) -> (Vec<Finding>, Vec<(Finding, TargetId)>) {
    let mut count = vec![];
    let mut over = vec![];
    for finding in evidence.findings {
        match came_back(evidence, finding) {
            Some(needed) => over.push((finding.clone(), needed)),
            None => count.push(finding.clone()),
        }
    }
    (count, over)
}

/// The keys of complaints about what came back since.
pub fn complaints_over(evidence: &Evidence<'_>) -> BTreeSet<String> {
    part(evidence).1.into_iter().map(|(finding, _)| finding.key).collect()
}

/// Keeps them in the record of what they stood beside.
pub(super) fn add(over: &[(Finding, TargetId)], explained: &mut Explained) {
    let diagnosis = &mut explained.diagnosis;
    for (finding, needed) in over {
        if finding.target != diagnosis.blamed && !diagnosis.affected.contains(&finding.target) {
            continue;
        }
        let (who, message) = (&finding.target, &finding.message);
        let what = format!("{who}: {message}; that was before `{needed}` came back");
        diagnosis.ledger.add(0, what, LedgerSource::Evidence);
        explained.findings.push(finding.clone());
    }
}

/// What the finding complains about, if it has come up since and all that is needed is well.
fn came_back(evidence: &Evidence<'_>, finding: &Finding) -> Option<TargetId> {
    if !is_about_others(evidence, finding) {
        return None;
    }
    let container = evidence.container_of(&finding.target)?;
    let needed = evidence.graph.needed_by(&container);
    let containers = needed.iter().filter(|id| id.container_name().is_some()).count();
    // A line about a place outside, or about something else that is needed, is not over with this.
    let only_one = containers == 1 && !is_about_outside(evidence, finding);
    let fails = |id: &TargetId| match evidence.neighbours.get(id) {
        Some(neighbour) => neighbour.trouble.is_some(),
        None => {
            evidence.report.target(id).is_none_or(|report| report.verdict() >= Verdict::Critical)
        }
    };
    if needed.iter().any(fails) {
        return None;
    }
    needed.into_iter().find(|id| {
        if let Some(neighbour) = evidence.neighbours.get(id) {
            return only_one && neighbour.works_since.is_some_and(|at| at > finding.last_seen);
        }
        let report = evidence.report.target(id);
        let facts = report.and_then(|report| report.state.container());
        facts.is_some_and(|facts| {
            facts.is_up()
                && facts.started_at.is_some_and(|at| at > finding.last_seen)
                && (only_one || names(finding, facts))
        })
    })
}

/// Whether one of its lines names the container as others on its networks do.
fn names(finding: &Finding, facts: &ContainerFacts) -> bool {
    let aliases = facts.networks.iter().flat_map(|network| &network.aliases);
    let service = facts.compose_service();
    let called: Vec<&String> = aliases.chain(service).chain([&facts.name]).collect();
    let is_name_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    finding.samples.iter().any(|line| {
        let mut words = line.split(|c| !is_name_char(c)).map(|word| word.trim_matches('.'));
        words.any(|word| called.iter().any(|name| *name == word))
    })
}

fn is_about_outside(evidence: &Evidence<'_>, finding: &Finding) -> bool {
    blames(evidence, finding) == Some(Blames::Outside)
}

fn blames(evidence: &Evidence<'_>, finding: &Finding) -> Option<Blames> {
    let FindingSource::Log { runbook, .. } = &finding.source else { return None };
    let known = evidence.runbooks.iter().find(|known| known.id == *runbook);
    known.map(|known| known.diagnosis.blames)
}

fn is_about_others(evidence: &Evidence<'_>, finding: &Finding) -> bool {
    let by_client = matches!(finding.source, FindingSource::Log { side: Side::Client, .. });
    by_client || matches!(blames(evidence, finding), Some(Blames::Dependency | Blames::Outside))
}
