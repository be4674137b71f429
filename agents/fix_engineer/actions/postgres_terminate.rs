//! `postgres.terminate_backends`: ends sessions that hold up all others.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Reversal};
use crate::model::{Captured, Endpoint, Facts, TargetId, Timestamp};
use crate::ports::{World, WorldError, WorldResult};

/// One session, named for ever by its process id and start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Process id of the backend.
    pub pid: i32,
    /// When it started.
    pub backend_start: Option<Timestamp>,
    /// Who it is, for the record.
    pub who: String,
}

/// Ends PostgreSQL sessions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PostgresTerminate {
    /// The server.
    pub target: TargetId,
    /// How it is reached; the password is looked up again, never stored.
    pub endpoint: Endpoint,
    /// The sessions.
    pub sessions: Vec<Session>,
}

#[async_trait]
impl Act for PostgresTerminate {
    fn target(&self) -> TargetId {
        self.target.clone()
    }

    fn describe(&self) -> String {
        let who: Vec<&str> = self.sessions.iter().map(|s| s.who.as_str()).collect();
        format!("end {} session(s) of `{}`: {}", self.sessions.len(), self.target, who.join(", "))
    }

    fn reversal(&self) -> Reversal {
        // The server rolls the session's transaction back; its client connects anew.
        Reversal::PostCondition("the sessions are gone")
    }

    fn by_hand(&self) -> String {
        let calls: Vec<String> =
            self.sessions.iter().map(|s| format!("pg_terminate_backend({})", s.pid)).collect();
        format!("psql -c 'SELECT {}'", calls.join(", "))
    }

    fn interruption_secs(&self) -> u64 {
        0
    }

    async fn capture(&self, _world: &World) -> WorldResult<Captured> {
        Ok(Captured::Sessions)
    }

    async fn is_applied(&self, world: &World, _before: &Captured) -> WorldResult<bool> {
        let facts = world.prober.probe(&self.endpoint, super::PROBE_LIMIT).await;
        let Facts::Postgres(facts) = facts else {
            return Ok(false);
        };
        if !facts.reachable {
            return Err(WorldError::Unreachable {
                what: self.target.to_string(),
                why: facts.error.unwrap_or_default(),
            });
        }
        let still_there = |session: &Session| {
            facts
                .idle_in_transaction
                .iter()
                .chain(&facts.blockers)
                .any(|b| b.pid == session.pid && b.backend_start == session.backend_start)
        };
        Ok(!self.sessions.iter().any(still_there))
    }

    async fn apply(&self, world: &World, _before: &Captured) -> WorldResult<Option<String>> {
        let backends: Vec<_> = self.sessions.iter().map(|s| (s.pid, s.backend_start)).collect();
        world.prober.terminate_backends(&self.endpoint, &backends).await.map(|_| None)
    }

    async fn undo(&self, _world: &World, _before: &Captured) -> WorldResult<()> {
        Ok(())
    }
}
