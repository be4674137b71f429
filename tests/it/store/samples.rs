//! Things to keep.

use std::path::Path;
use std::sync::Arc;

use selfheal::store::{self, Opened, SqlStore};
use selfheal_agents::fix_engineer::actions::{Action, ConfigSet, ContainerRestart};
use selfheal_agents::fix_engineer::config_file::sha256;
use selfheal_agents::model::{
    Actor, Backup, BackupId, Captured, Category, Confidence, FileContent, Finding, FindingSource,
    Fix, FixId, Incident, IncidentId, IncidentState, JournalEntry, Ledger, Message, Observation,
    ObservedValue, Outcome, ResultStatus, RuntimeEvent, RuntimeEventKind, Severity, Step, StepRole,
    Stream, TargetId, Timestamp, Trend, ValidationStatus, Verdict,
};
use selfheal_agents::ports::{Alert, Clock};
use uuid::Uuid;

/// A clock that stands still.
pub(crate) struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        at(0)
    }
}

/// Seconds after 2025-10-19 17:00:00 UTC.
pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_timestamp(1_760_893_200 + secs, 0).expect("a small number")
}

/// Opens a store that must be sound.
pub(crate) async fn open(dir: &Path) -> SqlStore {
    let Opened { store, damage } = store::open(dir, Arc::new(Noon)).await.expect("the store opens");
    assert_eq!(damage, None);
    store
}

pub(crate) fn web() -> TargetId {
    TargetId::container("web")
}

/// The id of the `n`-th incident; a higher `n` is newer.
pub(crate) fn incident_id(n: u128) -> IncidentId {
    IncidentId(Uuid::from_u128((0x0199_fc00_0000_7000 << 64) + n))
}

pub(crate) fn fix_id(n: u128) -> FixId {
    FixId(Uuid::from_u128((0x0199_fc00_0000_7000 << 64) + (1 << 40) + n))
}

pub(crate) fn finding(target: &TargetId, secs: i64) -> Finding {
    Finding {
        key: Finding::check_key(target, "container.state"),
        target: target.clone(),
        source: FindingSource::Check {
            check: "container.state".to_owned(),
            value: "exited".to_owned(),
        },
        category: Category::Crash,
        severity: Severity::Critical,
        message: "it ended with exit code 1".to_owned(),
        samples: vec!["panic: \u{fffd} quoted \" and 'single'".to_owned()],
        count: 1,
        first_seen: at(secs),
        last_seen: at(secs),
        trend: Trend::Steady,
    }
}

/// An open incident about `target`, opened `secs` after noon.
pub(crate) fn incident(n: u128, target: &TargetId, secs: i64) -> Incident {
    let findings = vec![finding(target, secs)];
    Incident::open(incident_id(n), target.clone(), findings, at(secs))
}

/// The same, resolved by itself one second later.
pub(crate) fn resolved(n: u128, target: &TargetId, secs: i64) -> Incident {
    let mut incident = incident(n, target, secs);
    incident
        .become_state(IncidentState::Resolved, at(secs + 1), Actor::HealthMonitor, "works again")
        .expect("open to resolved");
    incident
}

pub(crate) fn confidence(percent: u8) -> Confidence {
    Confidence::clamped(i64::from(percent))
}

pub(crate) fn fix(n: u128) -> Fix {
    let set = ConfigSet {
        target: web(),
        file: "/srv/web/config.json".to_owned(),
        key: "upstream.delay_s".to_owned(),
        from: 0.07,
        // Not a short decimal: a text form that loses the last bit is found out.
        to: 0.07 * 1.5,
    };
    let restart =
        ContainerRestart { container: "web".to_owned(), stop_timeout_secs: 10, signal: None };
    Fix {
        id: fix_id(n),
        fix_type: "config.set".to_owned(),
        target: web(),
        issue_type: "rate-limit".to_owned(),
        summary: "slow down".to_owned(),
        steps: vec![
            Step { action: Action::ConfigSet(set), role: StepRole::Repair },
            Step { action: Action::ContainerRestart(restart), role: StepRole::Activate },
        ],
        ledger: Ledger::with_base(90, "429 in the log"),
        original_confidence: confidence(90),
        confidence: confidence(92),
        interruption_secs: 12,
        course: selfheal_agents::model::Course::First,
        quiet: false,
        warnings: vec![],
        proposed_at: at(0),
    }
}

pub(crate) fn message(text: &str) -> Message {
    Message { stream: Stream::Healing, fields: vec![("text".to_owned(), text.to_owned())] }
}

pub(crate) fn planned(n: u128) -> JournalEntry {
    let backup = BackupId::at(at(0), 1);
    JournalEntry::Planned { fix: Box::new(fix(n)), backup }
}

pub(crate) fn outcome(n: u128, secs: i64, success: bool) -> Outcome {
    Outcome {
        timestamp: at(secs),
        fix: fix_id(n),
        incident: incident_id(n),
        target: web(),
        issue_type: "rate-limit".to_owned(),
        fix_type: "config.set".to_owned(),
        original_confidence: confidence(90),
        confidence: confidence(92),
        result_status: ResultStatus::Applied,
        validation_status: if success {
            ValidationStatus::Passed
        } else {
            ValidationStatus::RolledBackByPerson
        },
        success,
        error_count_after: 3,
        time_to_repair_secs: Some(1.1 * 1.1),
    }
}

pub(crate) fn file(path: &str, content: &str) -> FileContent {
    FileContent {
        path: path.to_owned(),
        bytes: content.as_bytes().to_vec(),
        sha256: sha256(content.as_bytes()),
        mode: 0o640,
        uid: 1000,
        gid: 1000,
        modified_secs: 1_760_000_000,
    }
}

/// A backup of one file, made `secs` after noon for incident and fix `n`.
pub(crate) fn backup(n: u128, secs: i64, content: &str) -> Backup {
    Backup {
        id: BackupId::at(at(secs), 1),
        at: at(secs),
        incident: incident_id(n),
        fix: fix_id(n),
        target: web(),
        fix_type: "config.set".to_owned(),
        reason: "slow down".to_owned(),
        confidence: confidence(92),
        captured: vec![
            Captured::File(file("/srv/web/config.json", content)),
            Captured::Container {
                id: "f00d".to_owned(),
                running: true,
                paused: false,
                started_at: Some(at(-500)),
            },
        ],
        left_behind: vec![None, None],
        rolled_back_at: None,
    }
}

pub(crate) fn event(target: &TargetId, secs: i64, kind: RuntimeEventKind) -> RuntimeEvent {
    RuntimeEvent { at: at(secs), target: target.clone(), kind, by_selfheal: false }
}

pub(crate) fn observation(target: &TargetId, secs: i64, check: &str, value: f64) -> Observation {
    Observation {
        target: target.clone(),
        check: check.to_owned(),
        value: ObservedValue::Number(value),
        unit: "%".to_owned(),
        verdict: Verdict::Ok,
        detail: "as it should be".to_owned(),
        at: at(secs),
        since: at(0),
    }
}

pub(crate) fn alert(incident: Option<IncidentId>, event: &str, secs: i64) -> Alert {
    Alert {
        key: format!("{} {event}", incident.map_or("host".to_owned(), |id| id.to_string())),
        event: event.to_owned(),
        severity: Severity::Critical,
        title: "web is down".to_owned(),
        body: "it ended with exit code 1".to_owned(),
        incident,
        target: Some(web()),
        holds: vec![],
        at: at(secs),
    }
}
