//! What the coordinator takes and answers: the words shared with `http` and `cli`.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use selfheal_agents::model::{
    BackupId, Confidence, Finding, Hold, Incident, IncidentId, IncidentState, Mode, Need,
    Observation, Severity, TargetId, Timestamp, Verdict,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Which targets a cycle looks at, beside what they depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// These.
    Targets(BTreeSet<TargetId>),
}

impl Scope {
    /// One target.
    pub fn target(id: TargetId) -> Self {
        Self::Targets(BTreeSet::from([id]))
    }

    /// Whether it names the target.
    pub fn contains(&self, id: &TargetId) -> bool {
        match self {
            Self::All => true,
            Self::Targets(targets) => targets.contains(id),
        }
    }

    /// Both together.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        match (self, other) {
            (Self::Targets(mut a), Self::Targets(b)) => {
                a.extend(b);
                Self::Targets(a)
            }
            _ => Self::All,
        }
    }
}

/// What began a cycle. Only for the record: it changes nothing in what the cycle does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The first cycle after the start.
    Start,
    /// The schedule.
    Schedule,
    /// The container runtime.
    RuntimeEvent,
    /// A light probe between the cycles changed its verdict.
    Probe,
    /// An error signature's count rose in a followed log.
    Log,
    /// The API.
    Api,
    /// The command line.
    CommandLine,
    /// A job of another program.
    Stream,
    /// An alert of another program.
    Alert,
}

/// How a cycle ended, in the contract's words; what says more comes later.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CycleStatus {
    /// Nothing is wrong, and all of it was seen.
    Healthy,
    /// Something is wrong, or could not be seen, and nothing is being applied.
    IssuesFound,
    /// A fix is being applied or validated.
    Healing,
}

/// One agent's part in a cycle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentStep {
    /// `health-monitor`, `error-detector`, `root-cause`, `fix-engineer`, `backup`,
    /// `learning-engine`.
    pub agent: String,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
    /// What it found, in one sentence.
    pub summary: String,
    /// Whether it failed; the cycle went on.
    pub failed: bool,
}

/// One target in the list of what is watched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetSummary {
    /// Its name.
    pub id: TargetId,
    /// The worst verdict.
    pub verdict: Verdict,
    /// One sentence: the worst observation, or what it does.
    pub detail: String,
    /// The mode in force.
    pub mode: Mode,
    /// Never touched.
    pub excluded: bool,
    /// Not ours to mend.
    pub external: bool,
    /// What it needs.
    pub depends_on: Vec<TargetId>,
    /// The same with where each need was learnt and how sure it is, the surest first.
    #[serde(default)]
    pub needs: Vec<Need>,
    /// The last observations.
    pub observations: Vec<Observation>,
    /// The open incident about it, if any.
    pub incident: Option<IncidentId>,
    /// The target that is blamed for what this one shows, where that is another.
    #[serde(default)]
    pub symptom_of: Option<TargetId>,
    /// Why nothing is done about it at the moment.
    pub holds: Vec<Hold>,
    /// What is odd in its log: good to know, and no trouble by itself.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Limits that fixes changed on it and that are lost when it is made anew.
    #[serde(default)]
    pub turned: Vec<String>,
}

/// One incident in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentSummary {
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
    /// Why it was not done.
    pub holds: Vec<Hold>,
    /// When it began.
    pub opened_at: Timestamp,
    /// When the trouble began, by the earliest sign of it, where that was looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Timestamp>,
    /// When it ended.
    pub closed_at: Option<Timestamp>,
}

impl IncidentSummary {
    /// That of an incident.
    pub fn of(incident: &Incident) -> Self {
        super::summaries::incident(incident)
    }
}

/// What one cycle saw and decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CycleReport {
    /// Its name.
    pub cycle_id: Uuid,
    /// What began it.
    pub trigger: Trigger,
    /// Whether it was to decide only.
    pub dry_run: bool,
    /// When it began.
    pub started_at: Timestamp,
    /// How long until its decisions, in milliseconds.
    pub took_ms: f64,
    /// How it ended.
    pub status: CycleStatus,
    /// The agents, in order.
    pub agents: Vec<AgentStep>,
    /// What was looked at.
    pub targets: Vec<TargetSummary>,
    /// What had not answered in time, and what needs it: it is judged when the answer is there.
    #[serde(default)]
    pub late: Vec<TargetId>,
    /// What has a value above a limit, but not for long enough to be found.
    #[serde(default)]
    pub rising: Vec<TargetId>,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// The open incidents in its scope.
    pub incidents: Vec<IncidentSummary>,
    /// What could not be seen, with the remedy.
    pub blind: Vec<String>,
}

