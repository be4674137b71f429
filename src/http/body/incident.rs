//! Bodies of `/api/incidents`.

use schemars::JsonSchema;
use selfheal_agents::fix_engineer::actions::{Act, Reversal};
use selfheal_agents::model::{
    BackupId, Confidence, Diagnosis, Finding, Fix, Incident, IncidentId, IncidentState, Ledger,
    Rehearsal, Severity, Step, StepRole, TargetId, Timestamp, Validation,
};
use serde::{Deserialize, Serialize};

use super::HoldRow;

/// One incident in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentRow {
    /// Its name.
    pub id: IncidentId,
    /// Where it is in its life.
    pub state: IncidentState,
    /// How bad.
    pub severity: Severity,
    /// The target it is about.
    pub target: TargetId,
    /// The issue type, once diagnosed.
    pub issue_type: Option<String>,
    /// The diagnosis' title, or the first finding.
    pub title: String,
    /// How sure.
    pub confidence: Option<Confidence>,
    /// What was or would be done.
    pub fix: Option<String>,
    /// Whether it was done.
    #[serde(default)]
    pub applied: bool,
    /// Why it was not done.
    pub holds: Vec<HoldRow>,
    /// When it began.
    pub opened_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub closed_at: Option<Timestamp>,
}

impl From<&Incident> for IncidentRow {
    fn from(incident: &Incident) -> Self {
        let diagnosis = incident.diagnosis.as_ref();
        let first = incident.findings.first().map(|finding| finding.message.clone());
        Self {
            id: incident.id,
            state: incident.state(),
            severity: incident.severity,
            target: incident.target.clone(),
            issue_type: diagnosis.map(|d| d.issue_type.clone()),
            title: diagnosis
                .map(|d| d.title.clone())
                .or(first)
                .unwrap_or_else(|| "something is wrong".to_owned()),
            confidence: incident
                .fix
                .as_ref()
                .map(|fix| fix.confidence)
                .or(diagnosis.map(|d| d.confidence)),
            fix: incident.fix.as_ref().map(|fix| fix.summary.clone()),
            applied: incident.validation.is_some(),
            holds: incident.holds.iter().map(HoldRow::from).collect(),
            opened_at: incident.opened_at,
            updated_at: incident.updated_at,
            closed_at: incident.closed_at,
        }
    }
}

/// Incidents, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentList {
    /// One page of them.
    pub incidents: Vec<IncidentRow>,
    /// Ask with `cursor=` this for the next page; nothing follows without it.
    pub next_cursor: Option<IncidentId>,
}

/// One step of a fix, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepRow {
    /// The action's name.
    pub action: String,
    /// What it does.
    pub what: String,
    /// Why it is there.
    pub role: StepRole,
    /// What it changes.
    pub target: TargetId,
    /// How it is taken back, or what must hold afterwards.
    pub reversal: String,
    /// Whether it is undone by a rollback; else it is only checked.
    #[serde(default)]
    pub is_undone: bool,
    /// What a person would type for the same effect.
    pub by_hand: String,
}

impl From<&Step> for StepRow {
    fn from(step: &Step) -> Self {
        Self {
            action: step.action.name().to_owned(),
            what: step.action.describe(),
            role: step.role,
            target: step.action.target(),
            reversal: match step.action.reversal() {
                Reversal::Undo => "undone from the backup".to_owned(),
                Reversal::PostCondition(holds) => format!("cannot be undone; checked: {holds}"),
            },
            is_undone: step.action.reversal() == Reversal::Undo,
            by_hand: step.action.by_hand(),
        }
    }
}

/// A proposed or applied fix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FixRow {
    /// The kind of the repairing action; learning counts by it.
    pub fix_type: String,
    /// The target it changes.
    pub target: TargetId,
    /// What it does.
    pub summary: String,
    /// In order.
    pub steps: Vec<StepRow>,
    /// Before history.
    pub original_confidence: Confidence,
    /// After history; what the gate compares.
    pub confidence: Confidence,
    /// Expected interruption of the service, in seconds.
    pub interruption_secs: u64,
    /// What must never be done here.
    pub warnings: Vec<String>,
    /// When it was proposed.
    pub proposed_at: Timestamp,
}

impl From<&Fix> for FixRow {
    fn from(fix: &Fix) -> Self {
        Self {
            fix_type: fix.fix_type.clone(),
            target: fix.target.clone(),
            summary: fix.summary.clone(),
            steps: fix.steps.iter().map(StepRow::from).collect(),
            original_confidence: fix.original_confidence,
            confidence: fix.confidence,
            interruption_secs: fix.interruption_secs,
            warnings: fix.warnings.clone(),
            proposed_at: fix.proposed_at,
        }
    }
}

