//! Several causes at once: which of them turned bad first, and what they share.
//!
//! Both are said beside the evidence of need and never over it. Of roots that stand for
//! themselves, the one that was clearly first gets a little more weight where the same targets
//! may suffer from either, or where each needs the other; what is worth something by time alone
//! never lifts a diagnosis over the line for acting alone. What several share is named, since
//! mending each of them would mend nothing if that is the cause; nobody is blamed for it.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::changes::{self, NEVER_ABOVE};
use super::{Evidence, Explained};
use crate::model::{LedgerSource, Severity, TargetId, Timestamp};

/// A lead that differences between health checks do not make: three retries every 30 s, Docker's
/// own default, take 90 s to notice.
const LEAST_LEAD: TimeDelta = TimeDelta::minutes(2);
/// What being first is worth, in percentage points.
const FIRST_POINTS: i32 = 2;
/// What begins within so long begins together.
const TOGETHER: TimeDelta = TimeDelta::minutes(2);
/// So many on one network, and none of it well, make the network worth naming.
const LEAST_ON_NETWORK: usize = 3;
/// Names that are listed.
const NAMED: usize = 5;

/// What makes two roots rivals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tie {
    /// Each needs the other.
    Circle,
    /// This target may suffer from either.
    Shared(TargetId),
}

/// Whether two roots are rivals for the same trouble.
pub(super) fn tie(evidence: &Evidence<'_>, one: &Explained, other: &Explained) -> Option<Tie> {
    let (a, b) = (&one.diagnosis.blamed, &other.diagnosis.blamed);
    let graph = evidence.graph;
    if graph.needed_by(a).contains(b) && graph.needed_by(b).contains(a) {
        return Some(Tie::Circle);
    }
    let sufferer = one.diagnosis.affected.iter().find(|id| other.diagnosis.affected.contains(id));
    sufferer.cloned().map(Tie::Shared)
}

/// Gives the one that was clearly first among its rivals a little more weight; returns those.
pub(super) fn weigh_first(
    evidence: &Evidence<'_>,
    explained: &mut [Explained],
) -> BTreeSet<TargetId> {
    let firsts: Vec<(usize, String)> = (0..explained.len())
        .filter_map(|place| Some((place, lead(evidence, explained, place)?)))
        .collect();
    let mut blamed = BTreeSet::new();
    for (place, what) in firsts {
        let diagnosis = &mut explained[place].diagnosis;
        let room = i32::from(NEVER_ABOVE.percent()) - i32::from(diagnosis.confidence.percent());
        // What is surer already needs no help from a clock.
        diagnosis.ledger.add(FIRST_POINTS.min(room.max(0)), what, LedgerSource::Change);
        diagnosis.confidence = diagnosis.ledger.total();
        blamed.insert(diagnosis.blamed.clone());
    }
    blamed
}

/// How long before its rivals a root turned bad, in words, if that means something.
fn lead(evidence: &Evidence<'_>, explained: &[Explained], place: usize) -> Option<String> {
    let one = &explained[place];
    let rivals: Vec<&Explained> = explained
        .iter()
        .enumerate()
        .filter(|(at, other)| *at != place && tie(evidence, one, other).is_some())
        .map(|(_, other)| other)
        .collect();
    if rivals.iter().any(|rival| worst(rival) > worst(one)) {
        return None;
    }
    let begun = changes::onset(evidence, &one.diagnosis.blamed)?;
    let mut next: Option<(Timestamp, &TargetId)> = None;
    for rival in rivals {
        let id = &rival.diagnosis.blamed;
        // One whose beginning is unknown may have been first.
        let onset = changes::onset(evidence, id)?;
        next = Some(next.map_or((onset, id), |known| known.min((onset, id))));
    }
    let (onset, id) = next.filter(|(onset, _)| *onset - begun >= LEAST_LEAD)?;
    let minutes = (onset - begun).num_minutes();
    Some(format!("turned bad first, {minutes} min before `{id}`, which may explain the same"))
}

fn worst(explained: &Explained) -> Option<Severity> {
    explained.findings.iter().map(|finding| finding.severity).max()
}

/// A root with the moment at which its trouble began.
struct Begun {
    place: usize,
    id: TargetId,
    onset: Timestamp,
}

