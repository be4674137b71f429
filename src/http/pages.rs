//! The pages: plain HTML that reads and submits without any script.
//!
//! Every text is escaped by the templates. The forms post to the same calls that the API
//! has; the origin check in front of every handler is what keeps other pages out.

mod approvals;
mod backups;
mod fleet;
mod knowledge;
mod learning;
mod pipeline;
mod settings;
mod targets;
mod tokens;
pub(super) mod view;

use std::collections::BTreeMap;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use selfheal_agents::model::{IncidentId, JournalEntry, clean};
use selfheal_agents::ports::IncidentQuery;
use serde::Deserialize;
use serde_json::Map;

use self::view::{Beside, ErrorPage, IncidentPage, IncidentsPage, OverviewPage};
use super::body::{FreezeRequest, FreezeState, IncidentDetail, IncidentRow};
use super::extract::{Fields, Named, Params, Who};
use super::fleet::elsewhere;
use super::incidents::detail;
use super::problem::Problem;
use super::state::Api;
use super::targets::{apply_freeze, apply_unfreeze};
use crate::coordinator::{Scope, Trigger};
use crate::fleet::Fleet;

/// The longest text looked for, in characters.
const SOUGHT: usize = 100;

/// Incidents of one page.
const PAGE: usize = 50;
/// Closed incidents on the overview.
const LAST: usize = 8;

/// What a page answers; a problem is a page too.
type Page = Result<Response, PageProblem>;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/", get(overview))
        .route("/incidents", get(list))
        .route("/incidents/{id}", get(one))
        .route("/incidents/{id}/{decision}", post(decide))
        .route("/freeze", post(freeze))
        .route("/unfreeze", post(unfreeze))
        .route("/check", post(check))
        .route("/approvals", get(approvals::approvals))
        .route("/fleet", get(fleet::fleet))
        .route("/fleet/{node}/forget", post(fleet::forget))
        .route("/learning", get(learning::learning))
        .route("/pipeline", get(pipeline::pipeline))
        .merge(targets::routes())
        .merge(backups::routes())
        .merge(knowledge::routes())
        .merge(settings::routes())
}

/// A problem for a person's eyes.
struct PageProblem(Problem);

impl<E: Into<Problem>> From<E> for PageProblem {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for PageProblem {
    fn into_response(self) -> Response {
        let status = self.0.status();
        let title = status.canonical_reason().unwrap_or("Problem");
        (status, html(&ErrorPage::new(title, self.0.detail()))).into_response()
    }
}

/// A problem as a page.
pub(super) fn problem(problem: Problem) -> Response {
    PageProblem(problem).into_response()
}

/// A page as an answer.
pub(super) fn html(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => Problem::internal(&error).into_response(),
    }
}

async fn overview(State(api): State<Api>) -> Page {
    let mut standing = api.coordinator.standing();
    standing.blind.extend(api.configured.fleet.as_ref().and_then(Fleet::away));
    let open: Vec<IncidentRow> =
        api.store().open_incidents().await?.iter().rev().map(IncidentRow::from).collect();
    // Open ones may be among the newest, so a few more are asked for.
    let query = IncidentQuery { limit: LAST + open.len().min(100), ..IncidentQuery::default() };
    let newest = api.store().incidents(&query).await?;
    let last: Vec<IncidentRow> = newest
        .iter()
        .filter(|incident| incident.state().is_closed())
        .take(LAST)
        .map(IncidentRow::from)
        .collect();
    let writable = api.vital.fault_of(api.coordinator.store()).await.is_none();
    let days = api.coordinator.last_day();
    let now = api.coordinator.now();
    Ok(html(&OverviewPage::new(&standing, &open, &last, writable, &days, now)))
}

#[derive(Deserialize)]
struct ListParams {
    cursor: Option<String>,
}

async fn list(State(api): State<Api>, Params(params): Params<ListParams>) -> Page {
    let before: Option<IncidentId> = params
        .cursor
        .map(|text| text.parse().map_err(|_| Problem::bad_request("this page does not exist")))
        .transpose()?;
    let query = IncidentQuery { before, limit: PAGE + 1, ..IncidentQuery::default() };
    let found = api.store().incidents(&query).await?;
    let rows: Vec<IncidentRow> = found.iter().take(PAGE).map(IncidentRow::from).collect();
    let next = rows.last().filter(|_| found.len() > PAGE).map(|row| row.id);
    Ok(html(&IncidentsPage::new(&rows, next, before.is_some(), api.coordinator.now())))
}

