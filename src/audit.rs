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
//! goes on. What it costs is bounded: who writes and who asks for the newest entries reads the end
//! alone, who verifies reads line by line, and old files are removed, which stands in the log.

mod chain;
mod decisions;
mod entry;
mod file;
mod kept;
mod log;
mod verify;

pub use decisions::decisions;
pub use entry::{Act, By, Entry, Head, HeadError, Via};
pub use file::{FILE, append_alone};
pub use log::Log;
pub use verify::Verdict;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use selfheal_agents::model::Timestamp;
use selfheal_agents::ports::{Memory, Store, StoreResult};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use self::file::{End, Place};

/// Under which name the store keeps the head.
const HEAD: &str = "audit.head";
/// Under which name it keeps what was found wrong and is written down already.
const FAULTS: &str = "audit.faults";

/// After a write that failed, decisions wait so long for the next attempt.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// The audit log of a running Selfheal.
pub struct Audit {
    place: Arc<Place>,
    store: Arc<dyn Store>,
    /// Held while an entry is added.
    known: AsyncMutex<Known>,
}

/// What is known of the log.
#[derive(Default)]
struct Known {
    /// The newest entry known to be written.
    head: Option<Head>,
    /// The newest entry that stood there when it was last found not to lead on from that.
    strange: Option<Head>,
    /// When a write last failed.
    failed_at: Option<Instant>,
}

/// The head that the store of a data directory knows.
pub async fn head_in(store: &(impl Memory + ?Sized)) -> StoreResult<Option<Head>> {
    let kept = store.value(HEAD).await?;
    // One that cannot be read is none: then the file alone speaks.
    Ok(kept.and_then(|value| serde_json::from_value(value).ok()))
}

impl Audit {
    /// The log of a data directory. It is not looked through: see [`Self::examine`].
    pub async fn open(data_dir: &Path, store: Arc<dyn Store>) -> Self {
        let head = head_in(store.as_ref()).await.unwrap_or_else(|error| {
            tracing::error!(%error, "which entry is the newest of the audit log is not known");
            None
        });
        let known = AsyncMutex::new(Known { head, ..Known::default() });
        Self { place: Arc::new(Place::Folder(data_dir.to_owned())), store, known }
    }

    /// One that is kept in memory alone, for what is only tried.
    pub fn in_memory(store: Arc<dyn Store>) -> Self {
        Self { place: Arc::default(), store, known: AsyncMutex::default() }
    }

    /// Looks through all of it, while others go on writing. What is wrong with it is told in Selfheal's
    /// own log, and written down in it once. Goes on from what stands there, or where that is not as
    /// it should be, from what is known.
    pub async fn examine(&self) {
        let (log, before) = {
            let known = self.known.lock().await;
            (self.log().await, known.head.clone())
        };
        let verdict = match log {
            Ok(log) => verified(log, before.clone()).await,
            Err(error) => Err(error),
        };
        let verdict = match verdict {
            Ok(verdict) => verdict,
            Err(error) => {
                tracing::error!(%error, "the audit log cannot be read: {error}");
                return;
            }
        };
        {
            let mut known = self.known.lock().await;
            if known.head == before {
                self.go_on(&mut known, continued(before, &verdict), &verdict).await;
            }
        }
        self.tell_of(&verdict.faults).await;
    }

    async fn go_on(&self, known: &mut Known, head: Option<Head>, verdict: &Verdict) {
        if let Some(head) = head.as_ref().filter(|_| verdict.faults.is_empty())
            && known.head.as_ref() != Some(head)
        {
            self.keep(head).await;
        }
        known.head = head;
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
        let head = self.known.lock().await.head.clone();
        let Ok(log) = self.log().await else { return };
        let Ok(told) = verified(log, head).await else { return };
        let told = serde_json::json!(told.faults);
        if let Err(error) = self.store.set_value(FAULTS, Some(&told)).await {
            tracing::warn!(%error, "that the audit log was altered is written down again");
        }
    }

    async fn log(&self) -> io::Result<Log> {
        let place = Arc::clone(&self.place);
        tokio::task::spawn_blocking(move || place.open()).await?
    }

