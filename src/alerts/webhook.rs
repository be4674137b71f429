//! The channel `webhook`: `POST`s each alert as JSON to one address.
//!
//! The address and the headers often are secrets: neither appears in an error or a log.
//! Redirects are not followed, so that the alert goes nowhere but where it was sent.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use selfheal_agents::model::SecretText;
use selfheal_agents::ports::Alert;
use serde_json::json;

use super::Refusal;

/// One address that gets every alert.
pub struct Webhook {
    client: reqwest::Client,
    url: SecretText,
}

/// Why a webhook cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// A header has no proper name or value.
    #[error("the webhook header `{0}` is not a valid header")]
    Header(String),
    /// The HTTP client cannot be made.
    #[error("the webhook cannot be set up: {0}")]
    Client(String),
}

impl Webhook {
    /// How long one try may take.
    pub const LIMIT: Duration = Duration::from_secs(10);

    /// A webhook whose tries take at most `limit`.
    pub fn new(
        url: SecretText,
        headers: &[(String, SecretText)],
        limit: Duration,
    ) -> Result<Self, WebhookError> {
        // Another part of the program may have installed the same provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let invalid = || WebhookError::Header(name.clone());
            let key: HeaderName = name.parse().map_err(|_| invalid())?;
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| invalid())?;
            value.set_sensitive(true);
            map.insert(key, value);
        }
        let client = reqwest::Client::builder()
            .timeout(limit)
            .redirect(Policy::none())
            .default_headers(map)
            .user_agent(concat!("selfheal/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| WebhookError::Client(error.without_url().to_string()))?;
        Ok(Self { client, url })
    }

    pub(super) async fn carry(&self, alert: &Alert) -> Result<(), Refusal> {
        let answer = self
            .client
            .post(self.url.expose())
            .header("idempotency-key", idempotency_key(alert))
            .json(&body(alert))
            .send()
            .await
            .map_err(|error| in_words(&error.without_url()))?;
        let status = answer.status();
        if status.is_success() {
            Ok(())
        } else if status.is_redirection() {
            Err(format!("it answered {status}; redirects are not followed, give the final address"))
        } else {
            Err(format!("it answered {status}"))
        }
    }
}

/// The key as a header's value; a stranger's text may hold what a header must not.
fn idempotency_key(alert: &Alert) -> String {
    alert.key.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(200).collect()
}

fn body(alert: &Alert) -> serde_json::Value {
    let holds: Vec<_> = alert
        .holds
        .iter()
        .map(|hold| json!({"reason": hold.name(), "text": hold.to_string()}))
        .collect();
    json!({
        "key": alert.key,
        "event": alert.event,
        "severity": alert.severity,
        "title": alert.title,
        "body": alert.body,
        "incident": alert.incident,
        "target": alert.target,
        "holds": holds,
        "at": alert.at,
    })
}

fn in_words(error: &reqwest::Error) -> Refusal {
    if error.is_timeout() {
        return "it did not answer in time".to_owned();
    }
    // The sources say what the outer error leaves out, such as `connection refused`.
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        words = format!("{words}: {inner}");
        source = inner.source();
    }
    words
}
