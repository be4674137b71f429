//! `container.memory`: how much of its limit a container uses.

use super::{Check, Context, Measured, percent};
use crate::model::TargetState;

pub(super) struct ContainerMemory;

impl Check for ContainerMemory {
    fn name(&self) -> &'static str {
        "container.memory"
    }

    fn judge(&self, state: &TargetState, context: &Context<'_>) -> Vec<Measured> {
        let Some(facts) = state.container() else { return vec![] };
        if let Some(why) = context.usage_error {
            return vec![Measured::missing(self.name(), why)];
        }
        let used = facts.usage.and_then(|usage| usage.memory_bytes);
        let (Some(used), Some(limit)) = (used, facts.limits.memory_bytes) else { return vec![] };
        let Some(share) = percent(used as f64, limit as f64) else { return vec![] };
        let text = format!("it uses {} MiB of {} MiB", used >> 20, limit >> 20);
        let limit = context.thresholds.container_memory;
        vec![Measured::number(self.name(), share, "%", limit, text)]
    }
}
