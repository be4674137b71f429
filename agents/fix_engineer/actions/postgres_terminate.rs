//! `postgres.terminate_backends`: ends sessions that hold up all others.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::sessions::{Ending, chosen, ends_sessions};
use super::{Act, Action, Reversal};
use crate::fix_engineer::plan::{PlanRequest, Unfit, repair};
use crate::model::{Captured, Endpoint, Session, Step, TargetId};
use crate::ports::{World, WorldResult};

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

impl PostgresTerminate {
    fn command(&self) -> String {
        let calls: Vec<String> =
            self.sessions.iter().map(|s| format!("pg_terminate_backend({})", s.pid)).collect();
        format!("psql -c 'SELECT {}'", calls.join(", "))
    }
}

ends_sessions!(PostgresTerminate);

#[expect(clippy::unused_async, reason = "every action plans by the same call")]
pub(super) async fn plan(request: &PlanRequest<'_>) -> Result<Vec<Step>, Unfit> {
    let (endpoint, sessions) = chosen(request)?;
    let target = request.target()?.id.clone();
    Ok(vec![repair(Action::PostgresTerminate(PostgresTerminate { target, endpoint, sessions }))])
}
