//! The page of the agents at work.

use axum::extract::State;

use super::view::{Depths, PipelinePage};
use super::{Page, html};
use crate::http::state::Api;

pub(super) async fn pipeline(State(api): State<Api>) -> Page {
    let messages = match &api.configured.tie {
        Some(tie) => Some((api.store().messages_waiting().await?, tie.figures().connected)),
        None => None,
    };
    let depths = Depths {
        cycles: api.coordinator.cycles_waiting(),
        alerts: api.store().waiting().await?,
        messages,
    };
    let (events, _) = api.coordinator.subscribe_since(0);
    Ok(html(&PipelinePage::new(
        &api.coordinator.standing(),
        &events,
        &depths,
        api.coordinator.now(),
    )))
}
