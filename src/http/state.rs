//! What every handler is given.

use std::sync::Arc;

use selfheal_agents::ports::Store;

use super::events::Events;
use super::metrics::Tally;
use crate::coordinator::Coordinator;

/// What every handler is given; cloning shares it.
#[derive(Clone)]
pub(super) struct Api {
    /// The flow.
    pub(super) coordinator: Coordinator,
    /// What happened lately.
    pub(super) events: Events,
    /// What happened since the start, counted.
    pub(super) tally: Tally,
    /// `/openapi.json`, written once.
    pub(super) document: Arc<str>,
}

impl Api {
    /// The store, for reading.
    pub(super) fn store(&self) -> &dyn Store {
        self.coordinator.store().as_ref()
    }
}
