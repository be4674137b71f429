//! What was measured, and who calls whom.
//!
//! Names are kept to answer with; they are never compared with anything but themselves.

use std::collections::{BTreeMap, BTreeSet};

/// A quantity of a node, as it was measured.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    /// What: `latency` in seconds, `availability` in percent, `requests` as a count.
    pub metric: String,
    /// How an interval was summed up, such as `Average`, `p95` or `Sum`.
    pub statistic: String,
}

impl Quantity {
    /// The quantity of this metric and statistic.
    pub fn new(metric: impl Into<String>, statistic: impl Into<String>) -> Self {
        Self { metric: metric.into(), statistic: statistic.into() }
    }
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.metric, self.statistic)
    }
}

/// Series of many nodes over the same intervals, equally long each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recording {
    rows: usize,
    series: BTreeMap<String, BTreeMap<Quantity, Vec<f64>>>,
}

impl Recording {
    /// An empty recording of so many intervals.
    pub fn new(rows: usize) -> Self {
        Self { rows, series: BTreeMap::new() }
    }

    /// The number of intervals.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The nodes something was measured of.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.series.keys().map(String::as_str)
    }

    /// Adds a series. Missing values are `NaN`; what is not a number at all, or beyond the
    /// last interval, is missing too. A series of the same quantity is replaced.
    pub fn insert(&mut self, node: impl Into<String>, quantity: Quantity, mut values: Vec<f64>) {
        values.resize(self.rows, f64::NAN);
        for value in &mut values {
            if !value.is_finite() {
                *value = f64::NAN;
            }
        }
        self.series.entry(node.into()).or_default().insert(quantity, values);
    }

    /// The series of a quantity of a node.
    pub fn get(&self, node: &str, quantity: &Quantity) -> Option<&[f64]> {
        self.series.get(node)?.get(quantity).map(Vec::as_slice)
    }

    /// All series with their nodes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Quantity, &[f64])> {
        self.series.iter().flat_map(|(node, all)| {
            all.iter().map(move |(quantity, values)| (node.as_str(), quantity, values.as_slice()))
        })
    }

    /// The intervals of this range alone, cut to those there are.
    #[must_use]
    pub fn cut(&self, range: std::ops::Range<usize>) -> Self {
        let end = range.end.min(self.rows);
        let start = range.start.min(end);
        let mut part = Self::new(end - start);
        for (node, quantity, values) in self.iter() {
            part.insert(node, quantity.clone(), values[start..end].to_vec());
        }
        part
    }
}

/// Who calls whom. Circles are allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallGraph {
    calls: BTreeMap<String, BTreeSet<String>>,
}

impl CallGraph {
    /// The graph of these (caller, callee) pairs. A call of oneself says nothing and is
    /// left out.
    pub fn new<N: Into<String>>(calls: impl IntoIterator<Item = (N, N)>) -> Self {
        let mut graph = Self::default();
        for (from, to) in calls {
            let (from, to) = (from.into(), to.into());
            if from == to {
                graph.add_node(to);
            } else {
                graph.add(from, to);
            }
        }
        graph
    }

    /// Adds a node, whether it calls anything or not.
    pub fn add_node(&mut self, node: impl Into<String>) {
        self.calls.entry(node.into()).or_default();
    }

    fn add(&mut self, from: String, to: String) {
        self.calls.entry(to.clone()).or_default();
        let called = self.calls.entry(from).or_default();
        called.insert(to);
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.calls.keys().map(String::as_str)
    }

    /// Whether the graph has this node.
    pub fn contains(&self, node: &str) -> bool {
        self.calls.contains_key(node)
    }

    /// Whom a node calls directly.
    pub fn callees(&self, node: &str) -> impl Iterator<Item = &str> {
        self.calls.get(node).into_iter().flatten().map(String::as_str)
    }

    /// A node and all it calls, however far, nearest first, each with its distance.
    pub fn reach(&self, node: &str) -> Vec<(String, usize)> {
        let mut reached = vec![(node.to_owned(), 0)];
        let mut seen = BTreeSet::from([node.to_owned()]);
        let mut next = 0;
        while let Some((caller, distance)) = reached.get(next).cloned() {
            next += 1;
            for callee in self.callees(&caller) {
                if seen.insert(callee.to_owned()) {
                    reached.push((callee.to_owned(), distance + 1));
                }
            }
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_is_reached_once_even_in_a_circle() {
        let graph = CallGraph::new([("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"), ("a", "a")]);
        let reached = [("a", 0), ("b", 1), ("c", 2)].map(|(node, far)| (node.to_owned(), far));
        assert_eq!(graph.reach("a"), reached);
        assert_eq!(graph.callees("a").count(), 1);
    }

    #[test]
    fn a_cut_beyond_the_end_is_what_there_is() {
        let mut recording = Recording::new(3);
        let quantity = Quantity::new("latency", "Average");
        recording.insert("a", quantity.clone(), vec![1.0, f64::INFINITY]);
        let part = recording.cut(1..9);
        assert_eq!(part.rows(), 2);
        assert!(part.get("a", &quantity).is_some_and(|v| v.iter().all(|v| v.is_nan())));
    }
}
