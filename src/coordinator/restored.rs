//! After the database was damaged and a snapshot took its place: what the journal says is old.
//!
//! A fix that was under way when the snapshot was taken may since have been finished, kept, taken
//! back or never gone on with. So none is finished or undone because of it: each is given to a
//! person as stuck, with the commands that take it back, and nothing is touched. Everything else is
//! decided anew from what is true now, once a person has ended the freeze.

use std::collections::BTreeMap;
use std::sync::Arc;

use selfheal_agents::model::{Actor, Incident, IncidentId, IncidentState, Timestamp};
use selfheal_agents::ports::{Memory, StoreResult};

use super::memories::{keep_in, recall_from};
use super::progress::Phase;
use super::repair::fixes;
use super::state::Inner;

/// Under which name the store keeps of when the snapshot is that was restored.
const NAME: &str = "restored";

/// Notes that the store is as it was at that time, before anything is taken up from it.
pub async fn note(store: &(impl Memory + ?Sized), taken_at: Timestamp) -> StoreResult<()> {
    keep_in(store, NAME, &taken_at).await
}

impl Inner {
    /// Gives what was under way to a person, if the store was restored. Done again from the
    /// beginning where it was cut off.
    pub(super) async fn hand_over(self: &Arc<Self>) -> StoreResult<()> {
        let Some(taken_at) = recall_from::<Timestamp>(self.store.as_ref(), NAME).await? else {
            return Ok(());
        };
        let reason = format!(
            "the database was damaged, and what became of this fix after {} is not known; nothing \
             was done about it, and the commands are for what of it is still in effect",
            taken_at.format("%Y-%m-%d %H:%M:%S UTC")
        );
        let mut unfinished = vec![];
        let mut by_hand: BTreeMap<IncidentId, Vec<String>> = BTreeMap::new();
        for fix in self.store.unfinished_fixes().await? {
            let Some(progress) = self.executor.progress(fix).await? else { continue };
            let commands = self.executor.all_by_hand(&progress).await;
            by_hand.entry(progress.incident).or_default().extend(commands.clone());
            unfinished.push((progress, commands));
        }
        for incident in self.store.open_incidents().await? {
            if is_under_way(&incident) {
                let known = self.by_hand_in_journal(&incident).await?;
                by_hand.entry(incident.id).or_default().extend(known);
            }
        }
        for (id, commands) in by_hand {
            if let Some(incident) = self.store.incident(id).await? {
                self.hand_over_incident(incident, &reason, commands).await;
            }
        }
        // Last: cut off before that, what takes a fix back is found out once more.
        for (mut progress, commands) in unfinished {
            self.executor.hand_over(&mut progress, &reason, commands).await?;
        }
        self.store.set_value(NAME, None).await
    }

    /// What the journal says is to be done by hand, where the snapshot fell between it and the
    /// incident.
    async fn by_hand_in_journal(&self, incident: &Incident) -> StoreResult<Vec<String>> {
        let mut all = vec![];
        for fix in fixes(incident) {
            let progress = self.executor.progress(fix.id).await?;
            if let Some(Phase::Stuck { by_hand, .. }) = progress.map(|progress| progress.phase) {
                all.extend(by_hand);
            }
        }
        Ok(all)
    }

    async fn hand_over_incident(
        &self,
        mut incident: Incident,
        why: &str,
        mut by_hand: Vec<String>,
    ) {
        let text = "a fix was begun, as the journal says";
        match incident.state() {
            // The snapshot fell between the journal and the incident.
            IncidentState::Open => {
                for next in [IncidentState::Held, IncidentState::Fixing] {
                    self.go(&mut incident, next, Actor::Recovery, text);
                }
            }
            IncidentState::Diagnosed | IncidentState::Held => {
                self.go(&mut incident, IncidentState::Fixing, Actor::Recovery, text);
            }
            IncidentState::RolledBack => {
                incident.by_hand = by_hand;
                incident.note(self.world.clock.now(), Actor::Recovery, why);
                return self.save(&mut incident).await;
            }
            IncidentState::Stuck => {
                by_hand.retain(|command| !incident.by_hand.contains(command));
                if by_hand.is_empty() {
                    // It was handed over before that was cut off.
                    return;
                }
                by_hand.splice(0..0, incident.by_hand.clone());
            }
            IncidentState::Fixing | IncidentState::Validating | IncidentState::Resolved => {}
        }
        self.get_stuck(&mut incident, why, by_hand).await;
    }
}

/// Whether something was being done for it.
pub(super) fn is_under_way(incident: &Incident) -> bool {
    matches!(incident.state(), IncidentState::Fixing | IncidentState::Validating)
}
