//! Measures the ranking of root causes from time series. See `README.md` beside it.
//!
//! `cargo bench --bench rca -- FOLDER` or `SELFHEAL_PETSHOP=FOLDER cargo bench --bench rca`,
//! FOLDER in the form of the PetShop data set: scenarios with `graph.csv`,
//! `noissue/metrics.csv` and issues (`train/issue_0/metrics.csv`, `target.json`).

#![expect(clippy::print_stdout, reason = "the figures are what this program is for")]

#[path = "rca/inject.rs"]
mod inject;

use std::fs::read_dir;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use inject::{Conditions, Dice, inject};
use selfheal::recordings::{read_graph, read_metrics};
use selfheal_agents::root_cause::series::{CallGraph, Culprit, Question, Recording, Symptom, rank};

/// Wanted: the culprit first, and among the first three.
#[derive(Default)]
struct Recall {
    asked: u32,
    first: u32,
    among_three: u32,
    silent: u32,
}

impl Recall {
    fn count(&mut self, answer: &[Culprit], culprit: &str) {
        let place = answer.iter().position(|c| c.node == culprit);
        self.asked += 1;
        self.first += u32::from(place == Some(0));
        self.among_three += u32::from(place.is_some_and(|place| place < 3));
        self.silent += u32::from(answer.is_empty());
    }

    fn print(&self, what: &str) {
        let share = |count: u32| f64::from(count) / f64::from(self.asked.max(1));
        println!(
            "{what:<76} {:>5} {:>6.2} {:>6.2} {:>6.2}",
            self.asked,
            share(self.first),
            share(self.among_three),
            share(self.silent)
        );
    }
}

struct Scenario {
    name: String,
    folder: PathBuf,
    graph: CallGraph,
    normal: Recording,
}

fn main() -> Result<()> {
    let folder = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"))
        .or_else(|| std::env::var("SELFHEAL_PETSHOP").ok());
    let Some(folder) = folder else {
        println!("skipped: no data; name the folder as argument or in SELFHEAL_PETSHOP");
        return Ok(());
    };
    let scenarios = scenarios(Path::new(&folder))?;
    println!("{:<76} {:>5} {:>6} {:>6} {:>6}", "", "asked", "top-1", "top-3", "silent");
    issues(&scenarios)?;
    specificity(&scenarios)?;
    for scenario in &scenarios {
        synthetic(scenario)?;
    }
    Ok(())
}

fn scenarios(folder: &Path) -> Result<Vec<Scenario>> {
    let mut scenarios = vec![];
    for folder in folders(folder)? {
        if folder.join("graph.csv").exists() {
            scenarios.push(Scenario {
                name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                graph: read_graph(&folder.join("graph.csv"))?,
                normal: read_metrics(&folder.join("noissue/metrics.csv"))?,
                folder,
            });
        }
    }
    if scenarios.is_empty() {
        bail!("{} holds no folder with a graph.csv", folder.display());
    }
    Ok(scenarios)
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut found: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    found.sort();
    Ok(found)
}

/// The injected issues that come with the data.
fn issues(scenarios: &[Scenario]) -> Result<()> {
    let mut all = Recall::default();
    for scenario in scenarios {
        for split in folders(&scenario.folder)?.iter().filter(|path| !path.ends_with("noissue")) {
            let mut recall = Recall::default();
            for issue in folders(split)? {
                let (question, culprit) = told(&issue.join("target.json"))?;
                let suspect = read_metrics(&issue.join("metrics.csv"))?;
                let answer = rank(&scenario.graph, &scenario.normal, &suspect, &question)?;
                recall.count(&answer, &culprit);
                all.count(&answer, &culprit);
            }
            let split = split.file_name().unwrap_or_default().to_string_lossy();
            recall.print(&format!("issues of {} ({split})", scenario.name));
        }
    }
    all.print("all issues");
    Ok(())
}

