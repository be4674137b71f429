//! Faults of our own in the normal data of a scenario: synthetic, and said to be so.
//!
//! A node gets extra seconds (or failures) for a few intervals; its callers get their part
//! of them by how much they call, on up to the target, with losses and noise. The level of
//! every node drifts as if normal operation had been recorded months before, some get
//! noisier, and values go missing.

use std::collections::{BTreeMap, BTreeSet};

use selfheal_agents::root_cause::series::{CallGraph, Quantity, Question, Recording, Symptom};

/// Intervals of a suspected period, as in the data set.
const ROWS: usize = 5;
/// How a fault comes and goes.
const SHAPES: [[f64; ROWS]; 6] = [
    [0.0, 0.3, 1.0, 0.8, 0.0],
    [0.0, 1.0, 0.9, 0.1, 0.0],
    [0.0, 0.0, 1.0, 0.8, 0.4],
    [0.2, 1.0, 0.7, 0.1, 0.0],
    [0.0, 0.6, 0.8, 1.0, 0.1],
    [0.0, 0.1, 0.9, 1.0, 0.9],
];
/// A node called less often than this an interval cannot carry a fault.
const LEAST_REQUESTS: f64 = 5.0;
/// No request is made to wait longer than this, in seconds.
const LONGEST_WAIT: f64 = 10.0;

/// Numbers that look random and are the same each time (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count as u64).expect("below a count that fits")
    }

    /// Log-normal around one.
    fn around_one(&mut self, deviation: f64) -> f64 {
        let normal = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
        (deviation * normal).exp()
    }
}

/// What else happens beside the fault.
pub(crate) struct Conditions {
    pub(crate) name: &'static str,
    /// How far levels drift: the standard deviation of their logarithm.
    drift: f64,
    /// How noisy a third of the nodes gets, likewise.
    noise: f64,
    /// The share of values that go missing.
    missing: f64,
    /// Whether the culprit's callees look somewhat slow or failing as well.
    spills: bool,
    /// Whether an innocent node has a smaller trouble at the same time.
    coincidence: bool,
}

impl Conditions {
    pub(crate) const ALL: [Self; 4] = [
        Self {
            name: "clean",
            drift: 0.0,
            noise: 0.0,
            missing: 0.0,
            spills: false,
            coincidence: false,
        },
        Self { name: "drift and holes", ..Self::DRIFTED },
        Self { name: "seen at its callees, too", spills: true, ..Self::DRIFTED },
        Self { name: "with a coincidence", coincidence: true, ..Self::DRIFTED },
    ];

    const DRIFTED: Self = Self {
        name: "",
        drift: 0.3,
        noise: 0.15,
        missing: 0.05,
        spills: false,
        coincidence: false,
    };
}

/// A period in which `culprit` makes the target worse by the share `strength`; `None` where
/// the node cannot: it is called too rarely, or would have to be worse than anything is.
pub(crate) fn inject(
    dice: &mut Dice,
    (graph, normal): (&CallGraph, &Recording),
    question: &Question,
    (culprit, strength): (&str, f64),
    conditions: &Conditions,
) -> Option<Recording> {
    let typical = |node: &str, metric: &str, statistic: &str| {
        normal.get(node, &Quantity::new(metric, statistic)).map_or(0.0, middle)
    };
    let calls: BTreeMap<&str, f64> =
        graph.nodes().map(|node| (node, typical(node, "requests", "Sum"))).collect();
    if calls[culprit] < LEAST_REQUESTS {
        return None;
    }
    let start = dice.below(normal.rows() - ROWS);
    let mut extra = spread_up(dice, graph, &calls, culprit);
    let target = &question.target;
    let wanted = match question.symptom {
        Symptom::Latency => strength * typical(target, "latency", "Average") * calls[&**target],
        Symptom::Availability => strength * calls[&**target],
    };
    let reaching = extra.get(&**target).copied().filter(|part| *part > 0.01)?;
    let most = match question.symptom {
        Symptom::Latency => LONGEST_WAIT,
        Symptom::Availability => 1.0,
    };
    if wanted / reaching / calls[culprit] > most {
        return None;
    }
    if conditions.spills {
        for callee in graph.callees(culprit) {
            *extra.entry(callee).or_default() += dice.between(0.05, 0.2);
        }
    }
    if conditions.coincidence {
        let reached = graph.reach(target);
        let innocent = dice.below(reached.len());
        if let Some(node) = graph.nodes().find(|n| *n == reached[innocent].0 && *n != culprit) {
            *extra.entry(node).or_default() += dice.between(0.1, 0.4);
        }
    }
    let shape = SHAPES[dice.below(SHAPES.len())];
    let fault = Fault { shape: shape.map(|s| s * dice.around_one(0.1) * wanted / reaching), extra };
    Some(play(dice, (graph, normal), start, question, &fault, conditions))
}

