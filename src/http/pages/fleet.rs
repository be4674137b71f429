//! The page of all nodes.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect};

use super::view::FleetPage;
use super::{Page, html};
use crate::http::extract::Named;
use crate::http::fleet::{forgotten, view};
use crate::http::state::Api;

pub(super) async fn fleet(State(api): State<Api>) -> Page {
    let seen = view(&api).await?;
    Ok(html(&FleetPage::new(&seen, api.coordinator.now())))
}

pub(super) async fn forget(State(api): State<Api>, Named(node): Named<String>) -> Page {
    forgotten(&api, &node).await?;
    Ok(Redirect::to("/fleet").into_response())
}
