//! Tells whoever listens what happens, as it happens.
//!
//! The newest events are kept, so that a listener that lost its connection can go on where
//! it stopped. Nobody waits for a listener: a slow one loses events and is told so by its
//! channel.

use std::collections::VecDeque;
use std::sync::Mutex;

use selfheal_agents::model::Timestamp;
use tokio::sync::broadcast;

use super::{Happening, LiveEvent};

/// How many events are kept for a listener that comes back.
const KEPT: usize = 1024;

/// How many events a listener may be behind before it is told that it lost some.
const BEHIND: usize = 256;

/// The events of the running program.
pub(super) struct Live {
    sender: broadcast::Sender<LiveEvent>,
    recent: Mutex<VecDeque<LiveEvent>>,
}

impl Live {
    pub(super) fn new() -> Self {
        Self { sender: broadcast::channel(BEHIND).0, recent: Mutex::new(VecDeque::new()) }
    }

    /// Tells everybody.
    pub(super) fn tell(&self, at: Timestamp, what: Happening) {
        let mut recent = self.recent.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let id = recent.back().map_or(1, |last| last.id + 1);
        let event = LiveEvent { id, at, what };
        if recent.len() == KEPT {
            recent.pop_front();
        }
        recent.push_back(event.clone());
        // An error only says that nobody listens.
        let _ = self.sender.send(event);
    }

    /// What happens from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<LiveEvent> {
        self.sender.subscribe()
    }

    /// What happened after the event `id`, as far as it is kept, and what happens from now
    /// on, without a gap between.
    pub(super) fn since(&self, id: u64) -> (Vec<LiveEvent>, broadcast::Receiver<LiveEvent>) {
        let recent = self.recent.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let missed = recent.iter().filter(|event| event.id > id).cloned().collect();
        (missed, self.sender.subscribe())
    }
}
