use std::collections::BTreeSet;

use regex::Regex;
use selfheal_agents::model::Mode;
use serde_json::Value;

use super::ties::{Heartbeat, History};
use super::*;
use crate::{fleet, streams};

const RULES: &str = include_str!("../../../deploy/prometheus/selfheal.rules.yml");
const PLAYED: &str = include_str!("../../../deploy/prometheus/selfheal.test.yml");
const DASHBOARD: &str = include_str!("../../../deploy/grafana/selfheal.json");

/// For whoever asks something else than the rules and the dashboard do.
const FOR_NEITHER: [&str; 12] = [
    // The contract names them.
    "active_orchestrators",
    "total_jobs_processed",
    // Of one host; the dashboard has that of several.
    "success_rate",
    // Its histogram says more.
    "selfheal_last_cycle_seconds",
    "selfheal_cycles_total",
    // Each cycle finds again what is not mended; the incidents are what counts.
    "selfheal_findings_total",
    "selfheal_incidents_opened_total",
    "selfheal_fleet_outcomes",
    "selfheal_heartbeats_total",
    "selfheal_trace_spans_total",
    "process_open_fds",
    "selfheal_tasks",
];

fn standing() -> Standing {
    Standing {
        mode: Mode::Auto,
        freezes: vec![],
        last_check: Some(chrono::DateTime::UNIX_EPOCH),
        next_check: None,
        check_interval_minutes: 5.0,
        cycles: 7,
        last_cycle_ms: Some(1500.0),
        targets: vec![],
        blind: vec![],
        runtime_connected: true,
        applying: 0,
        validating: 0,
    }
}

/// What is told where there is everything that can be told of.
fn all() -> String {
    // Only within a runtime there are tasks to be counted.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _within = runtime.enter();
    let streams = streams::Figures { connected: true, sent: 5, done: 4, failed: 3, dead: 2 };
    let ties = Ties {
        history: Some(History { is_taken: true, waiting: 3 }),
        fleet: Some(fleet::Figures { connected: false, held: 2, lost: 1, refused: 4, outcomes: 9 }),
        streams: Some((streams, 1)),
        spans: Some((6, 1)),
        heartbeat: Some(Heartbeat { arrives: false, arrived: 8 }),
    };
    let fixes = Fixes::of(&[]);
    let never = ByResult { fix_type: "container.start".to_owned(), result: "success" };
    fixes.by_result.get_or_create(&never).inc_by(0);
    let seen = Seen {
        standing: &standing(),
        fixes: &fixes,
        open: &[],
        depth: Depth { cycles: 1, alerts: 2, refused: 1 },
        ties,
        tally: &Tally::of_each(),
        left_out: 0,
        parts: &[Record { part: "the clock", restarts: 1 }],
        own: Own::now(),
    };
    seen.text().unwrap()
}

/// The names of all samples that there are or can be, by what is told of their types; those of one
/// figure together.
fn figures(scraped: &str) -> Vec<Vec<String>> {
    let types = scraped.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let figures = types.map(|line| {
        let (name, kind) = line.split_once(' ').unwrap();
        let ends: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        ends.iter().map(|end| format!("{name}{end}")).collect()
    });
    figures.collect()
}

fn asked_for(file: &str) -> BTreeSet<&str> {
    let names = Regex::new(
        r"\b(?:(?:selfheal|process)_[a-z_]+|(?:successful|failed)_repairs|success_rate)\b",
    );
    names.unwrap().find_iter(file).map(|found| found.as_str()).collect()
}

#[test]
fn the_names_of_the_contract_are_there_with_their_values() {
    let text = all();
    for line in [
        "active_orchestrators 1.0",
        "total_jobs_processed 7.0",
        "successful_repairs 0.0",
        "failed_repairs 0.0",
        "success_rate 0.0",
        "selfheal_cycles_total 7",
        "selfheal_last_cycle_seconds 1.5",
        "selfheal_targets{verdict=\"critical\"} 0",
        "selfheal_cycles_waiting 1.0",
        "selfheal_alerts_waiting 2.0",
        "selfheal_alerts_refused 1.0",
        "selfheal_stuck 0.0",
        "selfheal_time_to_repair_seconds_count 0",
        "selfheal_store_connected 1.0",
        "selfheal_store_changes_waiting 3.0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}

#[test]
fn rules_and_dashboard_ask_only_for_what_is_there() {
    let there: BTreeSet<String> = figures(&all()).into_iter().flatten().collect();
    for (file, least) in [(RULES, 10), (DASHBOARD, 20)] {
        let asked = asked_for(file);
        assert!(asked.len() >= least, "{asked:?}");
        for name in asked {
            assert!(there.contains(name), "{name} is not among {there:?}");
        }
    }
}

#[test]
fn every_figure_is_in_a_rule_or_on_the_dashboard_or_named_here_as_meant_for_neither() {
    let mut watched = asked_for(RULES);
    watched.extend(asked_for(DASHBOARD));
    let is_watched = |names: &[String]| names.iter().any(|name| watched.contains(name.as_str()));
    let figures = figures(&all());
    for name in FOR_NEITHER {
        assert!(figures.iter().flatten().any(|figure| figure == name), "there is no {name}");
        assert!(!watched.contains(name), "{name} is watched");
    }
    let is_for_neither = |names: &[String]| FOR_NEITHER.contains(&names[0].as_str());
    for names in figures.iter().filter(|names| !is_for_neither(names)) {
        assert!(is_watched(names), "nobody watches {names:?}");
    }
}

#[test]
fn every_rule_is_played_until_it_fires() {
    let played: Vec<_> = PLAYED.split("- eval_time:").collect();
    for rule in RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let of_rule = format!("alertname: {rule}\n");
        let fires = |case: &&str| case.contains(&of_rule) && case.contains("exp_labels");
        assert!(played.iter().any(fires), "{rule} never fires in selfheal.test.yml");
    }
}

#[test]
fn what_the_dashboard_reckons_of_several_hosts_is_played_too() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    for title in ["Fixes that helped", "Longest without a look"] {
        let panels = dashboard["panels"].as_array().unwrap();
        let panel = panels.iter().find(|panel| panel["title"] == title).unwrap();
        let asked = panel["targets"][0]["expr"].as_str().unwrap();
        let of_all = asked.replace("{instance=~\"$instance\"}", "");
        assert!(PLAYED.contains(&of_all), "{of_all} is not in selfheal.test.yml");
    }
}
