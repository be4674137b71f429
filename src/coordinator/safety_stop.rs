//! Stops everything when too many fixes failed: from then on Selfheal only reports.
//!
//! The stop is a freeze of everything, kept until a person ends it. Its invariant: people are told
//! before it is in force, and each cycle asks anew, so a crash in between loses neither.

use selfheal_agents::learning_engine::{History, TooManyFailures};
use selfheal_agents::ports::StoreResult;

use super::state::Inner;
use super::{Freeze, freezes};
use crate::alerts;
use crate::audit::Act;

impl Inner {
    /// The same by what the store knows now.
    pub(super) async fn stop_by_what_is_kept(&self) -> StoreResult<()> {
        self.stop_if_too_much_failed(&self.history().await?).await
    }

    /// Begins the stop if enough failed and it is not in force.
    pub(super) async fn stop_if_too_much_failed(&self, history: &History) -> StoreResult<()> {
        let _freezing = self.freezing.lock().await;
        let before = self.freezes_in_force();
        if before.iter().any(|freeze| freeze.safety_stop) {
            return Ok(());
        }
        let (rules, now) = (self.rules(), self.world.clock.now());
        let lifted_at = freezes::lifted_at(self.store.as_ref()).await?;
        let failures = history.too_many_failures(rules.stop, lifted_at, now);
        let Some(TooManyFailures { why, at }) = failures else { return Ok(()) };
        tracing::error!("{why}: nothing is healed until a person types `selfheal unfreeze`");
        self.queue_alert(&alerts::stopped(&why, at)).await?;
        self.audit.write(&[Act::of_selfheal(now, "safety_stop").saying(&why)]).await;
        self.change_freezes(freezes::with(before, Freeze::safety_stop(why))).await
    }
}
