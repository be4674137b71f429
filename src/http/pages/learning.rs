//! The page of what outcomes have taught.

use axum::extract::State;

use super::view::LearningPage;
use super::{Page, html};
use crate::http::state::Api;

pub(super) async fn learning(State(api): State<Api>) -> Page {
    let results = api.results().await?;
    let shadow = api.coordinator.shadow_report().await?;
    Ok(html(&LearningPage::new(&results, &shadow, api.coordinator.now())))
}
