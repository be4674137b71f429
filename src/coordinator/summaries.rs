//! Short forms of targets and incidents, for lists and events.

use selfheal_agents::model::{Incident, IncidentState, Observation, TargetReport, Verdict};

use super::look::Seen;
use super::turned::{self, AllTurned};
use super::{IncidentSummary, Rules, TargetSummary};

/// An incident in one line.
pub(super) fn incident(incident: &Incident) -> IncidentSummary {
    let first_finding = || incident.findings.first().map_or("", |f| f.message.as_str());
    IncidentSummary {
        id: incident.id,
        state: incident.state(),
        severity: incident.severity,
        target: incident.target.clone(),
        issue_type: incident.diagnosis.as_ref().map(|d| d.issue_type.clone()),
        title: incident
            .diagnosis
            .as_ref()
            .map_or_else(|| first_finding().to_owned(), |d| d.title.clone()),
        confidence: incident
            .fix
            .as_ref()
            .map(|f| f.confidence)
            .or_else(|| incident.diagnosis.as_ref().map(|d| d.confidence)),
        fix: incident.fix.as_ref().map(|f| f.summary.clone()),
        holds: incident.holds.clone(),
        opened_at: incident.opened_at,
        began_at: incident.began_at,
        closed_at: incident.closed_at,
    }
}

/// Every target looked at.
pub(super) fn targets(
    seen: &Seen,
    rules: &Rules,
    incidents: &[Incident],
    turned: &AllTurned,
) -> Vec<TargetSummary> {
    let of = |report: &TargetReport| {
        let container = report.state.container();
        let turned = container.map_or_else(Vec::new, |facts| turned::told(turned, facts));
        TargetSummary { turned, ..target(report, seen, rules, incidents) }
    };
    seen.report.targets.iter().map(of).collect()
}

fn target(
    report: &TargetReport,
    seen: &Seen,
    rules: &Rules,
    incidents: &[Incident],
) -> TargetSummary {
    let id = report.id();
    let policy = &report.state.target.policy;
    let open = incidents.iter().find(|i| !i.state().is_closed() && i.targets().contains(id));
    let needs = seen.graph.needs_of(id);
    TargetSummary {
        id: id.clone(),
        verdict: report.verdict(),
        detail: detail(report, seen),
        mode: rules.mode_for(id, policy, ""),
        excluded: policy.excluded,
        external: policy.external,
        depends_on: needs.iter().map(|need| need.to.clone()).collect(),
        needs,
        observations: report.observations.clone(),
        incident: open.map(|i| i.id),
        symptom_of: open
            .filter(|i| i.target != *id && report.verdict().is_bad())
            .map(|i| i.target.clone()),
        holds: open
            .filter(|i| i.state() == IncidentState::Held && i.target == *id)
            .map(|i| i.holds.clone())
            .unwrap_or_default(),
        notes: seen
            .findings
            .iter()
            .filter(|finding| finding.is_pattern() && finding.target == *id)
            .map(|finding| finding.message.clone())
            .collect(),
        turned: vec![],
    }
}

fn detail(report: &TargetReport, seen: &Seen) -> String {
    let worst: Option<&Observation> =
        report.observations.iter().filter(|o| o.verdict.is_bad()).max_by_key(|o| o.verdict);
    match (worst, &report.state.facts) {
        (Some(observation), _) if observation.detail.is_empty() => {
            format!("{} is {}", observation.check, observation.value)
        }
        (Some(observation), _) => observation.detail.clone(),
        (None, Err(reason)) => reason.clone(),
        (None, Ok(_)) => report
            .observations
            .iter()
            .find(|o| seen.report.rising.get(report.id()).is_some_and(|r| r.check == o.check))
            .or_else(|| {
                report.observations.iter().find(|o| {
                    matches!(o.check.split_once('.'), Some((_, "state" | "reachable" | "status")))
                })
            })
            .or_else(|| report.observations.iter().find(|o| o.verdict == Verdict::Ok))
            .map_or_else(|| "well".to_owned(), |o| o.detail.clone()),
    }
}