/// One line of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimelineRow {
    /// When.
    pub at: Timestamp,
    /// Which agent, or a person by the name they gave.
    pub actor: String,
    /// What, in one sentence.
    pub text: String,
    /// The state after it, where it changed.
    pub state: Option<IncidentState>,
}

/// How a fix changes one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileDiff {
    /// Which fix of the incident, in words.
    pub fix: String,
    /// The file on the host.
    pub file: String,
    /// The unified diff, line by line: two with the file's name, then its hunks, secrets hidden.
    pub lines: Vec<String>,
}

impl FileDiff {
    /// Each line with the sign it begins with: `-`, `+`, or a blank where nothing changes there.
    pub fn signed(&self) -> impl Iterator<Item = (char, &str)> {
        self.lines.iter().enumerate().map(|(index, line)| {
            let sign = line.chars().next().filter(|sign| index >= NAMED && "-+".contains(*sign));
            (sign.unwrap_or(' '), line.as_str())
        })
    }
}

/// So many lines at the beginning of a unified diff name the file.
const NAMED: usize = 2;

/// What a person may decide about it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decisions {
    /// The held fix can be applied.
    pub approve: bool,
    /// It can be closed without a fix.
    pub dismiss: bool,
    /// The applied fix can be taken back.
    pub rollback: bool,
}

impl Decisions {
    fn of(incident: &Incident) -> Self {
        let held = incident.state() == IncidentState::Held;
        Self {
            approve: held && incident.fix.is_some(),
            dismiss: matches!(
                incident.state(),
                IncidentState::Open | IncidentState::Diagnosed | IncidentState::Held
            ),
            rollback: !incident.backups.is_empty()
                && matches!(
                    incident.state(),
                    IncidentState::Resolved | IncidentState::Validating | IncidentState::Stuck
                ),
        }
    }
}

/// How the fix of an incident is approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApproveRequest {
    /// Also its like from now on: this kind of fix, for this trouble, on this target. The page of the
    /// target takes that back.
    pub always: bool,
}

/// How an incident is dismissed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DismissRequest {
    /// Why; it stands in the timeline.
    pub reason: Option<String>,
}

/// One incident with everything that is known about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentDetail {
    /// As in the list.
    #[serde(flatten)]
    pub row: IncidentRow,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Whom it is blamed on, and what else was considered.
    pub diagnosis: Option<Diagnosis>,
    /// The sum that the confidence is: the fix's where there is one, else the diagnosis'.
    pub ledger: Ledger,
    /// The fix, step by step.
    pub fix_detail: Option<FixRow>,
    /// What a person has to run, in order, where the fix could not be taken back.
    pub by_hand: Vec<String>,
    /// How its fixes change files, oldest first.
    pub diff: Vec<FileDiff>,
    /// Backups made for it, oldest first.
    pub backups: Vec<String>,
    /// How the fix did on a clone of the container, if it was tried on one.
    pub rehearsal: Option<Rehearsal>,
    /// The window in which the fix must prove itself.
    pub validation: Option<Validation>,
    /// What happened, oldest first.
    pub timeline: Vec<TimelineRow>,
    /// What a person may decide now.
    pub can: Decisions,
}

impl IncidentDetail {
    /// Everything about `incident`; `diff` was worked out from its backups.
    pub fn new(incident: &Incident, diff: Vec<FileDiff>) -> Self {
        let ledger = incident
            .fix
            .as_ref()
            .map(|fix| &fix.ledger)
            .or(incident.diagnosis.as_ref().map(|d| &d.ledger));
        let line = |entry: &selfheal_agents::model::TimelineEntry| TimelineRow {
            at: entry.at,
            actor: entry.actor.name().to_owned(),
            text: entry.text.clone(),
            state: entry.state,
        };
        Self {
            row: IncidentRow::from(incident),
            findings: incident.findings.clone(),
            diagnosis: incident.diagnosis.clone(),
            ledger: ledger.cloned().unwrap_or_default(),
            fix_detail: incident.fix.as_ref().map(FixRow::from),
            by_hand: incident.by_hand.clone(),
            diff,
            backups: incident.backups.iter().map(BackupId::to_string).collect(),
            rehearsal: incident.rehearsal.clone(),
            validation: incident.validation.clone(),
            timeline: incident.timeline.iter().map(line).collect(),
            can: Decisions::of(incident),
        }
    }
}
