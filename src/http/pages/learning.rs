//! The page of what outcomes have taught.

use axum::extract::State;
use selfheal_agents::learning_engine::Statistics;

use super::view::LearningPage;
use super::{Page, html};
use crate::http::state::Api;

pub(super) async fn learning(State(api): State<Api>) -> Page {
    let statistics = Statistics::of(&api.store().outcomes(None).await?);
    let shadow = api.coordinator.shadow_report().await?;
    Ok(html(&LearningPage::new(&statistics, &shadow, api.coordinator.now())))
}
