//! Remembers where the conversation about an incident stands in a channel that has
//! conversations, so that what comes later is said there.
//!
//! It is a help and no duty: where it cannot be read or written, the alert is said all the same.

use std::sync::Arc;

use selfheal_agents::model::IncidentId;
use selfheal_agents::ports::Store;

/// Conversations remembered of a channel; older incidents begin anew.
const MOST: usize = 200;

/// The conversations of one channel.
pub(super) struct Threads {
    /// `None` where nothing is to be remembered.
    store: Option<Arc<dyn Store>>,
    name: String,
}

impl Threads {
    /// Those of this channel.
    pub(super) fn of(channel: &str, store: Arc<dyn Store>) -> Self {
        Self { store: Some(store), name: format!("alerts.threads.{channel}") }
    }

    /// For a message that belongs to nothing.
    pub(super) const fn none() -> Self {
        Self { store: None, name: String::new() }
    }

    /// Where the incident's conversation stands.
    pub(super) async fn place(&self, incident: Option<IncidentId>) -> Option<String> {
        let incident = incident?;
        self.all().await.into_iter().find(|(id, _)| *id == incident).map(|(_, place)| place)
    }

    /// Remembers where it stands.
    pub(super) async fn remember(&self, incident: Option<IncidentId>, place: &str) {
        let (Some(store), Some(incident)) = (&self.store, incident) else { return };
        let mut all = self.all().await;
        all.retain(|(id, _)| *id != incident);
        all.push((incident, place.to_owned()));
        all.drain(..all.len().saturating_sub(MOST));
        let kept = store.set_value(&self.name, Some(&serde_json::json!(all))).await;
        if let Err(error) = kept {
            tracing::warn!("where an alert's conversation stands cannot be kept: {error}");
        }
    }

    /// Oldest first.
    async fn all(&self) -> Vec<(IncidentId, String)> {
        let Some(store) = &self.store else { return vec![] };
        match store.value(&self.name).await {
            Ok(value) => value.and_then(|v| serde_json::from_value(v).ok()).unwrap_or_default(),
            Err(error) => {
                tracing::warn!("where an alert's conversation stands cannot be read: {error}");
                vec![]
            }
        }
    }
}
