//! Reminds of what waits for a person, until that person has decided.
//!
//! Its invariant: what is due follows from the incident as the store has it, and one reminder has one
//! key, so that a restart neither loses nor doubles any.

use std::collections::BTreeMap;
use std::sync::Mutex;

use chrono::TimeDelta;
use selfheal_agents::model::{Hold, Incident, IncidentId, IncidentState};
use selfheal_agents::ports::{IncidentQuery, StoreResult};

use super::state::{Inner, lock};
use crate::alerts::{reminder, waits_since};

/// More than are ever stuck at once.
const MOST_STUCK: usize = 100;

/// The newest reminder queued of each incident, so that it is not offered to the store again and
/// again.
pub(super) type Reminded = Mutex<BTreeMap<IncidentId, String>>;

impl Inner {
    /// Queues the reminders that are due.
    pub(super) async fn remind(&self) {
        let Ok(after) = TimeDelta::from_std(self.rules().remind_after) else { return };
        if after == TimeDelta::zero() {
            return;
        }
        match self.waiting_for_a_person().await {
            Ok(waiting) => {
                lock(&self.reminded).retain(|id, _| waiting.iter().any(|one| one.id == *id));
                for incident in &waiting {
                    // What holds for one holds for the rest: each would wait for the store anew.
                    if let Err(error) = self.remind_of(incident, after).await {
                        tracing::warn!(incident.id = %incident.id, %error, "reminders are queued later");
                        return;
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "what waits for a person is not known"),
        }
    }

    async fn remind_of(&self, incident: &Incident, after: TimeDelta) -> StoreResult<()> {
        let now = self.world.clock.now();
        let since = waits_since(incident);
        let due = since.and_then(|since| reminder(incident, since, after, now));
        let Some(alert) = due else { return Ok(()) };
        if lock(&self.reminded).get(&incident.id) == Some(&alert.key) {
            return Ok(());
        }
        self.queue_alert(&alert).await?;
        lock(&self.reminded).insert(incident.id, alert.key);
        Ok(())
    }

    /// What a person was told of and has not decided about: what is held, and what is stuck as long
    /// as nobody has lifted the freeze that came with it.
    pub(super) async fn waiting_for_a_person(&self) -> StoreResult<Vec<Incident>> {
        let mut waiting = self.store.open_incidents().await?;
        waiting.retain(|incident| {
            incident.state() == IncidentState::Held && incident.told && !is_decided(incident)
        });
        let states = vec![IncidentState::Stuck];
        let query = IncidentQuery { states, limit: MOST_STUCK, ..Default::default() };
        let mut stuck = self.store.incidents(&query).await?;
        let freezes = self.freezes_in_force();
        stuck.retain(|incident| freezes.iter().any(|freeze| freeze.stuck == Some(incident.id)));
        waiting.extend(stuck);
        Ok(waiting)
    }
}

/// Whether a person asked for silence there, or nothing is to be decided while it lasts.
fn is_decided(incident: &Incident) -> bool {
    incident.holds.iter().any(|hold| {
        matches!(
            hold,
            Hold::Frozen { .. }
                | Hold::MaintenanceWindow { .. }
                | Hold::QuietHour { configured: true }
                | Hold::Flapping { .. }
        )
    })
}
