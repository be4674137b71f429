//! Makes spans of what happens: a trace a cycle, in it a span an agent, and a span for each repair that
//! the cycle began, with its changes and its validation window. Pure, but for the ids of spans.
//!
//! The trace has the id of the cycle. A repair lasts longer than its cycle; its spans follow when it
//! ends, in the same trace. One that was approved by a person belongs to no cycle and has a trace of
//! its own.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use selfheal_agents::model::{IncidentId, IncidentState, TargetId, Timestamp, clean};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::coordinator::{AgentStep, CycleStatus, Happening, IncidentSummary, LiveEvent, Trigger};

/// Repairs under way that are remembered.
const MOST_REPAIRS: usize = 1000;
/// Characters of a text at most.
const LONGEST: usize = 300;

/// What one part of a trace says.
pub(super) type Attributes = Vec<(&'static str, Value)>;

/// A part of a trace that is over.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span {
    pub(super) trace: Uuid,
    pub(super) id: u64,
    pub(super) parent: Option<u64>,
    pub(super) name: String,
    pub(super) began: Timestamp,
    pub(super) ended: Timestamp,
    pub(super) attributes: Attributes,
    /// Why it failed, if it did.
    pub(super) error: Option<String>,
}

struct Cycle {
    trace: Uuid,
    root: u64,
    began: Timestamp,
    trigger: Trigger,
    targets: Option<usize>,
    agents: Vec<(Timestamp, AgentStep)>,
}

struct Repair {
    trace: Uuid,
    parent: Option<u64>,
    id: u64,
    began: Timestamp,
    applied: Option<Timestamp>,
    looks: u64,
}

/// What is not over yet.
#[derive(Default)]
pub(super) struct Composer {
    cycle: Option<Cycle>,
    repairs: BTreeMap<IncidentId, Repair>,
}

/// An id by chance, as the last part of a UUID is.
fn chance() -> u64 {
    Uuid::now_v7().as_u64_pair().1
}

impl Composer {
    /// Takes note of an event and answers what is over with it.
    pub(super) fn take(&mut self, event: &LiveEvent) -> Vec<Span> {
        match &event.what {
            Happening::CycleStarted { cycle_id, trigger, targets } => {
                self.cycle = Some(Cycle {
                    trace: *cycle_id,
                    root: chance(),
                    began: event.at,
                    trigger: *trigger,
                    targets: *targets,
                    agents: vec![],
                });
            }
            Happening::Agent { cycle_id, step } => {
                let cycle = self.cycle.as_mut().filter(|cycle| cycle.trace == *cycle_id);
                if let Some(cycle) = cycle {
                    cycle.agents.push((event.at, step.clone()));
                }
            }
            Happening::CycleFinished { cycle_id, status, findings, .. } => {
                let cycle = self.cycle.take_if(|cycle| cycle.trace == *cycle_id);
                return cycle
                    .map_or_else(Vec::new, |cycle| cycle.ended(event.at, *status, *findings));
            }
            Happening::Incident { incident, text } => {
                return self.incident(event.at, incident, text);
            }
            Happening::Validation { incident, .. } => {
                if let Some(repair) = self.repairs.get_mut(incident) {
                    repair.looks += 1;
                }
            }
            Happening::Frozen { .. } => {}
        }
        vec![]
    }

    fn incident(&mut self, at: Timestamp, incident: &IncidentSummary, text: &str) -> Vec<Span> {
        match incident.state {
            IncidentState::Fixing => {
                if !self.repairs.contains_key(&incident.id) && self.repairs.len() < MOST_REPAIRS {
                    self.repairs.insert(incident.id, self.repair(at));
                }
            }
            IncidentState::Validating => {
                if let Some(repair) = self.repairs.get_mut(&incident.id) {
                    repair.applied.get_or_insert(at);
                }
            }
            _ => {
                let repair = self.repairs.remove(&incident.id);
                return repair.map_or_else(Vec::new, |repair| repair.ended(at, incident, text));
            }
        }
        vec![]
    }