    /// The newest entries, newest first. Only the end that they stand in is read.
    pub async fn newest(&self, limit: usize) -> io::Result<Vec<Entry>> {
        let place = Arc::clone(&self.place);
        tokio::task::spawn_blocking(move || place.open()?.newest(limit)).await?
    }

    /// Puts the newest file away once it is full or old, and removes what is older than is kept.
    pub async fn tidy(&self, now: Timestamp, keep: Duration) {
        let Place::Folder(dir) = self.place.as_ref() else { return };
        let dir = dir.clone();
        let due = tokio::task::spawn_blocking(move || {
            kept::put_away_if_due(&dir, now, keep)?;
            kept::outdated(&dir, now, keep, kept::MOST_BYTES)
        });
        match due.await.map_err(io::Error::from).flatten() {
            Ok(None) => {}
            // First it is said, then it is done; cut off in between, it is said again.
            Ok(Some(outdated)) => {
                if self.write(&[outdated.act]).await
                    && let Err(error) = tokio::fs::remove_file(&outdated.path).await
                {
                    tracing::warn!(%error, "{} is not removed", outdated.path.display());
                }
            }
            Err(error) => tracing::warn!(%error, "the audit log is not shortened: {error}"),
        }
    }

    /// Writes these down; whether it could. What could not is in Selfheal's own log.
    pub async fn write(&self, acts: &[Act]) -> bool {
        let mut known = self.known.lock().await;
        self.write_after(&mut known, acts).await
    }

    /// The same for what is tried again by whoever asks: after a write that failed it does nothing
    /// for half a minute, so that each look at an incident costs neither time nor a line of log.
    pub async fn write_in_time(&self, acts: &[Act]) -> bool {
        let mut known = self.known.lock().await;
        if known.failed_at.is_some_and(|at| at.elapsed() < AGAIN_AFTER) {
            return false;
        }
        self.write_after(&mut known, acts).await
    }

    async fn write_after(&self, known: &mut Known, acts: &[Act]) -> bool {
        let (place, before, wanted) = (Arc::clone(&self.place), known.head.clone(), acts.to_vec());
        let adding = tokio::task::spawn_blocking(move || place.append(before.as_ref(), &wanted));
        match adding.await.map_err(io::Error::from).flatten() {
            Ok(head) => {
                self.keep(&head).await;
                (known.head, known.failed_at) = (Some(head), None);
                true
            }
            Err(error) => {
                for act in acts {
                    tracing::error!(%error, "the audit log is not written: {act}");
                }
                known.failed_at = Some(Instant::now());
                false
            }
        }
    }

    /// Takes note of what others appended: tokens are made and revoked beside a running daemon.
    /// Answers the newest entry.
    pub async fn witness(&self) -> Option<Head> {
        {
            let mut known = self.known.lock().await;
            let (place, before) = (Arc::clone(&self.place), known.head.clone());
            let end = tokio::task::spawn_blocking(move || place.end(before.as_ref())).await;
            match end.map_err(io::Error::from).flatten() {
                Ok(End { newest, .. }) if newest == known.head => return newest,
                Ok(End { newest: Some(newest), leads_on: true }) => {
                    self.keep(&newest).await;
                    known.head = Some(newest.clone());
                    return Some(newest);
                }
                // It was examined already, and nothing was written since.
                Ok(End { newest, .. }) if newest.is_some() && newest == known.strange => {
                    return known.head.clone();
                }
                Ok(End { newest, .. }) => known.strange = newest,
                Err(_) => {}
            }
        }
        self.examine().await;
        self.known.lock().await.head.clone()
    }

    async fn keep(&self, head: &Head) {
        if let Err(error) = self.store.set_value(HEAD, Some(&serde_json::json!(head))).await {
            tracing::error!(%error, "the store does not know the newest entry of the audit log");
        }
    }
}

/// Looks through a log, not on a thread that others wait for.
async fn verified(log: Log, witness: Option<Head>) -> io::Result<Verdict> {
    tokio::task::spawn_blocking(move || log.verify(witness.as_slice())).await?
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
