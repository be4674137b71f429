//! How a target that is no container is asked.
//!
//! The limit decides between slow and broken: what has not answered by then hangs. It asks
//! nothing itself.

use std::time::Duration;

use super::{Inventory, Thresholds};
use crate::model::{Endpoint, Target, Timestamp};

/// One question to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Inquiry<'a> {
    /// The newest start or end of the container behind it: what another life of that answered
    /// says nothing.
    pub life: Option<Timestamp>,
    /// How it is reached.
    pub endpoint: &'a Endpoint,
    /// How long it is waited for.
    pub limit: Duration,
}

impl<'a> Inquiry<'a> {
    /// How `target` is asked; `None` when it is not known how to reach it.
    pub fn of(target: &'a Target, inventory: &Inventory, thresholds: &Thresholds) -> Option<Self> {
        let endpoint = target.endpoint.as_ref()?;
        let behind = target.container.as_ref().and_then(|name| inventory.containers.get(name));
        Some(Self {
            life: behind.and_then(|container| container.started_at.max(container.finished_at)),
            endpoint,
            limit: limit(endpoint, target, inventory, thresholds),
        })
    }
}

/// An HTTP endpoint gets more time than others, since slow is not broken, but a found one no
/// more than its container's own check gives it.
fn limit(
    endpoint: &Endpoint,
    target: &Target,
    inventory: &Inventory,
    thresholds: &Thresholds,
) -> Duration {
    if !matches!(endpoint, Endpoint::Http(_)) {
        return Duration::from_millis(thresholds.probe_limit_ms);
    }
    let usual = Duration::from_millis(thresholds.http_probe_limit_ms);
    let own = target
        .container
        .as_ref()
        .filter(|_| inventory.found.contains(&target.id))
        .and_then(|name| inventory.containers.get(name)?.health_check.as_ref())
        .map(|check| check.timeout)
        .filter(|timeout| !timeout.is_zero());
    own.map_or(usual, |own| own.min(usual))
}
