//! A small shop of our own making: `site` calls `search` and `pay`, both call `db`, `pay`
//! calls `bank`.

use super::*;

const CALLS: [(&str, &str); 5] =
    [("site", "search"), ("site", "pay"), ("search", "db"), ("pay", "db"), ("pay", "bank")];
/// Node, requests an interval, seconds a request by itself (without its callees).
const NODES: [(&str, f64, f64); 5] = [
    ("site", 600.0, 0.02),
    ("search", 400.0, 0.01),
    ("pay", 200.0, 0.03),
    ("db", 600.0, 0.005),
    ("bank", 200.0, 0.05),
];
const NORMAL_ROWS: usize = 240;
const SHAPE: [f64; 6] = [0.0, 0.0, 1.0, 0.8, 0.9, 0.1];

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / f64::from(1_u32 << 31)
    }

    /// Around one, a few percent up or down.
    fn wobble(&mut self) -> f64 {
        1.0 + 0.04 * (self.roll() + self.roll() + self.roll() - 1.5)
    }
}

/// Trouble put into one node: extra seconds a request, and the share that fails.
#[derive(Clone, Copy)]
struct Fault<'a> {
    node: &'a str,
    seconds: f64,
    failing: f64,
}

fn slow(node: &str, seconds: f64) -> Fault<'_> {
    Fault { node, seconds, failing: 0.0 }
}

fn failing(node: &str, failing: f64) -> Fault<'_> {
    Fault { node, seconds: 0.0, failing }
}

fn graph() -> CallGraph {
    CallGraph::new(CALLS)
}

