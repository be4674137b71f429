//! `mysql.kill_connections`: ends sleeping connections that hold up all others.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::sessions::{Ending, chosen, ends_sessions};
use super::{Act, Action, Reversal};
use crate::fix_engineer::plan::{PlanRequest, Unfit, repair};
use crate::model::{Captured, Endpoint, Session, Step, TargetId};
use crate::ports::{World, WorldResult};

/// Ends connections to MySQL or MariaDB, if they still sleep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MysqlKill {
    /// The server.
    pub target: TargetId,
    /// How it is reached; the password is looked up again, never stored.
    pub endpoint: Endpoint,
    /// The sessions.
    pub sessions: Vec<Session>,
}

impl MysqlKill {
    fn command(&self) -> String {
        let calls: Vec<String> =
            self.sessions.iter().map(|s| format!("KILL CONNECTION {}", s.pid)).collect();
        format!("mysql -e '{}'", calls.join("; "))
    }
}

ends_sessions!(MysqlKill);

#[expect(clippy::unused_async, reason = "every action plans by the same call")]
pub(super) async fn plan(request: &PlanRequest<'_>) -> Result<Vec<Step>, Unfit> {
    let (endpoint, sessions) = chosen(request)?;
    let target = request.target()?.id.clone();
    Ok(vec![repair(Action::MysqlKill(MysqlKill { target, endpoint, sessions }))])
}
