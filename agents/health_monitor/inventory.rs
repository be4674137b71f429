//! What is watched: targets, what they need, and what a person said about them.
//!
//! Pure and total: the same containers and declarations always give the same inventory;
//! a label that cannot be read becomes a warning, never a failure. A data service stays
//! listed while its container is down; it then has no endpoint, and its container tells
//! the story. It asks nothing of the world and judges nothing.

mod dependencies;
mod discovery;
mod environment;
mod labels;
mod neighbours;
mod others;
mod tunables;
pub(super) mod upstreams;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    ContainerFacts, Dependency, DependencySource, Neighbour, REHEARSAL_LABEL, Sought, Target,
    TargetId, TargetKind, TargetPolicy, Tunable, clean, engine_of, is_set_aside, is_succeeded,
    rehearsed_container,
};

/// What a person declared in the settings.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Declared {
    /// Targets that discovery cannot see.
    pub targets: Vec<Target>,
    /// What fixes may turn.
    pub tunables: Vec<Tunable>,
    /// Who needs whom.
    pub dependencies: Vec<Dependency>,
    /// The container Selfheal itself runs in, if it runs in one.
    pub own_container: Option<String>,
}

/// Everything that is watched at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Inventory {
    /// By name.
    pub targets: BTreeMap<TargetId, Target>,
    /// Sorted, each edge once from each source that named it.
    pub dependencies: Vec<Dependency>,
    /// Containers as they were, by name.
    pub containers: BTreeMap<String, ContainerFacts>,
    /// Containers that replace others by newer ones and run.
    pub updaters: Vec<String>,
    /// A container in which another Selfheal heals this engine, and goes before this one.
    pub other_selfheal: Option<String>,
    /// Containers that such a healer restarts, with its name.
    pub healed_elsewhere: BTreeMap<String, String>,
    /// Clones that fixes are or were tried on, with their label of when they expire.
    pub clones: BTreeMap<String, String>,
    /// Targets found rather than declared: less is believed of their endpoints.
    pub found: BTreeSet<TargetId>,
    /// Engines beside the own that do not answer, by name, with why.
    pub away: BTreeMap<String, String>,
    /// What containers need and nobody here is; by it, who needs it. Another node may have it.
    pub sought: BTreeMap<Sought, BTreeSet<TargetId>>,
    /// What other nodes have of that, by name.
    pub neighbours: BTreeMap<TargetId, Neighbour>,
    /// Labels and settings that could not be used, each in a sentence.
    pub warnings: Vec<String>,
}

/// What was learnt of needs by looking rather than by being told; by container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Learnt {
    /// Hosts that its configuration passes requests on to.
    pub upstreams: BTreeMap<String, BTreeSet<String>>,
    /// Containers it was seen connected to.
    pub peers: BTreeMap<String, BTreeSet<String>>,
}

impl Inventory {
    /// The needs that were learnt by looking, among the containers that are there.
    pub fn learn(&self, learnt: &Learnt) -> Vec<Dependency> {
        dependencies::learnt(self, learnt)
    }

    /// The other engine whose container this is, or runs in.
    pub fn engine<'a>(&'a self, id: &'a TargetId) -> Option<&'a str> {
        let known = || self.targets.get(id)?.container.as_deref();
        id.container_name().or_else(known).and_then(engine_of)
    }

    /// Whether what is called so may be there although it is not listed: its engine does not answer.
    pub fn may_be_away(&self, id: &TargetId) -> bool {
        id.engine().is_some_and(|engine| self.away.contains_key(engine))
    }

    /// Whether it was taken away: neither is it listed, nor may it be where nobody can look.
    pub fn is_gone(&self, id: &TargetId) -> bool {
        !self.targets.contains_key(id) && !self.may_be_away(id)
    }

    fn seek(&mut self, sought: Sought, by: TargetId) {
        self.sought.entry(sought).or_default().insert(by);
    }

    fn warn(&mut self, container: &str, text: &str) {
        self.warnings.push(format!("container `{}`: {}", clean(container, 100), clean(text, 300)));
    }
}

/// The label of containers that a demo made to break: they are its own business, and nobody
/// else's. The demo hides it from itself.
pub const DEMO_LABEL: &str = "selfheal.demo";

