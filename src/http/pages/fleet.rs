//! The page of all nodes.

use axum::extract::State;

use super::view::FleetPage;
use super::{Page, html};
use crate::http::fleet::view;
use crate::http::state::Api;

pub(super) async fn fleet(State(api): State<Api>) -> Page {
    let seen = view(&api).await?;
    Ok(html(&FleetPage::new(&seen, api.coordinator.now())))
}
