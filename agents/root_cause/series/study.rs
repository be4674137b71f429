//! Puts together what is known about the nodes that the target reaches, and judges.

use std::collections::{BTreeMap, BTreeSet};

use super::blame::{self, Calls};
use super::impact::{Impact, Load, impact};
use super::recording::{CallGraph, Quantity, Recording};
use super::trouble::Trouble;
use super::{AVERAGE, Culprit, Question, Symptom};

/// The part of the blame that follows what merely stands out.
const LEADS: f64 = 0.1;
/// Blame below this is not told.
const LEAST_SCORE: f64 = 0.01;
/// A normal period looks like this so rarely that the target alone convinces.
const PLAIN: f64 = 0.005;
/// With a convincing culprit this suffices.
const HINT: f64 = 0.12;
/// How sure the culprit has to be then, in multiples of its uncertainty.
const CONVINCING: f64 = 5.0;

/// Everything about the nodes that the target reaches, by position; the target is first.
pub(super) struct Study {
    nodes: Vec<String>,
    callees: Vec<Vec<usize>>,
    impacts: Vec<Impact>,
}

impl Study {
    pub(super) fn new(
        graph: &CallGraph,
        normal: &Recording,
        suspect: &Recording,
        question: &Question,
        trouble: &Trouble,
    ) -> Self {
        let nodes = graph.reach(&question.target);
        let loads = |recording| -> Vec<Load> {
            nodes.iter().map(|(node, _)| load(recording, node, question)).collect()
        };
        let (usual, seen) = (loads(normal), loads(suspect));
        let impacts =
            usual.iter().zip(&seen).map(|(usual, seen)| impact(usual, seen, trouble)).collect();
        let callees = forward_calls(graph, &nodes);
        let nodes = nodes.into_iter().map(|(node, _)| node).collect();
        Self { nodes, callees, impacts }
    }

    pub(super) fn culprits(&self, trouble: &Trouble, symptom: Symptom) -> Vec<Culprit> {
        let calls = Calls { impacts: &self.impacts, callees: &self.callees };
        let mut blame = blame::blame(&calls, 0);
        self.add_leads(&mut blame);
        let mut order: Vec<usize> =
            (0..self.nodes.len()).filter(|node| blame[*node] >= LEAST_SCORE).collect();
        order.sort_by(|a, b| blame[*b].total_cmp(&blame[*a]));
        let convincing = order
            .first()
            .is_some_and(|best| *best != 0 && self.impacts[*best].sureness >= CONVINCING);
        if trouble.chance > if convincing { HINT } else { PLAIN } {
            return vec![];
        }
        order
            .into_iter()
            .map(|node| Culprit {
                node: self.nodes[node].clone(),
                metric: symptom,
                score: blame[node],
            })
            .collect()
    }

    /// Gives a small part of the blame to all that stands out, whether it convinced or not,
    /// so that a person who finds the first innocent knows where to look next.
    fn add_leads(&self, blame: &mut [f64]) {
        let total = self.impacts[0].extra.max(f64::MIN_POSITIVE);
        let leads: Vec<f64> =
            self.impacts.iter().skip(1).map(|impact| impact.lead().min(total)).collect();
        let sum: f64 = leads.iter().sum();
        if sum <= 0.0 {
            return;
        }
        for share in blame.iter_mut() {
            *share *= 1.0 - LEADS;
        }
        for (share, lead) in blame.iter_mut().skip(1).zip(leads) {
            *share += LEADS * lead / sum;
        }
    }
}

/// Whom each node calls, by position, without the calls that lead back: of a circle only
/// the steps away from the target are kept.
fn forward_calls(graph: &CallGraph, nodes: &[(String, usize)]) -> Vec<Vec<usize>> {
    let position: BTreeMap<&str, usize> =
        nodes.iter().enumerate().map(|(position, (node, _))| (node.as_str(), position)).collect();
    let callees: Vec<Vec<usize>> = nodes
        .iter()
        .map(|(node, _)| graph.callees(node).map(|callee| position[callee]).collect())
        .collect();
    let distance = |node: usize| nodes[node].1;
    let forward = |caller: usize, callee: usize| {
        distance(callee) > distance(caller) || !reaches(&callees, callee, caller)
    };
    (0..nodes.len())
        .map(|caller| callees[caller].iter().copied().filter(|c| forward(caller, *c)).collect())
        .collect()
}

fn reaches(callees: &[Vec<usize>], from: usize, to: usize) -> bool {
    let mut seen = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(node) = open.pop() {
        if node == to {
            return true;
        }
        open.extend(callees[node].iter().copied().filter(|next| seen.insert(*next)));
    }
    false
}

/// Averages add up to totals, percentiles do not: so the average is taken where there is
/// one, whatever statistic the trouble was noticed by.
fn load(recording: &Recording, node: &str, question: &Question) -> Load {
    let metric = question.symptom.metric();
    let missing = || vec![f64::NAN; recording.rows()];
    let get = |metric: &str, statistic: &str| {
        recording.get(node, &Quantity::new(metric, statistic)).map(<[f64]>::to_vec)
    };
    let cost = get(metric, AVERAGE)
        .or_else(|| get(metric, &question.statistic))
        .unwrap_or_else(missing)
        .into_iter()
        .map(|value| question.symptom.cost(value))
        .collect();
    Load { cost, requests: get("requests", "Sum").unwrap_or_else(missing) }
}
