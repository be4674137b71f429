//! `/api/audit`: what was decided and done, and by whom.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::body::{AuditPage, ProblemBody};
use super::extract::Params;
use super::problem::{Answer, Problem};
use super::state::Api;

/// Entries unless told otherwise, and at most.
const ENTRIES: usize = 50;
const MOST_ENTRIES: usize = 1000;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AuditParams {
    /// At most this many, 1 to 1000; 50 without it.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// The newest entries of the audit log, newest first
///
/// Only for a token of scope admin, where one is asked for. `selfheal audit verify` examines the log
/// itself; whoever notes `head` elsewhere can have it compared there one day.
#[utoipa::path(
    get, path = "/api/audit", tag = "audit",
    params(AuditParams),
    responses(
        (status = 200, description = "The newest entries", body = AuditPage),
        (status = 400, description = "The query does not fit", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn audit(
    State(api): State<Api>,
    Params(params): Params<AuditParams>,
) -> Answer<Json<AuditPage>> {
    let limit = params.limit.unwrap_or(ENTRIES);
    if !(1..=MOST_ENTRIES).contains(&limit) {
        return Err(Problem::bad_request(format!("limit is 1 to {MOST_ENTRIES}, not {limit}")));
    }
    let newest = api.coordinator.audit().newest(limit).await;
    let newest = newest.map_err(|error| Problem::internal(&error))?;
    let head = newest.first().map(|entry| entry.head().to_string());
    Ok(Json(AuditPage { head, entries: newest }))
}
