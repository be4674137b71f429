//! The channel `alertmanager`: Prometheus' Alertmanager, API v2, which groups, silences and routes
//! as one is used to.
//!
//! Alertmanager takes what it is not told again for over: so an alert is given an end of its own,
//! thirty days ahead, and the end of the incident when that is there. What tells two alerts apart
//! are their labels; the severity among them is that of the incident's first alert
//! (<https://prometheus.io/docs/alerting/latest/alerts_api/>).

use std::time::Duration;

use chrono::TimeDelta;
use selfheal_agents::model::{SecretText, Severity};
use selfheal_agents::ports::Alert;
use serde_json::{Value, json};

use super::post::{self, Post, PostError};
use super::text::{body, cut};
use super::{Refusal, Sending};

/// What its alerts are called there, by which Selfheal knows them when they come back.
pub const NAME: &str = "Selfheal";
/// The label that each of them has.
pub const INCIDENT_LABEL: &str = "incident";

const SUMMARY: usize = 1_000;
const BODY: usize = 8_000;
/// What nobody ended by then is told no longer.
const LASTS: TimeDelta = TimeDelta::days(30);
/// The same of a test.
const TEST_LASTS: TimeDelta = TimeDelta::minutes(1);

/// An Alertmanager.
pub struct Alertmanager {
    post: Post,
    url: SecretText,
    machine: String,
}

impl Alertmanager {
    /// By its address, such as `http://alertmanager:9093`.
    pub fn new(
        url: &SecretText,
        headers: &[(String, SecretText)],
        limit: Duration,
    ) -> Result<Self, PostError> {
        let base = url.expose().trim_end_matches('/');
        let url = SecretText::new(format!("{base}/api/v2/alerts"));
        Ok(Self { post: Post::new(headers, limit)?, url, machine: super::machine() })
    }

    pub(super) async fn carry(&self, sending: &Sending<'_>) -> Result<(), Refusal> {
        let alert = sending.alert;
        if alert.is_digest() {
            // It is to be read, and is nothing that fires.
            return Ok(());
        }
        let first = sending.threads.place(alert.incident).await;
        let begun =
            first.unwrap_or_else(|| format!("{} {}", word(alert.severity), alert.at.to_rfc3339()));
        let (severity, since) = begun.split_once(' ').unwrap_or((&begun, ""));
        let alerts = json!([of(alert, severity, since, &self.machine)]);
        post::send(self.post.to(self.url.expose()).json(&alerts)).await?.accepted()?;
        sending.threads.remember(alert.incident, &begun).await;
        Ok(())
    }
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

fn of(alert: &Alert, severity: &str, since: &str, machine: &str) -> Value {
    let ends_at = match alert.event.as_str() {
        _ if alert.is_over() => alert.at,
        "test" => alert.at + TEST_LASTS,
        _ => alert.at + LASTS,
    };
    let target = alert.target.as_ref().map(ToString::to_string).unwrap_or_default();
    let about = alert.incident.map_or_else(|| cut(&alert.key, 200), |id| id.to_string());
    json!({
        "labels": {
            "alertname": NAME,
            "severity": severity,
            "target": target,
            INCIDENT_LABEL: about,
            "instance": machine,
        },
        "annotations": {
            "summary": cut(&alert.title, SUMMARY),
            "description": body(&alert.body, BODY),
            "event": alert.event,
        },
        "startsAt": since,
        "endsAt": ends_at.to_rfc3339(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::text::tests::hostile;

    #[test]
    fn the_end_has_the_labels_of_the_beginning() {
        let mut alert = hostile();
        let since = alert.at.to_rfc3339();
        let begun = of(&alert, "critical", &since, "host");
        (alert.event, alert.severity) = ("resolved".to_owned(), Severity::Info);
        let over = of(&alert, "critical", &since, "host");
        assert_eq!(over["labels"], begun["labels"]);
        assert_eq!(over["endsAt"], alert.at.to_rfc3339());
        assert_ne!(begun["endsAt"], over["endsAt"]);
    }
}
