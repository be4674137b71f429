//! `container.network`: whether a running container is on the networks it belongs to.

use super::{Check, Context, Measured};
use crate::model::{ContainerFacts, TargetState, Verdict, clean};

pub(super) struct ContainerNetwork;

impl Check for ContainerNetwork {
    fn name(&self) -> &'static str {
        "container.network"
    }

    fn judge(&self, state: &TargetState, context: &Context<'_>) -> Vec<Measured> {
        let Some(facts) = state.container().filter(|facts| facts.is_up()) else { return vec![] };
        let missing = missing(facts, context);
        if missing.is_empty() {
            let text = "it is on every network it belongs to";
            return vec![Measured::word(self.name(), "connected", Verdict::Ok, text)];
        }
        let text = format!("it is off the network {}", clean(&missing.join(", "), 200));
        vec![Measured::word(self.name(), "disconnected", Verdict::Critical, text)]
    }
}

/// The networks it was made for, or was on when last seen healthy, and is not on now.
fn missing(facts: &ContainerFacts, context: &Context<'_>) -> Vec<String> {
    let mode = match facts.network_mode.as_str() {
        "none" | "host" => return vec![],
        mode if mode.contains(':') => return vec![],
        "" => None,
        "default" => Some("bridge"),
        mode => Some(mode),
    };
    let is_on = |name: &str| facts.networks.iter().any(|n| n.network == name);
    let before = context.last_networks.unwrap_or_default().iter().map(|n| n.network.as_str());
    // Without memory, the network it was made for counts only if it is on no other: it may
    // have been moved on purpose.
    let made_for = mode.filter(|_| facts.networks.is_empty() && context.last_networks.is_none());
    let mut missing: Vec<String> =
        before.chain(made_for).filter(|name| !is_on(name)).map(str::to_owned).collect();
    missing.dedup();
    missing
}
