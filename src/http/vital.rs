//! Whether the store can be written, for whoever asks.
//!
//! Anybody may ask as often as they like, and a write that is on disk takes its time: an answer holds
//! for a second, and for some more while the disk is asked anew, so that nobody waits in line for a
//! slow one. Who asks seldom gets an answer of now.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use selfheal_agents::ports::Store;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

/// How long an answer holds.
const HOLDS: Duration = Duration::from_secs(1);
/// How long it is given while another is looked for.
const SERVES: Duration = Duration::from_secs(5);

/// When it was looked, and what was wrong.
type Answer = (Instant, Option<String>);

/// The last answer. Cloning shares it.
#[derive(Clone, Default)]
pub(super) struct Vital {
    last: Arc<Mutex<Option<Answer>>>,
    /// Held by whoever looks.
    looking: Arc<tokio::sync::Mutex<()>>,
}

impl Vital {
    /// What is wrong with the store, if anything is.
    pub(super) async fn fault_of(&self, store: &Arc<dyn Store>) -> Option<String> {
        match self.known() {
            Some((age, fault)) if age < HOLDS => fault,
            Some((age, fault)) if age < SERVES => {
                if let Ok(looking) = Arc::clone(&self.looking).try_lock_owned() {
                    let (vital, store) = (self.clone(), Arc::clone(store));
                    tokio::spawn(async move { vital.look(&store, looking).await });
                }
                fault
            }
            _ => {
                let looking = Arc::clone(&self.looking).lock_owned().await;
                // Who waited for another's look has its answer.
                match self.known() {
                    Some((age, fault)) if age < HOLDS => fault,
                    _ => self.look(store, looking).await,
                }
            }
        }
    }

    /// The last answer and how old it is.
    fn known(&self) -> Option<(Duration, Option<String>)> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|(at, fault)| (at.elapsed(), fault.clone()))
    }

    async fn look(&self, store: &Arc<dyn Store>, _looking: OwnedMutexGuard<()>) -> Option<String> {
        let fault = store.check_writable().await.err().map(|error| {
            tracing::warn!(%error, "unhealthy: {error}");
            "the store cannot be written; `selfheal doctor` says why".to_owned()
        });
        let answer = (Instant::now(), fault.clone());
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        fault
    }
}

#[cfg(test)]
mod tests {
    use selfheal_agents::fakes::MemoryStore;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_disk_is_written_once_however_many_ask() {
        let (vital, memory) = (Vital::default(), Arc::<MemoryStore>::default());
        let store: Arc<dyn Store> = memory.clone();
        assert_eq!(vital.fault_of(&store).await, None);
        memory.refuse_writes(Some("full"));
        for _ in 0..100 {
            assert_eq!(vital.fault_of(&store).await, None, "nobody looked again");
        }
        tokio::time::advance(SERVES).await;
        assert!(vital.fault_of(&store).await.is_some());
        memory.refuse_writes(None);
        tokio::time::advance(SERVES).await;
        assert_eq!(vital.fault_of(&store).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_again_soon_gets_the_last_answer_while_the_disk_is_asked_anew() {
        let (vital, memory) = (Vital::default(), Arc::<MemoryStore>::default());
        let store: Arc<dyn Store> = memory.clone();
        assert_eq!(vital.fault_of(&store).await, None);
        memory.refuse_writes(Some("full"));
        tokio::time::advance(HOLDS).await;
        assert_eq!(vital.fault_of(&store).await, None, "it does not wait");
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(vital.fault_of(&store).await.is_some(), "and the next one knows");
    }
}
