//! `/metrics`: Prometheus text.
//!
//! What the store and the coordinator know is read from them at the moment of the scrape, into a
//! registry of that scrape: there is no second bookkeeping that could drift. Only what neither
//! keeps is counted as it happens (`tally`).

mod own;
mod tally;
#[cfg(test)]
mod tests;
mod ties;

pub(super) use tally::Tally;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use selfheal_agents::model::{Incident, IncidentState, Outcome, Verdict};

use self::own::Own;
use self::ties::Ties;
use super::problem::{Answer, Problem};
use super::state::Api;
use crate::coordinator::Standing;
use crate::upkeep::Record;

type FloatGauge = Gauge<f64, AtomicU64>;

/// Upper bounds of times to repair, in seconds.
const REPAIRS: [f64; 10] = [1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 600.0, 3_600.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByVerdict {
    verdict: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    fix_type: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByPart {
    part: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// Figures for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "selfheal",
    responses((status = 200, description = "OpenMetrics text", content_type = "application/openmetrics-text", body = String))
)]
pub(super) async fn metrics(State(api): State<Api>) -> Answer<impl IntoResponse> {
    let results = api.results().await?;
    let upkeep = api.coordinator.upkeep();
    let seen = Seen {
        standing: &api.coordinator.standing(),
        fixes: &results.fixes,
        open: &api.store().open_incidents().await?,
        depth: Depth {
            cycles: api.coordinator.cycles_waiting(),
            alerts: api.store().waiting().await?,
            refused: api.store().refused().await?,
        },
        ties: Ties::of(&api).await?,
        tally: &api.tally,
        left_out: api.coordinator.lines_left_out(),
        parts: &upkeep.records(),
        own: Own::now(),
    };
    let text = seen.text().map_err(|e| Problem::internal(&e))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text))
}

/// All that a scrape is told.
struct Seen<'a> {
    standing: &'a Standing,
    fixes: &'a Fixes,
    open: &'a [Incident],
    depth: Depth,
    ties: Ties,
    tally: &'a Tally,
    /// Log lines.
    left_out: u64,
    parts: &'a [Record],
    own: Option<Own>,
}

