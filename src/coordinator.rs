//! The flow: one typed path from a trigger to a kept or undone fix.
//!
//! Every trigger (cron, Docker event, probe, log line, API, command line) ends in
//! [`Coordinator::check`] and carries nothing but a scope. Cycles run one at a time; a
//! trigger that comes while one runs is merged into the next. Applying a fix and watching
//! its window go on beside the next cycle, under a lease on the targets they touch.

mod api;
pub mod schedule;
pub mod triggers;

pub use api::*;

use std::sync::Arc;

use selfheal_agents::model::{BackupId, IncidentId, TargetId, Timestamp};
use selfheal_agents::ports::Store;
use tokio::sync::{broadcast, watch};

/// A handle on the running coordinator; cloning shares it.
#[derive(Clone)]
pub struct Coordinator {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    standing: watch::Receiver<Standing>,
    live: broadcast::Sender<LiveEvent>,
}

#[expect(clippy::unused_async, reason = "the shape is fixed before the flow behind it")]
impl Coordinator {
    /// Runs one cycle over `scope` and waits for its decisions, not for what follows from
    /// them. Joined with a cycle that waits already.
    pub async fn check(
        &self,
        _scope: Scope,
        _trigger: Trigger,
        _dry_run: bool,
    ) -> Result<Arc<CycleReport>, RequestError> {
        Err(RequestError::Failed("not wired yet".to_owned()))
    }

    /// Applies the fix of a held incident; `who` is recorded.
    pub async fn approve(&self, id: IncidentId, _who: &str) -> Result<(), RequestError> {
        Err(RequestError::NotFound(format!("no incident {id}")))
    }

    /// Closes a held incident without a fix.
    pub async fn dismiss(&self, id: IncidentId, _who: &str) -> Result<(), RequestError> {
        Err(RequestError::NotFound(format!("no incident {id}")))
    }

    /// Takes back every fix of an incident, newest first.
    pub async fn rollback_incident(
        &self,
        id: IncidentId,
        _who: &str,
        _force: bool,
    ) -> Result<RollbackDone, RequestError> {
        Err(RequestError::NotFound(format!("no incident {id}")))
    }

    /// Takes back one backup's fix.
    pub async fn rollback(
        &self,
        id: &BackupId,
        _who: &str,
        _force: bool,
    ) -> Result<RollbackDone, RequestError> {
        Err(RequestError::NotFound(format!("no backup {id}")))
    }

    /// Stops automatic fixes, of one target or all, until a time or for ever.
    pub async fn freeze(
        &self,
        _target: Option<TargetId>,
        _until: Option<Timestamp>,
        _reason: &str,
        _who: &str,
    ) -> Result<Freeze, RequestError> {
        Err(RequestError::Failed("not wired yet".to_owned()))
    }

    /// Ends a freeze; returns whether there was one.
    pub async fn unfreeze(
        &self,
        _target: Option<&TargetId>,
        _who: &str,
    ) -> Result<bool, RequestError> {
        Ok(false)
    }

    /// Where it stands now.
    pub fn standing(&self) -> Standing {
        self.inner.standing.borrow().clone()
    }

    /// What happens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<LiveEvent> {
        self.inner.live.subscribe()
    }

    /// The store, for reading.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }
}