async fn one(State(api): State<Api>, id: Result<Named<IncidentId>, Problem>) -> Page {
    let Named(id) = id?;
    let detail = detail(&api, id).await?;
    let beside = beside(&api, &detail).await?;
    Ok(html(&IncidentPage::new(&detail, &beside, api.coordinator.now())))
}

/// What the page of an incident shows that is in no record of it: what a rollback would do now,
/// and how long each step took.
async fn beside(api: &Api, detail: &IncidentDetail) -> Result<Beside, Problem> {
    let mut beside = Beside::default();
    for backup in detail.backups.iter().rev().filter(|_| detail.can.rollback) {
        let Ok(id) = backup.parse() else { continue };
        let trial = api.coordinator.try_rollback(&id).await?;
        beside.would_undo.extend(trial.would);
        beside.against.extend(trial.refusals.into_iter().map(|refusal| refusal.why));
    }
    let fix = api.store().incident(detail.row.id).await?.and_then(|incident| incident.fix);
    let journal = match fix {
        Some(fix) => api.store().journal(fix.id).await?,
        None => vec![],
    };
    let mut begun = BTreeMap::new();
    for record in journal {
        match record.entry {
            JournalEntry::Intent { step } => drop(begun.insert(step, record.at)),
            JournalEntry::Applied { step, .. } => {
                let took = begun.get(&step).map(|at| record.at - *at);
                beside.took.extend(took.map(|took| (step, took)));
            }
            _ => {}
        }
    }
    Ok(beside)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DecisionFields {
    reason: String,
}

async fn decide(
    State(api): State<Api>,
    Path((id, decision)): Path<(String, String)>,
    Who(who): Who,
    fields: Result<Fields<DecisionFields>, Problem>,
) -> Page {
    let Fields(fields) = fields?;
    let id: IncidentId = id.parse().map_err(|_| Problem::not_found("there is no such incident"))?;
    let mut payload = Map::new();
    let decided = match decision.as_str() {
        "approve" => api.coordinator.approve(id, &who).await,
        "always" => {
            payload.insert("always".to_owned(), true.into());
            api.coordinator.approve_always(id, &who).await
        }
        "dismiss" => {
            payload.insert("reason".to_owned(), fields.reason.clone().into());
            api.coordinator.dismiss(id, &who, &fields.reason).await
        }
        "rollback" => api.coordinator.rollback_incident(id, &who, false).await.map(drop),
        _ => return Err(Problem::new(StatusCode::NOT_FOUND, "there is no such decision").into()),
    };
    match decided {
        Ok(()) => Ok(Redirect::to(&format!("/incidents/{id}")).into_response()),
        Err(error) => {
            let kind = if decision == "always" { "approve" } else { &decision };
            elsewhere(&api, error, id, (kind, payload), &who).await?;
            Ok(Redirect::to("/fleet").into_response())
        }
    }
}

/// What is looked for in a list.
#[derive(Deserialize)]
struct Search {
    q: Option<String>,
}

impl Search {
    /// The words, cleaned; nothing where nothing is looked for.
    fn sought(&self) -> String {
        clean(self.q.as_deref().unwrap_or_default().trim(), SOUGHT)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FreezeParams {
    r#for: Option<String>,
    /// On every node.
    fleet: bool,
}

impl FreezeParams {
    /// Where whoever asked goes on.
    fn back(&self, done: &FreezeState) -> Page {
        let missing: Vec<&str> =
            done.others.iter().filter(|one| !one.done).map(|one| one.said.as_str()).collect();
        if missing.is_empty() {
            return Ok(Redirect::to(if self.fleet { "/fleet" } else { "/" }).into_response());
        }
        let what = format!("{}: {}", done.message, missing.join("; "));
        Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, what).into())
    }
}

async fn freeze(
    State(api): State<Api>,
    Params(params): Params<FreezeParams>,
    Who(who): Who,
) -> Page {
    let request = FreezeRequest {
        duration: params.r#for.clone(),
        fleet: params.fleet,
        target: None,
        reason: Some("asked for on the page".to_owned()),
    };
    params.back(&apply_freeze(&api, request, &who).await?)
}

async fn unfreeze(
    State(api): State<Api>,
    Params(params): Params<FreezeParams>,
    Who(who): Who,
) -> Page {
    params.back(&apply_unfreeze(&api, None, params.fleet, &who).await?)
}

async fn check(State(api): State<Api>) -> Page {
    api.coordinator.check(Scope::All, Trigger::Api, false).await?;
    Ok(Redirect::to("/").into_response())
}