impl CycleReport {
    /// Whether the container runtime answered.
    pub fn saw_containers(&self) -> bool {
        saw_containers(&self.blind)
    }
}

/// Whether nothing of this says that the container runtime did not answer.
pub(super) fn saw_containers(blind: &[String]) -> bool {
    !blind.iter().any(|reason| reason.starts_with(CONTAINERS_UNSEEN))
}

/// How the reason begins when the container runtime did not answer.
pub(super) const CONTAINERS_UNSEEN: &str = "containers cannot be seen";
/// How it begins where an engine of another host does not answer.
pub(super) const ENGINE_UNSEEN: &str = "the engine `";

/// A freeze in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Freeze {
    /// Which target; everything without one.
    pub target: Option<TargetId>,
    /// Until when; for ever without it.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// Whether it is Selfheal's own safety stop: too many fixes failed, or its database was damaged.
    #[serde(default)]
    pub safety_stop: bool,
    /// The incident whose fix could not be taken back, where Selfheal keeps its hands off for that.
    #[serde(default)]
    pub stuck: Option<IncidentId>,
}

impl Freeze {
    /// The safety stop: of everything, until a person ends it.
    pub fn safety_stop(why: String) -> Self {
        Self {
            target: None,
            until: None,
            reason: why,
            by: "selfheal".to_owned(),
            safety_stop: true,
            stuck: None,
        }
    }
}

/// What happened, as it happens; the source of server-sent events and of live lines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveEvent {
    /// Rises by one since the start of the program.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: Happening,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Happening {
    /// A cycle began.
    CycleStarted {
        /// Which.
        cycle_id: Uuid,
        /// What began it.
        trigger: Trigger,
        /// How many targets; all without it.
        targets: Option<usize>,
    },
    /// An agent did its part.
    Agent {
        /// In which cycle.
        cycle_id: Uuid,
        /// What it did.
        step: AgentStep,
    },
    /// A cycle has decided.
    CycleFinished {
        /// Which.
        cycle_id: Uuid,
        /// How it ended.
        status: CycleStatus,
        /// How long it took, in milliseconds.
        took_ms: f64,
        /// How many findings.
        findings: usize,
    },
    /// An incident changed.
    Incident {
        /// As it is now.
        incident: IncidentSummary,
        /// The newest line of its timeline.
        text: String,
    },
    /// A look at a service in its validation window.
    Validation {
        /// Of which incident.
        incident: IncidentId,
        /// Whether all was well.
        healthy: bool,
        /// What was seen.
        detail: String,
    },
    /// A freeze began or ended.
    Frozen {
        /// Those in force now.
        freezes: Vec<Freeze>,
    },
}

/// Where the coordinator stands, for `status`, `/health` and `/metrics`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Standing {
    /// The global mode.
    pub mode: Mode,
    /// Freezes in force.
    pub freezes: Vec<Freeze>,
    /// The last finished cycle.
    pub last_check: Option<Timestamp>,
    /// The next slot of the schedule.
    pub next_check: Option<Timestamp>,
    /// Minutes between two slots of the schedule.
    pub check_interval_minutes: f64,
    /// Cycles since the start.
    pub cycles: u64,
    /// Length of the last cycle, in milliseconds.
    pub last_cycle_ms: Option<f64>,
    /// Every target with its last summary, by name.
    pub targets: Vec<TargetSummary>,
    /// What could not be seen, with the remedy.
    pub blind: Vec<String>,
    /// Whether the container runtime answers.
    pub runtime_connected: bool,
    /// Fixes being applied.
    pub applying: usize,
    /// Windows running.
    pub validating: usize,
}

/// Why the coordinator did not do what a person asked.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be done in the state things are in; the text says what to do.
    #[error("{0}")]
    Conflict(String),
    /// It cannot be done now, and can be in a moment.
    #[error("{0}")]
    NotYet(String),
    /// The world or the store failed.
    #[error("{0}")]
    Failed(String),
}

/// What a rollback did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RollbackDone {
    /// Which backup.
    pub backup_id: String,
    /// What was undone, a sentence a step.
    pub undone: Vec<String>,
}

impl RollbackDone {
    /// Nothing yet.
    pub fn new(id: &BackupId) -> Self {
        Self { backup_id: id.to_string(), undone: vec![] }
    }
}
