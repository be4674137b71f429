//! What becomes of a fix that could not be taken back: a person is told loudly with what to type, and
//! nothing is touched there until it is taken back after all.

use std::sync::Arc;

use selfheal_agents::model::{Actor, Fix, Incident, IncidentState, TargetId};
use selfheal_agents::ports::{IncidentQuery, StoreResult};

use super::Freeze;
use super::progress::Phase;
use super::state::Inner;
use crate::alerts::AlertEvent;

impl Inner {
    /// Undoing failed: loud, and hands off this target until a person looked.
    ///
    /// The incident is written last: cut off before that, the next start does it all again.
    pub(super) async fn get_stuck(
        &self,
        incident: &mut Incident,
        reason: &str,
        by_hand: Vec<String>,
    ) {
        incident.by_hand = by_hand;
        if incident.state() == IncidentState::Stuck {
            incident.note(self.world.clock.now(), Actor::FixEngineer, reason);
        } else {
            self.go(incident, IncidentState::Stuck, Actor::FixEngineer, reason.to_owned());
        }
        for target in hands_off(incident) {
            let freeze = Freeze {
                target: Some(target),
                until: None,
                reason: format!("a fix could not be taken back here: {reason}"),
                by: "selfheal".to_owned(),
                safety_stop: false,
                stuck: Some(incident.id),
            };
            if let Err(error) = self.add_freeze(freeze).await {
                tracing::error!(%error, "the stuck target could not be frozen");
            }
        }
        self.alert(incident, AlertEvent::Stuck).await;
        self.save(incident).await;
        self.unwatch(incident.id);
    }

    /// What was stuck is taken back after all: its targets may be healed again.
    pub(super) async fn come_unstuck(&self, incident: &mut Incident) {
        incident.by_hand.clear();
        let _freezing = self.freezing.lock().await;
        let mut freezes = self.freezes_in_force();
        freezes.retain(|freeze| freeze.stuck != Some(incident.id));
        if let Err(error) = self.change_freezes(freezes).await {
            tracing::error!(%error, "a freeze that is not needed any more stays");
        }
    }

    /// After a crash: what a person had taken back, as the journal says, is stuck no more.
    pub(super) async fn free_what_was_taken_back(self: &Arc<Self>) -> StoreResult<()> {
        let query = IncidentQuery { states: vec![IncidentState::Stuck], ..Default::default() };
        for mut incident in self.store.incidents(&query).await? {
            let Some(fix) = &incident.fix else { continue };
            let progress = self.executor.progress(fix.id).await?;
            if progress.is_some_and(|progress| progress.phase == Phase::RolledBack) {
                self.come_unstuck(&mut incident).await;
                let text = "taken back, as the journal says".to_owned();
                self.go(&mut incident, IncidentState::RolledBack, Actor::Recovery, text);
                self.save(&mut incident).await;
            }
        }
        Ok(())
    }
}

/// What is not to be touched once a fix could not be taken back.
fn hands_off(incident: &Incident) -> Vec<TargetId> {
    let mut targets = incident.fix.as_ref().map(Fix::touches).unwrap_or_default();
    if !targets.contains(&incident.target) {
        targets.push(incident.target.clone());
    }
    targets
}
