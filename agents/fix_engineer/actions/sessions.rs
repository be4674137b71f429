//! What the actions have in common that end sessions of a database server.

use std::collections::BTreeSet;

use crate::fix_engineer::plan::{PlanRequest, Unfit};
use crate::model::{Backend, DatabaseFacts, Endpoint, Session, TargetId};
use crate::ports::{World, WorldError, WorldResult};
use crate::root_cause::lasts_for;

/// Sessions that are idle for less than this are left alone, in seconds, when the runbook does not
/// say.
const DEFAULT_OLDER_THAN_SECS: u64 = 300;

/// More than this many at once of those that only sleep is no repair but a purge: a pool that is
/// quiet for the night holds nobody up.
const MOST_SLEEPING: usize = 5;

/// What forgot one session forgot the others beside it, which may have got there a moment later: for how
/// much of the time they must have been idle, if one of the same client has been for all of it.
const NEARLY: f64 = 0.9;

/// How many of the sessions are named where the fix is described; the others are counted.
const NAMED: usize = 3;

/// The sessions of one server that are to end.
pub(super) struct Ending<'a> {
    pub(super) target: &'a TargetId,
    pub(super) endpoint: &'a Endpoint,
    pub(super) sessions: &'a [Session],
}

impl Ending<'_> {
    pub(super) fn describe(&self) -> String {
        let who: Vec<&str> = self.sessions.iter().take(NAMED).map(|s| s.who.as_str()).collect();
        let others = match self.sessions.len().saturating_sub(NAMED) {
            0 => String::new(),
            count => format!(", {count} more"),
        };
        let (count, target) = (self.sessions.len(), self.target);
        format!("end {count} session(s) of `{target}`: {}{others}", who.join(", "))
    }

    pub(super) async fn is_applied(&self, world: &World) -> WorldResult<bool> {
        let facts = world.prober.probe(self.endpoint, super::PROBE_LIMIT).await;
        let Some(facts) = facts.database() else {
            return Ok(false);
        };
        if !facts.reachable {
            return Err(WorldError::Unreachable {
                what: self.target.to_string(),
                why: facts.error.clone().unwrap_or_default(),
            });
        }
        let known = || facts.idle_in_transaction.iter().chain(&facts.blockers).chain(&facts.idle);
        Ok(!self.sessions.iter().any(|session| known().any(|backend| session.is(backend))))
    }

    pub(super) async fn apply(&self, world: &World) -> WorldResult<Option<String>> {
        world.prober.terminate_backends(self.endpoint, self.sessions).await.map(|_| None)
    }
}

/// Writes the [`super::Act`] of an action that ends sessions. The type has the method `command` (by
/// hand), and the fields `target`, `endpoint` and `sessions`.
macro_rules! ends_sessions {
    ($action:ty) => {
        impl $action {
            fn ending(&self) -> Ending<'_> {
                let Self { target, endpoint, sessions } = self;
                Ending { target, endpoint, sessions }
            }
        }

        #[async_trait]
        impl Act for $action {
            fn target(&self) -> TargetId {
                self.target.clone()
            }

            fn describe(&self) -> String {
                self.ending().describe()
            }

            fn reversal(&self) -> Reversal {
                // The server rolls the session's transaction back; its client connects anew.
                Reversal::PostCondition("the sessions are gone")
            }

            fn by_hand(&self) -> String {
                self.command()
            }

            fn interruption_secs(&self) -> u64 {
                0
            }

            async fn capture(&self, _world: &World) -> WorldResult<Captured> {
                Ok(Captured::Sessions)
            }

            async fn is_applied(&self, world: &World, _before: &Captured) -> WorldResult<bool> {
                self.ending().is_applied(world).await
            }

            async fn apply(
                &self,
                world: &World,
                _before: &Captured,
            ) -> WorldResult<Option<String>> {
                self.ending().apply(world).await
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
    };
}
pub(super) use ends_sessions;

/// How the state begins of one that does nothing inside a transaction.
const FORGOTTEN: &str = "idle in transaction";

/// The sessions that the runbook means, with how the server is reached.
pub(super) fn chosen(request: &PlanRequest<'_>) -> Result<(Endpoint, Vec<Session>), Unfit> {
    let target = request.target()?;
    let report = request.workshop.evidence.report.target(&target.id);
    let facts = report.and_then(|r| r.state.facts.as_ref().ok()).and_then(|f| f.database());
    let facts = facts.ok_or("the server could not be asked for its sessions")?;
    if facts.in_recovery {
        return Err("the server is in recovery".into());
    }
    let endpoint = target.endpoint.clone().ok_or("it is not known how to reach the server")?;
    let parameters = &request.template.parameters;
    let oldest = parameters.older_than_secs.unwrap_or(DEFAULT_OLDER_THAN_SECS);
    let which = parameters.sessions.as_deref();
    let in_the_way = in_the_way(facts, which);
    let old = long_enough(&in_the_way, which, oldest as f64);
    if old.is_empty() {
        let longest = in_the_way.iter().map(|session| session.state_secs).max_by(f64::total_cmp);
        let now = request.workshop.evidence.now;
        return Err(Unfit {
            why: format!("no session has been in the way for {oldest} s"),
            from: longest.map(|secs| lasts_for(secs, oldest as f64, now)),
        });
    }
    let most = match which {
        // Those it holds up go on when it is gone.
        Some(BLOCKER) => 1,
        Some(SLEEPING) => MOST_SLEEPING,
        // Whoever leaks takes what is given back at once: to end a few of many mends nothing.
        _ => usize::MAX,
    };
    Ok((endpoint, old.into_iter().take(most).map(session).collect()))
}

/// The runbook's word for whoever holds up others.
const BLOCKER: &str = "blocker";

/// The runbook's word for those that have no transaction open.
const SLEEPING: &str = "idle";

/// Who does nothing and is in the way, however short it is.
fn in_the_way<'f>(facts: &'f DatabaseFacts, which: Option<&str>) -> Vec<&'f Backend> {
    match which {
        // One that works holds its locks for a reason.
        Some(BLOCKER) => {
            let forgotten = |b: &&Backend| b.blocks > 0 && b.state.starts_with(FORGOTTEN);
            facts.blockers.iter().filter(forgotten).collect()
        }
        Some(SLEEPING) => facts.idle.iter().collect(),
        _ => facts.idle_in_transaction.iter().collect(),
    }
}

