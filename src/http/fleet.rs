//! `/api/fleet`: every node; and decisions about what is another node's.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use selfheal_agents::model::{IncidentId, TargetId};
use serde_json::{Map, Value};

use super::body::{Done, FleetView, FreezeState, OtherNode, ProblemBody};
use super::extract::Named;
use super::problem::{Answer, Problem};
use super::state::Api;
use crate::coordinator::RequestError;

/// Every node with what it watches, its open incidents and what it looks after for all
#[utoipa::path(
    get, path = "/api/fleet", tag = "fleet",
    responses(
        (status = 200, description = "The nodes; none where this Selfheal is alone", body = FleetView),
        (status = 503, description = "The PostgreSQL that they share does not answer", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn fleet(State(api): State<Api>) -> Answer<Json<FleetView>> {
    view(&api).await.map(Json)
}

/// Forgets a node that is gone for good
///
/// What it had frozen of what several nodes reach ends with it; what it learnt stays.
#[utoipa::path(
    delete, path = "/api/fleet/{node}", tag = "fleet",
    params(("node" = String, Path, pattern = r"^[a-z0-9_-]{1,40}$", description = "Its name")),
    responses(
        (status = 200, description = "It is forgotten", body = Done),
        (status = 404, description = "No such node", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It gives signs of life", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The PostgreSQL that they share does not answer", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn forget(
    State(api): State<Api>,
    Named(node): Named<String>,
) -> Answer<Json<Done>> {
    forgotten(&api, &node).await.map(|()| Json(Done::new(format!("Node {node} is forgotten"))))
}

/// The same, for the page.
pub(super) async fn forgotten(api: &Api, node: &str) -> Answer<()> {
    match &api.configured.fleet {
        Some(fleet) => Ok(fleet.forget(node).await?),
        None => Err(Problem::not_found("this Selfheal is alone: fleet.node gives it a name")),
    }
}

/// The same as the list, for the page.
pub(super) async fn view(api: &Api) -> Answer<FleetView> {
    let Some(fleet) = &api.configured.fleet else { return Ok(FleetView::default()) };
    let nodes = fleet.members().await;
    let nodes = nodes.map_err(|why| Problem::new(StatusCode::SERVICE_UNAVAILABLE, why))?;
    Ok(FleetView { node: Some(fleet.node().to_owned()), nodes })
}

/// Ends a freeze, also where other nodes have it of what several reach; answers whether there was
/// any.
pub(super) async fn unfreeze(api: &Api, target: Option<&TargetId>, who: &str) -> Answer<bool> {
    // The others first: what they did not hear is then frozen here as well, and asked for again.
    let there = match (&api.configured.fleet, target) {
        (Some(fleet), Some(target)) => fleet.unfreeze_elsewhere(target, who).await?,
        _ => false,
    };
    Ok(api.coordinator.unfreeze(target, who).await? || there)
}

/// Sees that there is a fleet, where one is meant.
pub(super) fn is_there(api: &Api) -> Answer<()> {
    match &api.configured.fleet {
        Some(_) => Ok(()),
        None => Err(Problem::bad_request(
            "`fleet`: this Selfheal is alone: fleet.node gives it a name among others",
        )),
    }
}

/// Lets every other node do what was done here, and adds what each said. What was done here stays, whether the
/// others can be told or not.
pub(super) async fn on_all(
    api: &Api,
    here: FreezeState,
    (kind, payload): (&str, Value),
    who: &str,
) -> Answer<FreezeState> {
    let Some(fleet) = &api.configured.fleet else { return Ok(here) };
    let payload = payload.as_object().cloned().unwrap_or_default();
    let said = fleet.decide_for_others(kind, &payload, who).await.map_err(|error| {
        let what = format!("{}; the other nodes were not told: {error}", here.message);
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, what)
    })?;
    let others = said.into_iter().map(|(node, said)| {
        let done = said.is_ok();
        OtherNode { node, done, said: said.unwrap_or_else(|error| error.to_string()) }
    });
    Ok(here.with_others(others.collect()))
}

/// Passes on what was decided about an incident that this node does not know, if another has it;
/// answers what that one said.
pub(super) async fn elsewhere(
    api: &Api,
    error: RequestError,
    id: IncidentId,
    (kind, payload): (&str, Map<String, Value>),
    who: &str,
) -> Answer<String> {
    match (&error, &api.configured.fleet) {
        (RequestError::NotFound(_), Some(fleet)) => {
            Ok(fleet.decide_incident(id, kind, payload, who).await?)
        }
        _ => Err(error.into()),
    }
}
