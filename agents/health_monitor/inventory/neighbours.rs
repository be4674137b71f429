//! Needs that lead to another node of the fleet.

use std::collections::BTreeSet;

use super::{Inventory, edge, tidy};
use crate::model::{Dependency, DependencySource, Neighbour, NeighbourState, Sought, TargetId};

impl Inventory {
    /// Adds what other nodes have of what is needed here and is not here.
    ///
    /// A place that several nodes say they have (an address that moves between hosts, a name that
    /// two networks use) is nobody's: who guesses blames the wrong one.
    pub fn meet(&mut self, found: &[Neighbour]) {
        for (sought, needed_by) in self.sought.clone() {
            let mut there = found.iter().filter(|one| one.sought == sought);
            match (there.next(), &sought) {
                // By its name and by several addresses one is found several times.
                (Some(first), _) if there.all(|other| other.target == first.target) => {
                    self.add_neighbour(first, &needed_by);
                }
                (None, Sought::Called(target)) => self.warn_of_nobody(target, &needed_by),
                _ => {}
            }
        }
        self.dependencies = tidy(std::mem::take(&mut self.dependencies));
        self.wait_for_no_circle();
    }

    /// Those that wait for each other wait for ever: each is mended by its own node.
    fn wait_for_no_circle(&mut self) {
        for neighbour in self.neighbours.values_mut() {
            let Some(blamed) = &neighbour.blames else { continue };
            if is_needed(&self.dependencies, blamed, &neighbour.target) {
                neighbour.state = NeighbourState::Works;
                neighbour.tried_at.clear();
                neighbour.detail.clear();
            }
        }
    }

    fn add_neighbour(&mut self, neighbour: &Neighbour, needed_by: &BTreeSet<TargetId>) {
        let is_placed = matches!(neighbour.sought, Sought::At(_));
        let source =
            if is_placed { DependencySource::Environment } else { DependencySource::Label };
        let edges = needed_by.iter().map(|from| edge(from, &neighbour.target, source));
        self.dependencies.extend(edges);
        let known = self.neighbours.entry(neighbour.target.clone());
        let known = known.or_insert_with(|| neighbour.clone());
        if !neighbour.tried_at.is_empty() {
            known.clone_from(neighbour);
        }
    }

    fn warn_of_nobody(&mut self, target: &TargetId, needed_by: &BTreeSet<TargetId>) {
        let text = format!(
            "label selfheal.depends-on names `{}`, which no node of the fleet tells of",
            target.name()
        );
        for container in needed_by.iter().filter_map(TargetId::container_name) {
            self.warn(container, &text);
        }
    }
}

/// Whether one needs the other, itself or by what it needs.
fn is_needed(dependencies: &[Dependency], by: &TargetId, what: &TargetId) -> bool {
    let mut reached = BTreeSet::from([by]);
    loop {
        let next = dependencies.iter().filter(|edge| reached.contains(&edge.from));
        let before = reached.len();
        let next: Vec<&TargetId> = next.map(|edge| &edge.to).collect();
        reached.extend(next);
        if reached.contains(what) || reached.len() == before {
            return reached.contains(what);
        }
    }
}
