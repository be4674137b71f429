//! `/api/targets` and `/api/freeze`.

use axum::Json;
use axum::extract::State;
use chrono::Utc;
use selfheal_agents::model::{TargetId, Timestamp};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use super::body::{FreezeRequest, FreezeState, ProblemBody, TargetDetail, TargetList};
use super::extract::{Named, OptionalJson, Params, Who};
use super::problem::{Answer, Problem};
use super::state::Api;

/// Everything that is watched
#[utoipa::path(
    get, path = "/api/targets", tag = "targets",
    responses((status = 200, description = "By name", body = TargetList))
)]
pub(super) async fn list(State(api): State<Api>) -> Json<TargetList> {
    Json(TargetList::of(&api.coordinator.standing()))
}

/// One target with its last observations, what it needs and who needs it
#[utoipa::path(
    get, path = "/api/targets/{id}", tag = "targets",
    params(("id" = String, Path, pattern = r"^(host|(container|postgres|mysql|redis|http|tcp):[\p{L}\p{N}_./@+-]{1,200})$", description = "`host` or KIND:NAME, such as `container:web`")),
    responses(
        (status = 200, description = "The target", body = TargetDetail),
        (status = 400, description = "Not a target's name", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such target", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn one(
    State(api): State<Api>,
    Named(id): Named<TargetId>,
) -> Answer<Json<TargetDetail>> {
    detail(&api, &id).await.map(Json)
}

/// One target with what changed on its container.
pub(super) async fn detail(api: &Api, id: &TargetId) -> Answer<TargetDetail> {
    let detail = known(api, id)?;
    let container = api
        .coordinator
        .inventory()
        .borrow()
        .targets
        .get(id)
        .and_then(|target| target.container.as_deref().map(TargetId::container));
    let changes = match container {
        Some(container) => api.store().changes(Some(&container), Timestamp::UNIX_EPOCH).await?,
        None => vec![],
    };
    Ok(detail.with_changes(changes))
}

fn known(api: &Api, id: &TargetId) -> Answer<TargetDetail> {
    TargetDetail::of(id, &api.coordinator.standing().targets).ok_or_else(|| {
        Problem::not_found(format!("no target `{id}`; `selfheal targets` lists what is watched"))
    })
}

/// Stops all automatic fixes for a while
#[utoipa::path(
    post, path = "/api/freeze", tag = "freeze",
    request_body(content = Option<FreezeRequest>, description = "Without it everything is frozen until DELETE /api/freeze"),
    responses(
        (status = 200, description = "Frozen", body = FreezeState),
        (status = 400, description = "The body does not fit", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such target", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "This node is frozen, the others of the fleet could not be told", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn freeze(
    State(api): State<Api>,
    Who(who): Who,
    OptionalJson(request): OptionalJson<FreezeRequest>,
) -> Answer<Json<FreezeState>> {
    apply_freeze(&api, request, &who).await.map(Json)
}

/// Freezes; the page's button does the same.
pub(super) async fn apply_freeze(
    api: &Api,
    request: FreezeRequest,
    who: &str,
) -> Answer<FreezeState> {
    request.is_of_all().map_err(Problem::bad_request)?;
    if request.fleet {
        super::fleet::is_there(api)?;
    }
    // What another node looks after is watched here as well, though it was never looked at.
    if let Some(target) = &request.target
        && !api.coordinator.watches(target)
    {
        known(api, target)?;
    }
    let until =
        request.until(Utc::now()).map_err(|what| Problem::bad_request(format!("`for`: {what}")))?;
    let reason = request.reason();
    let freeze = api.coordinator.freeze(request.target.clone(), until, &reason, who).await?;
    let state = FreezeState::frozen(&freeze, api.coordinator.standing().freezes);
    if !request.fleet {
        return Ok(state);
    }
    // As long as for this one, for each by its own clock.
    let request = FreezeRequest { fleet: false, reason: Some(reason), ..request };
    super::fleet::on_all(api, state, ("freeze", json!(request)), who).await
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UnfreezeParams {
    /// Only the freeze of this target; the one of everything without it.
    #[param(
        pattern = r"^(host|(container|postgres|mysql|redis|http|tcp):[\p{L}\p{N}_./@+-]{1,200})$"
    )]
    target: Option<String>,
    /// The freezes of everything on every node of the fleet.
    fleet: bool,
}

/// Lets automatic fixes go on
#[utoipa::path(
    delete, path = "/api/freeze", tag = "freeze",
    params(UnfreezeParams),
    responses(
        (status = 200, description = "No longer frozen", body = FreezeState),
        (status = 400, description = "A parameter does not fit", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The other nodes of the fleet could not be told", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn unfreeze(
    State(api): State<Api>,
    Params(params): Params<UnfreezeParams>,
    Who(who): Who,
) -> Answer<Json<FreezeState>> {
    let target: Option<TargetId> = params
        .target
        .map(|text| text.parse().map_err(|e| Problem::bad_request(format!("{e}"))))
        .transpose()?;
    apply_unfreeze(&api, target.as_ref(), params.fleet, &who).await.map(Json)
}

/// Ends a freeze; the page's button does the same.
pub(super) async fn apply_unfreeze(
    api: &Api,
    target: Option<&TargetId>,
    fleet: bool,
    who: &str,
) -> Answer<FreezeState> {
    if fleet {
        let request = FreezeRequest { fleet, target: target.cloned(), ..FreezeRequest::default() };
        request.is_of_all().map_err(Problem::bad_request)?;
        super::fleet::is_there(api)?;
    }
    // One of the others may be frozen where this one is not.
    let ended = super::fleet::unfreeze(api, target, who).await? || fleet;
    let state = FreezeState::ended(ended, api.coordinator.standing().freezes);
    if fleet {
        super::fleet::on_all(api, state, ("unfreeze", json!({})), who).await
    } else {
        Ok(state)
    }
}
