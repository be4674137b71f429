//! The page of all nodes.

use askama::Template;
use selfheal_agents::model::{IncidentState, Severity, Timestamp, Verdict};

use super::frame::Frame;
use super::{When, length, tone, verdict_word};
use crate::coordinator::IncidentSummary;
use crate::fleet::Member;
use crate::http::body::FleetView;

/// Every node.
#[derive(Template)]
#[template(path = "fleet.html")]
pub(in crate::http::pages) struct FleetPage {
    frame: Frame,
    is_alone: bool,
    /// Whether any changes nothing by itself.
    is_frozen: bool,
    nodes: Vec<Node>,
}

struct Node {
    name: String,
    is_this: bool,
    address: String,
    about: String,
    /// For how long it has said nothing, where that is long.
    silent: Option<String>,
    blind: Vec<String>,
    /// That it changes nothing by itself, and why.
    frozen: Option<String>,
    /// Whether it has said nothing for so long that it may be forgotten.
    may_be_gone: bool,
    tone: &'static str,
    counts: Vec<(&'static str, &'static str, usize)>,
    unwell: Vec<Target>,
    leases: Vec<String>,
    incidents: Vec<Incident>,
}

struct Target {
    id: String,
    tone: &'static str,
    detail: String,
}

struct Incident {
    id: String,
    target: String,
    title: String,
    tone: &'static str,
    state: &'static str,
    opened: When,
    holds: Vec<String>,
    /// Whether a person can approve or dismiss it.
    waits: bool,
    has_fix: bool,
}

impl FleetPage {
    pub(in crate::http::pages) fn new(view: &FleetView, now: Timestamp) -> Self {
        let node = |member: &Member| Node::new(member, view.node.as_deref(), now);
        Self {
            frame: Frame::on("/fleet"),
            is_alone: view.node.is_none(),
            is_frozen: view.nodes.iter().any(|node| node.summary.frozen.is_some()),
            nodes: view.nodes.iter().map(node).collect(),
        }
    }
}

impl Node {
    fn new(member: &Member, this: Option<&str>, now: Timestamp) -> Self {
        let targets = &member.summary.targets;
        let counts = [Verdict::Critical, Verdict::Warning, Verdict::Unknown, Verdict::Ok];
        let count = |verdict| targets.iter().filter(|target| target.verdict == verdict).count();
        let worst = counts.into_iter().find(|verdict| count(*verdict) > 0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds")]
        let silent = member.is_silent.then(|| length(member.silent_secs.max(0.0) as u64));
        Self {
            name: member.name.clone(),
            may_be_gone: member.silent_secs > 60.0,
            is_this: this == Some(member.name.as_str()),
            address: member.address.clone(),
            about: format!("{} · version {}", member.mode, member.version),
            tone: if silent.is_some() || !member.summary.blind.is_empty() {
                "critical"
            } else {
                worst.map_or("calm", tone)
            },
            silent,
            blind: member.summary.blind.clone(),
            frozen: member.summary.frozen.as_ref().map(|it| format!("{it}: {}", it.reason)),
            counts: counts
                .into_iter()
                .map(|verdict| (tone(verdict), verdict_word(verdict), count(verdict)))
                .filter(|(_, _, count)| *count > 0)
                .collect(),
            unwell: targets
                .iter()
                .filter(|target| target.verdict.is_bad())
                .map(|target| Target {
                    id: target.id.to_string(),
                    tone: tone(target.verdict),
                    detail: target.detail.clone(),
                })
                .collect(),
            leases: member.summary.leases.iter().map(|lease| lease.target.clone()).collect(),
            incidents: member.summary.incidents.iter().map(|i| Incident::new(i, now)).collect(),
        }
    }
}

impl Incident {
    fn new(incident: &IncidentSummary, now: Timestamp) -> Self {
        Self {
            id: incident.id.to_string(),
            target: incident.target.to_string(),
            title: incident.title.clone(),
            tone: if incident.severity == Severity::Critical { "critical" } else { "warning" },
            state: incident.state.as_str(),
            opened: When::new(incident.opened_at, now),
            holds: incident.holds.iter().map(ToString::to_string).collect(),
            waits: incident.state == IncidentState::Held,
            has_fix: incident.fix.is_some(),
        }
    }
}