/// Whether a container is one to watch: neither a demo's, nor one kept for a rollback, nor a clone
/// that a fix is tried on.
fn is_watched(container: &ContainerFacts) -> bool {
    !container.labels.contains_key(DEMO_LABEL)
        && !is_set_aside(&container.name)
        && rehearsed_container(&container.name).is_none()
}

/// The name of a clone and when it expires. One without the label is somebody's own.
fn clone_of_ours(container: &ContainerFacts) -> Option<(String, String)> {
    rehearsed_container(&container.name)?;
    let expires = container.labels.get(REHEARSAL_LABEL)?;
    Some((container.name.clone(), expires.clone()))
}

/// Puts containers and declarations together.
pub fn take_inventory(containers: &[ContainerFacts], declared: &Declared) -> Inventory {
    let clones = containers.iter().filter_map(clone_of_ours).collect();
    let watched =
        |container: &&ContainerFacts| is_watched(container) && !is_succeeded(container, containers);
    let containers: Vec<ContainerFacts> = containers.iter().filter(watched).cloned().collect();
    let containers = containers.as_slice();
    let mut inventory = Inventory {
        clones,
        containers: containers.iter().map(|c| (c.name.clone(), c.clone())).collect(),
        ..Inventory::default()
    };
    add(&mut inventory, Target::bare(TargetId::host()));
    for target in &declared.targets {
        add(&mut inventory, target.clone());
    }
    for container in containers {
        let policy = labels::policy(container, &mut inventory);
        let tunables = tunables::from_labels(container, &mut inventory);
        let id = TargetId::container(&container.name);
        add(&mut inventory, Target { policy: policy.clone(), tunables, ..Target::bare(id) });
        let (twins, found) = discovery::services(container, containers)
            .into_iter()
            .partition::<Vec<_>, _>(|f| declared.targets.iter().any(|target| covers(target, f)));
        restrain(&mut inventory, declared, container, &twins, &policy);
        for found in found {
            inventory.found.insert(found.id.clone());
            add(&mut inventory, Target { policy: policy.clone(), ..found });
        }
    }
    tunables::declare(&mut inventory, &declared.tunables);
    inventory.updaters = others::updaters(containers);
    inventory.healed_elsewhere = others::healed_elsewhere(containers);
    inventory.other_selfheal =
        others::other_selfheal(containers, declared.own_container.as_deref());
    inventory.dependencies = dependencies::all(&mut inventory, declared);
    inventory
}

fn add(inventory: &mut Inventory, target: Target) {
    inventory.targets.entry(target.id.clone()).or_insert(target);
}

/// Whether a declared target is the same thing as a found one. Two HTTP endpoints of one
/// container may both be worth watching; two ways to one database are not.
fn covers(declared: &Target, found: &Target) -> bool {
    let same_service = declared.id.kind() == found.id.kind()
        && declared.id.kind() != TargetKind::Http
        && declared.container.is_some()
        && declared.container == found.container;
    declared.id == found.id || same_service
}

/// What labels say of a container holds for every declared target that is in it, as it does
/// for those found there: a fix there touches the container's own. `twins` are found ones that
/// a declared one stands for.
fn restrain(
    inventory: &mut Inventory,
    declared: &Declared,
    container: &ContainerFacts,
    twins: &[Target],
    policy: &TargetPolicy,
) {
    for target in &declared.targets {
        let in_it = target.container.as_ref() == Some(&container.name);
        if !in_it && !twins.iter().any(|twin| covers(target, twin)) {
            continue;
        }
        if let Some(known) = inventory.targets.get_mut(&target.id) {
            known.policy = std::mem::take(&mut known.policy).and(policy);
        }
    }
}

/// Keeps each edge once from each source.
fn tidy(mut edges: Vec<Dependency>) -> Vec<Dependency> {
    edges.retain(|edge| edge.from != edge.to);
    edges.sort();
    edges.dedup();
    edges
}

fn edge(from: &TargetId, to: &TargetId, source: DependencySource) -> Dependency {
    Dependency { from: from.clone(), to: to.clone(), source }
}

#[cfg(test)]
mod tests;
