//! Decisions that the audit log did not take, as on a full disk: they are written once it takes
//! them again, also those of an incident that nothing happens to any more.
//!
//! What an incident has told is kept with it, so that a crash in between loses nothing: at the
//! start the newest ones are looked through.

use selfheal_agents::model::{Incident, IncidentId};
use selfheal_agents::ports::{IncidentQuery, StoreResult};

use super::state::{Inner, lock};
use crate::audit;

/// How many are looked through at the start.
const NEWEST: usize = 200;

impl Inner {
    /// Writes into the audit log what of an incident was decided and does not stand there yet;
    /// whether it does now. The incident is then to be saved.
    pub(super) async fn audit_decisions(&self, incident: &mut Incident) -> bool {
        let decided = audit::decisions(incident);
        let written = decided.is_empty() || self.audit.write_in_time(&decided).await;
        if written {
            incident.audited = incident.timeline.len();
            lock(&self.unaudited).remove(&incident.id);
        } else {
            lock(&self.unaudited).insert(incident.id);
        }
        written
    }

    /// Finds what the last run could not write.
    pub(super) async fn recall_unaudited(&self) -> StoreResult<()> {
        let query = IncidentQuery { limit: NEWEST, ..IncidentQuery::default() };
        let newest = self.store.incidents(&query).await?;
        let owed = newest.iter().filter(|incident| !audit::decisions(incident).is_empty());
        lock(&self.unaudited).extend(owed.map(|incident| incident.id));
        Ok(())
    }

    /// Tries again. Only where a life is over: the others are written by whoever has them in hand.
    pub(super) async fn write_unaudited(&self) {
        let owed: Vec<IncidentId> = lock(&self.unaudited).iter().copied().collect();
        for id in owed {
            let Some(_turn) = self.turns.take(id) else { continue };
            let _writing = self.writing.lock().await;
            let mut incident = match self.store.incident(id).await {
                Ok(Some(incident)) if incident.state().is_closed() => incident,
                Ok(Some(_)) => continue,
                Ok(None) => {
                    lock(&self.unaudited).remove(&id);
                    continue;
                }
                // One store in trouble is enough for this time.
                Err(_) => return,
            };
            if !self.audit_decisions(&mut incident).await {
                return;
            }
            if let Err(error) = self.store.save_incident(&incident).await {
                tracing::error!(incident.id = %id, %error, "its decisions will be told twice");
            }
        }
    }
}
