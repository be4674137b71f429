//! The page of what outcomes have taught.

use axum::extract::State;

use super::view::LearningPage;
use super::{Page, html};
use crate::http::state::Api;

pub(super) async fn learning(State(api): State<Api>) -> Page {
    let outcomes = api.store().outcomes(None).await?;
    let shadow = api.coordinator.shadow_report().await?;
    Ok(html(&LearningPage::new(&outcomes, &shadow, api.coordinator.now())))
}
