//! Takes jobs, one after the other, and acknowledges each when what it did is in the store.
//!
//! A job that fails for a reason of the machine is tried again a minute later, five times; then,
//! and at once if it makes no sense, it goes to the stream of the dead with the reason. A job under
//! way is brought to its end whatever Redis does meanwhile, and when Selfheal ends: only between two
//! jobs is it broken off.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::RedisError;
use selfheal_agents::model::{Message, Stream};
use selfheal_agents::ports::StoreError;
use tokio::time::Instant;

use super::Shared;
use super::address::plain;
use super::backoff::Backoff;
use super::desk;
use super::fields::Fields;
use super::group::{BLOCK, Entry, Group};
use super::jobs::{self, Priority};
use super::tie::End;
use crate::fleet::Claim;

/// How long Redis may take to answer, on top of how long is waited for a job.
const ANSWERS: Duration = Duration::from_secs(10);
/// How often is asked for jobs that were abandoned.
const CLAIM_EVERY: Duration = Duration::from_secs(15);
/// How often jobs that were taken are touched; well within the time after which they are taken away.
const TOUCH_EVERY: Duration = Duration::from_secs(20);
/// So often a job is tried.
const ATTEMPTS: usize = 5;
/// How often is looked whether Selfheal knows its world after a start.
const READY_EVERY: Duration = Duration::from_millis(200);
/// How long is waited until the store is tried again with what must be kept.
const KEEP_EVERY: Duration = Duration::from_secs(5);
/// Of a field that nobody understands so many characters are passed on, ...
const LONGEST_FIELD: usize = 16 * 1024;
/// ... and of a message so many fields.
const MOST_FIELDS: usize = 16;

/// Why a connection is given up.
enum Broken {
    /// Redis does not do as it should.
    Redis(RedisError),
    /// The store does not answer.
    Store(StoreError),
}

impl From<RedisError> for Broken {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Broken {
    fn words(&self) -> String {
        match self {
            Self::Redis(error) => plain(error),
            Self::Store(error) => error.to_string(),
        }
    }
}

/// Takes jobs until it is cancelled.
pub(super) async fn run(shared: Shared) {
    if shared.cancel.run_until_cancelled(ready(&shared)).await.is_none() {
        return;
    }
    let mut backoff = Backoff::default();
    let mut taker = Taker { shared: shared.clone(), reasons: BTreeMap::new(), doubtful: false };
    while !shared.cancel.is_cancelled() {
        let Err(broken) = taker.take(&mut backoff).await else { return };
        taker.doubtful = matches!(broken, Broken::Store(_));
        if shared.tie.takes(false) || backoff.is_new() {
            let why = broken.words();
            tracing::warn!(redis = %shared.setup.address, "no jobs are taken from Redis: {why}");
        }
        backoff.wait(&shared.cancel).await;
    }
}

/// Waits until what a crash left is taken up and everything was looked at once: before, a target
/// that is asked for may not be known.
async fn ready(shared: &Shared) {
    while shared.coordinator.standing().cycles == 0
        || !shared.coordinator.taken_up_within(READY_EVERY).await
    {
        tokio::time::sleep(READY_EVERY).await;
    }
}

struct Taker {
    shared: Shared,
    /// Why jobs failed that are tried again, by their places in the stream.
    reasons: BTreeMap<String, String>,
    /// Whether the store did not answer last time.
    doubtful: bool,
}

impl Taker {
    /// Takes jobs until something fails or it is cancelled.
    async fn take(&mut self, backoff: &mut Backoff) -> Result<(), Broken> {
        if self.doubtful {
            // What is taken counts as tried, whatever the store does then.
            self.shared.store.check_writable().await?;
        }
        let shared = self.shared.clone();
        let setup = &shared.setup;
        let redis = setup.address.connect(BLOCK + ANSWERS).await?;
        let mut group = Group { setup, redis };
        group.make().await?;
        let mut claimed: Option<Instant> = None;
        while !shared.cancel.is_cancelled() {
            if claimed.is_none_or(|at| at.elapsed() >= CLAIM_EVERY) {
                claimed = Some(Instant::now());
                let abandoned = group.abandoned().await?;
                self.attend_all(&mut group, abandoned).await?;
            }
            if shared.tie.takes(true) {
                let stream = setup.jobs();
                tracing::info!(redis = %setup.address, stream, "jobs are taken");
            }
            // What comes in the moment of the end is taken over a minute after the next start.
            let fresh = shared.cancel.run_until_cancelled(group.fresh()).await;
            let Some(fresh) = fresh else { return Ok(()) };
            let fresh = fresh?;
            backoff.reset();
            self.attend_all(&mut group, fresh).await?;
        }
        Ok(())
    }

    /// Of those that came together the urgent go first.
    async fn attend_all(
        &mut self,
        group: &mut Group<'_>,
        mut entries: Vec<Entry>,
    ) -> Result<(), Broken> {
        entries.sort_by_key(|entry| jobs::priority(&entry.fields).unwrap_or(Priority::High));
        let ids: Vec<String> = entries.iter().map(|entry| entry.id.clone()).collect();
        for (index, entry) in entries.iter().enumerate() {
            if self.shared.cancel.is_cancelled() {
                return Ok(());
            }
            self.attend(group, entry, &ids[index..]).await?;
        }
        Ok(())
    }

