//! Makes one effect, as often as it takes and no longer than it may.
//!
//! Its invariant: before each call there is leave to make it, and what may have arrived although its
//! answer did not is looked for before it is tried again. It writes nothing down.

use std::sync::Arc;
use std::time::Duration;

use selfheal_agents::fix_engineer::actions::Act;
use selfheal_agents::model::{Captured, Step, TargetId};
use selfheal_agents::ports::{Permit, StoreError, WorldError, WorldResult};

use super::Executor;
use crate::leave;

/// Tries of one step or undo before it counts as failed.
const TRIES: u32 = 3;
/// Wait before the second try; doubles.
const FIRST_RETRY: Duration = Duration::from_millis(500);

/// Why a call is not made that was allowed a moment ago.
const RAN_OUT: &str = "its lease has just run out";

impl Executor {
    /// Leave to make one effect. Where another node looks after the target, the fix stays as it is
    /// in the journal, and whoever called goes on with it later.
    pub(super) async fn permit(&self, step: &Step) -> Result<Arc<dyn Permit>, StoreError> {
        let target = step.action.target();
        let permit = self.fleet.permit(&target, step.action.limit()).await;
        permit.map(Arc::from).map_err(|why| not_ours(&target, &why))
    }

    /// Makes the effect, unless it is there already after an interruption.
    pub(super) async fn effect(
        &self,
        step: &Step,
        before: &Captured,
        mut in_doubt: bool,
        mut permit: Arc<dyn Permit>,
    ) -> Result<WorldResult<Option<String>>, StoreError> {
        let mut wait = FIRST_RETRY;
        let mut tries = 1;
        loop {
            let is_there = if in_doubt {
                step.action.is_applied(&self.world, before).await
            } else {
                Ok(false)
            };
            let result = match is_there {
                Ok(true) => self.checksum_now(before).await,
                Ok(false) if permit.is_valid() => {
                    let effect = step.action.apply(&self.world, before);
                    leave::under(Arc::clone(&permit), effect).await
                }
                Ok(false) => return Err(not_ours(&step.action.target(), RAN_OUT)),
                Err(error) => return Ok(Err(error)),
            };
            match result {
                Err(WorldError::NoLeave { .. }) => {
                    return Err(not_ours(&step.action.target(), RAN_OUT));
                }
                Err(error) if error.is_transient() && tries < TRIES => {
                    tracing::warn!(action = step.action.name(), %error, "step failed, trying again");
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                    tries += 1;
                    // It may have arrived although the answer did not.
                    in_doubt = true;
                    permit = self.permit(step).await?;
                }
                other => return Ok(other),
            }
        }
    }

    /// Does what may be repeated, a few times where it fails.
    pub(super) async fn patiently<F: Future<Output = WorldResult<()>>>(
        &self,
        step: &Step,
        call: impl Fn() -> F,
    ) -> Result<WorldResult<()>, StoreError> {
        let mut wait = FIRST_RETRY;
        for _ in 1..TRIES {
            match self.permitted(step, &call).await? {
                Ok(()) => return Ok(Ok(())),
                Err(error) => {
                    tracing::warn!(action = step.action.name(), %error, "it failed, trying again");
                }
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        self.permitted(step, &call).await
    }

    async fn permitted<F: Future<Output = WorldResult<()>>>(
        &self,
        step: &Step,
        call: &impl Fn() -> F,
    ) -> Result<WorldResult<()>, StoreError> {
        let permit = self.permit(step).await?;
        if !permit.is_valid() {
            return Err(not_ours(&step.action.target(), RAN_OUT));
        }
        match leave::under(permit, call()).await {
            Err(WorldError::NoLeave { .. }) => Err(not_ours(&step.action.target(), RAN_OUT)),
            done => Ok(done),
        }
    }

    async fn checksum_now(&self, before: &Captured) -> WorldResult<Option<String>> {
        match before {
            Captured::File(file) => Ok(Some(self.world.files.read(&file.path).await?.sha256)),
            _ => Ok(None),
        }
    }

    /// What became of a step, unless its engine went away meanwhile: then nobody knows that, the fix
    /// stays as it is in the journal, and whoever called goes on with it once the engine is back.
    pub(super) async fn unless_away<T>(
        &self,
        step: &Step,
        done: WorldResult<T>,
    ) -> Result<WorldResult<T>, StoreError> {
        let target = step.action.target();
        let failed_for_now = done.as_ref().is_err_and(WorldError::is_transient);
        let Some(engine) = target.engine().filter(|_| failed_for_now) else { return Ok(done) };
        // That it is away is known once all that it holds is asked for.
        drop(self.world.runtime.containers().await);
        match self.world.runtime.away().get(engine) {
            Some(why) => Err(not_ours(&target, why)),
            None => Ok(done),
        }
    }
}

fn not_ours(target: &TargetId, why: &str) -> StoreError {
    StoreError::Conflict(format!("`{target}` is not touched from here now: {why}"))
}
