//! What a person said by container labels about how far Selfheal may go.

use super::Inventory;
use crate::model::{ContainerFacts, Mode, TargetPolicy};

/// Nobody waits longer than this for a process to stop; a larger value is a mistake.
const LONGEST_STOP_SECS: u32 = 3600;

/// Reads the labels; what cannot be read is reported and has no effect, except that an
/// unreadable `selfheal.enable`, `selfheal.external` or `selfheal.mode` is taken as the
/// careful answer: somebody wanted to restrain us.
pub(super) fn policy(container: &ContainerFacts, inventory: &mut Inventory) -> TargetPolicy {
    let mut flag = |label: &str, careful: bool, default: bool| {
        let Some(value) = container.labels.get(label) else { return default };
        yes_or_no(value).unwrap_or_else(|| {
            let text = format!(
                "label {label}={value} is neither true nor false; taken as {careful} to be safe"
            );
            inventory.warn(&container.name, &text);
            careful
        })
    };
    let excluded = !flag("selfheal.enable", false, true);
    let external = flag("selfheal.external", true, false);
    TargetPolicy {
        excluded,
        external,
        mode: mode(container, inventory),
        stop_timeout_secs: stop_timeout(container, inventory).or(container.stop_timeout_secs),
    }
}

fn yes_or_no(value: &str) -> Option<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn mode(container: &ContainerFacts, inventory: &mut Inventory) -> Option<Mode> {
    let value = container.labels.get("selfheal.mode")?;
    let known = [Mode::Observe, Mode::Approve, Mode::Auto];
    let mode = known.into_iter().find(|m| m.as_str() == value.trim().to_ascii_lowercase());
    Some(mode.unwrap_or_else(|| {
        let text = format!(
            "label selfheal.mode={value} is not observe, approve or auto; taken as observe to be \
             safe"
        );
        inventory.warn(&container.name, &text);
        Mode::Observe
    }))
}

fn stop_timeout(container: &ContainerFacts, inventory: &mut Inventory) -> Option<u32> {
    let value = container.labels.get("autoheal.stop.timeout")?;
    let secs = value.trim().parse().ok().filter(|secs| *secs <= LONGEST_STOP_SECS);
    if secs.is_none() {
        let text = format!(
            "label autoheal.stop.timeout={value} is not a number of seconds up to \
             {LONGEST_STOP_SECS}; ignored"
        );
        inventory.warn(&container.name, &text);
    }
    secs
}
