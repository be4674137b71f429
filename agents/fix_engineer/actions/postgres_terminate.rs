//! `postgres.terminate_backends`: ends sessions that hold up all others.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Action, Reversal};
use crate::fix_engineer::plan::{PlanRequest, Planned, repair};
use crate::model::{Backend, Captured, Endpoint, Facts, TargetId, Timestamp};
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

    fn endpoint_mut(&mut self) -> Option<&mut Endpoint> {
        Some(&mut self.endpoint)
    }
}

/// Sessions idle in transaction for less than this are left alone, in seconds, when the
/// runbook does not say.
const DEFAULT_OLDER_THAN_SECS: u64 = 300;

/// More than this many at once is no repair but a purge.
const MOST_SESSIONS: usize = 5;

#[expect(clippy::unused_async, reason = "every action plans by the same call")]
pub(super) async fn plan(request: &PlanRequest<'_>) -> Planned {
    let target = request.target()?;
    let report = request.workshop.evidence.report.target(&target.id);
    let Some(Facts::Postgres(facts)) = report.and_then(|r| r.state.facts.as_ref().ok()) else {
        return Err("the server could not be asked for its sessions".to_owned());
    };
    if facts.in_recovery {
        return Err("the server is in recovery".to_owned());
    }
    let endpoint = target.endpoint.clone().ok_or("it is not known how to reach the server")?;
    let parameters = &request.template.parameters;
    let oldest = parameters.older_than_secs.unwrap_or(DEFAULT_OLDER_THAN_SECS);
    let chosen: Vec<&Backend> = match parameters.sessions.as_deref() {
        Some("blocker") => facts.blockers.iter().filter(|b| b.blocks > 0).take(1).collect(),
        _ => facts
            .idle_in_transaction
            .iter()
            .filter(|b| b.state_secs >= oldest as f64)
            .take(MOST_SESSIONS)
            .collect(),
    };
    if chosen.is_empty() {
        return Err("no session is in the way for long enough".to_owned());
    }
    let sessions = chosen.into_iter().map(session).collect();
    let action = PostgresTerminate { target: target.id.clone(), endpoint, sessions };
    Ok(vec![repair(Action::PostgresTerminate(action))])
}

fn session(backend: &Backend) -> Session {
    let program = if backend.application.is_empty() { "a program" } else { &backend.application };
    Session {
        pid: backend.pid,
        backend_start: backend.backend_start,
        who: format!(
            "{program} of `{}` (pid {}, {} for {:.0} s)",
            backend.user, backend.pid, backend.state, backend.state_secs
        ),
    }
}
