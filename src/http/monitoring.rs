//! `/health` and the six calls of `/api/monitoring`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use selfheal_agents::learning_engine::Statistics;
use selfheal_agents::model::BackupId;

use super::body::{
    BackupList, BackupRow, CheckRequest, Checked, Done, Health, OwnHealth, ProblemBody, Restarted,
    Status, Success,
};
use super::extract::{Named, OptionalJson, Params, Who};
use super::incidents::RollbackParams;
use super::problem::{Answer, Problem};
use super::state::Api;
use crate::coordinator::{RequestError, Scope, Trigger};
use crate::fleet::Fleet;

type HealthBody = Success<Health>;
type StatusBody = Success<Status>;
type CheckedBody = Success<Checked>;
type BackupListBody = Success<BackupList>;
type StatisticsBody = Success<Statistics>;

/// Backups listed at most.
const BACKUPS: usize = 1000;

/// Whether Selfheal itself works
///
/// 503 when its store cannot be written, or triggers are not handled.
#[utoipa::path(
    get, path = "/health", tag = "selfheal",
    responses(
        (status = 200, description = "It works", body = OwnHealth),
        (status = 503, description = "Its store cannot be written, or triggers are not handled", body = OwnHealth),
    )
)]
pub(super) async fn own_health(State(api): State<Api>) -> (StatusCode, Json<OwnHealth>) {
    let store = api.vital.fault_of(api.coordinator.store()).await;
    let hang = api.coordinator.hang();
    let hangs = hang.is_some();
    let upkeep = api.coordinator.upkeep().records().into_iter();
    let restarted = upkeep
        .filter(|record| record.restarts > 0)
        .map(|record| Restarted { part: record.part.to_owned(), times: record.restarts })
        .collect();
    let fault = api.coordinator.fault().or(hang);
    let heartbeat = api.configured.heart.fares().words().map(str::to_owned);
    let fleet = api.configured.fleet.as_ref().and_then(Fleet::away);
    let health = OwnHealth { hangs, heartbeat, fleet, restarted, ..OwnHealth::new(store, fault) };
    let status = if health.is_healthy() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health))
}

/// How well everything watched is
#[utoipa::path(
    get, path = "/api/monitoring/health", tag = "monitoring",
    responses((status = 200, description = "By kind, and overall", body = HealthBody))
)]
pub(super) async fn health(State(api): State<Api>) -> Json<HealthBody> {
    Json(Success::new(Health::of(&api.coordinator.standing())))
}

/// Where Selfheal stands
#[utoipa::path(
    get, path = "/api/monitoring/status", tag = "monitoring",
    responses((status = 200, description = "Mode, schedule, statistics", body = StatusBody))
)]
pub(super) async fn status(State(api): State<Api>) -> Answer<Json<StatusBody>> {
    let standing = api.coordinator.standing();
    let backups = api.store().backups(5).await?;
    let statistics = api.results().await?.statistics.clone();
    Ok(Json(Success::new(Status::of(&standing, statistics, &backups))))
}

/// Runs one cycle now
///
/// Waits for its decisions, not for validation windows. One cycle runs at a time: what is asked
/// for while one runs is answered by the next, which covers what all who wait for it asked for;
/// dry runs share only with dry runs.
#[utoipa::path(
    post, path = "/api/monitoring/trigger-check", tag = "monitoring",
    request_body(content = Option<CheckRequest>, description = "Optional: without it, everything is checked"),
    responses(
        (status = 200, description = "What was seen and decided", body = CheckedBody),
        (status = 400, description = "The body does not fit", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such target", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn trigger_check(
    State(api): State<Api>,
    OptionalJson(request): OptionalJson<CheckRequest>,
) -> Answer<Json<CheckedBody>> {
    let scope = request.target.clone().map_or(Scope::All, Scope::target);
    let report = api.coordinator.check(scope, Trigger::Api, request.dry_run).await?;
    if let Some(target) = request.target.filter(|id| report.targets.iter().all(|t| t.id != *id)) {
        let detail = format!("no target `{target}`; `selfheal targets` lists what is watched");
        return Err(Problem::not_found(detail));
    }
    Ok(Json(Success::new(Checked::from(report.as_ref().clone()))))
}

/// Backups, newest first
#[utoipa::path(
    get, path = "/api/monitoring/backups", tag = "monitoring",
    responses((status = 200, description = "The backups", body = BackupListBody))
)]
pub(super) async fn backups(State(api): State<Api>) -> Answer<Json<BackupListBody>> {
    let backups: Vec<BackupRow> =
        api.store().backups(BACKUPS).await?.iter().map(BackupRow::from).collect();
    Ok(Json(Success::new(BackupList { total: backups.len(), backups })))
}

/// Takes back one backup's fix
#[utoipa::path(
    post, path = "/api/monitoring/rollback/{backup_id}", tag = "monitoring",
    params(("backup_id" = String, Path, pattern = r"^backup_[0-9]{8}_[0-9]{6}(_[0-9]{1,6})?$", description = "Such as `backup_20251019_170000`"), RollbackParams),
    responses(
        (status = 200, description = "It is taken back", body = Done),
        (status = 400, description = "Not a backup id", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such backup", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Rolled back already, overtaken by a newer change, or several nodes of the fleet have a backup of this id", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be done yet: the fix is under way, or the node that has it has not answered", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn rollback(
    State(api): State<Api>,
    Named(id): Named<BackupId>,
    Params(params): Params<RollbackParams>,
    Who(who): Who,
) -> Answer<Json<Done>> {
    if let Some(fleet) = &api.configured.fleet
        && api.store().backup(&id).await?.is_some()
    {
        fleet.is_only_here(id.as_str()).await?;
    }
    let done =
        match (api.coordinator.rollback(&id, &who, params.force).await, &api.configured.fleet) {
            (Err(RequestError::NotFound(_)), Some(fleet)) => {
                let said = fleet.roll_back(id.as_str(), params.force, &who).await?;
                return Ok(Json(Done::new(said)));
            }
            (done, _) => done?,
        };
    let message = format!("Rolled back to backup {}", done.backup_id);
    Ok(Json(Done { steps: done.undone, ..Done::new(message) }))
}

/// What became of all fixes
#[utoipa::path(
    get, path = "/api/monitoring/stats", tag = "monitoring",
    responses((status = 200, description = "By fix type, with calibration", body = StatisticsBody))
)]
pub(super) async fn stats(State(api): State<Api>) -> Answer<Json<StatisticsBody>> {
    Ok(Json(Success::new(api.results().await?.statistics.clone())))
}
