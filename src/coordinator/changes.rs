//! Whether anything changed that others show of this program: what is summed up of it stays the same
//! for minutes, and to sum it up costs more than anything else that an idle Selfheal does.

use std::sync::Arc;

use selfheal_agents::health_monitor::Inventory;
use tokio::sync::watch;

use super::{Coordinator, Standing};

/// Remembers what was seen last of what is watched, how each target is, and the store.
pub struct Changes {
    coordinator: Coordinator,
    inventory: watch::Receiver<Arc<Inventory>>,
    standing: watch::Receiver<Standing>,
    writes: u64,
}

impl Changes {
    /// Since now.
    pub(super) fn of(coordinator: &Coordinator) -> Self {
        Self {
            inventory: coordinator.inventory(),
            standing: coordinator.inner.standing.subscribe(),
            writes: coordinator.store().writes(),
            coordinator: coordinator.clone(),
        }
    }

    /// Whether there are any since this was last asked. Asked before it is read how it is now: what
    /// changes meanwhile is told the next time.
    pub fn any(&mut self) -> bool {
        let writes = self.coordinator.store().writes();
        let is_written = std::mem::replace(&mut self.writes, writes) != writes;
        // In one step each: what came between two would never be told.
        let is_watched_anew = self.inventory.borrow_and_update().has_changed();
        let is_seen_anew = self.standing.borrow_and_update().has_changed();
        is_written || is_watched_anew || is_seen_anew
    }
}
