//! `container.cpu`: processor time of a container, percent of one core.

use super::{Check, Context, Measured};
use crate::model::TargetState;

pub(super) struct ContainerProcessor;

impl Check for ContainerProcessor {
    fn name(&self) -> &'static str {
        "container.cpu"
    }

    fn judge(&self, state: &TargetState, context: &Context<'_>) -> Vec<Measured> {
        let usage = state.container().and_then(|facts| facts.usage);
        let Some(used) = usage.and_then(|usage| usage.cpu_percent) else { return vec![] };
        let text = format!("it uses {used:.0} % of one core");
        vec![Measured::number(self.name(), used, "%", context.thresholds.container_cpu, text)]
    }
}
