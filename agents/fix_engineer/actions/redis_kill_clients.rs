//! `redis.kill_clients`: ends connections that nobody uses when few are left.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Action, Reversal};
use crate::fix_engineer::plan::{PlanRequest, Unfit, repair};
use crate::model::{Captured, Endpoint, Facts, RedisClient, Step, TargetId};
use crate::ports::{World, WorldError, WorldResult};
use crate::root_cause::lasts_for;

/// Ends idle connections to Redis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RedisKillClients {
    /// The server.
    pub target: TargetId,
    /// How it is reached; the password is looked up again, never stored.
    pub endpoint: Endpoint,
    /// The connections.
    pub clients: Vec<RedisClient>,
}

#[async_trait]
impl Act for RedisKillClients {
    fn target(&self) -> TargetId {
        self.target.clone()
    }

    fn describe(&self) -> String {
        let least = self.clients.iter().map(|c| c.idle_secs).min().unwrap_or(0);
        format!(
            "end {} connection(s) of `{}` that were idle for {least} s or more",
            self.clients.len(),
            self.target
        )
    }

    fn reversal(&self) -> Reversal {
        // Nothing was under way on it; its client connects anew when it needs to.
        Reversal::PostCondition("the connections are gone")
    }

    fn by_hand(&self) -> String {
        let id = self.clients.first().map_or(0, |client| client.id);
        format!("redis-cli CLIENT KILL ID {id}")
    }

    fn interruption_secs(&self) -> u64 {
        0
    }

    async fn capture(&self, _world: &World) -> WorldResult<Captured> {
        Ok(Captured::Sessions)
    }

    async fn is_applied(&self, world: &World, _before: &Captured) -> WorldResult<bool> {
        let facts = world.prober.probe(&self.endpoint, super::PROBE_LIMIT).await;
        let Facts::Redis(facts) = facts else {
            return Ok(false);
        };
        if !facts.reachable {
            return Err(WorldError::Unreachable {
                what: self.target.to_string(),
                why: facts.error.unwrap_or_default(),
            });
        }
        let is_there = |client: &RedisClient| {
            facts.idle_clients.iter().any(|c| c.id == client.id && c.address == client.address)
        };
        Ok(!self.clients.iter().any(is_there))
    }

    async fn apply(&self, world: &World, _before: &Captured) -> WorldResult<Option<String>> {
        world.servers.kill_clients(&self.endpoint, &self.clients).await.map(|_| None)
    }

    async fn undo(&self, _world: &World, _before: &Captured) -> WorldResult<()> {
        Ok(())
    }

    fn comes_by_itself(&self) -> bool {
        true
    }

    fn endpoint_mut(&mut self) -> Option<&mut Endpoint> {
        Some(&mut self.endpoint)
    }
}

/// Connections idle for less than this are left alone, in seconds, when the runbook does not say.
const DEFAULT_OLDER_THAN_SECS: u64 = 600;

#[expect(clippy::unused_async, reason = "every action plans by the same call")]
pub(super) async fn plan(request: &PlanRequest<'_>) -> Result<Vec<Step>, Unfit> {
    let target = request.target()?;
    let report = request.workshop.evidence.report.target(&target.id);
    let Some(Facts::Redis(facts)) = report.and_then(|r| r.state.facts.as_ref().ok()) else {
        return Err("the server could not be asked for its clients".into());
    };
    let endpoint = target.endpoint.clone().ok_or("it is not known how to reach the server")?;
    let oldest = request.template.parameters.older_than_secs.unwrap_or(DEFAULT_OLDER_THAN_SECS);
    let clients: Vec<RedisClient> =
        facts.idle_clients.iter().filter(|c| c.idle_secs >= oldest).cloned().collect();
    if clients.is_empty() {
        let longest = facts.idle_clients.iter().map(|client| client.idle_secs).max();
        let (oldest, now) = (oldest as f64, request.workshop.evidence.now);
        return Err(Unfit {
            why: format!("no connection has been idle for {oldest} s"),
            from: longest.map(|secs| lasts_for(secs as f64, oldest, now)),
        });
    }
    let kill = RedisKillClients { target: target.id.clone(), endpoint, clients };
    Ok(vec![repair(Action::RedisKillClients(kill))])
}
