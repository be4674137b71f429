//! The observing half of a cycle: what is there, how it does, what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use chrono::TimeDelta;
use selfheal_agents::error_detector::{self, ErrorDetector};
use selfheal_agents::health_monitor::{HealthMonitor, Inventory, take_inventory};
use selfheal_agents::model::{
    ContainerFacts, ContainerStatus, Finding, HealthReport, Incident, LogBatch, LogCursor,
    NeighbourSeen, RuntimeEvent, TargetId, Timestamp, clean, engine_of,
};
use selfheal_agents::ports::{OBSERVATIONS_KEPT, Ownership};
use selfheal_agents::root_cause::Graph;

use super::api::CONTAINERS_UNSEEN;
use super::asked::Look;
use super::state::Inner;
use super::survey::{Noticed, Survey};
use super::{AgentStep, Rules, Scope};

/// How far back remembered events are looked at.
const EVENTS_BACK: TimeDelta = TimeDelta::hours(1);

/// The agents that remember something between cycles; owned by the running cycle.
pub(super) struct Senses {
    pub(super) monitor: HealthMonitor,
    pub(super) detector: ErrorDetector,
    /// Whether the levels of before the start were taken from the store.
    pub(super) remembers: bool,
    /// How containers were at the last look.
    pub(super) survey: Survey,
}

impl Senses {
    /// That remember nothing yet.
    pub(super) fn new(rules: &Rules) -> Self {
        Self {
            monitor: HealthMonitor::new(rules.thresholds.clone()),
            detector: ErrorDetector::default(),
            remembers: false,
            survey: Survey::default(),
        }
    }
}

/// What one cycle saw.
pub(super) struct Seen {
    pub(super) inventory: Arc<Inventory>,
    pub(super) graph: Graph,
    pub(super) report: HealthReport,
    pub(super) findings: Vec<Finding>,
    pub(super) events: BTreeMap<TargetId, Vec<RuntimeEvent>>,
    pub(super) logs: BTreeMap<TargetId, LogBatch>,
    /// How far the logs are read now, by Docker id, where that moved: kept once what they told
    /// is written down, and not before, or a crash in between would lose it.
    pub(super) read_to: BTreeMap<String, LogCursor>,
    /// What changed on containers since they were last looked at.
    pub(super) noticed: Noticed,
    /// Those that had not answered in time and all that need them: nothing is decided about
    /// them, or a symptom would be taken for the cause.
    pub(super) put_off: BTreeSet<TargetId>,
    /// The targets of other nodes that something failing here needs.
    pub(super) neighbours: BTreeMap<TargetId, NeighbourSeen>,
    pub(super) agents: Vec<AgentStep>,
    pub(super) now: Timestamp,
}

impl Seen {
    /// What the runtime told of a target lately, oldest first.
    pub(super) fn events_of(&self, target: &TargetId) -> &[RuntimeEvent] {
        self.events.get(target).map_or(&[], Vec::as_slice)
    }

    /// Leaves out containers that ended before anybody looked: every host has some, and
    /// nobody misses them. If something needs one, its own trouble leads there all the same.
    ///
    /// `proven` are those that were healthy here before; their end is news whenever it was.
    pub(super) fn leave_out_old_remains(&mut self, proven: &BTreeSet<TargetId>) {
        let old = |id: &TargetId| {
            let facts = id.container_name().and_then(|n| self.inventory.containers.get(n));
            let ended = facts.filter(|f| f.status == ContainerStatus::Exited);
            let long_ago = ended
                .and_then(|facts| facts.finished_at)
                .is_some_and(|at| self.now - at > EVENTS_BACK);
            long_ago && !proven.contains(id) && !self.events.contains_key(id)
        };
        let remains: BTreeSet<TargetId> =
            self.findings.iter().map(|f| f.target.clone()).filter(old).collect();
        self.findings.retain(|finding| !remains.contains(&finding.target));
    }
}

