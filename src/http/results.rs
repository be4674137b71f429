//! What became of all fixes, counted once for everybody who asks.
//!
//! The invariant: it is as new as the store. It is counted again as soon as an outcome was recorded,
//! and not before: with a hundred thousand of them that takes a while, and programs ask each second.

use std::sync::Arc;

use selfheal_agents::learning_engine::Statistics;
use selfheal_agents::model::{Outcome, Timestamp};
use selfheal_agents::ports::{Store, StoreResult};
use tokio::sync::Mutex;

use super::metrics::Fixes;

/// What follows from the outcomes.
pub(super) struct Results {
    /// For people and programs.
    pub(super) statistics: Statistics,
    /// For Prometheus.
    pub(super) fixes: Fixes,
    /// When each repair was judged that helped, and how many seconds it took, for the page.
    pub(super) repairs: Vec<(Timestamp, f64)>,
}

impl Results {
    /// Of these.
    pub(super) fn of(outcomes: &[Outcome]) -> Self {
        let took = |outcome: &Outcome| Some((outcome.timestamp, outcome.time_to_repair_secs?));
        Self {
            statistics: Statistics::of(outcomes),
            fixes: Fixes::of(outcomes),
            repairs: outcomes.iter().filter_map(took).collect(),
        }
    }
}

/// Results, and how many outcomes had been recorded by then.
type Known = (u64, Arc<Results>);

/// The newest results. Cloning shares them.
#[derive(Clone, Default)]
pub(super) struct Counted {
    last: Arc<Mutex<Option<Known>>>,
}

impl Counted {
    /// The results as of now.
    pub(super) async fn of(&self, store: &dyn Store) -> StoreResult<Arc<Results>> {
        // Held while it is counted: whoever asks meanwhile gets the same.
        let mut last = self.last.lock().await;
        // Before they are read: what is recorded meanwhile is counted the next time.
        let recorded = store.outcomes_recorded();
        if let Some((then, results)) = last.as_ref()
            && *then == recorded
        {
            return Ok(Arc::clone(results));
        }
        let results = Arc::new(Results::of(&store.outcomes(None).await?));
        *last = Some((recorded, Arc::clone(&results)));
        Ok(results)
    }
}
