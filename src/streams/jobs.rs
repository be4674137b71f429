//! Reads a job: what other programs write is checked whole before anything is done.

use std::collections::BTreeMap;

use selfheal_agents::model::{BackupId, IncidentId, TargetId, clean};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::audit::Via;
use crate::http::body::{ApproveRequest, CheckRequest, DismissRequest, FreezeRequest};

/// The longest id of a job, in bytes.
const LONGEST_ID: usize = 200;
/// The largest payload, in bytes.
const LARGEST_PAYLOAD: usize = 64 * 1024;

/// A job that can be tried.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Job {
    /// Of two with the same id one is done.
    pub(crate) id: String,
    /// Who is behind it, for the record.
    pub(crate) by: String,
    /// By which way it came.
    pub(crate) via: Via,
    /// What is to be done.
    pub(crate) work: Work,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Work {
    /// A cycle.
    TriggerCheck(CheckRequest),
    /// A fix is taken back.
    Rollback(RollbackRequest),
    /// A held fix is applied.
    Approve(IncidentId, ApproveRequest),
    /// An incident is closed without a fix.
    Dismiss(IncidentId, String),
    /// No automatic fixes for a while.
    Freeze(FreezeRequest),
    /// Automatic fixes go on.
    Unfreeze(Option<TargetId>),
}

/// Which fix is taken back: that of a backup, or all of an incident.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RollbackRequest {
    /// One fix.
    pub(crate) backup_id: Option<String>,
    /// All of this one.
    pub(crate) incident_id: Option<IncidentId>,
    /// Also where something changed since.
    #[serde(default)]
    pub(crate) force: bool,
}

