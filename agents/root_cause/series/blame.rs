//! Follows the target's trouble down the calls to where it starts.
//!
//! At each node the trouble is split between the node itself (what its callees do not
//! explain) and its callees (by what each adds). What is left after the walk is each node's
//! share of the blame; the shares sum to one.

use std::collections::BTreeMap;

use super::impact::{Impact, trust};

/// Who calls whom and what each adds, by position.
pub(super) struct Calls<'a> {
    /// What each node adds.
    pub impacts: &'a [Impact],
    /// For each node whom it calls.
    pub callees: &'a [Vec<usize>],
}

/// Totals of different nodes are measured at different places and agree only so well.
const TOLERANCE: f64 = 0.2;
/// How much of the blame spread over several callees falls back on the caller: that all of
/// them broke at once is less likely than that their caller makes them look broken.
const COMMON_CALLER: f64 = 0.7;
/// How much of the blame on a callee that was never called before falls on the caller: it
/// is the caller that changed.
const NEW_CALL: f64 = 0.7;
/// How much of a callee's trouble is taken to pass a node whose own measurements do not
/// show it: they may be missing or noisy.
const BRIDGED: f64 = 0.8;
/// The caller of the blamed is the second guess, with this part of its share.
const SECOND_GUESS: f64 = 0.15;

/// What was found out about the blame below a node.
struct Verdict {
    /// The trouble that comes up from here.
    felt: f64,
    /// How sure that is, in multiples of its uncertainty.
    sureness: f64,
    /// Each node's share of it; nodes without one are left out.
    shares: Shares,
    /// The second guesses, not part of the shares.
    second: Shares,
}

type Shares = BTreeMap<usize, f64>;

/// Each node's share of the blame for the trouble of `target`. The calls form no circle.
pub(super) fn blame(calls: &Calls<'_>, target: usize) -> Vec<f64> {
    let mut verdicts: Vec<Option<Verdict>> = calls.impacts.iter().map(|_| None).collect();
    for node in callees_first(calls.callees) {
        let below: Vec<(usize, &Verdict)> = calls.callees[node]
            .iter()
            .filter_map(|callee| Some((*callee, verdicts[*callee].as_ref()?)))
            .filter(|(_, verdict)| verdict.felt > 0.0)
            .collect();
        verdicts[node] = Some(split(calls, node, &below));
    }
    let mut blame = vec![0.0; calls.impacts.len()];
    if let Some(Some(verdict)) = verdicts.get(target) {
        let total = 1.0 + verdict.second.values().sum::<f64>();
        for (node, share) in verdict.shares.iter().chain(&verdict.second) {
            blame[*node] += share / total;
        }
    }
    blame
}

/// All nodes, each after all it calls; nodes on a circle are left out.
fn callees_first(callees: &[Vec<usize>]) -> Vec<usize> {
    let mut waiting: Vec<usize> = callees.iter().map(Vec::len).collect();
    let mut called_by = vec![vec![]; callees.len()];
    for (caller, callees) in callees.iter().enumerate() {
        for callee in callees {
            called_by[*callee].push(caller);
        }
    }
    let mut order: Vec<usize> = (0..callees.len()).filter(|node| waiting[*node] == 0).collect();
    let mut next = 0;
    while let Some(node) = order.get(next).copied() {
        next += 1;
        for caller in &called_by[node] {
            waiting[*caller] -= 1;
            if waiting[*caller] == 0 {
                order.push(*caller);
            }
        }
    }
    order
}

/// Splits the blame between a node and the verdicts on those below it.
fn split(calls: &Calls<'_>, node: usize, below: &[(usize, &Verdict)]) -> Verdict {
    let (felt, sureness) = felt(&calls.impacts[node], below);
    let explained = below.iter().map(|(_, v)| v.felt).sum::<f64>().min(felt);
    let (mut shares, mut second, mut covered) = (Shares::new(), Shares::new(), Shares::new());
    if explained <= 0.0 {
        shares.insert(node, 1.0);
        return Verdict { felt, sureness, shares, second };
    }
    let mine = (felt * (1.0 - TOLERANCE) - explained).max(0.0);
    let whole = mine + explained;
    let weights: Vec<f64> =
        below.iter().map(|(_, v)| v.felt.min(felt) * trust(v.sureness)).collect();
    let all_weights: f64 = weights.iter().sum();
    let mut own = mine / whole;
    for ((callee, verdict), weight) in below.iter().zip(weights) {
        let part = explained / whole * weight / all_weights;
        let given_back = if calls.impacts[*callee].new { NEW_CALL } else { 0.0 };
        own += part * given_back;
        add(&mut shares, &verdict.shares, part * (1.0 - given_back));
        add(&mut second, &verdict.second, part);
        for (blamed, share) in &verdict.shares {
            *covered.entry(*blamed).or_default() += part * (share * 2.0).min(1.0);
        }
        let blamed = verdict.shares.get(callee).copied().unwrap_or(0.0);
        *second.entry(node).or_default() += SECOND_GUESS * part * blamed;
    }
    // What one node among them accounts for is no reason to suspect their caller.
    let most = covered.values().copied().fold(0.0, f64::max);
    let common = (1.0 - most * whole / explained).max(0.0) * COMMON_CALLER;
    for share in shares.values_mut() {
        *share *= 1.0 - common;
    }
    shares.insert(node, own + (1.0 - own) * common);
    Verdict { felt, sureness, shares, second }
}

/// The trouble that comes up from a node, and how sure that is: by its own measurements, or
/// by the worst below it where its own do not show it.
fn felt(own: &Impact, below: &[(usize, &Verdict)]) -> (f64, f64) {
    let worst = below.iter().map(|(_, v)| v).max_by(|a, b| a.felt.total_cmp(&b.felt));
    match worst {
        Some(worst) if worst.felt * BRIDGED > own.credible() => {
            (worst.felt * BRIDGED, worst.sureness)
        }
        _ => (own.credible(), own.sureness),
    }
}

fn add(to: &mut Shares, from: &Shares, part: f64) {
    for (node, share) in from {
        *to.entry(*node).or_default() += share * part;
    }
}