impl Seen<'_> {
    fn text(&self) -> Result<String, std::fmt::Error> {
        let (mut registry, mut text) = (Registry::default(), String::new());
        contract(&mut registry, self.standing, self.fixes);
        state(&mut registry, self.standing, self.open);
        self.fixes.register(&mut registry);
        self.depth.register(&mut registry);
        self.ties.register(&mut registry);
        self.tally.register(&mut registry);
        let help = "Log lines that no cycle looked at, since there were too many at once";
        counter(&mut registry, "selfheal_log_lines_left_out", help, self.left_out);
        restarts(&mut registry, self.parts);
        if let Some(own) = &self.own {
            own.register(&mut registry);
        }
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// What waits.
struct Depth {
    cycles: usize,
    alerts: u64,
    refused: u64,
}

impl Depth {
    fn register(&self, registry: &mut Registry) {
        let help = "Cycles that wait to begin";
        gauge(registry, "selfheal_cycles_waiting", help, self.cycles as f64);
        let help = "Alerts that wait for their channel";
        gauge(registry, "selfheal_alerts_waiting", help, self.alerts as f64);
        let help = "Alerts among them that their channel did not take so far";
        gauge(registry, "selfheal_alerts_refused", help, self.refused as f64);
    }
}

/// Each part of Selfheal from the start on, so that a rule sees the first one that ends.
fn restarts(registry: &mut Registry, records: &[Record]) {
    let restarts = Family::<ByPart, Counter>::default();
    for Record { part, restarts: count } in records {
        restarts.get_or_create(&ByPart { part }).inc_by(*count);
    }
    let help = "Parts of Selfheal that were begun anew after a fault of its own";
    registry.register("selfheal_part_restarts", help, restarts);
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: f64) {
    let gauge = FloatGauge::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn counter(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter = Counter::<u64>::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

fn flag(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

/// The names that other programs already read; they are gauges, since a counter's name
/// would end in `_total`.
fn contract(registry: &mut Registry, standing: &Standing, fixes: &Fixes) {
    let Fixes { all, successes, .. } = *fixes;
    let rate = if all == 0 { 0.0 } else { successes as f64 * 100.0 / all as f64 };
    for (name, help, value) in [
        ("active_orchestrators", "Coordinators running in this process", 1.0),
        ("total_jobs_processed", "Cycles since the start", standing.cycles as f64),
        ("successful_repairs", "Fixes proven to help", successes as f64),
        ("failed_repairs", "Fixes not proven to help", (all - successes) as f64),
        ("success_rate", "Share of fixes proven to help, percent; 0 without any", rate),
    ] {
        gauge(registry, name, help, value);
    }
}

fn state(registry: &mut Registry, standing: &Standing, open: &[Incident]) {
    let build = Family::<Build, Gauge>::default();
    build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION") }).set(1);
    registry.register("selfheal_build", "The program's version, always 1", build);

    counter(registry, "selfheal_cycles", "Cycles since the start", standing.cycles);

    if let Some(ms) = standing.last_cycle_ms {
        let last = FloatGauge::default();
        last.set(ms / 1000.0);
        let help = "Length of the last cycle";
        registry.register_with_unit("selfheal_last_cycle", help, Unit::Seconds, last);
    }
    if let Some(at) = standing.last_check {
        let last = FloatGauge::default();
        last.set(at.timestamp_millis() as f64 / 1000.0);
        let help = "When the last cycle ended, since 1970";
        registry.register_with_unit("selfheal_last_check_timestamp", help, Unit::Seconds, last);
    }
    let stuck: BTreeSet<_> = standing.freezes.iter().filter_map(|freeze| freeze.stuck).collect();
    for (name, help, value) in [
        (
            "selfheal_runtime_connected",
            "Whether the container runtime answers",
            flag(standing.runtime_connected),
        ),
        (
            "selfheal_frozen",
            "Whether all automatic fixes are stopped by a person",
            flag(standing.freezes.iter().any(|freeze| freeze.target.is_none())),
        ),
        (
            "selfheal_stuck",
            "Incidents whose fix could not be taken back, while their targets are left alone",
            stuck.len() as f64,
        ),
        ("selfheal_fixes_applying", "Fixes being applied", standing.applying as f64),
        ("selfheal_fixes_validating", "Validation windows running", standing.validating as f64),
    ] {
        gauge(registry, name, help, value);
    }

    let targets = Family::<ByVerdict, Gauge>::default();
    for (verdict, word) in [
        (Verdict::Ok, "ok"),
        (Verdict::Unknown, "unknown"),
        (Verdict::Warning, "warning"),
        (Verdict::Critical, "critical"),
    ] {
        let count = standing.targets.iter().filter(|t| t.verdict == verdict).count();
        set(&targets.get_or_create(&ByVerdict { verdict: word }), count);
    }
    registry.register("selfheal_targets", "Targets by their worst verdict", targets);

    let incidents = Family::<ByState, Gauge>::default();
    for state in IncidentState::ALL.into_iter().filter(|state| !state.is_closed()) {
        let count = open.iter().filter(|incident| incident.state() == state).count();
        set(&incidents.get_or_create(&ByState { state: state.as_str() }), count);
    }
    registry.register("selfheal_open_incidents", "Incidents that are not closed", incidents);
}

fn set(gauge: &Gauge, count: usize) {
    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
}

/// What became of all fixes, as figures.
pub(super) struct Fixes {
    all: usize,
    successes: usize,
    by_result: Family<ByResult, Counter>,
    repairs: Histogram,
}

impl Fixes {
    /// Of these.
    pub(super) fn of(outcomes: &[Outcome]) -> Self {
        let by_result = Family::<ByResult, Counter>::default();
        for outcome in outcomes {
            let result = if outcome.success { "success" } else { "failure" };
            by_result.get_or_create(&ByResult { fix_type: outcome.fix_type.clone(), result }).inc();
        }
        let repairs = Histogram::new(REPAIRS);
        for secs in outcomes.iter().filter_map(|outcome| outcome.time_to_repair_secs) {
            repairs.observe(secs);
        }
        let successes = outcomes.iter().filter(|outcome| outcome.success).count();
        Self { all: outcomes.len(), successes, by_result, repairs }
    }

    fn register(&self, registry: &mut Registry) {
        // They are counted only once; a clone is the same figures.
        registry.register("selfheal_fixes", "What became of fixes", self.by_result.clone());
        let help = "From the incident to the service working again, where a fix helped";
        let repairs = self.repairs.clone();
        registry.register_with_unit("selfheal_time_to_repair", help, Unit::Seconds, repairs);
    }
}