/// Those that have been so for `oldest` seconds, and where several are ended those of the same clients that
/// nearly have.
fn long_enough<'f>(sessions: &[&'f Backend], which: Option<&str>, oldest: f64) -> Vec<&'f Backend> {
    let nearly = if which == Some(BLOCKER) { 1.0 } else { NEARLY };
    let client = |one: &'f Backend| (&one.user, &one.application);
    let is_old = |one: &Backend| one.state_secs >= oldest;
    let clients: BTreeSet<_> =
        sessions.iter().filter(|one| is_old(one)).map(|one| client(one)).collect();
    let is_meant = |one: &Backend, client| {
        is_old(one) || (one.state_secs >= nearly * oldest && clients.contains(&client))
    };
    sessions.iter().copied().filter(|one| is_meant(one, client(one))).collect()
}

fn session(backend: &Backend) -> Session {
    let program = if backend.application.is_empty() { "a program" } else { &backend.application };
    Session {
        pid: backend.pid,
        backend_start: backend.backend_start,
        address: backend.address.clone(),
        in_transaction: backend.state.starts_with(FORGOTTEN),
        who: format!(
            "{program} of `{}` (pid {}, {} for {:.0} s)",
            backend.user, backend.pid, backend.state, backend.state_secs
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DatabaseEndpoint, TargetKind};

    fn holder(state: &str, state_secs: f64) -> DatabaseFacts {
        let holder =
            Backend { pid: 7, state: state.to_owned(), state_secs, blocks: 2, ..backend() };
        DatabaseFacts { reachable: true, blockers: vec![holder], ..Default::default() }
    }

    fn backend() -> Backend {
        Backend {
            pid: 1,
            backend_start: None,
            address: String::new(),
            state: String::new(),
            state_secs: 0.0,
            user: "shop".to_owned(),
            application: String::new(),
            blocks: 0,
        }
    }

    #[test]
    fn a_few_sessions_are_named_and_the_others_counted() {
        let endpoint = Endpoint::Postgres(DatabaseEndpoint {
            host: "db".to_owned(),
            port: 5432,
            user: None,
            password: None,
            database: None,
            tls: false,
        });
        let target = TargetId::lossy(TargetKind::Postgres, "db");
        let said = |count| {
            let sessions: Vec<Session> = (0..count).map(|_| session(&backend())).collect();
            Ending { target: &target, endpoint: &endpoint, sessions: &sessions }.describe()
        };
        let one = "a program of `shop` (pid 1,  for 0 s)";
        let three = format!("end 3 session(s) of `postgres:db`: {one}, {one}, {one}");
        assert_eq!(said(3), three);
        assert_eq!(said(97), format!("{}, 94 more", three.replace("end 3", "end 97")));
    }

    #[test]
    fn what_the_same_client_forgot_a_moment_later_is_ended_too_and_nobody_elses() {
        let idle = |pid, user: &str, state_secs| Backend {
            pid,
            user: user.to_owned(),
            state_secs,
            ..backend()
        };
        let sessions = [
            idle(1, "shop", 60.1),
            idle(2, "shop", 59.4),
            idle(3, "shop", 53.0),
            idle(4, "clerk", 59.9),
        ];
        let ended = |sessions: &[Backend], which| -> Vec<i64> {
            let sessions: Vec<_> = sessions.iter().collect();
            long_enough(&sessions, which, 60.0).iter().map(|one| one.pid).collect()
        };
        assert_eq!(ended(&sessions, None), [1, 2]);
        assert_eq!(
            ended(&sessions, Some(BLOCKER)),
            [1],
            "of these one is ended, the most in the way"
        );
        assert!(ended(&sessions[1..], None).is_empty(), "nobody has been idle for the whole time");
    }

    #[test]
    fn who_holds_a_lock_is_ended_only_if_it_was_forgotten() {
        let ended = |state, secs| in_the_way(&holder(state, secs), Some(BLOCKER)).len();
        assert_eq!(ended("idle in transaction", 21.0), 1);
        assert_eq!(ended("idle in transaction (aborted)", 21.0), 1);
        assert_eq!(ended("active", 500.0), 0, "a migration works");
        assert_eq!(ended("idle", 500.0), 0, "a prepared transaction has no session to end");
    }
}
