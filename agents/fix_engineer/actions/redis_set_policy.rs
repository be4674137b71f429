//! `redis.set_policy`: lets a full Redis evict keys that expire by themselves anyway.
//!
//! Only policies that leave every other key alone can be written here: what has no expiry was
//! not meant to vanish.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::server::{Change, changes_a_setting};
use super::{Act, Action, Reversal};
use crate::fix_engineer::plan::{PlanRequest, Planned, repair};
use crate::model::{Captured, Endpoint, Facts, ServerSetting, TargetId};
use crate::ports::{World, WorldResult};

/// What may be evicted (Redis manual, "Key eviction"): keys with an expiry, in some order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EvictionPolicy {
    /// Least recently used first.
    #[serde(rename = "volatile-lru")]
    VolatileLru,
    /// Least often used first.
    #[serde(rename = "volatile-lfu")]
    VolatileLfu,
    /// Shortest to live first.
    #[serde(rename = "volatile-ttl")]
    VolatileTtl,
}

impl EvictionPolicy {
    /// Every policy a fix may set.
    pub const ALL: [Self; 3] = [Self::VolatileLru, Self::VolatileLfu, Self::VolatileTtl];

    /// Redis' own word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VolatileLru => "volatile-lru",
            Self::VolatileLfu => "volatile-lfu",
            Self::VolatileTtl => "volatile-ttl",
        }
    }

    /// The policy of that name, if a fix may set it.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == name)
    }
}

/// Sets `maxmemory-policy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RedisSetPolicy {
    /// The server.
    pub target: TargetId,
    /// How it is reached; the password is looked up again, never stored.
    pub endpoint: Endpoint,
    /// What may be evicted from then on.
    pub policy: EvictionPolicy,
}

impl RedisSetPolicy {
    fn change(&self) -> Change<'_> {
        Change {
            target: &self.target,
            endpoint: &self.endpoint,
            setting: ServerSetting::RedisMaxmemoryPolicy,
            to: self.policy.as_str().to_owned(),
        }
    }

    fn what(&self) -> String {
        format!(
            "let `{}` evict keys that expire by themselves ({}) until its next start",
            self.target,
            self.policy.as_str()
        )
    }
}

changes_a_setting!(RedisSetPolicy);

#[expect(clippy::unused_async, reason = "every action plans by the same call")]
pub(super) async fn plan(request: &PlanRequest<'_>) -> Planned {
    let target = request.target()?;
    let report = request.workshop.evidence.report.target(&target.id);
    let Some(Facts::Redis(facts)) = report.and_then(|r| r.state.facts.as_ref().ok()) else {
        return Err("the server could not be asked for its policy".to_owned());
    };
    let endpoint = target.endpoint.clone().ok_or("it is not known how to reach the server")?;
    let wanted = request.template.parameters.policy.as_deref();
    let policy = wanted
        .and_then(EvictionPolicy::named)
        .ok_or("the runbook names no policy that a fix may set")?;
    match facts.maxmemory_policy.as_deref() {
        Some("noeviction") => {}
        Some(other) => return Err(format!("it evicts already ({other})")),
        None => return Err("its policy is not known".to_owned()),
    }
    if facts.expiring_keys.unwrap_or(0) == 0 {
        return Err("none of its keys expires, so there is nothing to evict".to_owned());
    }
    let set = RedisSetPolicy { target: target.id.clone(), endpoint, policy };
    Ok(vec![repair(Action::RedisSetPolicy(set))])
}
