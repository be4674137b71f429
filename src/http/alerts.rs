//! `/api/alerts`: alerts of other programs, taken as findings.

use axum::Json;
use axum::extract::State;

use super::body::{AlertWebhook, AlertsTaken, ProblemBody, Success};
use super::extract::RequiredJson;
use super::problem::Answer;
use super::state::Api;

type AlertsTakenBody = Success<AlertsTaken>;

/// Takes a webhook of Prometheus' Alertmanager or of Grafana
///
/// Each alert becomes a finding on the target that its labels name, at the host where they name
/// none, and a cycle looks there at once; the answer does not wait for it. Nothing is ever done on
/// the word of an alert alone: where Selfheal sees itself what is wrong, the alert stands beside
/// that, and otherwise a person decides. `resolved` ends it; one that is not told again for 24
/// hours is over too.
#[utoipa::path(
    post, path = "/api/alerts/alertmanager", tag = "alerts",
    request_body(content = AlertWebhook, description = "As Alertmanager's and Grafana's webhook receivers post it"),
    responses(
        (status = 200, description = "What became of the alerts", body = AlertsTakenBody),
        (status = 400, description = "The body does not fit; which alert and which field", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn alertmanager(
    State(api): State<Api>,
    RequiredJson(webhook): RequiredJson<AlertWebhook>,
) -> Answer<Json<AlertsTakenBody>> {
    let now = api.coordinator.now();
    let (own, others): (Vec<_>, Vec<_>) =
        webhook.alerts.iter().partition(|alert| alert.is_our_own());
    let heard = others.into_iter().map(|alert| alert.heard(now)).collect();
    let taken = api.coordinator.hear(heard).await?;
    Ok(Json(Success::new(AlertsTaken::new(taken, own.len()))))
}
