//! What fixes may turn: from labels and settings.
//!
//! A label names the file as the container sees it; it counts only if a bind mount shows
//! which file of the host that is. Without limits in the label, those of the role apply:
//! `delay` 0 to 60 s, `timeout` 0 to 300 s, `batch_size` 1 to 1000, `pool_size` 1 to 100,
//! `memory` 1 to 4096.

use super::Inventory;
use crate::model::{ApplyMethod, ContainerFacts, TargetId, Tunable, TunableRole};

const PREFIX: &str = "selfheal.tunable.";
/// At the end of a label: a smaller change may be tried once one has helped, though each try
/// restarts the container.
const WALK_BACK: &str = ":walk_back";

/// Lowest and highest value where the label gives none.
const fn default_limits(role: TunableRole) -> (f64, f64) {
    match role {
        TunableRole::Delay => (0.0, 60.0),
        TunableRole::Timeout => (0.0, 300.0),
        TunableRole::BatchSize => (1.0, 1000.0),
        TunableRole::PoolSize => (1.0, 100.0),
        TunableRole::Memory => (1.0, 4096.0),
    }
}

/// The tunables a container's labels declare; what cannot be used is reported.
pub(super) fn from_labels(container: &ContainerFacts, inventory: &mut Inventory) -> Vec<Tunable> {
    let mut tunables = vec![];
    for (label, value) in &container.labels {
        let Some(role) = label.strip_prefix(PREFIX) else { continue };
        match from_label(container, role, value) {
            Ok(tunable) => tunables.push(tunable),
            Err(why) => {
                let text = format!("label {label}={value} is ignored: {why}");
                inventory.warn(&container.name, &text);
            }
        }
    }
    tunables
}

fn from_label(container: &ContainerFacts, role: &str, value: &str) -> Result<Tunable, String> {
    let role = TunableRole::ALL.into_iter().find(|r| r.as_str() == role).ok_or_else(|| {
        "the role is not delay, batch_size, timeout, pool_size or memory".to_owned()
    })?;
    let (file, rest) = value.split_once('#').ok_or_else(|| {
        "it must read FILE#KEY, FILE#KEY:MIN..MAX or either with :walk_back".to_owned()
    })?;
    let (rest, walk_back) = match rest.strip_suffix(WALK_BACK) {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let (key, (min, max)) = match rest.rsplit_once(':') {
        Some((key, limits)) if limits.contains("..") => (key, parse_limits(limits)?),
        _ => (rest, default_limits(role)),
    };
    if key.trim().is_empty() {
        return Err("the key is missing".to_owned());
    }
    Ok(Tunable {
        target: TargetId::container(&container.name),
        file: on_host(container, file.trim())?,
        key: key.trim().to_owned(),
        role,
        min,
        max,
        apply: ApplyMethod::Restart,
        walk_back,
    })
}

fn parse_limits(text: &str) -> Result<(f64, f64), String> {
    let (min, max) = text.split_once("..").unwrap_or((text, ""));
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite());
    match (number(min), number(max)) {
        (Some(min), Some(max)) if min < max => Ok((min, max)),
        (Some(_), Some(_)) => Err(format!("the limits {text} leave no room")),
        _ => Err(format!("the limits {text} are not two numbers")),
    }
}

/// The host's path of a file inside the container, through the innermost bind mount.
fn on_host(container: &ContainerFacts, path: &str) -> Result<String, String> {
    if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err("the file must be an absolute path without `..`".to_owned());
    }
    let inside = |destination: &str| -> Option<String> {
        let rest = path.strip_prefix(destination.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
    };
    // The innermost mount hides those around it, also when it is a volume.
    container
        .mounts
        .iter()
        .filter_map(|mount| inside(&mount.destination).map(|rest| (mount, rest)))
        .max_by_key(|(mount, _)| mount.destination.trim_end_matches('/').len())
        .filter(|(mount, _)| mount.bind)
        .map(|(mount, rest)| format!("{}{rest}", mount.source.trim_end_matches('/')))
        .ok_or_else(|| "the file is not in a folder of the host; mount it with a bind".to_owned())
}

/// Adds the declared tunables; they win over labels for the same key of the same file.
pub(super) fn declare(inventory: &mut Inventory, declared: &[Tunable]) {
    for tunable in declared {
        let Some(target) = inventory.targets.get_mut(&tunable.target) else {
            inventory.warnings.push(format!(
                "the tunable `{}` names {}, which is not watched",
                tunable.key, tunable.target
            ));
            continue;
        };
        target.tunables.retain(|t| (&t.file, &t.key) != (&tunable.file, &tunable.key));
        target.tunables.push(tunable.clone());
    }
}
