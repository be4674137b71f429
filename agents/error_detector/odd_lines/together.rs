//! What began at the same moment in several containers, and what these share.
//!
//! Two that need the same thing are enough; of those that only share an image, a network or the
//! host it takes three. It names what they share and blames nobody.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use crate::model::{
    Category, ContainerFacts, Finding, FindingSource, HealthReport, Oddity, Severity, TargetId,
    Timestamp, Trend,
};
use crate::root_cause::Graph;

/// What begins within so long begins at the same moment.
const SAME_MOMENT: TimeDelta = TimeDelta::seconds(60);
/// Containers that share something that is not needed.
const LEAST_UNRELATED: usize = 3;
/// Names that are listed.
const NAMED: usize = 6;

/// A container whose log became odd.
pub(super) struct TurnedOdd<'a> {
    pub(super) container: TargetId,
    pub(super) facts: &'a ContainerFacts,
    pub(super) begun: Timestamp,
}

/// One finding for each group that began together.
pub(super) fn findings(
    mut begun: Vec<TurnedOdd<'_>>,
    report: &HealthReport,
    graph: &Graph,
) -> Vec<Finding> {
    begun.sort_by(|a, b| (a.begun, &a.container).cmp(&(b.begun, &b.container)));
    let mut findings = vec![];
    let mut rest = begun.as_slice();
    while let Some(first) = rest.first() {
        let end = rest.partition_point(|one| one.begun - first.begun <= SAME_MOMENT);
        let (group, later) = rest.split_at(end);
        rest = later;
        findings.extend(finding(group, report, graph));
    }
    findings
}

fn finding(group: &[TurnedOdd<'_>], report: &HealthReport, graph: &Graph) -> Option<Finding> {
    let first = group.first()?;
    let needed = needed_by_all(group, graph);
    if group.len() < 2 || (needed.is_empty() && group.len() < LEAST_UNRELATED) {
        return None;
    }
    let what = if needed.is_empty() {
        format!("they share {}", circumstances(group))
    } else {
        format!("all of them need {}", listed(needed.iter()))
    };
    let there = |id: &&TargetId| report.target(id).is_some();
    let host = TargetId::host();
    let target = needed.iter().find(there).or_else(|| Some(&host).filter(there));
    let target = target.unwrap_or(&first.container).clone();
    Some(Finding {
        key: Finding::pattern_key(&target, Oddity::Together),
        target,
        source: FindingSource::Pattern {
            oddity: Oddity::Together,
            patterns: vec![],
            containers: group.iter().map(|one| one.container.clone()).collect(),
        },
        category: Category::Dependency,
        severity: Severity::Info,
        message: format!(
            "at {} the logs of {} became unusual at the same moment; {what}",
            first.begun.format("%H:%M UTC"),
            listed(group.iter().map(|one| &one.container))
        ),
        samples: vec![],
        count: group.len() as u64,
        first_seen: first.begun,
        last_seen: group.last()?.begun,
        trend: Trend::Steady,
    })
}

/// What every one of them needs or is, the nearest first: what another shared thing needs is left
/// out, and so is the endpoint of a container that is named itself.
fn needed_by_all(group: &[TurnedOdd<'_>], graph: &Graph) -> Vec<TargetId> {
    let with_itself = |one: &TurnedOdd<'_>| {
        let mut needed = graph.needed_by(&one.container);
        needed.insert(one.container.clone());
        needed
    };
    let mut all = group.iter().map(with_itself);
    let first = all.next().unwrap_or_default();
    let shared = all.fold(first, |shared, needed| &shared & &needed);
    let deeper: BTreeSet<TargetId> = shared.iter().flat_map(|id| graph.needed_by(id)).collect();
    shared.difference(&deeper).cloned().collect()
}

/// The image, the networks, or at least the host.
fn circumstances(group: &[TurnedOdd<'_>]) -> String {
    let Some(first) = group.first() else {
        return String::new();
    };
    if group.iter().all(|one| one.facts.image_id == first.facts.image_id) {
        return format!("the image {}", first.facts.image);
    }
    let on = |facts: &ContainerFacts, network: &str| {
        facts.networks.iter().any(|attached| attached.network == network)
    };
    let networks = first.facts.networks.iter().map(|attached| attached.network.as_str());
    let shared: Vec<&str> =
        networks.filter(|network| group.iter().all(|one| on(one.facts, network))).collect();
    match shared.first() {
        Some(network) if *network != "bridge" => format!("the network {network}"),
        _ => "nothing known but this host".to_owned(),
    }
}

fn listed<'a>(ids: impl Iterator<Item = &'a TargetId>) -> String {
    let names: Vec<String> = ids.map(ToString::to_string).collect();
    if names.len() <= NAMED {
        return names.join(", ");
    }
    format!("{} and {} more", names[..NAMED].join(", "), names.len() - NAMED)
}
