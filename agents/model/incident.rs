//! An incident: findings that belong together over time, with one life.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Announced, BackupId, Diagnosis, Finding, Fix, Hold, Rehearsal, Severity, Shadow, TargetId,
    Timestamp, Validation,
};

/// Names an incident.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct IncidentId(pub Uuid);

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for IncidentId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(text).map(Self)
    }
}

/// Where an incident is in its life.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum IncidentState {
    /// Something is wrong; nobody is blamed yet.
    Open,
    /// The cause is named.
    Diagnosed,
    /// A fix, if any, waits for a person or for a reason to pass.
    Held,
    /// Steps are being applied.
    Fixing,
    /// The fix must prove itself.
    Validating,
    /// It works again.
    Resolved,
    /// The fix did not help and was taken back.
    RolledBack,
    /// Taking the fix back failed; a person must look.
    Stuck,
}

impl IncidentState {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 8] = [
        Self::Open,
        Self::Diagnosed,
        Self::Held,
        Self::Fixing,
        Self::Validating,
        Self::Resolved,
        Self::RolledBack,
        Self::Stuck,
    ];

    /// The word used in the store and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Diagnosed => "diagnosed",
            Self::Held => "held",
            Self::Fixing => "fixing",
            Self::Validating => "validating",
            Self::Resolved => "resolved",
            Self::RolledBack => "rolled_back",
            Self::Stuck => "stuck",
        }
    }

    /// Whether its life is over.
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Resolved | Self::RolledBack | Self::Stuck)
    }

    /// The only place that knows which state may follow which.
    ///
    /// `Resolved -> RolledBack` is a person taking a kept fix back, `Stuck -> RolledBack` one whose
    /// second try succeeds;
    /// `Validating -> Fixing` is a follow-up step of the same repair.
    pub const fn may_become(self, next: Self) -> bool {
        use IncidentState::{
            Diagnosed, Fixing, Held, Open, Resolved, RolledBack, Stuck, Validating,
        };
        matches!(
            (self, next),
            (Open, Diagnosed | Held | Resolved)
                | (Diagnosed, Held | Fixing | Resolved)
                | (Held, Diagnosed | Fixing | Resolved)
                | (Fixing, Validating | RolledBack | Stuck | Held)
                | (Validating, Fixing | Resolved | RolledBack | Stuck)
                | (Resolved, RolledBack | Stuck)
                | (Stuck, RolledBack)
        )
    }
}

impl fmt::Display for IncidentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A step in life that the design does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an incident cannot go from {from} to {to}")]
pub struct IllegalTransition {
    /// The state it is in.
    pub from: IncidentState,
    /// The state it was to take.
    pub to: IncidentState,
}

/// One agent or person, as the timeline names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// Sees.
    HealthMonitor,
    /// Groups.
    ErrorDetector,
    /// Blames.
    RootCause,
    /// Proposes and applies.
    FixEngineer,
    /// Decides.
    PolicyGate,
    /// Keeps what was.
    Backup,
    /// Watches the window.
    Validation,
    /// Counts.
    LearningEngine,
    /// After a crash of Selfheal.
    Recovery,
    /// A person, by the name they gave.
    Person(String),
}

impl Actor {
    /// Who, in words.
    pub fn name(&self) -> &str {
        match self {
            Self::HealthMonitor => "health monitor",
            Self::ErrorDetector => "error detector",
            Self::RootCause => "root cause",
            Self::FixEngineer => "fix engineer",
            Self::PolicyGate => "policy gate",
            Self::Backup => "backup",
            Self::Validation => "validation",
            Self::LearningEngine => "learning engine",
            Self::Recovery => "recovery",
            Self::Person(name) => name,
        }
    }
}

/// One line of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimelineEntry {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What, in one sentence.
    pub text: String,
    /// The state after it, where it changed.
    pub state: Option<IncidentState>,
}

/// A time in which an incident is held only for what passes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Since when.
    pub since: Timestamp,
    /// Whether a person was told that it does not pass.
    pub told: bool,
}

