//! The page of what waits for a person.

use std::time::Duration;

use askama::Template;
use selfheal_agents::model::{IncidentId, Severity, Timestamp};

use super::{Frame, When, count, length};
use crate::coordinator::policy;
use crate::http::body::{FixRow, HoldRow, IncidentDetail};

struct Proposal {
    summary: String,
    confidence: String,
    interruption: String,
    risk: String,
    steps: Vec<String>,
    warnings: Vec<String>,
    /// Until when it can be approved as it is, or why no longer.
    age: String,
    too_old: bool,
}

struct Waiting {
    id: IncidentId,
    target: String,
    title: String,
    cause: String,
    tone: &'static str,
    opened: When,
    holds: Vec<HoldRow>,
    proposal: Option<Proposal>,
    can_approve: bool,
    /// Whether it is asked for only because the mode says so.
    can_always: bool,
}

/// `/approvals`.
#[derive(Template)]
#[template(path = "approvals.html")]
pub(in crate::http::pages) struct ApprovalsPage {
    frame: Frame,
    /// What only a person can let go on.
    waiting: Vec<Waiting>,
    /// What is held for something that passes by itself.
    passing: Vec<Waiting>,
    more: usize,
}

impl ApprovalsPage {
    /// Of held incidents; a proposal older than `lifetime` is made anew instead of being applied.
    pub(in crate::http::pages) fn new(
        held: &[IncidentDetail],
        more: usize,
        lifetime: Duration,
        now: Timestamp,
    ) -> Self {
        let passes = |incident: &&IncidentDetail| {
            let holds = &incident.row.holds;
            !holds.is_empty() && holds.iter().all(|hold| hold.passes)
        };
        let (passing, waiting): (Vec<_>, Vec<_>) = held.iter().partition(passes);
        let shown = |some: Vec<&IncidentDetail>| {
            some.into_iter().map(|incident| Waiting::new(incident, lifetime, now)).collect()
        };
        Self {
            frame: Frame::on("/approvals"),
            waiting: shown(waiting),
            passing: shown(passing),
            more,
        }
    }
}

impl Waiting {
    fn new(incident: &IncidentDetail, lifetime: Duration, now: Timestamp) -> Self {
        let row = &incident.row;
        Self {
            id: row.id,
            target: row.target.to_string(),
            title: row.title.clone(),
            cause: incident.diagnosis.as_ref().map_or_else(String::new, |d| d.summary.clone()),
            tone: if row.severity == Severity::Critical { "critical" } else { "warning" },
            opened: When::new(row.opened_at, now),
            holds: row.holds.clone(),
            proposal: incident.fix_detail.as_ref().map(|fix| proposal(fix, lifetime, now)),
            can_approve: incident.can.approve,
            can_always: incident.can.approve && is_only_asked(&row.holds),
        }
    }
}

fn is_only_asked(holds: &[HoldRow]) -> bool {
    !holds.is_empty() && holds.iter().all(|row| policy::only_asks(&row.hold))
}

fn proposal(fix: &FixRow, lifetime: Duration, now: Timestamp) -> Proposal {
    let too_old = policy::too_old(fix.proposed_at, now, lifetime);
    let until = fix.proposed_at + lifetime;
    Proposal {
        summary: fix.summary.clone(),
        confidence: fix.confidence.to_string(),
        interruption: match fix.interruption_secs {
            0 => "none expected".to_owned(),
            seconds => format!("about {}", length(seconds)),
        },
        risk: risk(fix),
        steps: fix.steps.iter().map(|step| format!("{} ({})", step.what, step.reversal)).collect(),
        warnings: fix.warnings.clone(),
        age: match &too_old {
            Some(why) => format!("{why}; an approval has it made anew first"),
            None => format!("can be approved as it is until {}", until.format("%H:%M:%S UTC")),
        },
        too_old: too_old.is_some(),
    }
}

/// How much of it can be taken back.
fn risk(fix: &FixRow) -> String {
    let lasting = fix.steps.iter().filter(|step| !step.is_undone).count();
    match (lasting, fix.steps.len()) {
        (0, _) => "all of it can be taken back".to_owned(),
        (some, all) => {
            format!("{some} of {} cannot be taken back, only checked", count(all, "step"))
        }
    }
}
