//! What the logs say besides: lines that no runbook knows, put beside the diagnosis they may explain.
//!
//! They move no confidence. That a line is new says that something changed, not what; and whoever
//! can make a program write a line could make it write one that was never seen before.

use std::collections::BTreeSet;

use super::{Evidence, Explained, UNUSUAL_LINES, basis_of};
use crate::model::{Category, Diagnosis, Finding, FindingSource, Ledger, LedgerSource, TargetId};

/// How sure it is that lines nobody understands are trouble.
const BASE: u8 = 20;

/// Adds what was odd in the logs of those whom a diagnosis is about.
pub(super) fn add(evidence: &Evidence<'_>, explained: &mut Explained) {
    let involved = involved(evidence, explained);
    for finding in patterns(evidence).filter(|finding| is_by(finding, &involved)) {
        let what = format!("{}: {}", finding.target, finding.message);
        explained.diagnosis.ledger.add(0, what, LedgerSource::Evidence);
        if explained.findings.iter().all(|known| known.key != finding.key) {
            explained.findings.push(finding.clone());
        }
    }
}

/// Logs that are odd enough to be told of although nothing else is wrong there.
pub(super) fn alone(evidence: &Evidence<'_>, explained: &[Explained]) -> Vec<Explained> {
    let told: BTreeSet<TargetId> =
        explained.iter().flat_map(|one| involved(evidence, one)).collect();
    let loud = patterns(evidence).filter(|finding| finding.is_trouble());
    let who: BTreeSet<&TargetId> =
        loud.map(|finding| &finding.target).filter(|id| !told.contains(id)).collect();
    who.into_iter().map(|id| of_container(evidence, id)).collect()
}

fn of_container(evidence: &Evidence<'_>, id: &TargetId) -> Explained {
    let only = BTreeSet::from([id.clone()]);
    let findings: Vec<Finding> =
        patterns(evidence).filter(|finding| is_by(finding, &only)).cloned().collect();
    let mut ledger = Ledger::with_base(BASE, "its log has error lines that no runbook knows");
    for finding in &findings {
        let what = format!("{}: {}", finding.target, finding.message);
        ledger.add(0, what, LedgerSource::Evidence);
    }
    let loudest = findings.iter().max_by_key(|finding| finding.severity);
    let message = loudest.map_or("", |finding| finding.message.as_str());
    let diagnosis = Diagnosis {
        issue_type: UNUSUAL_LINES.to_owned(),
        title: "Its log has error lines that no runbook knows".to_owned(),
        category: Category::Exceptions,
        blamed: id.clone(),
        summary: format!(
            "{id}: {message}. No check complains and no runbook knows such lines, so a person has to \
             judge them; what goes on for a day without harm is taken as usual."
        ),
        confidence: ledger.total(),
        ledger,
        affected: vec![],
        external: false,
        elsewhere: false,
        hearsay: true,
        expected_fix_secs: 0,
        considered: vec![],
        changes: vec![],
        ways: vec![],
        basis: basis_of(evidence, id),
        at: evidence.now,
    };
    Explained { diagnosis, findings }
}

/// The containers that a diagnosis is about.
fn involved(evidence: &Evidence<'_>, explained: &Explained) -> BTreeSet<TargetId> {
    let diagnosis = &explained.diagnosis;
    std::iter::once(&diagnosis.blamed)
        .chain(&diagnosis.affected)
        .chain(explained.findings.iter().map(|finding| &finding.target))
        .filter_map(|id| evidence.container_of(id))
        .collect()
}

fn patterns<'a>(evidence: &Evidence<'a>) -> impl Iterator<Item = &'a Finding> {
    evidence.findings.iter().filter(|finding| finding.is_pattern())
}

fn is_by(finding: &Finding, involved: &BTreeSet<TargetId>) -> bool {
    match &finding.source {
        FindingSource::Pattern { containers, .. } => {
            containers.iter().any(|container| involved.contains(container))
        }
        _ => false,
    }
}
