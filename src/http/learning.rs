//! `/api/learning`: what outcomes, and what came without a fix, have taught.

use axum::Json;
use axum::extract::State;
use selfheal_agents::learning_engine::ShadowReport;

use super::body::Success;
use super::problem::Answer;
use super::state::Api;

type ShadowBody = Success<ShadowReport>;

/// What would have been done where it was not allowed
///
/// By target, issue and fix: how often it would have been applied, and what came without it. It
/// is counted where nothing but the mode, or trust not yet earned, held a fix.
#[utoipa::path(
    get, path = "/api/learning/shadow", tag = "learning",
    responses((status = 200, description = "The shadow report", body = ShadowBody))
)]
pub(super) async fn shadow(State(api): State<Api>) -> Answer<Json<ShadowBody>> {
    Ok(Json(Success::new(api.coordinator.shadow_report().await?)))
}
