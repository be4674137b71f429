//! Keeps running what is to run as long as Selfheal does.
//!
//! A part that ends though nobody asked it to, by a fault of ours or otherwise, is begun anew after a
//! pause; so is one that stands still, where it has a time within which it must turn. What is begun
//! anew takes up from the store and from what it is given: a part may keep nothing in its memory that
//! it cannot do without. What blocks its thread cannot be broken off, since nobody can take a thread
//! back: that is told, and asks for a restart of the whole ([`Upkeep::blocked`]), which comes by itself
//! when it lasts ([`Standstill`]).
//!
//! Not for the flow itself (`coordinator::driver`): breaking it off means to take up the journal, and
//! not for what runs once. It knows nothing of what the parts do.

mod spell;
mod standstill;
#[cfg(test)]
mod tests;
mod turning;

pub use self::spell::Spell;
pub use self::standstill::{Standstill, stood_still};

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use selfheal_agents::model::clean;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::turning::{Standing, Turning, Turns};

/// After so many ends in a row a person is told.
const TOLD_AFTER: u32 = 3;

/// Begins a part.
type Begin = Box<dyn FnMut() -> BoxFuture<'static, ()> + Send>;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// How often all parts are looked at.
    look_every: Duration,
    /// A part that gives its thread back after this long does not come back.
    blocks_after: Duration,
}

const LIMITS: Limits =
    Limits { look_every: Duration::from_secs(5), blocks_after: Duration::from_secs(30) };

/// What is kept running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// What people call it: it stands in the log, in figures and in alerts.
    pub name: &'static str,
    /// Within which time it turns at least once; `None` where it may wait for ever, or where it
    /// must not be broken off while it waits.
    pub turns_within: Option<Duration>,
}

/// How a part did so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub part: &'static str,
    /// How often it was begun anew.
    pub restarts: u64,
}

/// What people must be told of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Its name.
    pub part: &'static str,
    /// What is wrong with it.
    pub what: String,
}

/// Keeps parts running. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Upkeep(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: Limits,
    cancel: CancellationToken,
    tracker: TaskTracker,
    parts: Mutex<BTreeMap<&'static str, Kept>>,
    running: Mutex<BTreeMap<u64, Arc<Running>>>,
    next: AtomicU64,
}

/// What is remembered of a part.
#[derive(Debug, Default)]
struct Kept {
    restarts: u64,
    untold: Option<String>,
}

/// One run of a part.
#[derive(Debug)]
struct Running {
    part: Part,
    turns: Arc<Turns>,
    task: AbortHandle,
    stands_still: AtomicBool,
    blocks: AtomicBool,
}

/// Forgets a run that is over.
struct Entry<'a>(&'a Shared, u64);

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        lock(&self.0.running).remove(&self.1);
    }
}

