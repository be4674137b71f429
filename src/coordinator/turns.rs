//! Whose turn it is at an incident: that of its window, or of a person who takes its fix back.
//!
//! Never both at one incident, and nobody waits for what goes on at another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use selfheal_agents::model::IncidentId;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::state::lock;

/// A turn; dropping it ends it.
pub(super) type Turn = OwnedMutexGuard<()>;

/// The turns at all incidents.
#[derive(Default)]
pub(super) struct Turns(Mutex<BTreeMap<IncidentId, Arc<AsyncMutex<()>>>>);

impl Turns {
    /// Waits for the turn at an incident.
    pub(super) async fn wait_for(&self, incident: IncidentId) -> Turn {
        self.of(incident).lock_owned().await
    }

    /// The turn at an incident, unless somebody has it.
    pub(super) fn take(&self, incident: IncidentId) -> Option<Turn> {
        self.of(incident).try_lock_owned().ok()
    }

    fn of(&self, incident: IncidentId) -> Arc<AsyncMutex<()>> {
        let mut turns = lock(&self.0);
        // A turn that somebody has or waits for is held by them, too.
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(incident).or_default())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn one_has_the_turn_at_an_incident_and_no_turn_is_kept_when_it_ends() {
        let turns = Turns::default();
        let [one, other] = [1, 2].map(|id| IncidentId(Uuid::from_u128(id)));
        let turn = turns.wait_for(one).await;
        assert!(turns.take(one).is_none());
        assert!(turns.take(other).is_some());
        drop(turn);
        assert!(turns.take(one).is_some());
        assert!(turns.take(other).is_some());
        assert!(lock(&turns.0).len() <= 1, "only the newest is still there");
    }
}
