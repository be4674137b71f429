//! `/api/incidents`: what went wrong, and a person's decisions about it.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use selfheal_agents::model::{Incident, IncidentId, IncidentState, TargetId};
use selfheal_agents::ports::{IncidentQuery, Store, StoreResult};
use serde::Deserialize;
use serde_json::Map;
use utoipa::IntoParams;

use super::body::{
    ApproveRequest, DismissRequest, Done, IncidentDetail, IncidentList, IncidentRow, ProblemBody,
};
use super::diff;
use super::extract::{Named, OptionalJson, Params, Who};
use super::fleet::elsewhere;
use super::problem::{Answer, Problem};
use super::state::Api;

/// Incidents of one page unless told otherwise.
const PAGE: usize = 50;
/// Incidents of one page at most.
const MAX_PAGE: usize = 500;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct IncidentParams {
    /// Only in these states, separated by commas; `open` alone means every state before the end.
    #[param(
        pattern = r"^(open|diagnosed|held|fixing|validating|resolved|rolled_back|stuck)(,(open|diagnosed|held|fixing|validating|resolved|rolled_back|stuck))*$"
    )]
    state: Option<String>,
    /// Only about this target, as blamed, affected or with a finding.
    #[param(
        pattern = r"^(host|(container|postgres|mysql|redis|http|tcp):[\p{L}\p{N}_./@+-]{1,200})$"
    )]
    target: Option<String>,
    /// Only opened at or after this time (RFC 3339).
    #[param(format = DateTime)]
    since: Option<String>,
    /// `next_cursor` of the page before.
    #[param(format = Uuid)]
    cursor: Option<String>,
    /// At most this many, 1 to 500; 50 without it.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

impl IncidentParams {
    fn query(&self) -> Answer<IncidentQuery> {
        let limit = self.limit.unwrap_or(PAGE);
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Problem::bad_request(format!("limit is 1 to {MAX_PAGE}, not {limit}")));
        }
        let id = |text: &String| {
            text.parse::<IncidentId>()
                .map_err(|_| Problem::bad_request("cursor is the next_cursor of the page before"))
        };
        let target = |text: &String| {
            text.parse::<TargetId>().map_err(|e| Problem::bad_request(e.to_string()))
        };
        let time = |text: &String| {
            DateTime::parse_from_rfc3339(text)
                .map(|time| time.with_timezone(&Utc))
                .map_err(|_| Problem::bad_request("since is a time such as 2026-01-31T12:00:00Z"))
        };
        Ok(IncidentQuery {
            states: self.state.as_deref().map(states).transpose()?.unwrap_or_default(),
            target: self.target.as_ref().map(target).transpose()?,
            since: self.since.as_ref().map(time).transpose()?,
            before: self.cursor.as_ref().map(id).transpose()?,
            // One more than wanted tells whether a page follows.
            limit: limit + 1,
        })
    }
}

fn states(text: &str) -> Answer<Vec<IncidentState>> {
    if text == "open" {
        return Ok(IncidentState::ALL.into_iter().filter(|state| !state.is_closed()).collect());
    }
    text.split(',')
        .map(|word| {
            let found = IncidentState::ALL.into_iter().find(|state| state.as_str() == word.trim());
            found.ok_or_else(|| {
                let known = IncidentState::ALL.map(IncidentState::as_str).join(", ");
                Problem::bad_request(format!("no state `{word}`; there are {known}"))
            })
        })
        .collect()
}