/// A value whose last user may have panicked: what it holds is whole all the same.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Upkeep {
    /// Keeps parts until `cancel`. Needs a running tokio.
    pub fn new(cancel: CancellationToken) -> Self {
        Self::with(cancel, LIMITS)
    }

    fn with(cancel: CancellationToken, limits: Limits) -> Self {
        let upkeep = Self(Arc::new(Shared {
            limits,
            cancel,
            tracker: TaskTracker::new(),
            parts: Mutex::default(),
            running: Mutex::default(),
            next: AtomicU64::default(),
        }));
        let looking = upkeep.clone();
        upkeep.0.tracker.spawn(async move { looking.look().await });
        upkeep
    }

    /// What runs, to be waited for after the cancel.
    pub fn tracker(&self) -> TaskTracker {
        self.0.tracker.clone()
    }

    /// Keeps running what `begin` makes, until the end. It must end by itself when all does.
    pub fn keep<B, F>(&self, part: Part, begin: B)
    where
        B: FnMut() -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let kept = self.clone().kept(part, begin);
        self.0.tracker.spawn(kept);
    }

    /// The same for whoever waits for it and may break it off by dropping it.
    pub fn kept<B, F>(self, part: Part, mut begin: B) -> impl Future<Output = ()> + Send + 'static
    where
        B: FnMut() -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let begin: Begin = Box::new(move || Box::pin(begin()));
        async move { self.run(part, begin).await }
    }

    async fn run(&self, part: Part, mut begin: Begin) {
        lock(&self.0.parts).entry(part.name).or_default();
        let mut spell = Spell::default();
        loop {
            let since = Instant::now();
            let Some(why) = self.once(part, begin()).await else { return };
            let pause = spell.ended_after(since.elapsed());
            self.note(part.name, &why, spell.ends());
            if self.0.cancel.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Runs it once; answers why it ended, unless it was asked to.
    async fn once(&self, part: Part, task: BoxFuture<'static, ()>) -> Option<String> {
        let turns = Arc::new(Turns::new());
        let mut tasks = JoinSet::new();
        let task = tasks.spawn(Turning { task, turns: Arc::clone(&turns) });
        let running = Arc::new(Running {
            part,
            turns,
            task,
            stands_still: AtomicBool::default(),
            blocks: AtomicBool::default(),
        });
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.0.running).insert(id, Arc::clone(&running));
        let _entry = Entry(&self.0, id);
        let ended = tasks.join_next().await;
        if self.0.cancel.is_cancelled() {
            return None;
        }
        if running.stands_still.load(Ordering::Relaxed) {
            return Some("it stood still".to_owned());
        }
        Some(match ended {
            Some(Err(error)) => words(error),
            _ => "it came to an end by itself".to_owned(),
        })
    }

    /// Notes that something ended that is begun anew, for the `ends`th time in a row.
    pub fn note(&self, part: &'static str, why: &str, ends: u32) {
        let why = clean(why, 300);
        tracing::error!(
            part,
            ends,
            "a fault of Selfheal's own ended {part}, which is begun anew; please report it: {why}"
        );
        let mut parts = lock(&self.0.parts);
        let kept = parts.entry(part).or_default();
        kept.restarts += 1;
        if ends == TOLD_AFTER {
            kept.untold = Some(format!("it ended {ends} times, the last time since {why}"));
        }
    }

    /// Has people told of a part.
    pub fn tell(&self, part: &'static str, what: String) {
        lock(&self.0.parts).entry(part).or_default().untold = Some(what);
    }

    /// How every part did so far.
    pub fn records(&self) -> Vec<Record> {
        let parts = lock(&self.0.parts);
        parts.iter().map(|(part, kept)| Record { part, restarts: kept.restarts }).collect()
    }

    /// What people were not told of yet.
    pub fn untold(&self) -> Vec<Trouble> {
        let parts = lock(&self.0.parts);
        let told = |(part, kept): (&&'static str, &Kept)| {
            Some(Trouble { part, what: kept.untold.clone()? })
        };
        parts.iter().filter_map(told).collect()
    }

    /// They were told of it.
    pub fn told(&self, trouble: &Trouble) {
        if let Some(kept) = lock(&self.0.parts).get_mut(trouble.part)
            && kept.untold.as_ref() == Some(&trouble.what)
        {
            kept.untold = None;
        }
    }

    /// What blocks its thread, where anything does: only starting the whole again cures that.
    pub fn blocked(&self) -> Option<String> {
        let running = lock(&self.0.running);
        let blocks = running.values().find(|run| run.blocks.load(Ordering::Relaxed))?;
        Some(format!("{} does not give its thread back", blocks.part.name))
    }

    /// Looks at all parts from time to time.
    async fn look(&self) {
        let pause = || tokio::time::sleep(self.0.limits.look_every);
        while self.0.cancel.run_until_cancelled(pause()).await.is_some() {
            let running: Vec<_> = lock(&self.0.running).values().cloned().collect();
            for run in running {
                self.look_at(&run);
            }
        }
    }

    fn look_at(&self, run: &Running) {
        let standing = run.turns.standing();
        let blocks =
            matches!(standing, Standing::Runs(since) if since >= self.0.limits.blocks_after);
        let blocked = run.blocks.swap(blocks, Ordering::Relaxed);
        let part = run.part.name;
        match standing {
            Standing::Runs(since) if blocks && !blocked => {
                tracing::error!(
                    part,
                    "{part} has not given its thread back for {since:?} and cannot be broken off; \
                     only a restart of Selfheal helps, unless it goes on"
                );
                let what = "it does not give its thread back; only a restart helps";
                self.tell(part, what.to_owned());
            }
            Standing::Waits(since) if run.part.turns_within.is_some_and(|most| since > most) => {
                run.stands_still.store(true, Ordering::Relaxed);
                run.task.abort();
            }
            Standing::Waits(_) if blocked => tracing::info!(part, "{part} goes on"),
            _ => {}
        }
    }
}

/// Why it broke off.
fn words(error: JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "it was broken off".to_owned() };
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => other
            .downcast::<&str>()
            .map_or_else(|_| "a panic".to_owned(), |text| (*text).to_owned()),
    }
}
