//! What other programs alert about, put beside the diagnosis that explains it.
//!
//! An alert blames nobody and makes no cause surer: whoever can send one could send a false one.
//! Where Selfheal sees itself why the target fails, the alert is a symptom of that; where it sees
//! nothing wrong there, a person decides.

use std::collections::BTreeMap;

use super::{Evidence, Explained, OUTSIDE_ALERT, basis_of};
use crate::model::{Category, Diagnosis, Finding, Ledger, LedgerSource, TargetId};

/// How sure it is that what only another program sees is trouble.
const BASE: u8 = 20;

/// Parts the findings into alerts of other programs and what Selfheal saw itself.
pub(super) fn part(findings: &[Finding]) -> (Vec<Finding>, Vec<Finding>) {
    findings.iter().cloned().partition(Finding::is_alert)
}

/// Adds each alert to the diagnosis that explains it; those that none explains get their own, one a
/// target.
pub(super) fn put_beside(
    evidence: &Evidence<'_>,
    alerts: &[Finding],
    explained: &mut Vec<Explained>,
) {
    let mut alone: BTreeMap<&TargetId, Vec<&Finding>> = BTreeMap::new();
    for alert in alerts {
        match explained.iter_mut().find(|one| explains(evidence, one, &alert.target)) {
            Some(one) => {
                write_down(&mut one.diagnosis.ledger, alert);
                // How bad it is, Selfheal says itself where it sees it.
                let seen = one.findings.iter().map(|finding| finding.severity).max();
                let severity = seen.map_or(alert.severity, |seen| alert.severity.min(seen));
                one.findings.push(Finding { severity, ..alert.clone() });
            }
            None => alone.entry(&alert.target).or_default().push(alert),
        }
    }
    let loud = |alerts: &Vec<&Finding>| alerts.iter().any(|alert| alert.is_trouble());
    let alone = alone.into_iter().filter(|(_, alerts)| loud(alerts));
    explained.extend(alone.map(|(target, alerts)| hearsay(evidence, target, &alerts)));
}

/// Whether a diagnosis is about this target, its container, or something that it needs.
fn explains(evidence: &Evidence<'_>, one: &Explained, target: &TargetId) -> bool {
    let diagnosis = &one.diagnosis;
    let mut about = std::iter::once(&diagnosis.blamed).chain(&diagnosis.affected);
    let container = evidence.container_of(target);
    let is_it = |id: &TargetId| {
        id == target || container.is_some() && evidence.container_of(id) == container
    };
    about.any(is_it) || evidence.graph.needed_by(target).contains(&diagnosis.blamed)
}

fn write_down(ledger: &mut Ledger, alert: &Finding) {
    ledger.add(0, format!("{}: {}", alert.target, alert.message), LedgerSource::Evidence);
}

fn hearsay(evidence: &Evidence<'_>, target: &TargetId, alerts: &[&Finding]) -> Explained {
    let mut ledger = Ledger::with_base(BASE, "another program alerts, and no check of Selfheal's");
    for alert in alerts {
        write_down(&mut ledger, alert);
    }
    let loudest = alerts.iter().max_by_key(|alert| alert.severity);
    let message = loudest.map_or("", |alert| alert.message.as_str());
    let diagnosis = Diagnosis {
        issue_type: OUTSIDE_ALERT.to_owned(),
        title: "Another program alerts, and Selfheal sees nothing wrong".to_owned(),
        category: Category::Exceptions,
        blamed: target.clone(),
        summary: format!(
            "{target}: {message}. No check of Selfheal's complains there, so nothing is done by \
             itself and a person decides; it ends when that program says so."
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
        basis: basis_of(evidence, target),
        at: evidence.now,
    };
    Explained { diagnosis, findings: alerts.iter().map(|alert| (*alert).clone()).collect() }
}