    fn repair(&self, began: Timestamp) -> Repair {
        let cycle = self.cycle.as_ref();
        Repair {
            trace: cycle.map_or_else(Uuid::now_v7, |cycle| cycle.trace),
            parent: cycle.map(|cycle| cycle.root),
            id: chance(),
            began,
            applied: None,
            looks: 0,
        }
    }
}

impl Cycle {
    fn ended(self, ended: Timestamp, status: CycleStatus, findings: usize) -> Vec<Span> {
        let mut attributes = vec![
            ("selfheal.cycle.trigger", json!(self.trigger)),
            ("selfheal.cycle.status", json!(status)),
            ("selfheal.cycle.findings", json!(findings)),
        ];
        attributes.extend(self.targets.map(|count| ("selfheal.cycle.targets", json!(count))));
        let root = Span {
            trace: self.trace,
            id: self.root,
            parent: None,
            name: "cycle".to_owned(),
            began: self.began,
            ended,
            attributes,
            error: None,
        };
        let mut spans = vec![root];
        // One after the other; some are told of together, when the last of them is done.
        let mut next_began = ended;
        for (at, step) in self.agents.iter().rev() {
            let ended = (*at).min(next_began);
            let took = Duration::try_from_secs_f64(step.took_ms / 1000.0).unwrap_or_default();
            let took = TimeDelta::from_std(took).unwrap_or_default();
            next_began = (ended - took).max(self.began);
            let said = clean(&step.summary, LONGEST);
            spans.push(Span {
                trace: self.trace,
                id: chance(),
                parent: Some(self.root),
                name: step.agent.clone(),
                began: next_began,
                ended,
                error: step.failed.then(|| said.clone()),
                attributes: vec![("selfheal.agent.summary", json!(said))],
            });
        }
        spans
    }
}

impl Repair {
    fn ended(self, at: Timestamp, incident: &IncidentSummary, text: &str) -> Vec<Span> {
        let said = clean(text, LONGEST);
        let has_failed = incident.state != IncidentState::Resolved;
        let mut attributes = of_target(&incident.target);
        attributes.extend([
            ("selfheal.incident.id", json!(incident.id.to_string())),
            ("selfheal.incident.state", json!(incident.state.as_str())),
            ("selfheal.incident.title", json!(clean(&incident.title, LONGEST))),
        ]);
        attributes
            .extend(incident.issue_type.as_ref().map(|kind| ("selfheal.issue_type", json!(kind))));
        let fix = incident.fix.as_ref().map(|fix| ("selfheal.fix", json!(clean(fix, LONGEST))));
        attributes.extend(fix.clone());
        let applied = self.applied.unwrap_or(at);
        let part = |name: &str, began, ended, attributes| Span {
            trace: self.trace,
            id: chance(),
            parent: Some(self.id),
            name: name.to_owned(),
            began,
            ended,
            attributes,
            error: None,
        };
        let mut spans = vec![part("apply", self.began, applied, fix.into_iter().collect())];
        if self.applied.is_some() {
            let looks = vec![("selfheal.validation.looks", json!(self.looks))];
            spans.push(part("validate", applied, at, looks));
        }
        if let Some(last) = spans.last_mut().filter(|_| has_failed) {
            last.error = Some(said.clone());
        }
        spans.push(Span {
            id: self.id,
            parent: self.parent,
            error: has_failed.then_some(said),
            ..part("repair", self.began, at, attributes)
        });
        spans
    }
}

/// A container by the name that the conventions have for it.
fn of_target(target: &TargetId) -> Attributes {
    let name = target.to_string();
    let container = name.strip_prefix("container:").map(|name| ("container.name", json!(name)));
    container.into_iter().chain([("selfheal.target", json!(name))]).collect()
}
