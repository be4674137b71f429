//! Tells every half minute how this Selfheal is.
//!
//! Only while Redis takes messages: how it was an hour ago is nobody's news.

use std::time::Duration;

use selfheal_agents::learning_engine::Statistics;
use selfheal_agents::model::{Message, Stream, Timestamp};
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

use super::Shared;
use super::fields::Fields;
use crate::coordinator::{Happening, LiveEvent, Standing};

/// How often.
const EVERY: Duration = Duration::from_secs(30);
/// How often is looked whether Redis takes messages again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Tells until it is cancelled.
pub(super) async fn run(shared: Shared) {
    let mut news = shared.coordinator.subscribe();
    let mut statistics = None;
    while shared.cancel.run_until_cancelled(is_carrying(&shared)).await.is_some() {
        if statistics.is_none() || has_ended_something(&mut news) {
            // Read from all outcomes: not more often than they change.
            statistics = figures(&shared).await.or(statistics);
        }
        let now = shared.coordinator.now();
        let fault = shared.coordinator.fault();
        let told = message(&shared, fault.as_deref(), statistics.as_ref(), now);
        if let Err(error) = shared.store.queue_messages(&[told], now).await {
            tracing::warn!(%error, "how Selfheal is cannot be told");
        }
        shared.cancel.run_until_cancelled(tokio::time::sleep(EVERY)).await;
    }
}

async fn is_carrying(shared: &Shared) {
    while !shared.tie.is_carrying() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whether an incident changed since this was asked last.
fn has_ended_something(news: &mut Receiver<LiveEvent>) -> bool {
    let mut ended = false;
    loop {
        match news.try_recv() {
            Ok(event) => ended |= matches!(event.what, Happening::Incident { .. }),
            Err(TryRecvError::Lagged(_)) => ended = true,
            Err(TryRecvError::Empty | TryRecvError::Closed) => return ended,
        }
    }
}

async fn figures(shared: &Shared) -> Option<Value> {
    let outcomes = shared.store.outcomes(None).await.ok()?;
    let all = Statistics::of(&outcomes);
    Some(json!({
        "total_fixes": all.total_fixes,
        "success_rate": all.success_rate,
        "by_type": all.by_type,
    }))
}

fn message(
    shared: &Shared,
    fault: Option<&str>,
    statistics: Option<&Value>,
    now: Timestamp,
) -> Message {
    let standing = shared.coordinator.standing();
    let node = &shared.setup.node;
    Fields::of(format!("{node}/{}", now.timestamp_millis()))
        .with("type", "status")
        .with("orchestrator_id", node)
        .with("status", word(&standing, fault))
        .with("active_repairs", standing.applying + standing.validating)
        .with("queue_size", shared.coordinator.cycles_waiting())
        .with("statistics", statistics.unwrap_or(&json!({})))
        .with_some("detail", fault)
        .at(now, Stream::Healing)
}

fn word(standing: &Standing, fault: Option<&str>) -> &'static str {
    match fault {
        Some(_) => "error",
        None if standing.applying + standing.validating > 0 => "running",
        None => "idle",
    }
}
