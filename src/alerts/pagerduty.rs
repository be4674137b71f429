//! The channel `pagerduty`: Events API v2. An incident of ours is one of theirs, and is resolved
//! there when it is over here.
//!
//! PagerDuty takes 1,024 characters of summary and 255 of key
//! (<https://developer.pagerduty.com/docs/send-alert-event>).

use std::time::Duration;

use selfheal_agents::model::{SecretText, Severity};
use selfheal_agents::ports::Alert;
use serde_json::{Value, json};

use super::post::{self, Post, PostError};
use super::text::{body, cut};
use super::{Refusal, Sending};

const SUMMARY: usize = 1_000;
const BODY: usize = 8_000;

/// A service at PagerDuty.
pub struct PagerDuty {
    post: Post,
    url: String,
    routing_key: SecretText,
    machine: String,
}

impl PagerDuty {
    /// By the routing key of an integration "Events API v2".
    pub fn new(routing_key: SecretText, url: &str, limit: Duration) -> Result<Self, PostError> {
        let (post, machine) = (Post::new(&[], limit)?, super::machine());
        Ok(Self { post, url: url.to_owned(), routing_key, machine })
    }

    pub(super) async fn carry(&self, sending: &Sending<'_>) -> Result<(), Refusal> {
        let alert = sending.alert;
        if alert.is_digest() {
            // It is to be read, and nothing that somebody could close.
            return Ok(());
        }
        self.send(event(alert, &self.machine)).await?;
        if alert.event == "test" {
            // Nobody is to be left with it.
            self.send(json!({ "event_action": "resolve", "dedup_key": key(alert) })).await?;
        }
        Ok(())
    }

    async fn send(&self, mut event: Value) -> Result<(), Refusal> {
        event["routing_key"] = json!(self.routing_key.expose());
        post::send(self.post.to(&self.url).json(&event)).await?.accepted().map(drop)
    }
}

fn key(alert: &Alert) -> String {
    alert.incident.map_or_else(|| cut(&alert.key, 250), |id| id.to_string())
}

fn event(alert: &Alert, machine: &str) -> Value {
    let key = key(alert);
    if alert.is_over() {
        return json!({ "event_action": "resolve", "dedup_key": key });
    }
    let severity = match alert.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    };
    json!({
        "event_action": "trigger",
        "dedup_key": key,
        "client": "Selfheal",
        "payload": {
            "summary": cut(&alert.title, SUMMARY),
            "source": machine,
            "severity": severity,
            "timestamp": alert.at.to_rfc3339(),
            "component": alert.target.as_ref().map(ToString::to_string),
            "class": alert.event,
            "custom_details": { "body": body(&alert.body, BODY) },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::text::tests::hostile;

    #[test]
    fn what_is_over_is_resolved_under_the_key_that_was_triggered() {
        let mut alert = hostile();
        let triggered = event(&alert, "host");
        assert_eq!(triggered["event_action"], "trigger");
        assert_eq!(triggered["payload"]["severity"], "critical");
        assert!(triggered["payload"]["summary"].as_str().unwrap().chars().count() <= 1_024);
        alert.event = "resolved".to_owned();
        let resolved = event(&alert, "host");
        assert_eq!(resolved["event_action"], "resolve");
        assert_eq!(resolved["dedup_key"], triggered["dedup_key"]);
    }
}
