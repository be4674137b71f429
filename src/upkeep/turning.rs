//! Whether a task still turns, seen from outside: when it was last given a thread, and whether it
//! gave it back.
//!
//! A task that waits for something that comes from time to time is run at least that often; one that
//! is not run any more waits for what never comes, and one that does not give its thread back blocks
//! it. Nothing in the task has to tell of itself, so nothing can forget to.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

/// When a task was last run.
#[derive(Debug)]
pub(super) struct Turns {
    since: Instant,
    /// Milliseconds after `since`.
    last: AtomicU64,
    is_inside: AtomicBool,
}

/// What a task does with its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It waits, for so long now.
    Waits(Duration),
    /// It runs, and has not given its thread back for so long.
    Runs(Duration),
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), last: AtomicU64::default(), is_inside: AtomicBool::default() }
    }

    pub(super) fn standing(&self) -> Standing {
        // First whether it runs: what begins to run in between would seem to have run since it last waited.
        let is_inside = self.is_inside.load(Ordering::Acquire);
        let last = Duration::from_millis(self.last.load(Ordering::Acquire));
        let since = self.since.elapsed().saturating_sub(last);
        if is_inside { Standing::Runs(since) } else { Standing::Waits(since) }
    }

    fn note(&self, is_inside: bool) {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Release);
        self.is_inside.store(is_inside, Ordering::Release);
    }
}

/// A task whose turns are noted.
pub(super) struct Turning {
    pub(super) task: BoxFuture<'static, ()>,
    pub(super) turns: Arc<Turns>,
}

impl Future for Turning {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.turns.note(true);
        let polled = self.task.as_mut().poll(context);
        self.turns.note(false);
        polled
    }
}
