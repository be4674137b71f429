//! Whether the store can be written, for whoever asks without a token.
//!
//! Each look is a write to the disk, and anybody may ask as often as he likes: one look answers
//! everybody who asks within its time.

use std::sync::Arc;
use std::time::Duration;

use selfheal_agents::ports::Store;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long an answer holds.
const HOLDS: Duration = Duration::from_secs(1);

/// When it was looked, and what was wrong.
type Answer = (Instant, Option<String>);

/// The newest answer. Cloning shares it.
#[derive(Clone, Default)]
pub(super) struct Vital {
    last: Arc<Mutex<Option<Answer>>>,
}

impl Vital {
    /// What is wrong with the store, if anything is.
    pub(super) async fn fault_of(&self, store: &dyn Store) -> Option<String> {
        // Held while it is looked: whoever asks meanwhile gets the same answer.
        let mut last = self.last.lock().await;
        if let Some((at, fault)) = last.as_ref()
            && at.elapsed() < HOLDS
        {
            return fault.clone();
        }
        let fault = store.check_writable().await.err().map(|error| {
            tracing::warn!(%error, "unhealthy: {error}");
            "the store cannot be written; `selfheal doctor` says why".to_owned()
        });
        *last = Some((Instant::now(), fault.clone()));
        fault
    }
}

#[cfg(test)]
mod tests {
    use selfheal_agents::fakes::MemoryStore;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_disk_is_written_once_however_many_ask() {
        let (vital, store) = (Vital::default(), MemoryStore::default());
        assert_eq!(vital.fault_of(&store).await, None);
        store.refuse_writes(Some("full"));
        for _ in 0..100 {
            assert_eq!(vital.fault_of(&store).await, None, "nobody looked again");
        }
        tokio::time::advance(HOLDS).await;
        assert!(vital.fault_of(&store).await.is_some());
        store.refuse_writes(None);
        tokio::time::advance(HOLDS).await;
        assert_eq!(vital.fault_of(&store).await, None);
    }
}