/// What went wrong, newest first
#[utoipa::path(
    get, path = "/api/incidents", tag = "incidents",
    params(IncidentParams),
    responses(
        (status = 200, description = "One page", body = IncidentList),
        (status = 400, description = "The query does not fit", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(api): State<Api>,
    Params(params): Params<IncidentParams>,
) -> Answer<Json<IncidentList>> {
    let query = params.query()?;
    let found = api.store().incidents(&query).await?;
    let page = &found[..found.len().min(query.limit - 1)];
    Ok(Json(IncidentList {
        incidents: page.iter().map(IncidentRow::from).collect(),
        next_cursor: page.last().filter(|_| found.len() == query.limit).map(|last| last.id),
    }))
}

/// The whole record of one incident, or a 404.
pub(super) async fn load(api: &Api, id: IncidentId) -> Answer<Incident> {
    api.store().incident(id).await?.ok_or_else(|| {
        Problem::not_found(format!("no incident {id}; `selfheal incidents` lists them"))
    })
}

/// The body of one incident, with how its fix changes files.
pub async fn incident_detail(
    store: &dyn Store,
    incident: &Incident,
) -> StoreResult<IncidentDetail> {
    Ok(IncidentDetail::new(incident, diff::of_incident(store, incident).await?))
}

/// One incident with everything known about it.
pub(super) async fn detail(api: &Api, id: IncidentId) -> Answer<IncidentDetail> {
    let incident = load(api, id).await?;
    Ok(incident_detail(api.store(), &incident).await?)
}

/// One incident with its timeline, evidence, fix and holds
#[utoipa::path(
    get, path = "/api/incidents/{id}", tag = "incidents",
    params(("id" = String, Path, format = Uuid, description = "The incident's UUID")),
    responses(
        (status = 200, description = "The incident", body = IncidentDetail),
        (status = 404, description = "No such incident", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn one(
    State(api): State<Api>,
    Named(id): Named<IncidentId>,
) -> Answer<Json<IncidentDetail>> {
    detail(&api, id).await.map(Json)
}

/// Applies the fix of a held incident
#[utoipa::path(
    post, path = "/api/incidents/{id}/approve", tag = "incidents",
    params(("id" = String, Path, format = Uuid, description = "The incident's UUID")),
    request_body(content = Option<ApproveRequest>, description = "Optional: whether its like is asked for again"),
    responses(
        (status = 200, description = "The fix is being applied", body = Done),
        (status = 400, description = "The body does not fit", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such incident", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is not waiting for a decision", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn approve(
    State(api): State<Api>,
    Named(id): Named<IncidentId>,
    Who(who): Who,
    OptionalJson(request): OptionalJson<ApproveRequest>,
) -> Answer<Json<Done>> {
    let done = if request.always {
        api.coordinator.approve_always(id, &who).await
    } else {
        api.coordinator.approve(id, &who).await
    };
    let after = if request.always { ", and its like there is not asked for any more" } else { "" };
    let message = match done {
        Ok(()) => format!("Approved by {who}: the fix of incident {id} is being applied{after}"),
        Err(error) => {
            let payload = Map::from_iter([("always".to_owned(), request.always.into())]);
            elsewhere(&api, error, id, ("approve", payload), &who).await?
        }
    };
    Ok(Json(Done::new(message)))
}

/// Closes an incident without a fix
#[utoipa::path(
    post, path = "/api/incidents/{id}/dismiss", tag = "incidents",
    params(("id" = String, Path, format = Uuid, description = "The incident's UUID")),
    request_body(content = Option<DismissRequest>, description = "Optional: why"),
    responses(
        (status = 200, description = "It is closed", body = Done),
        (status = 400, description = "The body does not fit", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such incident", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is not waiting for a decision", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn dismiss(
    State(api): State<Api>,
    Named(id): Named<IncidentId>,
    Who(who): Who,
    OptionalJson(request): OptionalJson<DismissRequest>,
) -> Answer<Json<Done>> {
    let reason = request.reason.unwrap_or_default();
    let message = match api.coordinator.dismiss(id, &who, &reason).await {
        Ok(()) => format!("Dismissed by {who}: incident {id} is closed without a fix"),
        Err(error) => {
            let payload = Map::from_iter([("reason".to_owned(), reason.into())]);
            elsewhere(&api, error, id, ("dismiss", payload), &who).await?
        }
    };
    Ok(Json(Done::new(message)))
}

/// How a rollback is asked for, of an incident or of one backup.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackParams {
    /// Also when a newer change of the same thing would be lost.
    #[serde(default)]
    pub(super) force: bool,
}

/// Takes back every fix of an incident
#[utoipa::path(
    post, path = "/api/incidents/{id}/rollback", tag = "incidents",
    params(("id" = String, Path, format = Uuid, description = "The incident's UUID"), RollbackParams),
    responses(
        (status = 200, description = "It is taken back", body = Done),
        (status = 404, description = "No such incident", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "There is nothing to take back, or a newer change would be lost", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be done yet: the fix is under way, or the node that has it has not answered", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn rollback(
    State(api): State<Api>,
    Named(id): Named<IncidentId>,
    Params(params): Params<RollbackParams>,
    Who(who): Who,
) -> Answer<Json<Done>> {
    match api.coordinator.rollback_incident(id, &who, params.force).await {
        Ok(done) => {
            let message = format!("Rolled back incident {id} to backup {}", done.backup_id);
            Ok(Json(Done { steps: done.undone, ..Done::new(message) }))
        }
        Err(error) => {
            let payload = Map::from_iter([("force".to_owned(), params.force.into())]);
            let message = elsewhere(&api, error, id, ("rollback", payload), &who).await?;
            Ok(Json(Done::new(message)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_that_does_not_fit_says_what_would() {
        for (params, hint) in [
            (IncidentParams { state: Some("opne".into()), ..Default::default() }, "diagnosed"),
            (IncidentParams { target: Some("web".into()), ..Default::default() }, "container:web"),
            (IncidentParams { since: Some("1h".into()), ..Default::default() }, "T12:00:00Z"),
            (IncidentParams { cursor: Some("7".into()), ..Default::default() }, "next_cursor"),
            (IncidentParams { limit: Some(0), ..Default::default() }, "1 to 500"),
        ] {
            let problem = params.query().unwrap_err();
            assert!(problem.detail().contains(hint), "{problem:?}");
        }
    }

    #[test]
    fn open_alone_means_every_state_before_the_end() {
        assert!(states("open").unwrap().contains(&IncidentState::Validating));
        assert_eq!(states("held,stuck").unwrap(), [IncidentState::Held, IncidentState::Stuck]);
    }
}
