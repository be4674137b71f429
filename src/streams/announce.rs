//! What is told of an incident: everything about it that was not told yet.
//!
//! Pure. What was told is marked on the incident itself; saved together with the messages, nothing
//! is left out by a crash, and a message that is made anew has the same id and the same words.

use selfheal_agents::fix_engineer::actions::Act;
use selfheal_agents::model::{
    Finding, FindingSource, Fix, Incident, IncidentState, Message, Stream, TimelineEntry,
    Validation, ValidationSample, ValidationVerdict,
};
use serde_json::json;

use super::fields::Fields;

/// What is new about an incident since this was asked last, in the order in which it happened.
pub fn news_of(incident: &mut Incident) -> Vec<Message> {
    let mut messages = vec![];
    for finding in &incident.findings {
        if incident.announced.findings.insert(finding.key.clone()) {
            messages.push(error(incident, finding));
        }
    }
    messages.extend(looks(incident));
    messages.extend(changes(incident));
    incident.announced.timeline = incident.timeline.len();
    messages
}

fn error(incident: &Incident, finding: &Finding) -> Message {
    let kind = match &finding.source {
        FindingSource::Check { check, .. } => check.clone(),
        FindingSource::Log { runbook, .. } => runbook.clone(),
        FindingSource::Pattern { oddity, .. } => format!("lines.{}", oddity.as_str()),
        FindingSource::Alert { name, .. } => format!("alert.{name}"),
    };
    let id = format!("{}/{}", incident.id, finding.key);
    Fields::of(&id)
        .with("error_id", &id)
        .with("type", kind)
        .with("incident_id", incident.id)
        .with("target", &finding.target)
        .with("severity", json!(finding.severity).as_str().unwrap_or_default())
        .with("payload", json!(finding))
        .at(finding.first_seen, Stream::Errors)
}

/// What was seen in the window since, and what it decided. The window of a step that has ended is
/// still there while the next one is begun: it is told of as its own.
fn looks(incident: &mut Incident) -> Vec<Message> {
    let Some(window) = &incident.validation else { return vec![] };
    let mut all = incident.fix.iter().chain(&incident.earlier_fixes);
    let Some(fix) = all.find(|fix| window.fix.is_none_or(|id| id == fix.id)) else {
        return vec![];
    };
    let told = incident.announced.looked_at.filter(|_| incident.announced.window == Some(fix.id));
    // By its place and not by its time: clocks are set back.
    let last = window.samples.iter().rposition(|sample| Some(sample.at) == told);
    let new = &window.samples[last.map_or(0, |last| last + 1)..];
    let mut messages: Vec<Message> = new.iter().map(|sample| look(incident, fix, sample)).collect();
    if let Some(verdict) = window.verdict
        && incident.announced.verdicts.insert(fix.id)
    {
        messages.push(decided(incident, fix, window, verdict));
    }
    incident.announced.looked_at = window.samples.last().map(|sample| sample.at).or(told);
    incident.announced.window = Some(fix.id);
    messages
}

fn look(incident: &Incident, fix: &Fix, sample: &ValidationSample) -> Message {
    Fields::of(format!("{}/{}/{}", incident.id, fix.id, sample.at.timestamp_millis()))
        .with("type", "sample")
        .with("incident_id", incident.id)
        .with("repair_id", fix.id)
        .with("target", &fix.target)
        .with("healthy", sample.healthy)
        .with("error_lines", sample.error_lines)
        .with_some("latency_ms", sample.latency_ms)
        .with("detail", &sample.detail)
        .at(sample.at, Stream::Validation)
}

fn decided(
    incident: &Incident,
    fix: &Fix,
    window: &Validation,
    verdict: ValidationVerdict,
) -> Message {
    Fields::of(format!("{}/{}/verdict", incident.id, fix.id))
        .with("type", "verdict")
        .with("incident_id", incident.id)
        .with("repair_id", fix.id)
        .with("target", &fix.target)
        .with("verdict", json!(verdict).as_str().unwrap_or_default())
        .with("detail", window.why.as_deref().unwrap_or_default())
        .at(incident.updated_at, Stream::Validation)
}

/// One message for each new line of the timeline, and one with the result where it ends.
fn changes(incident: &Incident) -> Vec<Message> {
    let mut messages = vec![];
    let mut state = IncidentState::Open;
    for (index, entry) in incident.timeline.iter().enumerate() {
        state = entry.state.unwrap_or(state);
        if index < incident.announced.timeline {
            continue;
        }
        messages.push(change(incident, index, entry, state));
        if entry.state.is_some() {
            messages.extend(result(incident, index, entry, state));
        }
    }
    messages
}

fn change(
    incident: &Incident,
    index: usize,
    entry: &TimelineEntry,
    state: IncidentState,
) -> Message {
    let issue_type = incident.diagnosis.as_ref().map(|diagnosis| &diagnosis.issue_type);
    Fields::of(format!("{}/{index}", incident.id))
        .with("type", "incident")
        .with("incident_id", incident.id)
        .with_some("repair_id", incident.fix.as_ref().map(|fix| fix.id))
        .with("state", state)
        .with("target", &incident.target)
        .with("severity", json!(incident.severity).as_str().unwrap_or_default())
        .with_some("issue_type", issue_type)
        .with_some("fix_type", incident.fix.as_ref().map(|fix| &fix.fix_type))
        .with_some("confidence_score", incident.fix.as_ref().map(|fix| fix.confidence.fraction()))
        .with("actor", entry.actor.name())
        .with("text", &entry.text)
        .at(entry.at, Stream::Healing)
}

/// What became of a fix, where this line of the timeline says so. An incident that passed without
/// one has no result.
fn result(
    incident: &Incident,
    index: usize,
    entry: &TimelineEntry,
    state: IncidentState,
) -> Option<Message> {
    let kept = incident.validation.as_ref().and_then(|window| window.verdict)
        == Some(ValidationVerdict::Kept);
    let (status, passed) = match state {
        IncidentState::Held => ("skipped", None),
        IncidentState::Resolved if kept => ("success", Some(true)),
        IncidentState::RolledBack | IncidentState::Stuck => ("failed", Some(false)),
        _ => return None,
    };
    let fix = incident.fix.as_ref();
    let applied = fix.filter(|_| passed.is_some());
    let steps = |fix: &Fix| fix.steps.iter().map(|step| step.action.describe()).collect();
    let changes: Vec<String> = applied.map(steps).unwrap_or_default();
    let begun = incident.timeline[..index]
        .iter()
        .rev()
        .find(|entry| entry.state == Some(IncidentState::Fixing))
        .filter(|_| applied.is_some());
    let secs = begun.map(|begun| (entry.at - begun.at).as_seconds_f64());
    let repair = fix.map_or_else(|| incident.id.to_string(), |fix| fix.id.to_string());
    let message = Fields::of(format!("{}/{index}/result", incident.id))
        .with("repair_id", repair)
        .with("incident_id", incident.id)
        .with("status", status)
        .with(
            "result",
            json!({
                "fix_applied": applied.map(|fix| &fix.fix_type),
                "fix_proposed": fix.map(|fix| &fix.fix_type),
                "confidence_score": fix.map(|fix| fix.confidence.fraction()),
                "validation_passed": passed,
                "execution_time": secs,
                "changes": changes,
                "target": incident.target,
                "text": entry.text,
            }),
        );
    Some(message.at(entry.at, Stream::Results))
}