/// One incident with its whole record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its name.
    pub id: IncidentId,
    state: IncidentState,
    /// When the first finding was made.
    pub opened_at: Timestamp,
    /// When the trouble began, by the earliest sign of it, where that was looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When its life ended.
    pub closed_at: Option<Timestamp>,
    /// How bad the worst finding is.
    pub severity: Severity,
    /// The target it is about: the blamed one once there is a diagnosis.
    pub target: TargetId,
    /// What is wrong, merged by key.
    pub findings: Vec<Finding>,
    /// Whom it is blamed on.
    pub diagnosis: Option<Diagnosis>,
    /// The fix proposed or applied last.
    pub fix: Option<Fix>,
    /// Fixes applied before it in the same repair: the root's, when dependents followed.
    #[serde(default)]
    pub earlier_fixes: Vec<Fix>,
    /// Why the fix was not applied automatically.
    pub holds: Vec<Hold>,
    /// How long it has waited for what passes by itself or for who is busy there; none where a
    /// person asked for it.
    #[serde(default)]
    pub wait: Option<Wait>,
    /// The fix that would have been applied, had it been allowed.
    #[serde(default)]
    pub shadow: Option<Shadow>,
    /// Whether a person was told that it waits for one.
    #[serde(default)]
    pub told: bool,
    /// Whether it was said of one whose fix was taken back that it works again. What lies back farther
    /// than this was kept counts as said: nobody wants to hear of all of it at once.
    #[serde(default = "told_long_ago")]
    pub told_over: bool,
    /// Backups made for it, oldest first.
    pub backups: Vec<BackupId>,
    /// The rehearsal of the fix proposed or applied last, if there was one.
    #[serde(default)]
    pub rehearsal: Option<Rehearsal>,
    /// Those that failed, the newest of each fix, oldest first.
    #[serde(default)]
    pub failed_rehearsals: Vec<Rehearsal>,
    /// The window, once a fix was applied.
    pub validation: Option<Validation>,
    /// What a person has to run, in order, where a fix could not be taken back.
    #[serde(default)]
    pub by_hand: Vec<String>,
    /// What happened, oldest first.
    pub timeline: Vec<TimelineEntry>,
    /// How much of it was told by streams.
    #[serde(default, skip_serializing_if = "Announced::is_nothing")]
    pub announced: Announced,
    /// How many of these the audit log was told of.
    #[serde(default)]
    pub audited: usize,
}

const fn told_long_ago() -> bool {
    true
}

impl Incident {
    /// Opens an incident.
    pub fn open(id: IncidentId, target: TargetId, findings: Vec<Finding>, at: Timestamp) -> Self {
        let severity = findings.iter().map(|f| f.severity).max().unwrap_or(Severity::Warning);
        let mut incident = Self {
            id,
            state: IncidentState::Open,
            opened_at: at,
            began_at: None,
            updated_at: at,
            closed_at: None,
            severity,
            target,
            findings,
            diagnosis: None,
            fix: None,
            earlier_fixes: vec![],
            holds: vec![],
            wait: None,
            told: false,
            told_over: false,
            shadow: None,
            backups: vec![],
            rehearsal: None,
            failed_rehearsals: vec![],
            validation: None,
            by_hand: vec![],
            timeline: vec![],
            announced: Announced::default(),
            audited: 0,
        };
        let text = incident
            .findings
            .iter()
            .map(|f| format!("{}: {}", f.target, f.message))
            .collect::<Vec<_>>()
            .join("; ");
        incident.note(at, Actor::ErrorDetector, text);
        incident
    }

    /// Where it is in its life.
    pub const fn state(&self) -> IncidentState {
        self.state
    }

    /// Goes on in life and writes it down.
    pub fn become_state(
        &mut self,
        next: IncidentState,
        at: Timestamp,
        actor: Actor,
        text: impl Into<String>,
    ) -> Result<(), IllegalTransition> {
        if !self.state.may_become(next) {
            return Err(IllegalTransition { from: self.state, to: next });
        }
        self.state = next;
        self.updated_at = at;
        self.closed_at = next.is_closed().then_some(at);
        self.timeline.push(TimelineEntry { at, actor, text: text.into(), state: Some(next) });
        Ok(())
    }

    /// Writes something down without a change of state.
    pub fn note(&mut self, at: Timestamp, actor: Actor, text: impl Into<String>) {
        self.updated_at = at;
        self.timeline.push(TimelineEntry { at, actor, text: text.into(), state: None });
    }

