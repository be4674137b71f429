//! `host.cpu`, `host.memory`, `host.swap`, `host.load`, `host.pressure_*`: the machine.

use super::{Check, Context, Measured, percent};
use crate::model::{Facts, HostFacts, TargetState};

pub(super) struct HostUse;

impl Check for HostUse {
    fn name(&self) -> &'static str {
        "host"
    }

    fn judge(&self, state: &TargetState, context: &Context<'_>) -> Vec<Measured> {
        let Ok(Facts::Host(facts)) = &state.facts else { return vec![] };
        [use_of(facts, context), pressure(facts, context)].concat()
    }
}

fn use_of(facts: &HostFacts, context: &Context<'_>) -> Vec<Measured> {
    let thresholds = context.thresholds;
    let share = |used: u64, total: u64| percent(used as f64, total as f64);
    let memory = share(facts.memory_used_bytes, facts.memory_total_bytes);
    let swap = share(facts.swap_used_bytes, facts.swap_total_bytes);
    let load = facts.load.map(|load| load[0] / facts.cores.max(1) as f64);
    let values = [
        ("host.cpu", facts.cpu_percent, "%", thresholds.host_cpu, "of all processors are in use"),
        ("host.memory", memory, "%", thresholds.host_memory, "of memory is in use"),
        ("host.swap", swap, "%", thresholds.host_swap, "of swap is in use"),
        ("host.load", load, "", thresholds.host_load, "is the load for each core"),
    ];
    values
        .into_iter()
        .filter_map(|(check, value, unit, limit, text)| {
            let value = value?;
            Some(Measured::number(check, value, unit, limit, format!("{value:.1}{unit} {text}")))
        })
        .collect()
}

fn pressure(facts: &HostFacts, context: &Context<'_>) -> Vec<Measured> {
    let pressure = facts.pressure;
    let values = [
        ("host.pressure_cpu", pressure.cpu_percent, "a processor"),
        ("host.pressure_memory", pressure.memory_percent, "memory"),
        ("host.pressure_io", pressure.io_percent, "a disk"),
    ];
    let limit = context.thresholds.host_pressure;
    values
        .into_iter()
        .filter_map(|(check, value, what)| {
            let value = value?;
            let text = format!("{value:.1}% of the time something waited for {what}");
            Some(Measured::number(check, value, "%", limit, text))
        })
        .collect()
}
