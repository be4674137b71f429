//! The page of the agents at work: what the newest events tell of them, and nothing else.

use std::collections::BTreeMap;

use askama::Template;
use selfheal_agents::model::Timestamp;
use uuid::Uuid;

use super::{Fact, Frame, When, count};
use crate::coordinator::{AgentStep, CycleStatus, Happening, LiveEvent, Standing, Trigger};

/// The agents in the order of the flow, with what each does.
const AGENTS: [(&str, &str); 6] = [
    ("health-monitor", "observes every target"),
    ("error-detector", "reads logs and reports, and groups"),
    ("root-cause", "blames one target, with evidence"),
    ("fix-engineer", "proposes a fix and applies it"),
    ("backup", "takes down what a fix will touch"),
    ("learning-engine", "records what became of it"),
];
/// Cycles shown.
const CYCLES: usize = 20;

/// What waits.
pub(in crate::http::pages) struct Depths {
    /// Cycles that were asked for and have not begun.
    pub(in crate::http::pages) cycles: usize,
    /// Alerts that have not arrived.
    pub(in crate::http::pages) alerts: u64,
    /// Messages to other programs, and whether Redis takes them, where there are streams.
    pub(in crate::http::pages) messages: Option<(u64, bool)>,
}

struct AgentRow {
    name: &'static str,
    does: &'static str,
    last: Option<LastStep>,
}

struct LastStep {
    at: When,
    took: String,
    said: String,
    failed: bool,
}

struct CycleRow {
    at: When,
    trigger: &'static str,
    scope: String,
    took: String,
    status: &'static str,
    tone: &'static str,
    findings: String,
}

/// `/pipeline`.
#[derive(Template)]
#[template(path = "pipeline.html")]
pub(in crate::http::pages) struct PipelinePage {
    frame: Frame,
    facts: Vec<Fact>,
    agents: Vec<AgentRow>,
    cycles: Vec<CycleRow>,
}

impl PipelinePage {
    /// `events` are the newest ones, oldest first.
    pub(in crate::http::pages) fn new(
        standing: &Standing,
        events: &[LiveEvent],
        depths: &Depths,
        now: Timestamp,
    ) -> Self {
        let agent = |(name, does): (&'static str, &'static str)| AgentRow {
            name,
            does,
            last: last_step(name, events, now),
        };
        Self {
            frame: Frame::on("/pipeline"),
            facts: facts(standing, depths, now),
            agents: AGENTS.map(agent).into(),
            cycles: cycles(events, now),
        }
    }
}

fn facts(standing: &Standing, depths: &Depths, now: Timestamp) -> Vec<Fact> {
    let when =
        |at: Option<Timestamp>| at.map_or("not known yet".to_owned(), |at| When::new(at, now).ago);
    let fact = |name, value| Fact { name, value, tone: "" };
    let mut facts = vec![
        fact("Last cycle ended", when(standing.last_check)),
        fact("Next slot of the schedule", when(standing.next_check)),
        fact("Cycles since the start", standing.cycles.to_string()),
        fact("Cycles that wait", depths.cycles.to_string()),
        fact("Fixes being applied", standing.applying.to_string()),
        fact("Windows running", standing.validating.to_string()),
        fact("Alerts on their way", depths.alerts.to_string()),
    ];
    if let Some((waiting, connected)) = depths.messages {
        let (tone, how) = if connected { ("", "connected") } else { ("warning", "not connected") };
        facts.push(Fact { name: "Redis Streams", value: how.to_owned(), tone });
        facts.push(fact("Messages on their way", waiting.to_string()));
    }
    facts
}

fn milliseconds(took: f64) -> String {
    if took < 10.0 { format!("{took:.1} ms") } else { format!("{took:.0} ms") }
}

fn last_step(name: &str, events: &[LiveEvent], now: Timestamp) -> Option<LastStep> {
    let step_of = |event: &LiveEvent| match &event.what {
        Happening::Agent { step, .. } if step.agent == name => Some((event.at, step.clone())),
        _ => None,
    };
    let (at, step): (Timestamp, AgentStep) = events.iter().rev().find_map(step_of)?;
    Some(LastStep {
        at: When::new(at, now),
        took: milliseconds(step.took_ms),
        said: step.summary,
        failed: step.failed,
    })
}

/// The newest first.
fn cycles(events: &[LiveEvent], now: Timestamp) -> Vec<CycleRow> {
    let mut ended: BTreeMap<Uuid, (CycleStatus, f64, usize)> = BTreeMap::new();
    let mut rows = vec![];
    for event in events.iter().rev() {
        match &event.what {
            Happening::CycleFinished { cycle_id, status, took_ms, findings } => {
                ended.insert(*cycle_id, (*status, *took_ms, *findings));
            }
            Happening::CycleStarted { cycle_id, trigger, targets } => {
                let scope = targets.map_or("everything".to_owned(), |n| count(n, "target"));
                let begun = (When::new(event.at, now), trigger_word(*trigger), scope);
                let is_newest = rows.is_empty();
                rows.push(cycle(begun, ended.get(cycle_id), is_newest));
            }
            _ => {}
        }
        if rows.len() == CYCLES {
            break;
        }
    }
    rows
}

fn cycle(
    (at, trigger, scope): (When, &'static str, String),
    end: Option<&(CycleStatus, f64, usize)>,
    is_newest: bool,
) -> CycleRow {
    let (status, tone) = match end {
        None if is_newest => ("under way", "calm"),
        None => ("broken off", "warning"),
        Some((CycleStatus::Healthy, ..)) => ("healthy", "ok"),
        Some((CycleStatus::IssuesFound, ..)) => ("issues found", "warning"),
        Some((CycleStatus::Healing, ..)) => ("healing", "calm"),
    };
    let unknown = || "–".to_owned();
    CycleRow {
        at,
        trigger,
        scope,
        took: end.map_or_else(unknown, |(_, took, _)| milliseconds(*took)),
        status,
        tone,
        findings: end.map_or_else(unknown, |(_, _, findings)| findings.to_string()),
    }
}

const fn trigger_word(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Start => "start",
        Trigger::Schedule => "schedule",
        Trigger::RuntimeEvent => "Docker event",
        Trigger::Probe => "probe",
        Trigger::Log => "log line",
        Trigger::Api => "API or page",
        Trigger::CommandLine => "command line",
        Trigger::Stream => "stream job",
        Trigger::Alert => "alert of another program",
    }
}