/// What is measured while the faults are on as far as `shape` says.
fn record(seed: u64, shape: &[f64], faults: &[Fault<'_>]) -> Recording {
    let mut dice = Dice(seed);
    let mut recording = Recording::new(shape.len());
    let mut rows: Vec<[(f64, f64, f64); 5]> = vec![];
    for strength in shape {
        let traffic = dice.wobble();
        // Callees come last in the list, so their totals are known first from its end.
        let mut totals = [(0.0, 0.0); 5];
        let mut row = [(0.0, 0.0, 0.0); 5];
        for at in (0..NODES.len()).rev() {
            let (node, requests, seconds) = NODES[at];
            let requests = (requests * traffic * dice.wobble()).round();
            let mut spent = requests * seconds * dice.wobble();
            let mut failed = 0.0;
            for fault in faults.iter().filter(|fault| fault.node == node) {
                spent += requests * fault.seconds * strength;
                failed += requests * fault.failing * strength;
            }
            for (caller, callee) in CALLS.iter().filter(|(caller, _)| *caller == node) {
                let below = NODES.iter().position(|(name, ..)| name == callee).unwrap();
                let callers: f64 = CALLS
                    .iter()
                    .filter(|(_, other)| other == callee)
                    .map(|(c, _)| NODES.iter().find(|(name, ..)| name == c).unwrap().1)
                    .sum();
                let part = NODES.iter().find(|(name, ..)| name == caller).unwrap().1 / callers;
                spent += totals[below].0 * part;
                failed += totals[below].1 * part;
            }
            totals[at] = (spent, failed);
            row[at] = (requests, spent / requests, 100.0 * (1.0 - failed / requests).max(0.0));
        }
        rows.push(row);
    }
    for (at, (node, ..)) in NODES.iter().enumerate() {
        let column = |of: fn((f64, f64, f64)) -> f64| rows.iter().map(|r| of(r[at])).collect();
        recording.insert(*node, Quantity::new("requests", "Sum"), column(|cell| cell.0));
        recording.insert(*node, Quantity::new("latency", "Average"), column(|cell| cell.1));
        recording.insert(*node, Quantity::new("availability", "Average"), column(|cell| cell.2));
    }
    recording
}

fn normal() -> Recording {
    record(1, &[0.0; NORMAL_ROWS], &[])
}

fn ask(symptom: Symptom) -> Question {
    Question { target: "site".into(), symptom, statistic: "Average".into() }
}

fn names(culprits: &[Culprit]) -> Vec<&str> {
    culprits.iter().map(|culprit| culprit.node.as_str()).collect()
}

fn first(suspect: &Recording, symptom: Symptom) -> Option<String> {
    rank(&graph(), &normal(), suspect, &ask(symptom)).unwrap().first().map(|c| c.node.clone())
}

#[test]
fn a_slow_node_is_blamed_wherever_it_is() {
    for (node, requests, _) in NODES {
        for seed in 2..8 {
            // The same extra seconds for all, a third of what the target takes.
            let suspect = record(seed, &SHAPE, &[slow(node, 12.0 / requests)]);
            assert_eq!(first(&suspect, Symptom::Latency).as_deref(), Some(node), "seed {seed}");
        }
    }
}

#[test]
fn a_failing_node_is_blamed_wherever_it_is() {
    for (node, requests, _) in NODES {
        let suspect = record(3, &SHAPE, &[failing(node, 30.0 / requests)]);
        assert_eq!(first(&suspect, Symptom::Availability).as_deref(), Some(node));
    }
}

#[test]
fn nothing_wrong_gets_no_answer() {
    let mut wrongly = 0;
    for seed in 100..200 {
        for symptom in [Symptom::Latency, Symptom::Availability] {
            wrongly += usize::from(first(&record(seed, &[0.0; 6], &[]), symptom).is_some());
        }
    }
    assert!(wrongly <= 10, "{wrongly} of 200 normal periods were blamed on somebody");
    let (normal, whole) = (normal(), Question { ..ask(Symptom::Latency) });
    for cut in [120, 144, 168, 192, 216, NORMAL_ROWS] {
        let (before, after) = (normal.cut(0..cut), normal.cut(cut..NORMAL_ROWS));
        assert_eq!(rank(&graph(), &before, &after, &whole).unwrap(), [], "cut at {cut}");
    }
}

#[test]
fn names_play_no_part() {
    let suspect = record(5, &SHAPE, &[slow("bank", 0.06), slow("search", 0.005)]);
    let plain = rank(&graph(), &normal(), &suspect, &ask(Symptom::Latency)).unwrap();
    assert!(plain.len() >= 2, "there is an order to keep: {plain:?}");
    // Each name goes to another node, so that their order turns around as well.
    let renamed = |node: &str| match node {
        "site" => "bank",
        "bank" => "site",
        "pay" => "db",
        "db" => "a",
        _ => "zebra",
    };
    let rename = |recording: &Recording| {
        let mut other = Recording::new(recording.rows());
        for (node, quantity, values) in recording.iter() {
            other.insert(renamed(node), quantity.clone(), values.to_vec());
        }
        other
    };
    let other_graph = CallGraph::new(CALLS.map(|(from, to)| (renamed(from), renamed(to))));
    let question = Question { target: renamed("site").into(), ..ask(Symptom::Latency) };
    let other = rank(&other_graph, &rename(&normal()), &rename(&suspect), &question).unwrap();
    let expected: Vec<&str> = names(&plain).into_iter().map(renamed).collect();
    assert_eq!(names(&other), expected);
    for (one, two) in plain.iter().zip(&other) {
        assert!((one.score - two.score).abs() < 1e-9);
    }
}

#[test]
fn holes_in_the_measurements_do_not_hide_the_culprit() {
    let mut suspect = record(6, &SHAPE, &[slow("bank", 0.06)]);
    let latency = Quantity::new("latency", "Average");
    let mut holed = suspect.get("bank", &latency).unwrap().to_vec();
    holed[3] = f64::NAN;
    suspect.insert("bank", latency.clone(), holed);
    // Its caller was not measured at all.
    suspect.insert("pay", latency, vec![]);
    assert_eq!(first(&suspect, Symptom::Latency).as_deref(), Some("bank"));
}

#[test]
fn what_is_odd_all_the_time_is_not_blamed_for_what_comes_and_goes() {
    let mut suspect = record(7, &SHAPE, &[slow("search", 0.03)]);
    let latency = Quantity::new("latency", "Average");
    let drifted: Vec<f64> =
        suspect.get("bank", &latency).unwrap().iter().map(|seconds| seconds * 8.0).collect();
    suspect.insert("bank", latency, drifted);
    assert_eq!(first(&suspect, Symptom::Latency).as_deref(), Some("search"));
}

#[test]
fn trouble_through_the_whole_period_is_seen_against_normal_operation() {
    let suspect = record(8, &[1.0, 0.95, 1.0, 1.0, 0.97, 1.0], &[slow("pay", 0.08)]);
    assert_eq!(first(&suspect, Symptom::Latency).as_deref(), Some("pay"));
}

#[test]
fn a_caller_that_makes_all_its_callees_look_slow_is_blamed_itself() {
    let faults = [slow("pay", 0.05), slow("bank", 0.01), slow("db", 0.002)];
    let suspect = record(9, &SHAPE, &faults);
    assert_eq!(first(&suspect, Symptom::Latency).as_deref(), Some("pay"));
}

#[test]
fn who_starts_to_call_a_node_that_only_fails_is_blamed_before_it() {
    let mut suspect = record(10, &SHAPE, &[failing("search", 0.1)]);
    let calls: Vec<f64> = SHAPE.iter().map(|strength| (400.0 * 0.1 * strength).round()).collect();
    let failing = calls.iter().map(|c| if *c > 0.0 { 0.0 } else { f64::NAN }).collect();
    suspect.insert("wrong-table", Quantity::new("requests", "Sum"), calls);
    suspect.insert("wrong-table", Quantity::new("availability", "Average"), failing);
    let graph = CallGraph::new(CALLS.into_iter().chain([("search", "wrong-table")]));
    let ranked = rank(&graph, &normal(), &suspect, &ask(Symptom::Availability)).unwrap();
    assert_eq!(names(&ranked)[..2], ["search", "wrong-table"], "{ranked:?}");
}

#[test]
fn calls_in_a_circle_come_to_an_end() {
    let graph = CallGraph::new(CALLS.into_iter().chain([("bank", "pay"), ("db", "site")]));
    let suspect = record(11, &SHAPE, &[slow("bank", 0.06)]);
    let ranked = rank(&graph, &normal(), &suspect, &ask(Symptom::Latency)).unwrap();
    assert_eq!(ranked[0].node, "bank");
}

#[test]
fn a_percentile_may_be_asked_for() {
    let with_p95 = |mut recording: Recording| {
        for (node, ..) in NODES {
            let p95 = recording.get(node, &Quantity::new("latency", "Average")).unwrap();
            let p95 = p95.iter().map(|seconds| seconds * 2.5).collect();
            recording.insert(node, Quantity::new("latency", "p95"), p95);
        }
        recording
    };
    let suspect = with_p95(record(12, &SHAPE, &[slow("db", 0.02)]));
    let question = Question { statistic: "p95".into(), ..ask(Symptom::Latency) };
    let ranked = rank(&graph(), &with_p95(normal()), &suspect, &question).unwrap();
    assert_eq!(ranked[0].node, "db");
}

#[test]
fn what_cannot_be_answered_is_said() {
    let unknown = Question { target: "nobody".into(), ..ask(Symptom::Latency) };
    let error = rank(&graph(), &normal(), &normal(), &unknown).unwrap_err();
    assert_eq!(error, Unanswerable::UnknownTarget("nobody".into()));
    let unmeasured = Question { statistic: "p42".into(), ..ask(Symptom::Latency) };
    let error = rank(&graph(), &normal(), &normal(), &unmeasured).unwrap_err();
    assert_eq!(error.to_string(), "the metrics of the normal period have no latency p42 of `site`");
}
