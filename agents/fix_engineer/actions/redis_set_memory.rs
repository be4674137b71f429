//! `redis.set_memory`: gives a full Redis more room while it runs.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::server::{Change, changes_a_setting};
use super::{Act, Action, Reversal};
use crate::fix_engineer::plan::{PlanRequest, Planned, repair};
use crate::model::{Captured, Endpoint, Facts, ServerSetting, TargetId};
use crate::ports::{World, WorldResult};

/// Raises `maxmemory`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RedisSetMemory {
    /// The server.
    pub target: TargetId,
    /// How it is reached; the password is looked up again, never stored.
    pub endpoint: Endpoint,
    /// As it was planned from, in bytes.
    pub from_bytes: u64,
    /// The new limit, in bytes.
    pub to_bytes: u64,
}

const MIB: u64 = 1024 * 1024;

impl RedisSetMemory {
    fn change(&self) -> Change<'_> {
        Change {
            target: &self.target,
            endpoint: &self.endpoint,
            setting: ServerSetting::RedisMaxmemory,
            to: self.to_bytes.to_string(),
        }
    }

    fn what(&self) -> String {
        format!(
            "raise maxmemory of `{}` from {} MiB to {} MiB until its next start",
            self.target,
            self.from_bytes / MIB,
            self.to_bytes / MIB
        )
    }
}

changes_a_setting!(RedisSetMemory);

/// How much the limit is raised when the runbook does not say.
const DEFAULT_FACTOR: f64 = 1.25;

/// Share of its container's memory that a Redis may fill: the rest is for buffers, fragments and the
/// copies that a background save makes (Redis manual, "Memory optimization").
const SHARE_OF_CONTAINER: f64 = 0.75;

#[expect(clippy::unused_async, reason = "every action plans by the same call")]
pub(super) async fn plan(request: &PlanRequest<'_>) -> Planned {
    let target = request.target()?;
    let report = request.workshop.evidence.report.target(&target.id);
    let Some(Facts::Redis(facts)) = report.and_then(|r| r.state.facts.as_ref().ok()) else {
        return Err("the server could not be asked for its memory".to_owned());
    };
    let endpoint = target.endpoint.clone().ok_or("it is not known how to reach the server")?;
    let from_bytes = facts.maxmemory_bytes.ok_or("it has no maxmemory to raise")?;
    let factor = request.template.parameters.factor.unwrap_or(DEFAULT_FACTOR);
    let to_bytes = raised(from_bytes, factor, room(request)?)?;
    let set = RedisSetMemory { target: target.id.clone(), endpoint, from_bytes, to_bytes };
    Ok(vec![repair(Action::RedisSetMemory(set))])
}

/// The highest `maxmemory` that its container and the host can bear, in bytes.
fn room(request: &PlanRequest<'_>) -> Result<u64, String> {
    let container = request.container()?;
    let cap_bytes = request.workshop.limits.memory_cap_bytes;
    let of_container = container.limits.memory_bytes.map_or(u64::MAX, |limit| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, and less than the limit"
        )]
        let share = (limit as f64 * SHARE_OF_CONTAINER) as u64;
        share
    });
    Ok(cap_bytes.min(of_container))
}

/// `from_bytes` times `factor` in whole MiB, at most `most_bytes`.
fn raised(from_bytes: u64, factor: f64, most_bytes: u64) -> Result<u64, String> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive; what does not fit becomes the largest number"
    )]
    let wanted = (from_bytes as f64 * factor / MIB as f64).ceil() as u64;
    let allowed = wanted.min(most_bytes / MIB).saturating_mul(MIB);
    if allowed <= from_bytes {
        return Err(format!(
            "maxmemory of {} MiB is already as high as its container and this host allow",
            from_bytes / MIB
        ));
    }
    Ok(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_rises_by_a_small_step_in_whole_mebibytes() {
        assert_eq!(raised(100 * MIB, 1.25, u64::MAX), Ok(125 * MIB));
        assert_eq!(raised(3 * MIB, 1.25, u64::MAX), Ok(4 * MIB));
    }

    #[test]
    fn what_container_and_host_can_bear_is_never_passed() {
        assert_eq!(raised(100 * MIB, 1.25, 110 * MIB + 7), Ok(110 * MIB));
        assert!(raised(100 * MIB, 1.25, 100 * MIB).is_err());
        assert!(raised(100 * MIB, 1.25, 20 * MIB).is_err());
    }
}
