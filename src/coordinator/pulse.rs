//! Whether what goes round and round still does.
//!
//! Each loop beats its own pulse at every turn. One that never began to beat is not judged: why it
//! did not begin was told at the start, and starting again would only tell it again.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::state::lock;

/// A turn may wait for a store that does not answer; one that takes this long does not come.
const SILENT: Duration = Duration::from_mins(2);

/// The last turn of one loop.
#[derive(Debug, Default)]
pub struct Pulse(Mutex<Option<Instant>>);

impl Pulse {
    /// The loop begins a turn.
    pub fn beat(&self) {
        *lock(&self.0) = Some(Instant::now());
    }

    /// Whether it beat once and does no more.
    pub(super) fn has_stopped(&self) -> bool {
        lock(&self.0).is_some_and(|last| last.elapsed() >= SILENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_has_stopped_once_it_is_silent_for_long_and_not_before_it_began() {
        let pulse = Pulse::default();
        tokio::time::advance(SILENT * 2).await;
        assert!(!pulse.has_stopped(), "it never began");
        pulse.beat();
        tokio::time::advance(SILENT / 2).await;
        assert!(!pulse.has_stopped(), "it takes its time");
        tokio::time::advance(SILENT).await;
        assert!(pulse.has_stopped());
        pulse.beat();
        assert!(!pulse.has_stopped(), "it goes on");
    }
}
