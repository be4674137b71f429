//! What every handler is given.

use std::sync::Arc;

use selfheal_agents::ports::{Store, StoreResult};
use tokio::sync::watch;

use super::body::Doctor;
use super::events::Events;
use super::metrics::Tally;
use super::results::Results;
use super::vital::Vital;
use crate::alerts::{Channels, Heart};
use crate::config::{Settings, Sources};
use crate::coordinator::Coordinator;
use crate::coordinator::recorded::Recorded;
use crate::fleet::Fleet;
use crate::store::SqlStore;
use crate::streams::Tie;
use crate::traces::Collector;

/// What the page of settings shows and tries.
#[derive(Clone)]
pub struct Configured {
    /// Where settings come from.
    pub sources: Sources,
    /// Those in force.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// The alert channels of settings, to send a test by.
    pub channels: fn(&Settings) -> anyhow::Result<Channels>,
    /// Examines what Selfheal needs.
    pub doctor: Doctor,
    /// The other nodes, where there are any.
    pub fleet: Option<Fleet>,
    /// The history that is sent to PostgreSQL, where one is.
    pub history: Option<Arc<SqlStore>>,
    /// How the streams do, where there are any.
    pub tie: Option<Arc<Tie>>,
    /// How the signs of life fare.
    pub heart: Arc<Heart>,
    /// Where traces go, if they do.
    pub collector: Option<Arc<Collector>>,
}

/// What every handler is given; cloning shares it.
#[derive(Clone)]
pub(super) struct Api {
    /// The flow.
    pub(super) coordinator: Coordinator,
    /// What happened lately.
    pub(super) events: Events,
    /// What happened since the start, counted.
    pub(super) tally: Tally,
    /// What became of all fixes.
    pub(super) counted: Arc<Recorded<Arc<Results>>>,
    /// Whether the store can be written.
    pub(super) vital: Vital,
    /// The settings.
    pub(super) configured: Configured,
    /// `/openapi.json`, written once.
    pub(super) document: Arc<str>,
}

impl Api {
    /// What became of all fixes.
    pub(super) async fn results(&self) -> StoreResult<Arc<Results>> {
        let count = |all: Vec<_>| Arc::new(Results::of(&all));
        self.counted.of(self.store(), count).await
    }

    /// The store, for reading.
    pub(super) fn store(&self) -> &dyn Store {
        self.coordinator.store().as_ref()
    }
}
