//! The pages of backups, and the way back.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use selfheal_agents::model::BackupId;
use serde::Deserialize;

use super::view::{BackupPage, BackupsPage};
use super::{Page, html};
use crate::http::body::BackupRow;
use crate::http::diff;
use crate::http::extract::{Fields, Named, Who};
use crate::http::problem::Problem;
use crate::http::state::Api;

/// Backups listed.
const LISTED: usize = 200;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/backups", get(list))
        .route("/backups/{id}", get(one))
        .route("/backups/{id}/rollback", post(rollback))
}

async fn list(State(api): State<Api>) -> Page {
    // One more than shown tells whether there are older ones.
    let backups = api.store().backups(LISTED + 1).await?;
    let rows: Vec<BackupRow> = backups.iter().take(LISTED).map(BackupRow::from).collect();
    Ok(html(&BackupsPage::new(&rows, backups.len() > LISTED, api.coordinator.now())))
}

async fn one(State(api): State<Api>, id: Result<Named<BackupId>, Problem>) -> Page {
    let Named(id) = id?;
    let trial = api.coordinator.try_rollback(&id).await?;
    let diffs = diff::back_to_backup(&trial);
    Ok(html(&BackupPage::new(&trial, &diffs, api.coordinator.now())))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RollbackFields {
    force: bool,
}

async fn rollback(
    State(api): State<Api>,
    id: Result<Named<BackupId>, Problem>,
    Who(who): Who,
    fields: Result<Fields<RollbackFields>, Problem>,
) -> Page {
    let (Named(id), Fields(fields)) = (id?, fields?);
    api.coordinator.rollback(&id, &who, fields.force).await?;
    Ok(Redirect::to(&format!("/backups/{id}")).into_response())
}