fn told(path: &Path) -> Result<(Question, String)> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let told: serde_json::Value = serde_json::from_str(&text)?;
    let word = |pointer: &str| -> Result<String> {
        let word = told.pointer(pointer).and_then(serde_json::Value::as_str);
        Ok(word.with_context(|| format!("{}: no {pointer}", path.display()))?.to_owned())
    };
    let symptom = match word("/target/metric")?.as_str() {
        "latency" => Symptom::Latency,
        "availability" => Symptom::Availability,
        other => bail!("{}: no symptom `{other}`", path.display()),
    };
    let target = word("/target/node")?;
    let question = Question { target, symptom, statistic: word("/target/agg")? };
    Ok((question, word("/root_cause/node")?))
}

/// The node whose trouble the first issue is about: the same for all.
fn target(scenario: &Scenario) -> Result<String> {
    for split in folders(&scenario.folder)? {
        if let Some(issue) = folders(&split)?.first() {
            return Ok(told(&issue.join("target.json"))?.0.target);
        }
    }
    bail!("scenario {} has no issue", scenario.name)
}

const STATISTICS: [(Symptom, &str); 6] = [
    (Symptom::Latency, "Average"),
    (Symptom::Latency, "p50"),
    (Symptom::Latency, "p90"),
    (Symptom::Latency, "p95"),
    (Symptom::Latency, "p99"),
    (Symptom::Availability, "Average"),
];

/// The share of cuts of normal data that get no answer: before the cut is normal, after it
/// suspected; at one half to nine tenths in steps of a tenth, as the data set defines it,
/// and in steps of a fortieth; and short periods of five intervals.
fn specificity(scenarios: &[Scenario]) -> Result<()> {
    println!("\n{:<76} {:>6} {:>6} {:>6}", "silent on normal data", "tenths", "finer", "short");
    for (symptom, statistic) in STATISTICS {
        let mut silent = [(0, 0); 3];
        for scenario in scenarios {
            let question =
                Question { target: target(scenario)?, symptom, statistic: statistic.to_owned() };
            let rows = scenario.normal.rows();
            let tenths = (5..10).map(|part| rows * part / 10);
            let finer = (20..39).map(|part| rows * part / 40);
            let short = (rows / 2..rows - 5).step_by(5);
            for (counts, cuts, length) in [
                (0, tenths.collect::<Vec<_>>(), rows),
                (1, finer.collect(), rows),
                (2, short.collect(), 5),
            ] {
                for cut in cuts {
                    let (before, after) =
                        (scenario.normal.cut(0..cut), scenario.normal.cut(cut..cut + length));
                    let answer = rank(&scenario.graph, &before, &after, &question)?;
                    silent[counts].0 += u32::from(answer.is_empty());
                    silent[counts].1 += 1;
                }
            }
        }
        let [tenths, finer, short] = silent.map(|(s, n)| f64::from(s) / f64::from(n));
        let what = format!("{} {statistic}", symptom.metric());
        println!("{what:<76} {tenths:>6.2} {finer:>6.2} {short:>6.2}");
    }
    println!();
    Ok(())
}

/// Faults of our own put into the normal data at each node that can carry one.
fn synthetic(scenario: &Scenario) -> Result<()> {
    const TRIALS: usize = 8;
    let target = target(scenario)?;
    let strengths = [
        (Symptom::Latency, [("10 to 25 %", 0.1, 0.25), ("25 to 60 %", 0.25, 0.6)]),
        (Symptom::Availability, [("1.5 to 4 %", 0.015, 0.04), ("4 to 10 %", 0.04, 0.1)]),
    ];
    for (symptom, strengths) in strengths {
        let question =
            Question { target: target.clone(), symptom, statistic: "Average".to_owned() };
        for conditions in Conditions::ALL {
            for (label, low, high) in strengths {
                let mut dice = Dice::new(7);
                let mut recall = Recall::default();
                for (culprit, _) in scenario.graph.reach(&target) {
                    for _ in 0..TRIALS {
                        let strength = dice.between(low, high);
                        let Some(suspect) = inject(
                            &mut dice,
                            (&scenario.graph, &scenario.normal),
                            &question,
                            (&culprit, strength),
                            &conditions,
                        ) else {
                            continue;
                        };
                        let answer = rank(&scenario.graph, &scenario.normal, &suspect, &question)?;
                        recall.count(&answer, &culprit);
                    }
                }
                let what = format!("{} {}", symptom.metric(), conditions.name);
                recall.print(&format!("synthetic {}: {what}, {label}", scenario.name));
            }
        }
    }
    Ok(())
}