/// What each node gets of one unit of trouble at `culprit`: callers share by their requests.
fn spread_up<'a>(
    dice: &mut Dice,
    graph: &'a CallGraph,
    calls: &BTreeMap<&str, f64>,
    culprit: &str,
) -> BTreeMap<&'a str, f64> {
    let callers = |node: &str| -> Vec<&'a str> {
        graph.nodes().filter(|caller| graph.callees(caller).any(|c| c == node)).collect()
    };
    let Some(culprit) = graph.nodes().find(|node| *node == culprit) else {
        return BTreeMap::new();
    };
    let mut order = vec![];
    visit(culprit, &callers, &mut BTreeSet::new(), &mut order);
    let mut extra = BTreeMap::from([(culprit, 1.0)]);
    for node in order.into_iter().rev() {
        let amount = extra.get(node).copied().unwrap_or(0.0);
        let callers = callers(node);
        let all: f64 = callers.iter().map(|caller| calls[caller]).sum();
        for caller in callers.into_iter().filter(|_| all > 0.0) {
            let part = amount * calls[caller] / all * dice.between(0.75, 1.1);
            *extra.entry(caller).or_default() += part;
        }
    }
    extra
}

/// Callers before those they call.
fn visit<'a>(
    node: &'a str,
    callers: &dyn Fn(&str) -> Vec<&'a str>,
    seen: &mut BTreeSet<&'a str>,
    order: &mut Vec<&'a str>,
) {
    if seen.insert(node) {
        for caller in callers(node) {
            visit(caller, callers, seen, order);
        }
        order.push(node);
    }
}

struct Fault<'a> {
    /// Extra seconds or failures in each interval at the culprit.
    shape: [f64; ROWS],
    /// Each node's part of them.
    extra: BTreeMap<&'a str, f64>,
}

/// The normal rows from `start` with the fault and everything else that happens.
fn play(
    dice: &mut Dice,
    (graph, normal): (&CallGraph, &Recording),
    start: usize,
    question: &Question,
    fault: &Fault<'_>,
    conditions: &Conditions,
) -> Recording {
    let rows = normal.cut(start..start + ROWS);
    let mut played = Recording::new(ROWS);
    for node in graph.nodes() {
        let part = fault.extra.get(node).copied().unwrap_or(0.0);
        // The target is the sum of many, so its level drifts less.
        let drift = if node == question.target { 0.4 } else { 1.0 } * conditions.drift;
        let drift = dice.around_one(drift);
        let noise = if dice.unit() < 0.3 { conditions.noise } else { 0.0 };
        let series = |metric: &str, statistic: &str| {
            let quantity = Quantity::new(metric, statistic);
            rows.get(node, &quantity).map_or_else(|| vec![f64::NAN; ROWS], <[f64]>::to_vec)
        };
        let mut requests = series("requests", "Sum");
        let mut latency = series("latency", "Average");
        let mut availability = series("availability", "Average");
        for row in 0..ROWS {
            latency[row] *= drift * dice.around_one(noise);
            let added = part * fault.shape[row] * dice.around_one(0.1);
            if requests[row] > 0.0 && added > 0.0 {
                match question.symptom {
                    Symptom::Latency => latency[row] += added / requests[row],
                    Symptom::Availability => {
                        let failed = added.min(requests[row]).round() / requests[row];
                        availability[row] = (availability[row] - 100.0 * failed).max(0.0);
                    }
                }
            }
            if node != question.target && dice.unit() < conditions.missing {
                latency[row] = f64::NAN;
                availability[row] = f64::NAN;
                if dice.unit() < 0.5 {
                    requests[row] = f64::NAN;
                }
            }
        }
        played.insert(node, Quantity::new("requests", "Sum"), requests);
        played.insert(node, Quantity::new("latency", "Average"), latency);
        played.insert(node, Quantity::new("availability", "Average"), availability);
    }
    played
}

fn middle(values: &[f64]) -> f64 {
    let mut present: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    present.sort_by(f64::total_cmp);
    present.get(present.len() / 2).copied().unwrap_or(0.0)
}