impl Inner {
    /// Looks at everything in `scope` with what it needs and what needs it.
    pub(super) async fn look(&self, senses: &mut Senses, scope: &Scope, rules: &Rules) -> Seen {
        let started = Instant::now();
        let now = self.world.clock.now();
        let (inventory, blind) = self.inventory(rules).await;
        let known = graph_of(&inventory, &senses.survey, &Noticed::default());
        let around = narrowed(scope, &known);
        let noticed = self.survey(&mut senses.survey, &inventory, around.as_ref()).await;
        if *scope == Scope::All {
            self.survey_connections(&mut senses.survey, &inventory).await;
        }
        let graph = graph_of(&inventory, &senses.survey, &noticed);
        let narrowed = match narrowed(scope, &graph) {
            None => self.without_others(&inventory, &graph).await,
            narrowed => narrowed,
        };
        let events = self.remembered_events(now).await;
        senses.monitor.set_thresholds(rules.thresholds.clone());
        if !std::mem::replace(&mut senses.remembers, true) {
            self.remember_levels(&mut senses.monitor, &inventory, now).await;
        }
        let asking = self.asked.look(&self.world);
        let mut report = senses
            .monitor
            .observe_through(&asking, &self.world, &inventory, narrowed.as_ref(), &events)
            .await;
        report.blind.extend(blind);
        let mut agents = vec![step("health-monitor", started, monitor_summary(&report))];

        let started = Instant::now();
        let (logs, read_to) =
            self.new_logs(&inventory, narrowed.as_ref(), &asking, &mut report.late).await;
        let mut put_off = report.late.clone();
        put_off.extend(report.late.iter().flat_map(|id| graph.dependents_of(id)));
        put_off.retain(|id| narrowed.as_ref().is_none_or(|scope| scope.contains(id)));
        report.targets.retain(|target| !put_off.contains(target.id()));
        let logs = logs.into_iter().filter(|(id, _)| !put_off.contains(id)).collect();
        let catalogue = self.catalogue();
        self.recall_known_lines(&mut senses.detector, &report).await;
        let mut findings = senses.detector.detect(&report, &logs, &catalogue);
        findings.extend(senses.detector.together(&report, &graph));
        let left_out: u64 = logs.values().map(|batch| batch.dropped).sum();
        self.lines_left_out.fetch_add(left_out, Ordering::Relaxed);
        findings.extend(self.outside_alerts(&inventory, &report).await);
        let neighbours = self.look_at_neighbours(&inventory, &graph, &findings, &report).await;
        let lines: usize = logs.values().map(|batch: &LogBatch| batch.lines.len()).sum();
        let summary = format!("{} finding(s), {lines} new log line(s)", findings.len());
        agents.push(step("error-detector", started, summary));
        let read_to = moved(&logs, &read_to, &inventory);
        Seen {
            inventory,
            graph,
            report,
            findings,
            events,
            logs,
            read_to,
            noticed,
            put_off,
            neighbours,
            agents,
            now,
        }
    }

    /// Everything but what another node looks after, that nothing here needs and no incident or
    /// alert here is about; `None` is everything.
    async fn without_others(
        &self,
        inventory: &Inventory,
        graph: &Graph,
    ) -> Option<BTreeSet<TargetId>> {
        let is_others = |id: &&TargetId| {
            matches!(self.fleet.ownership(id), Ownership::Elsewhere { .. })
                && graph.dependents_of(id).is_empty()
        };
        let mut others: BTreeSet<&TargetId> = inventory.targets.keys().filter(is_others).collect();
        if others.is_empty() {
            return None;
        }
        let open = self.store.open_incidents().await.ok()?;
        let told = self.told_of(inventory).await.ok()?;
        for target in open.iter().flat_map(Incident::targets).chain(told) {
            others.remove(&target);
        }
        Some(inventory.targets.keys().filter(|id| !others.contains(id)).cloned().collect())
    }

    /// What is there now; the last known with the reason when the runtime does not answer.
    async fn inventory(&self, rules: &Rules) -> (Arc<Inventory>, Vec<String>) {
        match self.world.runtime.containers().await {
            Ok(mut all) => {
                as_last_seen(&mut all, &self.inventory.borrow());
                let away = self.world.runtime.away();
                let inventory = take_inventory(&all, &rules.declared);
                let inventory = self.meet_neighbours(Inventory { away, ..inventory });
                let inventory = Arc::new(inventory);
                self.inventory.send_replace(Arc::clone(&inventory));
                (inventory, vec![])
            }
            Err(error) => {
                // The own one's containers cannot be seen; what others hold is looked after all the same.
                let mut elsewhere = self.world.runtime.elsewhere();
                as_last_seen(&mut elsewhere, &self.inventory.borrow());
                let away = self.world.runtime.away();
                let inventory = take_inventory(&elsewhere, &rules.declared);
                let inventory = Arc::new(self.meet_neighbours(Inventory { away, ..inventory }));
                // A repair of what is seen needs to know how that is reached; what was last known of
                // the own one's containers is known still.
                let known = Arc::clone(&self.inventory.borrow());
                if known.containers.keys().all(|name| engine_of(name).is_some()) {
                    self.inventory.send_replace(Arc::clone(&inventory));
                }
                (inventory, vec![format!("{CONTAINERS_UNSEEN}: {error}")])
            }
        }
    }

