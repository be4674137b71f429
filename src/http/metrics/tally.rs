//! What happened since the start, counted as it happens: what the store does not keep.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use selfheal_agents::model::{IncidentId, IncidentState, Timestamp};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::coordinator::{Happening, LiveEvent};
use crate::upkeep::{Part, Upkeep};

/// Upper bounds of the lengths of cycles and of an agent's part in one, in seconds.
const LENGTHS: [f64; 9] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];
/// Upper bounds of the time from the first sign of a trouble to its incident, in seconds.
const DETECTIONS: [f64; 10] = [0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 150.0, 300.0, 900.0];
/// Incidents whose state is remembered.
const REMEMBERED: usize = 4_096;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByAgent {
    agent: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: &'static str,
}

/// Nothing may be said for long.
const TALLY: Part = Part { name: "the figures", turns_within: None };

/// Counts of this run of the program. Cloning shares them.
#[derive(Clone)]
pub(in super::super) struct Tally {
    cycles: Histogram,
    agents: Family<ByAgent, Histogram, fn() -> Histogram>,
    findings: Counter,
    opened: Counter,
    detections: Histogram,
    became: Family<ByState, Counter>,
    states: Arc<Mutex<States>>,
}

fn lengths() -> Histogram {
    Histogram::new(LENGTHS)
}

impl Tally {
    /// Counts what `live` says until `cancel`.
    pub(in super::super) fn keep(
        live: broadcast::Receiver<LiveEvent>,
        upkeep: &Upkeep,
        cancel: CancellationToken,
    ) -> Self {
        let tally = Self::new();
        let counting = tally.clone();
        // What is said while it is begun anew is not counted.
        let (again, mut from) = (live.resubscribe(), Some(live));
        upkeep.keep(TALLY, move || {
            let live = from.take().unwrap_or_else(|| again.resubscribe());
            counting.clone().count_all(live, cancel.clone())
        });
        tally
    }

