//! Who needs whom, and everything that follows from it.
//!
//! Each need keeps every place it was learnt from, and weighs as much as the surest of them.
//! What a person or a tool wrote down on purpose is *firm*. What was only seen (a connection)
//! or stands in a proxy's configuration is a *hint*: it never decides whom a runbook's
//! condition means, and blame follows it only where no firm need explains the trouble.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::{Dependency, DependencySource, Need, TargetId};

type Edges = BTreeMap<TargetId, BTreeMap<TargetId, BTreeSet<DependencySource>>>;

/// Needs among targets. Circles are allowed; people build them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    needs: Edges,
    needed: Edges,
}

impl Graph {
    /// The graph of these edges; the same edge may come once from each source.
    pub fn new<'a>(edges: impl IntoIterator<Item = &'a Dependency>) -> Self {
        let mut graph = Self::default();
        for edge in edges {
            let (from, to) = (&edge.from, &edge.to);
            for (edges, a, b) in [(&mut graph.needs, from, to), (&mut graph.needed, to, from)] {
                let sources = edges.entry(a.clone()).or_default().entry(b.clone()).or_default();
                sources.insert(edge.source);
            }
        }
        graph
    }

    /// Everything `id` surely needs, however far, itself left out.
    pub fn needed_by(&self, id: &TargetId) -> BTreeSet<TargetId> {
        reach(&self.needs, id, 0)
    }

    /// Everything `id` may need: one hint on the way, if none is firm, and no more. Two guesses
    /// in a row are nothing to blame anybody by.
    pub fn perhaps_needed_by(&self, id: &TargetId) -> BTreeSet<TargetId> {
        reach(&self.needs, id, 1)
    }

    /// Everything that surely needs `id`, however far, itself left out.
    pub fn dependents_of(&self, id: &TargetId) -> BTreeSet<TargetId> {
        reach(&self.needed, id, 0)
    }

    /// What `id` needs directly, with where that was learnt, the surest first.
    pub fn needs_of(&self, id: &TargetId) -> Vec<Need> {
        let to = self.needs.get(id).into_iter().flatten();
        let mut needs: Vec<Need> = to.map(|(to, sources)| need(id, to, sources)).collect();
        needs.sort_by_key(|need| std::cmp::Reverse(need.weight));
        needs
    }

    /// The needs through which trouble of `to` reaches `from`: the shortest way, over firm ones
    /// if there is one. Empty when there is none.
    pub fn way(&self, from: &TargetId, to: &TargetId) -> Vec<Need> {
        [0, 1].into_iter().find_map(|hints| self.way_with(from, to, hints)).unwrap_or_default()
    }

    fn way_with(&self, from: &TargetId, to: &TargetId, hints: u8) -> Option<Vec<Need>> {
        let mut seen = BTreeSet::from([(from, 0)]);
        let mut open = VecDeque::from([(from, 0, vec![])]);
        while let Some((at, used, way)) = open.pop_front() {
            if at == to {
                return Some(way);
            }
            for (next, sources) in self.needs.get(at).into_iter().flatten() {
                let used = used + u8::from(is_hint(sources));
                if used <= hints && seen.insert((next, used)) {
                    let step = need(at, next, sources);
                    open.push_back((next, used, way.iter().cloned().chain([step]).collect()));
                }
            }
        }
        None
    }

    /// These targets with all they need and all that need them: what a cycle over them has
    /// to look at to blame the right one.
    pub fn neighbourhood(&self, ids: &BTreeSet<TargetId>) -> BTreeSet<TargetId> {
        let mut all = ids.clone();
        for id in ids {
            all.extend(self.dependents_of(id));
        }
        for id in all.clone() {
            all.extend(self.perhaps_needed_by(&id));
        }
        all
    }
}

fn need(from: &TargetId, to: &TargetId, sources: &BTreeSet<DependencySource>) -> Need {
    let weight = sources.iter().map(|source| source.weight()).max().unwrap_or(0);
    let sources = sources.iter().copied().collect();
    Need { from: from.clone(), to: to.clone(), sources, weight }
}

fn is_hint(sources: &BTreeSet<DependencySource>) -> bool {
    sources.iter().all(|source| source.is_hint())
}

/// All that is reached from `from` over firm edges and at most `hints` others.
fn reach(edges: &Edges, from: &TargetId, hints: u8) -> BTreeSet<TargetId> {
    // How many hints the best way so far took.
    let mut best: BTreeMap<&TargetId, u8> = BTreeMap::from([(from, 0)]);
    let mut open = vec![(from, 0)];
    while let Some((id, used)) = open.pop() {
        for (next, sources) in edges.get(id).into_iter().flatten() {
            let used = used + u8::from(is_hint(sources));
            if used <= hints && best.get(next).is_none_or(|known| used < *known) {
                best.insert(next, used);
                open.push((next, used));
            }
        }
    }
    best.into_keys().filter(|id| *id != from).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str, source: DependencySource) -> Dependency {
        Dependency { from: TargetId::container(from), to: TargetId::container(to), source }
    }

    fn firm(from: &str, to: &str) -> Dependency {
        edge(from, to, DependencySource::Label)
    }

    fn seen(from: &str, to: &str) -> Dependency {
        edge(from, to, DependencySource::Connection)
    }

    fn names(ids: &BTreeSet<TargetId>) -> Vec<String> {
        ids.iter().map(|id| id.name().to_owned()).collect()
    }

    #[test]
    fn needs_are_followed_however_far_and_through_circles() {
        let graph = Graph::new(&[firm("web", "api"), firm("api", "db"), firm("db", "web")]);
        assert_eq!(names(&graph.needed_by(&TargetId::container("web"))), ["api", "db"]);
    }

    #[test]
    fn a_neighbourhood_holds_those_above_and_all_they_need() {
        let graph = Graph::new(&[firm("web", "db"), firm("web", "cache"), firm("job", "queue")]);
        let around = graph.neighbourhood(&BTreeSet::from([TargetId::container("db")]));
        assert!(around.contains(&TargetId::container("cache")));
        assert!(!around.contains(&TargetId::container("queue")));
    }

    #[test]
    fn a_hint_is_followed_only_when_asked_for_and_never_a_second_one() {
        let graph = Graph::new(&[firm("shop", "web"), seen("web", "api"), seen("api", "db")]);
        let shop = TargetId::container("shop");
        assert_eq!(names(&graph.needed_by(&shop)), ["web"]);
        assert_eq!(names(&graph.perhaps_needed_by(&shop)), ["api", "web"]);
        assert_eq!(graph.way(&shop, &TargetId::container("api")).len(), 2);
        assert_eq!(graph.way(&shop, &TargetId::container("db")), []);
    }

    #[test]
    fn an_edge_keeps_all_its_sources_and_weighs_as_much_as_the_surest() {
        let graph = Graph::new(&[
            seen("web", "db"),
            edge("web", "db", DependencySource::Environment),
            seen("web", "mail"),
        ]);
        let needs = graph.needs_of(&TargetId::container("web"));
        let shown: Vec<String> = needs.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "container:web needs container:db (environment, connection; weight 70)",
                "container:web needs container:mail (connection; weight 30)",
            ]
        );
        assert_eq!(names(&graph.needed_by(&TargetId::container("web"))), ["db"]);
    }
}
