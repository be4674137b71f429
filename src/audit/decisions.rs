//! What of an incident's story is a decision. Pure.

use selfheal_agents::model::{Actor, Incident, IncidentState, TimelineEntry};

use super::entry::{Act, By, Via};

/// What was decided since the incident was last written down, and what came of it.
pub fn decisions(incident: &Incident) -> Vec<Act> {
    let new = incident.timeline.iter().skip(incident.audited);
    new.filter_map(|entry| decision(incident, entry)).collect()
}

fn decision(incident: &Incident, entry: &TimelineEntry) -> Option<Act> {
    let who = match &entry.actor {
        Actor::Person(name) => name.clone(),
        _ => "selfheal".to_owned(),
    };
    let act = word(entry)?;
    let by = By { who, via: Via::Selfheal };
    let act = Act::new(entry.at, by, act).about(incident.id);
    Some(act.on_one(Some(&incident.target)).saying(&entry.text))
}

/// The word for it; `None` for what is seen, and not decided.
fn word(entry: &TimelineEntry) -> Option<&'static str> {
    Some(match (entry.state, &entry.actor) {
        (Some(IncidentState::Held), _) => "held",
        (Some(IncidentState::Fixing), _) => "apply",
        (Some(IncidentState::Validating), _) => "applied",
        (Some(IncidentState::Resolved), Actor::Person(_)) => "dismissed",
        (Some(IncidentState::Resolved), Actor::HealthMonitor) => "recovered",
        (Some(IncidentState::Resolved), _) => "kept",
        (Some(IncidentState::RolledBack), _) => "rolled_back",
        (Some(IncidentState::Stuck), _) => "stuck",
        (None, Actor::Person(_) | Actor::PolicyGate) => "noted",
        _ => return None,
    })
}