    /// Hands the monitor what it saw before the program started, so that a disk that fills
    /// for hours is not forgotten. Not of containers: they are many, and their lives short.
    async fn remember_levels(
        &self,
        monitor: &mut HealthMonitor,
        inventory: &Inventory,
        now: Timestamp,
    ) {
        let services = inventory.targets.keys().filter(|target| target.kind().is_data_service());
        for target in services.cloned().chain([TargetId::host()]) {
            match self.store.observations(&target, now - OBSERVATIONS_KEPT).await {
                Ok(observations) => monitor.remember(&observations),
                Err(error) => {
                    tracing::warn!(%target, %error, "earlier observations cannot be read");
                }
            }
        }
    }

    /// The container events of the last hour, by target.
    pub(super) async fn remembered_events(
        &self,
        now: Timestamp,
    ) -> BTreeMap<TargetId, Vec<RuntimeEvent>> {
        let mut by_target: BTreeMap<TargetId, Vec<RuntimeEvent>> = BTreeMap::new();
        match self.store.events(None, now - EVENTS_BACK).await {
            Ok(events) => {
                for event in events {
                    by_target.entry(event.target.clone()).or_default().push(event);
                }
            }
            Err(error) => tracing::error!(%error, "remembered events cannot be read"),
        }
        by_target
    }

    /// What was written since the last cycle, and how far each log was read then.
    async fn new_logs(
        &self,
        inventory: &Inventory,
        narrowed: Option<&BTreeSet<TargetId>>,
        asking: &Look<'_>,
        late: &mut BTreeSet<TargetId>,
    ) -> (BTreeMap<TargetId, LogBatch>, BTreeMap<String, LogCursor>) {
        let containers: Vec<(TargetId, &ContainerFacts)> = inventory
            .containers
            .values()
            .map(|facts| (TargetId::container(&facts.name), facts))
            .filter(|(id, _)| narrowed.is_none_or(|scope| scope.contains(id)))
            .collect();
        let ids: Vec<String> = containers.iter().map(|(_, facts)| facts.id.clone()).collect();
        let cursors = self.store.log_cursors(&ids).await.unwrap_or_else(|error| {
            tracing::error!(%error, "log positions cannot be read");
            BTreeMap::new()
        });
        let now = self.world.clock.now();
        let read = error_detector::read_logs(asking, &containers, &cursors, now).await;
        late.extend(read.late);
        (read.logs, cursors)
    }
}

/// A container that cannot be looked at keeps what is known of it, its targets and its needs; only
/// how it does is not known.
fn as_last_seen(all: &mut [ContainerFacts], last: &Inventory) {
    for facts in all.iter_mut().filter(|facts| facts.status == ContainerStatus::Unknown) {
        if let Some(known) = last.containers.get(&facts.name).filter(|old| old.id == facts.id) {
            let known = known.clone();
            *facts = ContainerFacts { status: facts.status, health: None, ..known };
        }
    }
}

/// How far the logs are read now, where that moved.
fn moved(
    logs: &BTreeMap<TargetId, LogBatch>,
    cursors: &BTreeMap<String, LogCursor>,
    inventory: &Inventory,
) -> BTreeMap<String, LogCursor> {
    let moved = logs.iter().filter_map(|(id, batch)| {
        let facts = inventory.containers.get(id.container_name()?)?;
        let cursor = batch.cursor?;
        (cursors.get(&facts.id) != Some(&cursor)).then(|| (facts.id.clone(), cursor))
    });
    moved.collect()
}

/// Who needs whom, as told and as learnt by looking.
fn graph_of(inventory: &Inventory, survey: &Survey, noticed: &Noticed) -> Graph {
    let learnt = inventory.learn(&survey.learnt(noticed));
    Graph::new(inventory.dependencies.iter().chain(&learnt))
}

/// The scope with everything that decides whom to blame; `None` is everything.
fn narrowed(scope: &Scope, graph: &Graph) -> Option<BTreeSet<TargetId>> {
    match scope {
        Scope::All => None,
        Scope::Targets(targets) => {
            let mut around = graph.neighbourhood(targets);
            // Pressure and memory of the host take part in every decision.
            around.insert(TargetId::host());
            Some(around)
        }
    }
}

fn monitor_summary(report: &HealthReport) -> String {
    let bad = report.targets.iter().filter(|target| target.verdict().is_bad()).count();
    let mut summary = format!("{} target(s) looked at, {bad} not well", report.targets.len());
    if !report.late.is_empty() {
        let _ = write!(summary, ", {} not answering yet", report.late.len());
    }
    for reason in &report.blind {
        summary.push_str("; ");
        summary.push_str(&clean(reason, 200));
    }
    summary
}

/// One agent's line.
pub(super) fn step(agent: &str, started: Instant, summary: String) -> AgentStep {
    AgentStep {
        agent: agent.to_owned(),
        took_ms: started.elapsed().as_secs_f64() * 1000.0,
        summary,
        failed: false,
    }
}
