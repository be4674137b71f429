//! `container.health`: what Docker's own health check says.

use super::{Check, Context, Measured};
use crate::model::{HealthStatus, TargetState, Verdict, clean};

pub(super) struct ContainerHealth;

impl Check for ContainerHealth {
    fn name(&self) -> &'static str {
        "container.health"
    }

    fn judge(&self, state: &TargetState, _context: &Context<'_>) -> Vec<Measured> {
        let Some(facts) = state.container().filter(|facts| facts.is_up()) else { return vec![] };
        let Some(health) = facts.health else {
            return vec![Measured::word(
                self.name(),
                "none",
                Verdict::Ok,
                "it has no health check",
            )];
        };
        let verdict = match health {
            HealthStatus::Healthy | HealthStatus::Starting => Verdict::Ok,
            HealthStatus::Unhealthy => Verdict::Critical,
        };
        let last = facts.health_log.last().map_or("", |probe| probe.output.as_str());
        let detail = clean(last, 300);
        let word = health.as_str();
        vec![Measured::word(self.name(), word, verdict, detail).doubtful_under_pressure()]
    }
}
