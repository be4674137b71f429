//! Findings from the verdicts of checks.
//!
//! The check brings the verdict; the runbooks that it signs bring family and severity, and
//! may soften a verdict, never sharpen it.

use std::collections::BTreeMap;

use super::catalogue::{Catalogue, check_base};
use crate::model::{
    Category, ContainerFacts, Finding, FindingSource, HealthReport, Observation, ObservedValue,
    Program, Severity, TargetId, Trend, Verdict, clean,
};

/// Length of a message, in characters.
const MESSAGE_CHARS: usize = 400;

/// A finding for every bad observation; `before` holds the numbers of the last report.
pub(super) fn findings(
    report: &HealthReport,
    catalogue: &Catalogue,
    before: &BTreeMap<String, f64>,
) -> Vec<Finding> {
    let bad = report
        .targets
        .iter()
        .flat_map(|target| target.observations.iter().filter(|o| o.verdict.is_bad()));
    bad.map(|observation| {
        let container = container_of(report, &observation.target);
        finding(observation, catalogue, container.map(Program::from), before)
    })
    .collect()
}

/// The container behind a target: itself, or the one it stands for.
pub(super) fn container_of<'a>(
    report: &'a HealthReport,
    id: &TargetId,
) -> Option<&'a ContainerFacts> {
    let target = report.target(id)?;
    let container = match target.state.target.container.as_deref() {
        Some(name) if id.container_name().is_none() => report.target(&TargetId::container(name))?,
        _ => target,
    };
    container.state.container()
}

/// The numbers of bad observations, to compare the next ones with.
pub(super) fn numbers(report: &HealthReport) -> impl Iterator<Item = (String, f64)> {
    report.targets.iter().flat_map(|target| &target.observations).filter_map(|o| match o.value {
        ObservedValue::Number(number) if o.verdict.is_bad() => {
            Some((Finding::check_key(&o.target, &o.check), number))
        }
        _ => None,
    })
}

fn finding(
    observation: &Observation,
    catalogue: &Catalogue,
    container: Option<Program<'_>>,
    before: &BTreeMap<String, f64>,
) -> Finding {
    let signers = catalogue.signed_by(observation, container);
    let key = Finding::check_key(&observation.target, &observation.check);
    let value = format!("{}{}", observation.value, observation.unit);
    let of_verdict = match observation.verdict {
        Verdict::Critical => Severity::Critical,
        _ => Severity::Warning,
    };
    let of_signers = signers.iter().map(|runbook| runbook.severity).max();
    let message = match observation.detail.trim() {
        "" => format!("{} is {value}", observation.check),
        detail => detail.to_owned(),
    };
    Finding {
        target: observation.target.clone(),
        source: FindingSource::Check { check: observation.check.clone(), value: value.clone() },
        category: signers
            .first()
            .map_or_else(|| generic_category(observation), |runbook| runbook.category),
        severity: of_signers.map_or(of_verdict, |severity| severity.min(of_verdict)),
        message: clean(&message, MESSAGE_CHARS),
        samples: vec![clean(&value, MESSAGE_CHARS)],
        count: 1,
        first_seen: observation.since.min(observation.at),
        last_seen: observation.at,
        trend: trend(observation, before.get(&key).copied()),
        key,
    }
}

fn trend(observation: &Observation, before: Option<f64>) -> Trend {
    let (ObservedValue::Number(now), Some(before)) = (&observation.value, before) else {
        return Trend::Steady;
    };
    // A twentieth more or less is noise.
    let margin = before.abs() / 20.0;
    match now - before {
        change if change > margin => Trend::Rising,
        change if change < -margin => Trend::Falling,
        _ => Trend::Steady,
    }
}

/// The family of a check that no runbook speaks of.
fn generic_category(observation: &Observation) -> Category {
    let value = observation.value.to_string();
    match (check_base(&observation.check), value.as_str()) {
        ("container.state", "crash_loop" | "restarting") | ("container.deaths", _) => {
            Category::CrashLoop
        }
        ("container.state", "paused") | ("container.health", _) => Category::Hang,
        ("container.state" | "container.exit_code", _) => Category::Crash,
        ("container.start_error", _) => Category::Configuration,
        ("container.network" | "tcp.reachable", _) | ("http.status", "dns" | "refused") => {
            Category::Network
        }
        ("host.pressure_io" | "container.log_disk", _) => Category::Disk,
        (check, _) if check.starts_with("host.disk") || check.starts_with("host.inodes") => {
            Category::Disk
        }
        ("http.status", "timeout") => Category::Timeout,
        ("http.status", "tls") | ("http.certificate", _) => Category::Tls,
        (check, _) if check.contains("memory") || check.ends_with("oom") => Category::Memory,
        ("host.swap", _) => Category::Memory,
        (check, _) if check.ends_with("cpu") || check.ends_with("load") => Category::Cpu,
        (check, _) if check.ends_with("latency") => Category::Timeout,
        (check, _) if DATABASES.iter().any(|prefix| check.starts_with(prefix)) => {
            Category::Database
        }
        _ => Category::ApiErrors,
    }
}

/// What the checks of databases and caches begin with.
const DATABASES: [&str; 3] = ["postgres.", "mysql.", "redis."];
