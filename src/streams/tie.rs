//! How the streams do: whether Redis answers, and what went through since the start.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How the streams do, kept by those who carry; shared with whoever shows it.
#[derive(Debug, Default)]
pub struct Tie {
    carries: AtomicBool,
    takes: AtomicBool,
    sent: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    dead: AtomicU64,
}

/// What they did since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Whether messages go out and jobs come in.
    pub connected: bool,
    /// Messages that Redis took.
    pub sent: u64,
    /// Jobs that were done.
    pub done: u64,
    /// Jobs that could not be done as things are.
    pub failed: u64,
    /// Jobs that nobody can do.
    pub dead: u64,
}

impl Tie {
    /// As it is now.
    pub fn figures(&self) -> Figures {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Figures {
            connected: self.is_carrying() && self.takes.load(Ordering::Relaxed),
            sent: read(&self.sent),
            done: read(&self.done),
            failed: read(&self.failed),
            dead: read(&self.dead),
        }
    }

    /// Whether messages go out.
    pub(super) fn is_carrying(&self) -> bool {
        self.carries.load(Ordering::Relaxed)
    }

    /// Whether messages go out; answers whether that is news.
    pub(super) fn carries(&self, yes: bool) -> bool {
        self.carries.swap(yes, Ordering::Relaxed) != yes
    }

    /// Whether jobs come in; answers whether that is news.
    pub(super) fn takes(&self, yes: bool) -> bool {
        self.takes.swap(yes, Ordering::Relaxed) != yes
    }

    pub(super) fn sent(&self, messages: usize) {
        self.sent.fetch_add(messages as u64, Ordering::Relaxed);
    }

    pub(super) fn ended(&self, how: End) {
        let count = match how {
            End::Done => &self.done,
            End::Failed => &self.failed,
            End::Dead => &self.dead,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It was done.
    Done,
    /// It could not be done as things are.
    Failed,
    /// Nobody can do it.
    Dead,
}
