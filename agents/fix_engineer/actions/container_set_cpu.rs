//! `container.set_cpu`: leaves a container that keeps the processors busy a part of them.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Action, Reversal};
use crate::fix_engineer::plan::{PlanRequest, Planned, repair};
use crate::model::{Captured, ContainerFacts, Facts, TargetId};
use crate::ports::{World, WorldResult};

/// Sets a container's processor limit while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSetCpu {
    /// The container's name.
    pub container: String,
    /// The limit, in billionths of a core.
    pub limit_nanos: u64,
}

/// A whole core.
const CORE: u64 = 1_000_000_000;
/// Limits are whole multiples of this: Docker's period of 100 ms in steps of 1 ms.
const STEP: u64 = CORE / 100;
/// The least a container is left with; with less even its health check fails.
const LEAST: u64 = CORE / 4;

#[expect(clippy::cast_precision_loss, reason = "a few cores, shown with two digits")]
fn cores(nanos: u64) -> f64 {
    nanos as f64 / CORE as f64
}

/// By period and quota, as Selfheal sets it: Docker takes `--cpus` no more once these are set, and
/// reads its 0 as "as it is".
fn update_by_hand(container: &str, limit_nanos: Option<u64>) -> String {
    let quota = limit_nanos.map_or_else(|| "-1".to_owned(), |nanos| (nanos / 10_000).to_string());
    format!("docker update --cpu-period 100000 --cpu-quota {quota} {container}")
}

#[async_trait]
impl Act for ContainerSetCpu {
    fn target(&self) -> TargetId {
        TargetId::container(&self.container)
    }

    fn describe(&self) -> String {
        let limit = cores(self.limit_nanos);
        format!("limit container `{}` to {limit:.2} cores", self.container)
    }

    fn reversal(&self) -> Reversal {
        Reversal::Undo
    }

    fn by_hand(&self) -> String {
        update_by_hand(&self.container, Some(self.limit_nanos))
    }

    fn undo_by_hand(&self, before: &Captured) -> Option<String> {
        let Captured::CpuLimit { limit_nanos, .. } = before else { return None };
        Some(update_by_hand(&self.container, *limit_nanos))
    }

    fn interruption_secs(&self) -> u64 {
        0
    }

    async fn capture(&self, world: &World) -> WorldResult<Captured> {
        let now = world.runtime.container(&self.container).await?;
        Ok(Captured::CpuLimit { id: now.id, limit_nanos: now.cpu_limit_nanos })
    }

    async fn is_applied(&self, world: &World, _before: &Captured) -> WorldResult<bool> {
        let now = world.runtime.container(&self.container).await?;
        Ok(now.cpu_limit_nanos == Some(self.limit_nanos))
    }

    async fn apply(&self, world: &World, _before: &Captured) -> WorldResult<Option<String>> {
        let limit = Some(self.limit_nanos);
        world.runtime.set_cpu_limit(&self.container, limit).await.map(|()| None)
    }

    async fn undo(&self, world: &World, before: &Captured) -> WorldResult<()> {
        let Captured::CpuLimit { limit_nanos, .. } = before else {
            return Err(super::wrong_capture("a processor limit"));
        };
        world.runtime.set_cpu_limit(&self.container, *limit_nanos).await
    }

    async fn overtaken(&self, world: &World, before: &Captured) -> WorldResult<Option<String>> {
        let Captured::CpuLimit { limit_nanos, .. } = before else { return Ok(None) };
        let now = world.runtime.container(&self.container).await?.cpu_limit_nanos;
        let known = [*limit_nanos, Some(self.limit_nanos)].contains(&now);
        let what = || format!("the processor limit of `{}` was changed since", self.container);
        Ok((!known).then(what))
    }
}

/// The share that is left when the runbook does not say.
const DEFAULT_FACTOR: f64 = 0.5;

#[expect(clippy::unused_async, reason = "every action plans by the same call")]
pub(super) async fn plan(request: &PlanRequest<'_>) -> Planned {
    let facts = request.container()?;
    if !facts.is_up() {
        return Err("the container does not run".to_owned());
    }
    let host = request.workshop.evidence.report.target(&TargetId::host());
    let host_cores = match host.and_then(|report| report.state.facts.as_ref().ok()) {
        Some(Facts::Host(host)) => host.cores as u64,
        _ => return Err("it is not known how many cores the host has".to_owned()),
    };
    let factor = request.template.parameters.factor.unwrap_or(DEFAULT_FACTOR);
    let limit_nanos = turned(in_use(facts)?, facts.cpu_limit_nanos, factor, host_cores * CORE)?;
    let container = facts.name.clone();
    Ok(vec![repair(Action::ContainerSetCpu(ContainerSetCpu { container, limit_nanos }))])
}

/// What it uses now, in billionths of a core.
fn in_use(facts: &ContainerFacts) -> Result<f64, String> {
    facts
        .usage
        .and_then(|usage| usage.cpu_percent)
        .map(|percent| percent / 100.0 * CORE as f64)
        .ok_or_else(|| "it is not known how much processor time it uses".to_owned())
}

/// The limit that leaves `factor` of what is used, or of the limit where there is one.
fn turned(used: f64, limit: Option<u64>, factor: f64, host: u64) -> Result<u64, String> {
    let from = limit.map_or(used, |nanos| nanos as f64);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and bounded by the host's cores"
    )]
    let wanted = (from * factor / STEP as f64).round() as u64 * STEP;
    let allowed = wanted.clamp(LEAST, host.max(LEAST));
    let moves = if factor < 1.0 { (allowed as f64) < from } else { (allowed as f64) > from };
    if moves {
        Ok(allowed)
    } else {
        Err("its processor limit is already as far as a fix may go".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_what_is_used_is_left_but_never_less_than_a_quarter_core() {
        assert_eq!(turned(2e9, None, 0.5, 4 * CORE), Ok(CORE));
        assert_eq!(turned(0.4e9, None, 0.5, 4 * CORE), Ok(LEAST));
        assert_eq!(turned(1e9, Some(CORE), 0.5, 4 * CORE), Ok(CORE / 2));
        assert!(turned(0.2e9, Some(LEAST), 0.5, 4 * CORE).is_err());
    }

    #[test]
    fn a_limit_is_never_raised_beyond_the_host() {
        assert_eq!(turned(1e9, Some(CORE), 1.5, 4 * CORE), Ok(CORE / 2 * 3));
        assert_eq!(turned(3e9, Some(3 * CORE), 1.5, 4 * CORE), Ok(4 * CORE));
        assert!(turned(4e9, Some(4 * CORE), 1.5, 4 * CORE).is_err());
    }

    #[test]
    fn limits_are_such_that_docker_gives_them_back_unchanged() {
        let odd = turned(0.777_777e9, None, 0.5, 4 * CORE).unwrap();
        assert_eq!(odd % STEP, 0);
    }
}
