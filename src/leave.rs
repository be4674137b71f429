//! Lets adapters ask, with nothing left to do but the call itself, whether there is time for it.
//!
//! Whoever has leave to change a target that several nodes reach (`ports::Fleet`) makes the effect
//! [`under`] it. An adapter asks [`for_call`] directly before each call that changes something, and
//! names the limit within which that call ends: only it knows how many calls an effect is made of, and
//! how long each may take, as a container may take to stop. What is done under no leave, as to what
//! one node alone reaches, is let through.
//!
//! Rejected: the leave as an argument of every call of every port. All of them would hand on what
//! matters to a few, and the fakes with them.

use std::sync::Arc;
use std::time::Duration;

use selfheal_agents::ports::{Permit, WorldError, WorldResult};

tokio::task_local! {
    static LEAVE: Arc<dyn Permit>;
}

/// Makes an effect under a leave. What it spawns is not.
pub async fn under<T>(leave: Arc<dyn Permit>, effect: impl Future<Output = T>) -> T {
    LEAVE.scope(leave, effect).await
}

/// Refuses a call that would not end before the leave does. The call is to follow at once.
pub fn for_call(what: &str, limit: Duration) -> WorldResult<()> {
    match LEAVE.try_with(|leave| leave.covers(limit)) {
        Ok(false) => Err(WorldError::NoLeave { what: what.to_owned() }),
        Ok(true) | Err(_) => Ok(()),
    }
}
