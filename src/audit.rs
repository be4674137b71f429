//! The audit log: every decision and every person's act, each entry chained to the one before.
//!
//! `audit.jsonl` in the data directory is only ever appended to, an entry a line, on disk when the
//! call returns. Each entry holds the hash of the one before, so that one which is altered, removed
//! or put in between shows for ever. That the end was cut off shows by the newest entry's number
//! and hash, the head: the store keeps it, and digests, Selfheal's own log and
//! `selfheal audit verify` tell it to the world outside. The invariant: what is found wrong is never
//! covered up by what is written later.
//!
//! It keeps nothing back: where an entry cannot be written, Selfheal's own log has it, and healing
//! goes on. Nothing is ever removed: an entry is about 500 bytes.

mod chain;
mod decisions;
mod entry;
mod file;
mod verify;

pub use decisions::decisions;
pub use entry::{Act, By, Entry, Head, HeadError, Via, entries};
pub use file::{FILE, append_alone, read};
pub use verify::{Verdict, verify};

use std::path::Path;
use std::sync::Arc;

use selfheal_agents::ports::{Memory, Store, StoreResult};
use tokio::sync::Mutex as AsyncMutex;

use self::file::Place;

/// Under which name the store keeps the head.
const HEAD: &str = "audit.head";
/// Under which name it keeps what was found wrong and is written down already.
const FAULTS: &str = "audit.faults";

/// The audit log of a running Selfheal.
pub struct Audit {
    place: Arc<Place>,
    store: Arc<dyn Store>,
    /// The newest entry known to be written. Held while one is added.
    known: AsyncMutex<Option<Head>>,
}

/// The head that the store of a data directory knows.
pub async fn head_in(store: &(impl Memory + ?Sized)) -> StoreResult<Option<Head>> {
    let kept = store.value(HEAD).await?;
    // One that cannot be read is none: then the file alone speaks.
    Ok(kept.and_then(|value| serde_json::from_value(value).ok()))
}

impl Audit {
    /// The log of a data directory. What is wrong with it is told in Selfheal's own log, and written
    /// down in it once.
    pub async fn open(data_dir: &Path, store: Arc<dyn Store>) -> Self {
        let place = Place::File(data_dir.join(FILE));
        let audit = Self { place: Arc::new(place), store, known: AsyncMutex::default() };
        match head_in(audit.store.as_ref()).await {
            Ok(witness) => {
                let faults = {
                    let mut known = audit.known.lock().await;
                    *known = witness;
                    audit.examine(&mut known).await
                };
                audit.tell_of(&faults).await;
            }
            Err(error) => tracing::error!(%error, "the audit log is not examined"),
        }
        audit
    }

    /// One that is kept in memory alone, for what is only tried.
    pub fn in_memory(store: Arc<dyn Store>) -> Self {
        Self { place: Arc::default(), store, known: AsyncMutex::default() }
    }

    /// Goes on from what stands there, or where that is not as it should be, from what is known.
    /// Answers what is wrong.
    async fn examine(&self, known: &mut Option<Head>) -> Vec<String> {
        let bytes = match self.bytes().await {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(%error, "the audit log cannot be read: {error}");
                return vec![];
            }
        };
        let verdict = verify(&bytes, known.as_slice());
        let head = continued(known.clone(), &verdict);
        if verdict.faults.is_empty()
            && head != *known
            && let Some(head) = &head
        {
            self.keep(head).await;
        }
        *known = head;
        verdict.faults
    }

    /// Writes down what is wrong, unless it was before.
    async fn tell_of(&self, faults: &[String]) {
        if faults.is_empty() {
            return;
        }
        for fault in faults {
            tracing::error!("the audit log was altered: {fault}");
        }
        let is_known = |known: Option<serde_json::Value>| known == Some(serde_json::json!(faults));
        if self.store.value(FAULTS).await.is_ok_and(is_known) {
            return;
        }
        let act = Act::of_selfheal(chrono::Utc::now(), "audit_altered").saying(faults.join("; "));
        if !self.write(&[act]).await {
            return;
        }
        // The gap is told in other words once something stands behind it.
        let Ok(bytes) = self.bytes().await else { return };
        let told = verify(&bytes, self.known.lock().await.as_slice()).faults;
        if let Err(error) = self.store.set_value(FAULTS, Some(&serde_json::json!(told))).await {
            tracing::warn!(%error, "that the audit log was altered is written down again");
        }
    }

    /// Everything that is written, as it is written.
    pub async fn bytes(&self) -> std::io::Result<Vec<u8>> {
        let place = Arc::clone(&self.place);
        tokio::task::spawn_blocking(move || place.read()).await?
    }

    /// Writes these down; whether it could. What could not is in Selfheal's own log.
    pub async fn write(&self, acts: &[Act]) -> bool {
        let mut known = self.known.lock().await;
        let (place, before, wanted) = (Arc::clone(&self.place), known.clone(), acts.to_vec());
        let adding = tokio::task::spawn_blocking(move || place.append(before.as_ref(), &wanted));
        match adding.await.map_err(std::io::Error::from).flatten() {
            Ok(head) => {
                self.keep(&head).await;
                *known = Some(head);
                true
            }
            Err(error) => {
                for act in acts {
                    tracing::error!(%error, "the audit log is not written: {act}");
                }
                false
            }
        }
    }

    /// Takes note of what others appended: tokens are made and revoked beside a running daemon.
    /// Answers the newest entry.
    pub async fn witness(&self) -> Option<Head> {
        let place = Arc::clone(&self.place);
        let faults = {
            let mut known = self.known.lock().await;
            let tail = tokio::task::spawn_blocking(move || place.tail()).await;
            if matches!(tail, Ok(Ok(tail)) if tail == *known) {
                return known.clone();
            }
            self.examine(&mut known).await
        };
        self.tell_of(&faults).await;
        self.known.lock().await.clone()
    }

    async fn keep(&self, head: &Head) {
        if let Err(error) = self.store.set_value(HEAD, Some(&serde_json::json!(head))).await {
            tracing::error!(%error, "the store does not know the newest entry of the audit log");
        }
    }
}

/// From which head it goes on.
fn continued(witness: Option<Head>, verdict: &Verdict) -> Option<Head> {
    let Some(witness) = witness else { return verdict.head.clone() };
    match &verdict.head {
        Some(tail) if verdict.faults.is_empty() => Some(tail.clone()),
        tail => Some(chain::beyond(tail.as_ref(), &witness)),
    }
}

#[cfg(test)]
mod tests;
