//! Who needs whom, and everything that follows from it.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Dependency, TargetId};

/// Needs among targets. Circles are allowed; people build them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    needs: BTreeMap<TargetId, BTreeSet<TargetId>>,
    needed: BTreeMap<TargetId, BTreeSet<TargetId>>,
}

impl Graph {
    /// The graph of these edges.
    pub fn new<'a>(edges: impl IntoIterator<Item = &'a Dependency>) -> Self {
        let mut graph = Self::default();
        for edge in edges {
            graph.needs.entry(edge.from.clone()).or_default().insert(edge.to.clone());
            graph.needed.entry(edge.to.clone()).or_default().insert(edge.from.clone());
        }
        graph
    }

    /// Everything `id` needs, however far, itself left out.
    pub fn needed_by(&self, id: &TargetId) -> BTreeSet<TargetId> {
        reach(&self.needs, id)
    }

    /// Everything that needs `id`, however far, itself left out.
    pub fn dependents_of(&self, id: &TargetId) -> BTreeSet<TargetId> {
        reach(&self.needed, id)
    }

    /// What `id` needs directly.
    pub fn direct_needs(&self, id: &TargetId) -> impl Iterator<Item = &TargetId> {
        self.needs.get(id).into_iter().flatten()
    }

    /// These targets with all they need and all that need them: what a cycle over them has
    /// to look at to blame the right one.
    pub fn neighbourhood(&self, ids: &BTreeSet<TargetId>) -> BTreeSet<TargetId> {
        let mut all = ids.clone();
        for id in ids {
            all.extend(self.dependents_of(id));
        }
        for id in all.clone() {
            all.extend(self.needed_by(&id));
        }
        all
    }
}

fn reach(edges: &BTreeMap<TargetId, BTreeSet<TargetId>>, from: &TargetId) -> BTreeSet<TargetId> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(id) = open.pop() {
        for next in edges.get(id).into_iter().flatten() {
            if next != from && seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DependencySource;

    fn edge(from: &str, to: &str) -> Dependency {
        Dependency {
            from: TargetId::container(from),
            to: TargetId::container(to),
            source: DependencySource::Label,
        }
    }

    #[test]
    fn needs_are_followed_however_far_and_through_circles() {
        let graph = Graph::new(&[edge("web", "api"), edge("api", "db"), edge("db", "web")]);
        let needs = graph.needed_by(&TargetId::container("web"));
        assert_eq!(needs, BTreeSet::from([TargetId::container("api"), TargetId::container("db")]));
    }

    #[test]
    fn a_neighbourhood_holds_those_above_and_all_they_need() {
        let graph = Graph::new(&[edge("web", "db"), edge("web", "cache"), edge("job", "queue")]);
        let around = graph.neighbourhood(&BTreeSet::from([TargetId::container("db")]));
        assert!(around.contains(&TargetId::container("cache")));
        assert!(!around.contains(&TargetId::container("queue")));
    }
}
