//! `http.*`: whether an endpoint gives the right answer, how fast, and its certificate.

use super::{Check, Context, Measured, reason_word};
use crate::model::{Facts, HttpFacts, TargetState, Verdict, clean};

pub(super) struct Http;

impl Check for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn judge(&self, state: &TargetState, context: &Context<'_>) -> Vec<Measured> {
        let Ok(Facts::Http(facts)) = &state.facts else { return vec![] };
        let mut seen = vec![status(facts, context)];
        seen.extend(latency(facts, context));
        seen.extend(certificate(facts, context));
        seen
    }
}

fn word(facts: &HttpFacts) -> String {
    let error = facts.error.as_deref();
    match facts.status {
        _ if facts.ok => "ok".to_owned(),
        _ if facts.timed_out => "timeout".to_owned(),
        Some(_) if error == Some("body") => "body".to_owned(),
        Some(code) => code.to_string(),
        None => reason_word(error, &["refused", "timeout", "dns", "tls"], "refused").to_owned(),
    }
}

fn status(facts: &HttpFacts, context: &Context<'_>) -> Measured {
    let word = word(facts);
    let verdict = match word.as_str() {
        "ok" => Verdict::Ok,
        // It works, and asks us for patience.
        "429" => Verdict::Warning,
        _ => context.probed(Verdict::Critical),
    };
    let error = clean(facts.error.as_deref().unwrap_or_default(), 200);
    let detail = match word.as_str() {
        "ok" => "it gives the right answer".to_owned(),
        "timeout" => "it accepts or swallows the request and does not answer in time".to_owned(),
        "body" => "its answer lacks the text that was declared".to_owned(),
        _ if facts.status.is_some() => format!("it answers with status {word}"),
        _ => format!("it cannot be reached: {error}"),
    };
    Measured::word("http.status", &word, verdict, detail).doubtful_under_pressure()
}

fn latency(facts: &HttpFacts, context: &Context<'_>) -> Option<Measured> {
    let value = facts.latency_ms?;
    let text = format!("it answers in {value:.0} ms");
    let limit = context.thresholds.http_latency_ms;
    Some(Measured::number("http.latency", value, "ms", limit, text).doubtful_under_pressure())
}

fn certificate(facts: &HttpFacts, context: &Context<'_>) -> Option<Measured> {
    let left = facts.certificate_expires_at? - context.now;
    let days = left.num_hours() as f64 / 24.0;
    let thresholds = context.thresholds;
    let verdict = if days < thresholds.certificate_critical_days {
        Verdict::Critical
    } else if days < thresholds.certificate_warning_days {
        Verdict::Warning
    } else {
        Verdict::Ok
    };
    let text = format!("its certificate is valid for {days:.1} more days");
    Some(Measured::count("http.certificate", days, "days", verdict, text))
}
