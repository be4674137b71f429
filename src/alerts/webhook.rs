//! The channel `webhook`: `POST`s each alert as JSON to one address.
//!
//! With a secret each request is signed, so that the receiver can tell ours from a stranger's:
//! `x-selfheal-signature` is `sha256=` and the HMAC-SHA256, in hexadecimal, of the time in
//! `x-selfheal-timestamp` (seconds since 1970), a dot, and the body.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::hmac;
use selfheal_agents::model::SecretText;
use selfheal_agents::ports::Alert;
use serde_json::json;

use super::post::{self, Post, PostError};
use super::{Refusal, Sending};

/// One address that gets every alert.
pub struct Webhook {
    post: Post,
    url: SecretText,
    key: Option<hmac::Key>,
}

impl Webhook {
    /// A webhook whose tries take at most `limit`.
    pub fn new(
        url: SecretText,
        headers: &[(String, SecretText)],
        secret: Option<&SecretText>,
        limit: Duration,
    ) -> Result<Self, PostError> {
        let sign =
            |secret: &SecretText| hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        Ok(Self { post: Post::new(headers, limit)?, url, key: secret.map(sign) })
    }

    pub(super) async fn carry(&self, sending: &Sending<'_>) -> Result<(), Refusal> {
        let body = body(sending.alert).to_string();
        let mut request = self
            .post
            .to(self.url.expose())
            .header("content-type", "application/json")
            .header("idempotency-key", idempotency_key(sending.alert));
        if let Some(key) = &self.key {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let tag = hmac::sign(key, format!("{now}.{body}").as_bytes());
            let tag: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            request = request
                .header("x-selfheal-timestamp", now)
                .header("x-selfheal-signature", format!("sha256={tag}"));
        }
        post::send(request.body(body)).await?.accepted().map(drop)
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
