//! Notices trouble that is new on what a fix touched while its window runs: a cure that brings
//! another illness is none.
//!
//! Cycles notice it, since they see all findings; the window asks for it at its next look. It is
//! kept in memory only: after a restart the next cycle notices it again.

use std::collections::BTreeMap;
use std::sync::Mutex;

use selfheal_agents::fix_engineer::actions::{Act, Reversal};
use selfheal_agents::model::{
    Finding, FindingSource, Fix, Incident, IncidentId, IncidentState, Validation,
};
use selfheal_agents::root_cause::Explained;

use super::look::Seen;
use super::state::{Inner, lock};
use super::validation;
use super::window::primary;

/// What is new, in words, by the incident in whose window it was noticed.
pub(super) type News = Mutex<BTreeMap<IncidentId, String>>;

impl Inner {
    /// Notes what is new in the windows that run, as it is now.
    pub(super) fn note_news(&self, explained: &[Explained], open: &[Incident], seen: &Seen) {
        let is_watched = |incident: &&Incident| incident.state() == IncidentState::Validating;
        let watched: Vec<&Incident> = open.iter().filter(is_watched).collect();
        let mut news = lock(&self.news);
        news.retain(|id, _| watched.iter().any(|incident| incident.id == *id));
        for incident in watched {
            let (Some(fix), Some(window)) = (&incident.fix, &incident.validation) else { continue };
            if seen.report.target(&fix.target).is_none() {
                continue;
            }
            let new = explained
                .iter()
                .filter(|one| concerns(one, incident, fix, seen))
                .flat_map(|one| &one.findings)
                // What is less bad than what was cured is no reason to have that back.
                .filter(|finding| finding.severity >= incident.severity)
                .find(|finding| is_new(finding, window, open, seen));
            match new {
                Some(f) => news.insert(incident.id, format!("`{}`: {}", f.target, f.message)),
                None => news.remove(&incident.id),
            };
        }
    }

    /// What is new in this incident's window.
    pub(super) fn news_of(&self, incident: IncidentId) -> Option<String> {
        lock(&self.news).get(&incident).cloned()
    }
}

/// Whether it blames what was repaired for something else, or, where the fix can be taken back, one
/// that needs it: a dependent that a mere restart has upset gets its own.
fn concerns(one: &Explained, incident: &Incident, fix: &Fix, seen: &Seen) -> bool {
    let blamed = &one.diagnosis.blamed;
    let known = seen.inventory.targets.get(&fix.target);
    let container = known.and_then(|target| target.container.as_deref());
    let repaired = primary(&seen.inventory, &fix.target, container);
    let undoable = fix.steps.iter().any(|step| step.action.reversal() == Reversal::Undo);
    let upset =
        || undoable && repaired.iter().any(|id| seen.graph.dependents_of(id).contains(blamed));
    let same = incident
        .diagnosis
        .as_ref()
        .is_some_and(|d| d.issue_type == one.diagnosis.issue_type || d.affected.contains(blamed));
    !same && !one.diagnosis.elsewhere && (repaired.contains(blamed) || upset())
}

/// Whether the finding began with the fix and not with the start that belongs to it, and no incident
/// told of it before.
fn is_new(finding: &Finding, window: &Validation, open: &[Incident], seen: &Seen) -> bool {
    let began = finding.first_seen > validation::since(window) && seen.now > window.grace_until;
    let of_the_start = matches!(finding.source, FindingSource::Log { .. })
        && finding.last_seen <= window.grace_until;
    let told = open.iter().flat_map(|incident| &incident.findings).any(|f| f.key == finding.key);
    // What others say takes no fix back.
    let is_seen = !finding.is_pattern() && !finding.is_alert();
    finding.is_trouble() && is_seen && began && !of_the_start && !told
}
