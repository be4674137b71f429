//! The pages of targets, and the freeze of one.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use selfheal_agents::model::{ObservedValue, Target, TargetId};
use selfheal_agents::ports::{IncidentQuery, OBSERVATIONS_KEPT};
use serde::Deserialize;

use super::view::{TargetFacts, TargetPage, TargetsPage};
use super::{Page, Search, html};
use crate::coordinator::{Allowed, Level};
use crate::http::body::{FreezeRequest, IncidentRow};
use crate::http::extract::{Fields, Named, Params, Who};
use crate::http::problem::Problem;
use crate::http::state::Api;
use crate::http::targets::{apply_freeze, detail};

/// Incidents shown of one target.
const INCIDENTS: usize = 30;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/targets", get(list))
        .route("/targets/{id}", get(one))
        .route("/targets/{id}/freeze", post(freeze))
        .route("/targets/{id}/unfreeze", post(unfreeze))
        .route("/targets/{id}/ask-again", post(ask_again))
}

async fn list(State(api): State<Api>, params: Result<Params<Search>, Problem>) -> Page {
    let Params(params) = params?;
    let sought = params.sought();
    Ok(html(&TargetsPage::new(&api.coordinator.standing(), &sought, api.coordinator.now())))
}

async fn one(State(api): State<Api>, id: Result<Named<TargetId>, Problem>) -> Page {
    let Named(id) = id?;
    let inventory = Arc::clone(&api.coordinator.inventory().borrow());
    if let Some(neighbour) = inventory.neighbours.get(&id) {
        // Its own node looks at it; what that says of it is shown with all of that node.
        return Ok(Redirect::to(&format!("/fleet#n-{}", neighbour.node)).into_response());
    }
    let detail = detail(&api, &id).await?;
    let levels = levels(&api, &id).await?;
    let query =
        IncidentQuery { target: Some(id.clone()), limit: INCIDENTS, ..IncidentQuery::default() };
    let incidents: Vec<IncidentRow> =
        api.store().incidents(&query).await?.iter().map(IncidentRow::from).collect();
    let days = api.coordinator.last_day();
    let allowed: Vec<Allowed> =
        api.coordinator.allowed().await?.into_iter().filter(|one| one.target == id).collect();
    let facts = TargetFacts {
        detail: &detail,
        standing: &api.coordinator.standing(),
        mode_source: api.coordinator.mode_source(&id),
        levels: &levels,
        day: days.get(&id),
        allowed: &allowed,
        incidents: &incidents,
    };
    Ok(html(&TargetPage::new(&facts, api.coordinator.now())))
}

/// What was measured of it: what the store keeps for two days, else what this run has seen; and
/// how its endpoints answered.
async fn levels(api: &Api, id: &TargetId) -> Result<Vec<Level>, Problem> {
    let kept = api.store().observations(id, api.coordinator.now() - OBSERVATIONS_KEPT).await?;
    let mut levels: BTreeMap<String, Level> = BTreeMap::new();
    for seen in kept {
        if let ObservedValue::Number(value) = seen.value
            && value.is_finite()
        {
            let level = levels.entry(seen.check.clone()).or_insert_with(|| Level {
                check: seen.check,
                unit: seen.unit,
                points: vec![],
            });
            level.points.push((seen.at, value));
        }
    }
    for level in api.coordinator.levels_of(id) {
        levels.entry(level.check.clone()).or_insert(level);
    }
    let inventory = Arc::clone(&api.coordinator.inventory().borrow());
    let is_its = |target: &&Target| {
        target.id != *id
            && id.container_name().is_some_and(|n| target.container.as_deref() == Some(n))
    };
    for endpoint in inventory.targets.values().filter(is_its) {
        for level in api.coordinator.levels_of(&endpoint.id) {
            let check = format!("{}:of {}", level.check, endpoint.id);
            levels.insert(check.clone(), Level { check, ..level });
        }
    }
    Ok(levels.into_values().collect())
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FreezeFields {
    r#for: String,
    reason: String,
}

async fn freeze(
    State(api): State<Api>,
    id: Result<Named<TargetId>, Problem>,
    Who(who): Who,
    fields: Result<Fields<FreezeFields>, Problem>,
) -> Page {
    let (Named(id), Fields(fields)) = (id?, fields?);
    let given = |text: String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let request = FreezeRequest {
        fleet: false,
        duration: given(fields.r#for),
        target: Some(id.clone()),
        reason: given(fields.reason).or_else(|| Some("asked for on the page".to_owned())),
    };
    apply_freeze(&api, request, &who).await?;
    Ok(back_to(&id))
}

async fn unfreeze(
    State(api): State<Api>,
    id: Result<Named<TargetId>, Problem>,
    Who(who): Who,
) -> Page {
    let Named(id) = id?;
    crate::http::fleet::unfreeze(&api, Some(&id), &who).await?;
    Ok(back_to(&id))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AskFields {
    issue_type: String,
    fix_type: String,
}

async fn ask_again(
    State(api): State<Api>,
    id: Result<Named<TargetId>, Problem>,
    fields: Result<Fields<AskFields>, Problem>,
) -> Page {
    let (Named(id), Fields(fields)) = (id?, fields?);
    api.coordinator.ask_again(&id, &fields.issue_type, &fields.fix_type).await?;
    Ok(back_to(&id))
}

/// The page of a target; a name may hold what an address may not.
fn back_to(id: &TargetId) -> axum::response::Response {
    let name: String = url::form_urlencoded::byte_serialize(id.to_string().as_bytes()).collect();
    Redirect::to(&format!("/targets/{name}")).into_response()
}
