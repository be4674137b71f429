//! The leave to change what several nodes reach, as the Docker adapter keeps it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use selfheal::docker::{Docker, Limits};
use selfheal::leave;
use selfheal_agents::ports::{ContainerRuntime as _, Permit, WorldError};

use crate::scale::engine::Engine;

/// A lease of which so much is left.
struct Left(Duration);

impl Permit for Left {
    fn is_valid(&self) -> bool {
        true
    }
    fn covers(&self, limit: Duration) -> bool {
        self.0 > limit
    }
}

#[test]
fn no_call_goes_to_docker_that_may_end_after_the_lease_also_not_by_the_time_to_stop() -> Result<()>
{
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("engine.sock");
    let engine = Engine::of(&socket, 1);
    let change = Limits::default().change;
    let waiting = tokio::runtime::Runtime::new()?;
    let docker =
        waiting.block_on(async { Docker::connect(&format!("unix://{}", socket.display())) })?;
    let verb = |left: Duration, stop_secs: u32, signal: Option<&'static str>| {
        let docker = docker.clone();
        let restart = async move { docker.restart("c0", signal, stop_secs).await };
        let ended = waiting.block_on(leave::under(Arc::new(Left(left)), restart));
        let asked = engine.asked();
        let came =
            asked.keys().filter(|kind| !kind.ends_with("/json")).cloned().collect::<Vec<_>>();
        (matches!(ended, Err(WorldError::NoLeave { .. })), came)
    };
    let stop = Duration::from_mins(2);
    for (signal, call) in [(None, "containers/{id}/restart"), (Some("INT"), "containers/{id}/kill")]
    {
        let (refused, came) = verb(change + stop, 120, signal);
        ensure!(refused && came.is_empty(), "{signal:?}: {came:?}");
        let (refused, came) = verb(change + stop + Duration::from_secs(1), 120, signal);
        ensure!(!refused && came.iter().any(|kind| kind == call), "{signal:?}: {came:?}");
    }
    Ok(())
}