    async fn count_all(self, mut live: broadcast::Receiver<LiveEvent>, cancel: CancellationToken) {
        loop {
            let event = tokio::select! {
                () = cancel.cancelled() => return,
                event = live.recv() => event,
            };
            match event {
                Ok(event) => self.count(&event),
                // What was missed is not counted; a scrape cannot wait for it.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn new() -> Self {
        Self {
            cycles: lengths(),
            agents: Family::new_with_constructor(lengths),
            findings: Counter::default(),
            opened: Counter::default(),
            detections: Histogram::new(DETECTIONS),
            became: Family::default(),
            states: Arc::default(),
        }
    }

    /// With one of each label: what has none yet is not told at all.
    #[cfg(test)]
    pub(super) fn of_each() -> Self {
        let tally = Self::new();
        tally.agents.get_or_create(&ByAgent { agent: "root-cause".to_owned() }).observe(0.1);
        tally.became.get_or_create(&ByState { state: "open" }).inc();
        tally
    }

    fn count(&self, event: &LiveEvent) {
        self.states().since.get_or_insert(event.at);
        match &event.what {
            Happening::CycleFinished { took_ms, findings, .. } => {
                self.cycles.observe(took_ms / 1000.0);
                self.findings.inc_by(u64::try_from(*findings).unwrap_or(u64::MAX));
            }
            Happening::Agent { step, .. } => {
                let agent = ByAgent { agent: step.agent.clone() };
                self.agents.get_or_create(&agent).observe(step.took_ms / 1000.0);
            }
            Happening::Incident { incident, .. } => {
                let mut states = self.states();
                let before = states.replace(incident.id, incident.state);
                if before == Some(incident.state) {
                    return;
                }
                // What was open before the start was opened before.
                let is_of_this_run = |at| states.since.is_some_and(|since| at >= since);
                if before.is_none() && is_of_this_run(incident.opened_at) {
                    self.opened.inc();
                    // Nobody was there to detect what began before the start.
                    if let Some(began) = incident.began_at.filter(|began| is_of_this_run(*began)) {
                        self.detections.observe((incident.opened_at - began).as_seconds_f64());
                    }
                }
                self.became.get_or_create(&ByState { state: incident.state.as_str() }).inc();
            }
            _ => {}
        }
    }

    fn states(&self) -> MutexGuard<'_, States> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts all of it among the figures of a scrape.
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "How long cycles took";
        let cycles = self.cycles.clone();
        registry.register_with_unit("selfheal_cycle_duration", help, Unit::Seconds, cycles);
        let help = "How long each agent took for its part in a cycle";
        let agents = self.agents.clone();
        registry.register_with_unit("selfheal_agent_duration", help, Unit::Seconds, agents);
        let help = "Findings of all cycles; what stays wrong is found again by each";
        registry.register("selfheal_findings", help, self.findings.clone());
        let help = "Incidents opened since the start";
        registry.register("selfheal_incidents_opened", help, self.opened.clone());
        let help =
            "From the first sign of a trouble to its incident, of what began since the start";
        let detections = self.detections.clone();
        registry.register_with_unit("selfheal_time_to_detect", help, Unit::Seconds, detections);
        let help = "How often an incident came into a state since the start";
        registry.register("selfheal_incident_transitions", help, self.became.clone());
    }
}

/// The newest states of incidents, bounded.
#[derive(Default)]
struct States {
    /// When the first event of this run was told.
    since: Option<Timestamp>,
    known: BTreeMap<IncidentId, IncidentState>,
    oldest_first: VecDeque<IncidentId>,
}

impl States {
    /// Notes a state; answers the one before.
    fn replace(&mut self, id: IncidentId, state: IncidentState) -> Option<IncidentState> {
        let before = self.known.insert(id, state);
        if before.is_none() {
            self.oldest_first.push_back(id);
        }
        if self.known.len() > REMEMBERED
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.known.remove(&oldest);
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use prometheus_client::encoding::text::encode;
    use selfheal_agents::model::{Severity, TargetId};
    use uuid::Uuid;

    use super::*;
    use crate::coordinator::{AgentStep, CycleStatus, IncidentSummary};

    fn told(secs: i64, what: Happening) -> LiveEvent {
        LiveEvent { id: 1, at: Timestamp::UNIX_EPOCH + TimeDelta::seconds(secs), what }
    }

    /// The incident was opened ten seconds after the first event.
    fn incident(n: u128, state: IncidentState) -> Happening {
        let incident = IncidentSummary {
            id: IncidentId(Uuid::from_u128(n)),
            state,
            severity: Severity::Warning,
            target: TargetId::container("web"),
            issue_type: None,
            title: String::new(),
            confidence: None,
            fix: None,
            holds: vec![],
            opened_at: Timestamp::UNIX_EPOCH + TimeDelta::seconds(20),
            began_at: Some(Timestamp::UNIX_EPOCH + TimeDelta::seconds(8)),
            closed_at: None,
        };
        Happening::Incident { incident, text: String::new() }
    }

    fn written(tally: &Tally) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        tally.register(&mut registry);
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn each_change_of_an_incident_counts_once_however_often_it_is_told() {
        let tally = Tally::new();
        for state in [
            IncidentState::Open,
            IncidentState::Open,
            IncidentState::Validating,
            IncidentState::Validating,
            IncidentState::Resolved,
            IncidentState::Resolved,
        ] {
            tally.count(&told(20, incident(1, state)));
        }
        let (before, after) = (Tally::new(), &tally);
        for (tally, opened) in [(&before, 0), (after, 1)] {
            // Of before the start: only its end is new.
            let first = if opened == 0 { 30 } else { 40 };
            tally.count(&told(first, incident(2 + opened, IncidentState::RolledBack)));
        }
        assert!(written(&before).contains("selfheal_incidents_opened_total 0"));
        let text = written(&tally);
        for line in [
            "selfheal_incidents_opened_total 2",
            "selfheal_incident_transitions_total{state=\"open\"} 1",
            "selfheal_incident_transitions_total{state=\"resolved\"} 1",
            "selfheal_incident_transitions_total{state=\"rolled_back\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn what_began_in_this_run_counts_with_the_time_until_its_incident() {
        for (since, count, sum) in [(5, 1, "12.0"), (10, 0, "0.0")] {
            let tally = Tally::new();
            tally.count(&told(since, Happening::Frozen { freezes: vec![] }));
            for state in [IncidentState::Open, IncidentState::Held] {
                tally.count(&told(20, incident(1, state)));
            }
            let text = written(&tally);
            for line in [
                format!("selfheal_time_to_detect_seconds_count {count}"),
                format!("selfheal_time_to_detect_seconds_sum {sum}"),
            ] {
                assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
            }
        }
    }

    #[test]
    fn cycles_and_the_agents_in_them_are_timed_in_seconds() {
        let tally = Tally::new();
        let (cycle_id, agent) = (Uuid::nil(), "root-cause".to_owned());
        let step = AgentStep { agent, took_ms: 40.0, summary: String::new(), failed: false };
        tally.count(&told(0, Happening::Agent { cycle_id, step }));
        let (status, took_ms, findings) = (CycleStatus::IssuesFound, 400.0, 3);
        tally.count(&told(0, Happening::CycleFinished { cycle_id, status, took_ms, findings }));
        let text = written(&tally);
        for line in [
            "selfheal_findings_total 3",
            "selfheal_cycle_duration_seconds_sum 0.4",
            "selfheal_cycle_duration_seconds_bucket{le=\"0.25\"} 0",
            "selfheal_cycle_duration_seconds_bucket{le=\"0.5\"} 1",
            "selfheal_agent_duration_seconds_bucket{le=\"0.05\",agent=\"root-cause\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn what_is_remembered_of_incidents_is_bounded() {
        let mut states = States::default();
        for n in 0..=REMEMBERED as u128 {
            states.replace(IncidentId(Uuid::from_u128(n)), IncidentState::Open);
        }
        assert_eq!(states.known.len(), REMEMBERED);
        assert_eq!(states.oldest_first.len(), REMEMBERED);
    }
}