impl RollbackRequest {
    /// The backup it names, if it names one.
    pub(super) fn backup(&self) -> Result<Option<BackupId>, String> {
        let parse =
            |id: &String| id.parse().map_err(|_| format!("`{}` is no backup id", short(id)));
        self.backup_id.as_ref().map(parse).transpose()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfIncident {
    incident_id: IncidentId,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct OfTarget {
    target: Option<TargetId>,
}

/// How soon it is done, of those that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Priority {
    /// First.
    High,
    /// As it came.
    Medium,
    /// Last.
    Low,
}

/// The priority in these fields; as it came where none is told.
pub(super) fn priority(fields: &BTreeMap<String, String>) -> Option<Priority> {
    match fields.get("priority").map(|text| text.trim()) {
        Some("high") => Some(Priority::High),
        None | Some("" | "medium") => Some(Priority::Medium),
        Some("low") => Some(Priority::Low),
        Some(_) => None,
    }
}

/// The job in these fields; the error says what is wrong with them.
pub(super) fn read(fields: &BTreeMap<String, String>) -> Result<Job, String> {
    let field = |name: &str| {
        let text = fields.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
        text.ok_or_else(|| format!("the field `{name}` is missing"))
    };
    let id = field("job_id")?;
    if id.len() > LONGEST_ID || id.chars().any(char::is_control) {
        return Err(format!("`job_id` is longer than {LONGEST_ID} bytes or not plain text"));
    }
    if priority(fields).is_none() {
        return Err("`priority` is none of high, medium and low".to_owned());
    }
    let (mut payload, kind) = (payload(fields)?, field("type")?);
    let by = match payload.remove("by") {
        Some(Value::String(by)) if !by.trim().is_empty() => format!("stream: {}", clean(&by, 80)),
        None => "stream".to_owned(),
        Some(_) => return Err("`by` in `payload` is no name".to_owned()),
    };
    Ok(Job { id: id.to_owned(), by, via: Via::Stream, work: work(kind, payload)? })
}

fn payload(fields: &BTreeMap<String, String>) -> Result<Map<String, Value>, String> {
    let text = fields.get("payload").map_or("", |text| text.trim());
    if text.is_empty() {
        return Ok(Map::new());
    }
    if text.len() > LARGEST_PAYLOAD {
        return Err(format!("`payload` is larger than {LARGEST_PAYLOAD} bytes"));
    }
    serde_json::from_str(text).map_err(|error| format!("`payload` is no JSON object: {error}"))
}

/// What is to be done, by the type of a job and its payload.
pub(crate) fn work(kind: &str, payload: Map<String, Value>) -> Result<Work, String> {
    Ok(match kind {
        "trigger_check" => Work::TriggerCheck(of(payload)?),
        "rollback" => Work::Rollback(rollback(of(payload)?)?),
        "approve" => {
            let (id, request) = of_incident(payload)?;
            Work::Approve(id, request)
        }
        "dismiss" => {
            let (id, request) = of_incident::<DismissRequest>(payload)?;
            Work::Dismiss(id, request.reason.unwrap_or_default())
        }
        "freeze" => Work::Freeze(of(payload)?),
        "unfreeze" => Work::Unfreeze(of::<OfTarget>(payload)?.target),
        other => {
            return Err(format!(
                "the type `{}` is not known here; known are trigger_check, rollback, approve, \
                 dismiss, freeze and unfreeze",
                short(other)
            ));
        }
    })
}

fn rollback(request: RollbackRequest) -> Result<RollbackRequest, String> {
    if request.backup_id.is_some() == request.incident_id.is_some() {
        return Err("`payload` names either `backup_id` or `incident_id`".to_owned());
    }
    request.backup()?;
    Ok(request)
}

/// Which incident, and what else is said of what is to be done about it.
fn of_incident<T: DeserializeOwned>(
    mut payload: Map<String, Value>,
) -> Result<(IncidentId, T), String> {
    let incident = payload.remove("incident_id").map(|id| ("incident_id".to_owned(), id));
    let incident: OfIncident = of(Map::from_iter(incident))?;
    Ok((incident.incident_id, of(payload)?))
}

fn of<T: DeserializeOwned>(payload: Map<String, Value>) -> Result<T, String> {
    serde_json::from_value(Value::Object(payload))
        .map_err(|error| format!("`payload` does not fit: {}", short(&error.to_string())))
}

fn short(text: &str) -> String {
    clean(text, 200)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn fields(kind: &str, payload: &str) -> BTreeMap<String, String> {
        [("job_id", "j1"), ("type", kind), ("priority", "high"), ("payload", payload)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    fn work_of(kind: &str, payload: &str) -> Result<Work, String> {
        read(&fields(kind, payload)).map(|job| job.work)
    }

    #[test]
    fn every_type_of_job_is_read_with_its_payload() {
        let nil = IncidentId(Uuid::nil());
        let of_incident = format!(r#"{{"incident_id": "{nil}"}}"#);
        let once = ApproveRequest { always: false };
        assert_eq!(work_of("approve", &of_incident), Ok(Work::Approve(nil, once)));
        let always = format!(r#"{{"incident_id": "{nil}", "always": true}}"#);
        let for_good = ApproveRequest { always: true };
        assert_eq!(work_of("approve", &always), Ok(Work::Approve(nil, for_good)));
        assert_eq!(work_of("dismiss", &of_incident), Ok(Work::Dismiss(nil, String::new())));
        let why = format!(r#"{{"incident_id": "{nil}", "reason": "known"}}"#);
        assert_eq!(work_of("dismiss", &why), Ok(Work::Dismiss(nil, "known".to_owned())));
        let web = TargetId::container("web");
        let check = CheckRequest { target: Some(web.clone()), dry_run: true };
        assert_eq!(
            work_of("trigger_check", r#"{"target": "container:web", "dry_run": true}"#),
            Ok(Work::TriggerCheck(check))
        );
        assert_eq!(work_of("trigger_check", ""), Ok(Work::TriggerCheck(CheckRequest::default())));
        let freeze = FreezeRequest { duration: Some("30m".to_owned()), ..FreezeRequest::default() };
        assert_eq!(work_of("freeze", r#"{"for": "30m"}"#), Ok(Work::Freeze(freeze)));
        assert_eq!(work_of("unfreeze", "{}"), Ok(Work::Unfreeze(None)));
        let of_web = r#"{"target": "container:web"}"#;
        assert_eq!(work_of("unfreeze", of_web), Ok(Work::Unfreeze(Some(web))));
        let Ok(Work::Rollback(back)) =
            work_of("rollback", r#"{"backup_id": "backup_20251019_170000", "force": true}"#)
        else {
            panic!("a rollback");
        };
        assert!(back.force && back.backup().unwrap().is_some());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (kind, payload, named) in [
            ("start_monitoring", "", "`start_monitoring` is not known here"),
            ("approve", "", "incident_id"),
            ("dismiss", "", "incident_id"),
            ("approve", r#"{"incident_id": "seven"}"#, "`payload` does not fit"),
            ("trigger_check", "[]", "no JSON object"),
            ("trigger_check", r#"{"dryrun": true}"#, "dryrun"),
            ("rollback", "{}", "either `backup_id` or `incident_id`"),
            ("rollback", r#"{"backup_id": "../../etc"}"#, "no backup id"),
            ("unfreeze", r#"{"target": "nonsense"}"#, "does not fit"),
            ("freeze", r#"{"by": 7}"#, "`by`"),
            ("", "", "`type` is missing"),
        ] {
            let why = work_of(kind, payload).unwrap_err();
            assert!(why.contains(named), "{kind} {payload}: {why}");
        }
        let mut urgent = fields("unfreeze", "");
        urgent.insert("priority".to_owned(), "now!".to_owned());
        assert!(read(&urgent).unwrap_err().contains("priority"));
        urgent.remove("job_id");
        assert!(read(&urgent).unwrap_err().contains("job_id"));
    }

    #[test]
    fn who_asked_is_recorded_without_control_characters() {
        let job = read(&fields("unfreeze", "{\"by\": \"eve\\u001b[31m\"}")).unwrap();
        assert!(job.by.starts_with("stream: eve") && !job.by.contains('\u{1b}'), "{}", job.by);
    }

    proptest! {
        #[test]
        fn no_payload_is_too_strange(kind in "[a-z_]{0,20}", payload in ".{0,200}") {
            let _ = read(&fields(&kind, &payload));
        }
    }
}