    /// Brings one to its end; `taken` are this one and those that come after it.
    async fn attend(
        &mut self,
        group: &mut Group<'_>,
        entry: &Entry,
        taken: &[String],
    ) -> Result<(), Broken> {
        // Another may have taken it over while one before it was done.
        let Some(attempts) = group.attempts(&entry.id).await? else { return Ok(()) };
        let job = match jobs::read(&entry.fields) {
            Ok(job) => job,
            Err(why) => return self.bury(group, entry, None, &why, attempts).await,
        };
        if self.shared.store.is_job_finished(&job.id).await? {
            tracing::debug!(job.id, "the job was done before");
            return Ok(group.acknowledge(&entry.id).await?);
        }
        let claim = match &self.shared.fleet {
            Some(fleet) => fleet.claim(&job.id).await,
            None => Claim::Ours { again: false },
        };
        let begun = match claim {
            Claim::Ours { again } => again || attempts > 1,
            Claim::Done => {
                tracing::debug!(job.id, "another node did the job");
                return Ok(group.acknowledge(&entry.id).await?);
            }
            Claim::Later(why) => {
                // It stays with whoever reads it, and is looked at again when it was left alone for long.
                tracing::info!(job.id, "the job is not begun: {why}");
                return Ok(group.counts(&entry.id, attempts - 1).await?);
            }
        };
        if attempts > ATTEMPTS {
            let why = self.reasons.get(&entry.id).cloned();
            let why = why.unwrap_or_else(|| "it was begun and never came to an end".to_owned());
            return self.bury(group, entry, Some(&job.id), &why, attempts - 1).await;
        }
        match self.work(group, taken, &job, begun).await {
            Ok(answer) => {
                let told = answer.message(&job, self.shared.coordinator.now());
                if !self.keep(group, taken, Some(&job.id), told).await {
                    return Ok(());
                }
                if let Some(fleet) = &self.shared.fleet {
                    fleet.job_is_done(&job.id).await;
                }
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
                if let Some(fleet) = &self.shared.fleet {
                    fleet.leaves_job(&job.id).await;
                }
                self.reasons.insert(entry.id.clone(), why);
                Ok(())
            }
        }
    }

    /// Does it, and keeps it and those after it from being taken away meanwhile.
    async fn work(
        &self,
        group: &mut Group<'_>,
        taken: &[String],
        job: &jobs::Job,
        again: bool,
    ) -> Result<desk::Answer, String> {
        let Shared { coordinator, fleet, .. } = &self.shared;
        let mut work = std::pin::pin!(desk::attend(coordinator, fleet.as_ref(), job, again));
        loop {
            if let Ok(answer) = tokio::time::timeout(TOUCH_EVERY, &mut work).await {
                return answer;
            }
            touch(group, taken).await;
            if let Some(fleet) = fleet {
                fleet.job_goes_on(&job.id).await;
            }
        }
    }

    /// Writes down what became of a job, until the store takes it: what was done is not done again.
    /// Answers whether it did; where Selfheal ends before, the job comes again after the next start.
    async fn keep(
        &self,
        group: &mut Group<'_>,
        taken: &[String],
        job: Option<&str>,
        told: Message,
    ) -> bool {
        let (store, told) = (&self.shared.store, [told]);
        let mut is_told = false;
        loop {
            let now = self.shared.coordinator.now();
            let kept = match job {
                Some(id) => store.finish_job(id, now, &told).await,
                None => store.queue_messages(&told, now).await,
            };
            let Err(error) = kept else { return true };
            if !std::mem::replace(&mut is_told, true) {
                tracing::error!(%error, "what became of a job is not written down yet: {error}");
            }
            let pause = tokio::time::sleep(KEEP_EVERY);
            if self.shared.cancel.run_until_cancelled(pause).await.is_none() {
                return false;
            }
            touch(group, taken).await;
            if let (Some(fleet), Some(job)) = (&self.shared.fleet, job) {
                fleet.job_goes_on(job).await;
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
        let mut told = Fields::of(format!("{}/dead", entry.id))
            .with("entry_id", &entry.id)
            .with("reason", why)
            .with("attempts", attempts)
            .with_some("truncated", is_long(entry).then_some("yes"))
            .at(now, Stream::Dead);
        // As it came; where a name is ours, ours stands last and is what a reader finds.
        told.fields.splice(0..0, came(entry));
        let taken = std::slice::from_ref(&entry.id);
        if !self.keep(group, taken, job, told).await {
            return Ok(());
        }
        if let (Some(fleet), Some(job)) = (&self.shared.fleet, job) {
            fleet.withdraws(job).await;
            fleet.job_is_done(job).await;
        }
        self.shared.tie.ended(End::Dead);
        self.reasons.remove(&entry.id);
        Ok(group.acknowledge(&entry.id).await?)
    }
}

/// That it fails changes nothing about the job: at worst another does it as well.
async fn touch(group: &mut Group<'_>, taken: &[String]) {
    if let Err(error) = group.touch(taken).await {
        tracing::debug!("the jobs under way are not touched: {}", plain(&error));
    }
}

/// Whether it is longer than what is passed on.
fn is_long(entry: &Entry) -> bool {
    let long = |text: &String| text.chars().nth(LONGEST_FIELD).is_some();
    entry.fields.len() > MOST_FIELDS
        || entry.fields.iter().any(|(name, value)| long(name) || long(value))
}

/// What was written, as far as it is passed on.
fn came(entry: &Entry) -> Vec<(String, String)> {
    let cut = |text: &String| text.chars().take(LONGEST_FIELD).collect::<String>();
    let fields = entry.fields.iter().take(MOST_FIELDS);
    fields.map(|(name, value)| (cut(name), cut(value))).collect()
}