    /// Takes these reasons to hold for the present ones.
    pub fn hold_for(&mut self, holds: Vec<Hold>, at: Timestamp) {
        self.holds = holds;
        let waits = self.can_wait() && !self.holds.iter().any(Hold::is_asked_for);
        self.wait = waits.then(|| self.wait.unwrap_or(Wait { since: at, told: false }));
    }

    /// Who approved the fix that was gone about last, and when.
    pub fn approval(&self) -> Option<(&str, Timestamp)> {
        let begun = |entry: &&TimelineEntry| entry.state == Some(IncidentState::Fixing);
        let entry = self.timeline.iter().rev().find(begun)?;
        match &entry.actor {
            Actor::Person(who) => Some((who, entry.at)),
            _ => None,
        }
    }

    /// Whether every reason to hold passes by itself.
    pub fn passes(&self) -> bool {
        !self.holds.is_empty() && self.holds.iter().all(Hold::is_transient)
    }

    /// Whether no person need know of it yet: every reason to hold passes by itself, or somebody is
    /// busy there and will see.
    pub fn can_wait(&self) -> bool {
        self.passes() || self.holds.iter().any(Hold::excuses)
    }

    /// Every target it is about: those with findings, the blamed one and the affected.
    pub fn targets(&self) -> Vec<TargetId> {
        let mut targets: Vec<TargetId> = self.findings.iter().map(|f| f.target.clone()).collect();
        targets.push(self.target.clone());
        if let Some(diagnosis) = &self.diagnosis {
            targets.push(diagnosis.blamed.clone());
            targets.extend(diagnosis.affected.iter().cloned());
        }
        targets.sort();
        targets.dedup();
        targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident() -> Incident {
        Incident::open(
            IncidentId(Uuid::nil()),
            TargetId::container("web"),
            vec![],
            Timestamp::UNIX_EPOCH,
        )
    }

    #[test]
    fn an_illegal_step_changes_nothing() {
        let mut incident = incident();
        let before = incident.clone();
        let at = Timestamp::UNIX_EPOCH;
        let refused = incident.become_state(IncidentState::Validating, at, Actor::Validation, "no");
        assert_eq!(
            refused,
            Err(IllegalTransition { from: IncidentState::Open, to: IncidentState::Validating })
        );
        assert_eq!(incident, before);
    }

    #[test]
    fn a_wait_lasts_while_all_reasons_pass_and_ends_where_a_person_asked_for_one() {
        let mut incident = incident();
        let at = |secs| Timestamp::UNIX_EPOCH + chrono::TimeDelta::seconds(secs);
        let wait = |secs| Some(Wait { since: at(secs), told: false });
        let overload = || Hold::UnderPressure { cpu_percent: 99 };
        let unknown = || Hold::FactsMissing { what: "docker did not answer".to_owned() };
        incident.hold_for(vec![overload()], at(1));
        incident.hold_for(vec![unknown()], at(2));
        assert_eq!(incident.wait, wait(1), "another reason is the same wait");
        for ends in [
            vec![],
            vec![unknown(), Hold::NoFixKnown],
            vec![Hold::NoFixKnown, Hold::MaintenanceWindow { window: String::new() }],
            vec![unknown(), Hold::Frozen { until: None, why: String::new() }],
            vec![Hold::MaintenanceWindow { window: String::new() }, overload()],
            vec![Hold::QuietHour { configured: true }],
        ] {
            incident.hold_for(ends, at(3));
            assert_eq!(incident.wait, None);
            incident.hold_for(vec![overload()], at(4));
            assert_eq!(incident.wait, wait(4));
        }
    }

    #[test]
    fn nothing_leaves_rolled_back_and_stuck_is_left_only_by_taking_it_back() {
        let next_of = |state: IncidentState| {
            IncidentState::ALL.into_iter().filter(move |next| state.may_become(*next))
        };
        assert_eq!(next_of(IncidentState::RolledBack).count(), 0);
        assert!(next_of(IncidentState::Stuck).eq([IncidentState::RolledBack]));
    }

    #[test]
    fn every_open_state_can_reach_an_end() {
        for state in IncidentState::ALL.into_iter().filter(|s| !s.is_closed()) {
            let reaches = IncidentState::ALL.iter().any(|mid| {
                state.may_become(*mid)
                    && (mid.is_closed()
                        || IncidentState::ALL
                            .iter()
                            .any(|end| end.is_closed() && mid.may_become(*end)))
            });
            assert!(reaches, "{state} is a dead end");
        }
    }
}