/// Writes down what several roots share that began together.
pub(super) fn name_what_they_share(evidence: &Evidence<'_>, explained: &mut [Explained]) {
    let host = TargetId::host();
    let roots: Vec<Begun> = explained
        .iter()
        .enumerate()
        .filter(|(_, one)| one.diagnosis.blamed != host)
        .filter_map(|(place, one)| {
            let id = one.diagnosis.blamed.clone();
            let onset = changes::onset(evidence, &id)?;
            Some(Begun { place, id, onset })
        })
        .collect();
    // Where all fails at once, each has the same group.
    let mut last: (Vec<usize>, Vec<String>) = Default::default();
    for root in &roots {
        let together = |other: &&Begun| (other.onset - root.onset).abs() <= TOGETHER;
        let group: Vec<&Begun> = roots.iter().filter(together).collect();
        if group.len() < 2 {
            continue;
        }
        let places: Vec<usize> = group.iter().map(|one| one.place).collect();
        if last.0 != places {
            last = (places, shared(evidence, &group));
        }
        let shared = &last.1;
        if shared.is_empty() {
            continue;
        }
        let others = group.iter().map(|other| &other.id).filter(|id| **id != root.id);
        let what = format!("fails together with {}; {}", listed(others), shared.join("; "));
        explained[root.place].diagnosis.ledger.add(0, what, LedgerSource::Evidence);
    }
}

/// What all of a group share and may fail for, in words.
fn shared(evidence: &Evidence<'_>, group: &[&Begun]) -> Vec<String> {
    let mut shared = vec![];
    let needed = needed_by_all(evidence, group);
    if !needed.is_empty() {
        shared.push(format!("all of them need {}", listed(needed.iter())));
    }
    shared.extend(network(evidence, group).map(|name| {
        format!("all of them are on the network `{name}`, and nobody who is on it is well")
    }));
    let host = TargetId::host();
    let of_host = evidence.findings.iter().filter(|f| f.target == host && f.is_trouble());
    let troubles: Vec<&str> =
        of_host.filter(|f| !f.is_pattern()).map(|f| f.message.as_str()).take(NAMED).collect();
    if !troubles.is_empty() {
        shared.push(format!("they share this host: {}", troubles.join(", ")));
    } else if evidence.report.under_pressure {
        shared.push("they share this host, which is under high pressure".to_owned());
    }
    shared
}

/// What every one of them surely needs, the nearest first: what another such thing needs is left
/// out.
fn needed_by_all(evidence: &Evidence<'_>, group: &[&Begun]) -> Vec<TargetId> {
    let mut all = group.iter().map(|root| evidence.graph.needed_by(&root.id));
    let first = all.next().unwrap_or_default();
    let mut shared = all.fold(first, |shared, needed| &shared & &needed);
    // In a circle they need each other, which they do not share.
    shared.retain(|id| group.iter().all(|root| root.id != *id));
    let deeper: BTreeSet<TargetId> =
        shared.iter().flat_map(|id| evidence.graph.needed_by(id)).collect();
    shared.difference(&deeper).cloned().collect()
}

/// The network that all of them are on, if nobody else on it is well.
fn network(evidence: &Evidence<'_>, group: &[&Begun]) -> Option<String> {
    let containers: BTreeSet<TargetId> =
        group.iter().filter_map(|root| evidence.container_of(&root.id)).collect();
    if containers.len() < LEAST_ON_NETWORK {
        return None;
    }
    let on = |id: &TargetId| -> Option<BTreeSet<String>> {
        let facts = evidence.report.target(id)?.state.container()?;
        Some(facts.networks.iter().map(|attached| attached.network.clone()).collect())
    };
    let mut all = containers.iter().map(on);
    let first = all.next()??;
    let shared = all.try_fold(first, |shared, networks| Some(&shared & &networks?))?;
    let others: Vec<BTreeSet<String>> = evidence
        .report
        .targets
        .iter()
        .filter(|target| !containers.contains(target.id()) && !target.verdict().is_bad())
        .filter_map(|target| on(target.id()))
        .collect();
    // Docker's own default network is nobody's choice, and says nothing.
    shared
        .into_iter()
        .filter(|name| !matches!(name.as_str(), "bridge" | "host" | "none"))
        .find(|name| others.iter().all(|networks| !networks.contains(name)))
}

fn listed<'a>(ids: impl Iterator<Item = &'a TargetId>) -> String {
    let names: Vec<String> = ids.map(|id| format!("`{id}`")).collect();
    if names.len() <= NAMED {
        return names.join(", ");
    }
    format!("{} and {} more", names[..NAMED].join(", "), names.len() - NAMED)
}
