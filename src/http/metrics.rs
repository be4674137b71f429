//! `/metrics`: Prometheus text.
//!
//! What the store and the coordinator know is read from them at the moment of the scrape, into a
//! registry of that scrape: there is no second bookkeeping that could drift. Only what neither
//! keeps is counted as it happens (`tally`).

mod own;
mod tally;

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
use super::problem::{Answer, Problem};
use super::state::Api;
use crate::alerts::{Fares, Heart};
use crate::coordinator::Standing;
use crate::fleet;
use crate::streams::Figures;
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
struct ByEnd {
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
    let mut registry = Registry::default();
    let depth = Depth {
        cycles: api.coordinator.cycles_waiting(),
        alerts: api.store().waiting().await?,
        refused: api.store().refused().await?,
    };
    let results = api.results().await?;
    let open = api.store().open_incidents().await?;
    register(&mut registry, &api.coordinator.standing(), &results.fixes, &open);
    depth.register(&mut registry);
    if let Some(fleet) = &api.configured.fleet {
        leases(&mut registry, fleet.figures());
    }
    if let Some(tie) = &api.configured.tie {
        streams(&mut registry, tie.figures(), api.store().messages_waiting().await?);
    }
    if let Some(collector) = &api.configured.collector {
        spans(&mut registry, collector.figures());
    }
    api.tally.register(&mut registry);
    let left_out = Counter::<u64>::default();
    left_out.inc_by(api.coordinator.lines_left_out());
    let help = "Log lines that no cycle looked at, since there were too many at once";
    registry.register("selfheal_log_lines_left_out", help, left_out);
    heartbeat(&mut registry, &api.configured.heart);
    restarts(&mut registry, &api.coordinator.upkeep().records());
    if let Some(own) = Own::now() {
        own.register(&mut registry);
    }
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    gauge(&mut registry, "selfheal_tasks", "Tasks that are under way in Selfheal", tasks as f64);
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|e| Problem::internal(&e))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text))
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

/// Only where somebody wants one, as with the streams.
fn heartbeat(registry: &mut Registry, heart: &Heart) {
    let fares = heart.fares();
    if fares == Fares::Unknown {
        return;
    }
    let help = "Whether the last sign of life to a dead-man's switch arrived";
    let last = f64::from(u8::from(fares == Fares::Arrives));
    gauge(registry, "selfheal_heartbeat_arrives", help, last);
    let arrived = Counter::<u64>::default();
    arrived.inc_by(heart.arrived());
    registry.register("selfheal_heartbeats", "Signs of life that arrived since the start", arrived);
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

/// Only where there are other nodes.
fn leases(registry: &mut Registry, figures: fleet::Figures) {
    let help = "Whether the PostgreSQL that the nodes share answers";
    gauge(registry, "selfheal_fleet_connected", help, f64::from(u8::from(figures.connected)));
    let help = "Outcomes of other nodes that this one learns from";
    gauge(registry, "selfheal_fleet_outcomes", help, figures.outcomes as f64);
    let help = "Leases of what several nodes reach that this one has";
    gauge(registry, "selfheal_leases_held", help, figures.held as f64);
    for (name, help, count) in [
        ("selfheal_lease_lost", "Leases that another node took over", figures.lost),
        ("selfheal_lease_refused", "Calls not made for want of a lease", figures.refused),
    ] {
        let counter = Counter::<u64>::default();
        counter.inc_by(count);
        registry.register(name, help, counter);
    }
}

/// Only where there are streams: a figure of what is not there would raise alarms.
fn streams(registry: &mut Registry, figures: Figures, waiting: u64) {
    let help = "Whether Redis takes messages and hands out jobs";
    gauge(registry, "selfheal_streams_connected", help, f64::from(u8::from(figures.connected)));
    let help = "Messages to other programs that wait for Redis";
    gauge(registry, "selfheal_stream_messages_waiting", help, waiting as f64);
    let sent = Counter::<u64>::default();
    sent.inc_by(figures.sent);
    let help = "Messages to other programs that Redis took since the start";
    registry.register("selfheal_stream_messages_sent", help, sent);
    let jobs = Family::<ByEnd, Counter>::default();
    for (result, count) in
        [("done", figures.done), ("failed", figures.failed), ("dead", figures.dead)]
    {
        jobs.get_or_create(&ByEnd { result }).inc_by(count);
    }
    let help = "Jobs of other programs since the start, by how they ended";
    registry.register("selfheal_stream_jobs", help, jobs);
}

/// Only where traces are sent.
fn spans(registry: &mut Registry, (sent, dropped): (u64, u64)) {
    let spans = Family::<ByEnd, Counter>::default();
    for (result, count) in [("sent", sent), ("dropped", dropped)] {
        spans.get_or_create(&ByEnd { result }).inc_by(count);
    }
    let help = "Parts of traces since the start, by whether the collector took them";
    registry.register("selfheal_trace_spans", help, spans);
}

fn register(registry: &mut Registry, standing: &Standing, fixes: &Fixes, open: &[Incident]) {
    contract(registry, standing, fixes);
    state(registry, standing, open);
    fixes.register(registry);
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: f64) {
    let gauge = FloatGauge::default();
    gauge.set(value);
    registry.register(name, help, gauge);
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

    let cycles = Counter::<u64>::default();
    cycles.inc_by(standing.cycles);
    registry.register("selfheal_cycles", "Cycles since the start", cycles);

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
    let flag = |yes: bool| f64::from(u8::from(yes));
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

#[cfg(test)]
mod tests {
    use super::*;
    use selfheal_agents::model::Mode;

    fn standing() -> Standing {
        Standing {
            mode: Mode::Auto,
            freezes: vec![],
            last_check: None,
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

    #[test]
    fn the_names_of_the_contract_are_there_with_their_values() {
        let (mut registry, mut text) = (Registry::default(), String::new());
        register(&mut registry, &standing(), &Fixes::of(&[]), &[]);
        Depth { cycles: 1, alerts: 2, refused: 1 }.register(&mut registry);
        encode(&mut text, &registry).unwrap();
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
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
