//! What follows from all outcomes, worked out once for everybody who asks.
//!
//! The invariant: it is as new as the store. It is worked out again as soon as an outcome was recorded,
//! and not before: with a hundred thousand of them that takes a while, and much asks each second.

use selfheal_agents::model::Outcome;
use selfheal_agents::ports::{Store, StoreResult};
use tokio::sync::Mutex;

/// What was worked out last, and how many outcomes had been recorded by then.
pub(crate) struct Recorded<T>(Mutex<Option<(u64, T)>>);

impl<T> Default for Recorded<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Recorded<T> {
    /// What follows from them as of now.
    pub(crate) async fn of(
        &self,
        store: &dyn Store,
        work_out: impl FnOnce(Vec<Outcome>) -> T,
    ) -> StoreResult<T> {
        // Held while it is worked out: whoever asks meanwhile gets the same.
        let mut last = self.0.lock().await;
        // Before they are read: what is recorded meanwhile counts the next time.
        let recorded = store.outcomes_recorded();
        if let Some((then, known)) = last.as_ref()
            && *then == recorded
        {
            return Ok(known.clone());
        }
        let known = work_out(store.outcomes(None).await?);
        *last = Some((recorded, known.clone()));
        Ok(known)
    }
}
