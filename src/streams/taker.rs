//! Takes jobs, one after the other, and acknowledges each when what it did is in the store.
//!
//! A job that fails for a reason of the machine is tried again a minute later, five times; then,
//! and at once if it makes no sense, it goes to the stream of the dead with the reason.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::RedisError;
use selfheal_agents::model::{Message, Stream};
use tokio::time::Instant;

use super::Shared;
use super::address::plain;
use super::backoff::Backoff;
use super::desk;
use super::fields::Fields;
use super::group::{BLOCK, Entry, Group};
use super::jobs::{self, Priority};
use super::tie::End;

/// How long Redis may take to answer, on top of how long is waited for a job.
const ANSWERS: Duration = Duration::from_secs(10);
/// How often is asked for jobs that were abandoned.
const CLAIM_EVERY: Duration = Duration::from_secs(15);
/// How often a job under way is touched; well within the time after which it is taken away.
const TOUCH_EVERY: Duration = Duration::from_secs(20);
/// So often a job is tried.
const ATTEMPTS: usize = 5;

/// Why a connection is given up.
enum Broken {
    /// Redis does not do as it should.
    Redis(RedisError),
    /// The store does not take what must be kept.
    Store(String),
}

impl From<RedisError> for Broken {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl Broken {
    fn words(&self) -> String {
        match self {
            Self::Redis(error) => plain(error),
            Self::Store(why) => why.clone(),
        }
    }
}

/// Takes jobs until it is cancelled.
pub(super) async fn run(shared: Shared) {
    let mut backoff = Backoff::default();
    let mut taker = Taker { shared: shared.clone(), reasons: BTreeMap::new() };
    while !shared.cancel.is_cancelled() {
        let ended = shared.cancel.run_until_cancelled(taker.take(&mut backoff)).await;
        let Some(Err(broken)) = ended else { return };
        if shared.tie.takes(false) || backoff.is_new() {
            let why = broken.words();
            tracing::warn!(redis = %shared.setup.address, "no jobs come in from Redis: {why}");
        }
        backoff.wait(&shared.cancel).await;
    }
}

struct Taker {
    shared: Shared,
    /// Why jobs failed that are tried again, by their places in the stream.
    reasons: BTreeMap<String, String>,
}

impl Taker {
    /// Takes jobs until something fails.
    async fn take(&mut self, backoff: &mut Backoff) -> Result<(), Broken> {
        let setup = std::sync::Arc::clone(&self.shared.setup);
        let redis = setup.address.connect(BLOCK + ANSWERS).await?;
        let mut group = Group { setup: &setup, redis };
        group.make().await?;
        let left = group.left().await?;
        backoff.reset();
        if self.shared.tie.takes(true) {
            tracing::info!(redis = %setup.address, stream = setup.jobs(), "jobs are taken");
        }
        self.attend_all(&mut group, left).await?;
        let mut claimed: Option<Instant> = None;
        loop {
            if claimed.is_none_or(|at| at.elapsed() >= CLAIM_EVERY) {
                claimed = Some(Instant::now());
                let abandoned = group.abandoned().await?;
                self.attend_all(&mut group, abandoned).await?;
            }
            let fresh = group.fresh().await?;
            self.attend_all(&mut group, fresh).await?;
        }
    }

    /// Of those that came together the urgent go first.
    async fn attend_all(
        &mut self,
        group: &mut Group<'_>,
        mut entries: Vec<Entry>,
    ) -> Result<(), Broken> {
        entries.sort_by_key(|entry| jobs::priority(&entry.fields).unwrap_or(Priority::High));
        for entry in entries {
            self.attend(group, &entry).await?;
        }
        Ok(())
    }

    async fn attend(&mut self, group: &mut Group<'_>, entry: &Entry) -> Result<(), Broken> {
        let attempts = group.attempts(&entry.id).await?;
        let job = match jobs::read(&entry.fields) {
            Ok(job) => job,
            Err(why) => return self.bury(group, entry, None, &why, attempts).await,
        };
        let store = &self.shared.store;
        if store.is_job_finished(&job.id).await.map_err(unkept)? {
            tracing::debug!(job.id, "the job was done before");
            return Ok(group.acknowledge(&entry.id).await?);
        }
        if attempts > ATTEMPTS {
            let why = self.reasons.get(&entry.id).cloned();
            let why = why.unwrap_or_else(|| "it was begun and never came to an end".to_owned());
            return self.bury(group, entry, Some(&job.id), &why, attempts - 1).await;
        }
        match self.work(group, entry, &job).await? {
            Ok(answer) => {
                let now = self.shared.coordinator.now();
                let told = answer.message(&job, now);
                store.finish_job(&job.id, now, &[told]).await.map_err(unkept)?;
                let how = if answer.done { End::Done } else { End::Failed };
                tracing::info!(job.id, by = job.by, done = answer.done, "a job came to its end");
                self.shared.tie.ended(how);
                self.reasons.remove(&entry.id);
                Ok(group.acknowledge(&entry.id).await?)
            }
            Err(why) if attempts == ATTEMPTS => {
                self.bury(group, entry, Some(&job.id), &why, attempts).await
            }
            Err(why) => {
                tracing::warn!(job.id, attempts, "a job failed and is tried again: {why}");
                self.reasons.insert(entry.id.clone(), why);
                Ok(())
            }
        }
    }

    /// Does it, and keeps it from being taken away meanwhile.
    async fn work(
        &self,
        group: &mut Group<'_>,
        entry: &Entry,
        job: &jobs::Job,
    ) -> Result<Result<desk::Answer, String>, Broken> {
        let mut work = std::pin::pin!(desk::attend(&self.shared.coordinator, job));
        loop {
            match tokio::time::timeout(TOUCH_EVERY, &mut work).await {
                Ok(answer) => return Ok(answer),
                Err(_) => group.touch(&entry.id).await?,
            }
        }
    }

    /// Puts aside what nobody can do, as it came and with the reason.
    async fn bury(
        &mut self,
        group: &mut Group<'_>,
        entry: &Entry,
        job: Option<&str>,
        why: &str,
        attempts: usize,
    ) -> Result<(), Broken> {
        tracing::warn!(entry.id, attempts, "a job is put aside: {why}");
        let now = self.shared.coordinator.now();
        let mut told: Message = Fields::of(format!("{}/dead", entry.id))
            .with("entry_id", &entry.id)
            .with("reason", why)
            .with("attempts", attempts)
            .at(now, Stream::Dead);
        // As it came; where a name is ours, ours stands last and is what a reader finds.
        let came = entry.fields.iter().map(|(name, value)| (name.clone(), value.clone()));
        told.fields.splice(0..0, came);
        let store = &self.shared.store;
        match job {
            Some(id) => store.finish_job(id, now, &[told]).await.map_err(unkept)?,
            None => store.queue_messages(&[told], now).await.map_err(unkept)?,
        }
        self.shared.tie.ended(End::Dead);
        self.reasons.remove(&entry.id);
        Ok(group.acknowledge(&entry.id).await?)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where an error is mapped")]
fn unkept(error: selfheal_agents::ports::StoreError) -> Broken {
    Broken::Store(error.to_string())
}
