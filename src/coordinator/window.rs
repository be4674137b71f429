//! Looks at a repaired service in its window, and after it at those who depend on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::TimeDelta;
use selfheal_agents::error_detector;
use selfheal_agents::fix_engineer::actions::Action;
use selfheal_agents::fix_engineer::{self, plan};
use selfheal_agents::health_monitor::{self, HealthMonitor, Inventory};
use selfheal_agents::model::{
    ContainerFacts, ContainerStatus, Fix, HealthReport, HealthStatus, Incident, IncidentId,
    LogBatch, LogCursor, Observation, ObservedValue, RuntimeEvent, Step, TargetId, TargetReport,
    Timestamp, Validation, Verdict,
};
use selfheal_agents::root_cause::Graph;

use super::latency::latency_of;
use super::remains::{self, Remains};
use super::state::{Inner, TICK};
use super::validation::{self, Condition, Look};

/// Lines of its log that a look reads at most.
const MOST_LINES: usize = 2000;
/// Time a dependent gets to notice that its dependency is back, beside its own health
/// check's interval.
const SETTLE: TimeDelta = TimeDelta::seconds(3);
/// No dependent's health check is waited for longer than this.
const LONGEST_SETTLE: TimeDelta = TimeDelta::seconds(30);

/// How far back the log is read after the clock was set back.
const SINCE_SET_BACK: TimeDelta = TimeDelta::seconds(5);

/// What one look at an incident in its window saw.
pub(super) struct View {
    pub(super) look: Look,
    pub(super) inventory: Arc<Inventory>,
    pub(super) report: HealthReport,
    pub(super) events: BTreeMap<TargetId, Vec<RuntimeEvent>>,
}

impl Inner {
    /// Looks from outside at the repaired target, its endpoints, and those it affected.
    pub(super) async fn view(&self, incident: &Incident, fix: &Fix, window: &Validation) -> View {
        let now = self.world.clock.now();
        let repaired = self.container_behind(&fix.target);
        let names: BTreeSet<String> = incident
            .targets()
            .iter()
            .chain([&fix.target])
            .filter_map(|id| self.container_behind(id))
            .collect();
        let inventory = match self.refreshed(&names).await {
            Ok(inventory) => Arc::new(inventory),
            Err(reason) => return blind(now, reason),
        };
        let primary = primary(&inventory, &fix.target, repaired.as_deref());
        let mut scope: BTreeSet<TargetId> = incident.targets().into_iter().collect();
        scope.extend(primary.iter().cloned());
        let events = self.events_in(window).await;
        // The window's own eyes: they know what answered before, and looking closely here
        // does not move the hold times of the cycles.
        let mut monitor = self.eyes_of(incident.id).await;
        let report = tokio::select! {
            report = monitor.observe(&self.world, &inventory, Some(&scope), &events) => report,
            // An exit is believed at once: nobody waits for what hangs meanwhile.
            deaths = self.deaths_in(window, repaired.as_deref()) => {
                return dead(self.world.clock.now(), deaths);
            }
        };
        self.keep_eyes(incident.id, monitor);
        let facts = repaired.as_ref().and_then(|name| inventory.containers.get(name));
        let logs = self.lines_since_last_look(facts, window, now).await;
        let stopped = repaired.as_deref().is_some_and(|name| stopped_by_person(&report, name));
        let frozen = facts.is_some_and(|facts| is_quarantined(fix, facts));
        let (condition, detail) = match &repaired {
            Some(_) if frozen => of_others(&report, &primary),
            // Nothing is proven either way until they start it again.
            Some(name) if stopped => {
                (Condition::Unknown, format!("somebody stopped container `{name}`"))
            }
            Some(name) if facts.is_none() => {
                (Condition::Bad, format!("container `{name}` is gone"))
            }
            _ => condition(fix, &report, &primary, facts, now <= window.grace_until),
        };
        // One that is down after the fix has died, even if it was too quick for its event
        // to come after the fix: exits are believed at once.
        let down = u32::from(!stopped && !frozen && facts.is_some_and(ContainerFacts::is_down));
        let look = Look {
            at: now,
            condition,
            deaths: crashes(&events, repaired.as_deref(), validation::since(window)).max(down),
            error_lines: error_detector::error_lines(&logs),
            latency_ms: latency(&report, &primary),
            new_trouble: self.news_of(incident.id),
            said: self.said_again(fix, &logs),
            heard_all: logs.dropped == 0,
            remains: if frozen {
                Remains::Nothing
            } else {
                self.remains(incident, fix, &primary, &inventory, &report)
            },
            detail,
        };
        View { look, inventory, report, events }
    }

    /// Waits until the container has died since the fix, if it does; answers how often.
    async fn deaths_in(&self, window: &Validation, container: Option<&str>) -> u32 {
        loop {
            tokio::time::sleep(TICK).await;
            let events = self.events_in(window).await;
            let deaths = crashes(&events, container, validation::since(window));
            if deaths > 0 {
                return deaths;
            }
        }
    }

    async fn eyes_of(&self, incident: IncidentId) -> HealthMonitor {
        let kept = self.eyes().remove(&incident);
        match kept {
            Some(monitor) => monitor,
            None => self.senses.lock().await.monitor.clone(),
        }
    }

    fn keep_eyes(&self, incident: IncidentId, monitor: HealthMonitor) {
        if self.is_watched(incident) {
            self.eyes().insert(incident, monitor);
        }
    }

    /// What happened since the fix.
    async fn events_in(&self, window: &Validation) -> BTreeMap<TargetId, Vec<RuntimeEvent>> {
        let mut by_target: BTreeMap<TargetId, Vec<RuntimeEvent>> = BTreeMap::new();
        let mut events =
            self.store.events(None, validation::since(window)).await.unwrap_or_default();
        if validation::is_set_back(window) {
            // What lies ahead was before the clock was set back; it has been judged.
            let now = self.world.clock.now();
            events.retain(|event| event.at <= now);
        }
        for event in events {
            by_target.entry(event.target.clone()).or_default().push(event);
        }
        by_target
    }

    async fn lines_since_last_look(
        &self,
        facts: Option<&ContainerFacts>,
        window: &Validation,
        now: Timestamp,
    ) -> LogBatch {
        let Some(facts) = facts else {
            return LogBatch::default();
        };
        let last_look = window.samples.last().map_or(window.started_at, |sample| sample.at);
        // By a clock that was set back, the last look lies ahead.
        let since = if last_look > now { now - SINCE_SET_BACK } else { last_look };
        let cursor = LogCursor { at: since, seen_at: 0 };
        let read = self.world.runtime.logs(&facts.name, Some(cursor), MOST_LINES).await;
        // Of a log that could not be read as a whole nobody knows how often it says something.
        let mut logs = read.unwrap_or_else(|_| LogBatch { dropped: 1, ..LogBatch::default() });
        logs.dropped += u64::from(logs.lines.len() >= MOST_LINES);
        // Each line belongs to exactly one sample: what was written while this look went on is
        // the next one's.
        logs.lines.retain(|line| line.at > since && line.at <= now);
        logs
    }

    /// How many lines say again what the diagnosis was made from.
    pub(super) fn said_again(&self, fix: &Fix, logs: &LogBatch) -> u64 {
        let catalogue = self.catalogue();
        let mut again = BTreeSet::new();
        catalogue.matches_in(
            logs.lines.iter().enumerate(),
            |(_, line)| line.text.as_bytes(),
            |(index, _), found| {
                // A line about something it needs does not say that this trouble is back.
                if found.runbook.id == fix.issue_type && found.side().is_server() {
                    again.insert(*index);
                }
            },
        );
        again.len() as u64
    }

    /// Restarts a dependent that still fails although all it needs works again: one after the
    /// other, in the order of their needs, each only once the one before is well.
    pub(super) async fn follow_up(self: &Arc<Self>, incident: &mut Incident, view: &View) {
        let Some(recovered_at) =
            incident.validation.as_ref().and_then(|v| works_since(v, view.look.at))
        else {
            return;
        };
        // Where what the root suffered from is still there, its dependents suffer from that.
        let remains = matches!(view.look.remains, Remains::Trouble(_) | Remains::NotYet);
        if view.look.condition != Condition::Well || remains {
            return;
        }
        let graph = Graph::new(&view.inventory.dependencies);
        let fixes = super::repair::fixes(incident);
        let fails = |t: &&TargetReport| fixes.iter().all(|fix| broken(fix, t).is_some());
        let failing: BTreeSet<&TargetId> =
            view.report.targets.iter().filter(fails).map(TargetReport::id).collect();
        let already: BTreeSet<TargetId> = fixes.iter().flat_map(Fix::touches).collect();
        let affected: Vec<TargetId> = incident.targets();
        for id in affected {
            let Some(name) = self.container_behind(&id) else {
                continue;
            };
            let dependent = TargetId::container(&name);
            let Some(facts) = view.inventory.containers.get(&name) else {
                continue;
            };
            let own = primary(&view.inventory, &dependent, Some(&name));
            let mut needs = own.iter().flat_map(|id| graph.needed_by(id));
            let waits = needs.any(|need| {
                !own.contains(&need)
                    && failing.contains(&need)
                    && !self.comes_after(&dependent, &need, &own, &graph)
            });
            let settled = view.look.at >= recovered_at + settle(facts);
            if failing.contains(&id) && !waits && settled && !already.contains(&dependent) {
                return self.restart_dependent(incident, &dependent, facts, view).await;
            }
        }
    }

    /// Whether both need one another, so that neither would ever be first, and `need` is the one
    /// that waits: the later by name.
    fn comes_after(
        &self,
        dependent: &TargetId,
        need: &TargetId,
        own: &BTreeSet<TargetId>,
        graph: &Graph,
    ) -> bool {
        let need_in = self.container_behind(need).map(|name| TargetId::container(&name));
        let later = need_in.as_ref().unwrap_or(need) > dependent;
        later && graph.needed_by(need).iter().any(|id| own.contains(id))
    }

    async fn restart_dependent(
        self: &Arc<Self>,
        incident: &mut Incident,
        dependent: &TargetId,
        facts: &ContainerFacts,
        view: &View,
    ) {
        let (Ok(history), Some(root)) = (self.history().await, incident.fix.clone()) else {
            return;
        };
        let policy = view.inventory.targets.get(dependent).map(|target| &target.policy);
        let restart = plan::restart_of(facts, plan::stop_timeout_secs(facts, policy, None));
        let fix = fix_engineer::follow_up(dependent, &root.target, restart, view.look.at, &history);
        let why = format!("`{dependent}` still fails although `{}` works again", root.target);
        if let Err(why) = self.begin_after(incident, fix, view, why).await {
            tracing::info!(target.id = %dependent, why, "the dependent is not restarted");
        }
    }
}

/// Since when what was repaired last works; who needs it has to have had time to notice.
/// What lies ahead is of before the clock was set back.
fn works_since(window: &Validation, now: Timestamp) -> Option<Timestamp> {
    let well = window.samples.iter().find(|sample| sample.healthy && sample.at <= now);
    let known = well.map(|sample| sample.at).max(window.recovered_at.filter(|at| *at <= now))?;
    // What it suffered from was there for so long.
    Some(window.last_remains_at.filter(|at| *at <= now).map_or(known, |at| at.max(known)))
}

fn blind(now: Timestamp, reason: String) -> View {
    let look = Look {
        at: now,
        condition: Condition::Unknown,
        deaths: 0,
        error_lines: 0,
        latency_ms: None,
        new_trouble: None,
        said: 0,
        heard_all: false,
        remains: Remains::Nothing,
        detail: reason,
    };
    View {
        look,
        inventory: Arc::default(),
        report: HealthReport::default(),
        events: BTreeMap::new(),
    }
}

fn dead(now: Timestamp, deaths: u32) -> View {
    let view = blind(now, "its container died".to_owned());
    View { look: Look { condition: Condition::Bad, deaths, ..view.look }, ..view }
}

/// The repaired target, its container, and every endpoint of that container.
pub(super) fn primary(
    inventory: &Inventory,
    target: &TargetId,
    container: Option<&str>,
) -> BTreeSet<TargetId> {
    let mut primary = BTreeSet::from([target.clone()]);
    if let Some(name) = container {
        primary.extend(
            inventory
                .targets
                .values()
                .filter(|t| t.container.as_deref() == Some(name))
                .map(|t| t.id.clone()),
        );
    }
    primary
}

/// What is broken of a target after the fix.
fn broken<'r>(fix: &Fix, report: &'r TargetReport) -> Option<&'r Observation> {
    let is_critical = |o: &&Observation| o.verdict == Verdict::Critical;
    let mut critical = report.observations.iter().filter(is_critical);
    critical.find(|o| !remains::stays_full(fix, &o.check))
}

fn condition(
    fix: &Fix,
    report: &HealthReport,
    primary: &BTreeSet<TargetId>,
    facts: Option<&ContainerFacts>,
    starting: bool,
) -> (Condition, String) {
    let reports: Vec<_> = report.targets.iter().filter(|t| primary.contains(t.id())).collect();
    if let Some(broken) = reports.iter().find_map(|report| broken(fix, report)) {
        return (Condition::Bad, broken.detail.clone());
    }
    // Under pressure slow answers prove nothing, and neither does their absence: the window
    // goes on until something can be told.
    let unclear = |t: &&&TargetReport| t.observations.iter().any(|o| o.verdict == Verdict::Unknown);
    if report.under_pressure
        && let Some(target) = reports.iter().find(unclear)
    {
        return (Condition::Unknown, format!("`{}`: the host is overloaded", target.id()));
    }
    // An endpoint that does not answer yet is not called broken while its container starts,
    // and not well either.
    if starting && let Some(endpoint) = reports.iter().find(|t| is_mute_endpoint(t)) {
        return (Condition::Starting, format!("`{}` does not answer yet", endpoint.id()));
    }
    let unseen = reports.iter().find_map(|t| t.state.facts.as_ref().err());
    if let Some(reason) = unseen.cloned() {
        return (Condition::Unknown, reason);
    }
    match facts {
        _ if reports.is_empty() => (Condition::Unknown, "nothing could be looked at".to_owned()),
        Some(facts) if facts.status == ContainerStatus::Unknown => {
            (Condition::Unknown, format!("container `{}` cannot be looked at", facts.name))
        }
        Some(facts) if facts.is_down() => {
            (Condition::Bad, format!("container `{}` is {}", facts.name, facts.status.as_str()))
        }
        // A start that takes long on an overloaded host is no failed one.
        Some(facts) if facts.health == Some(HealthStatus::Starting) && report.under_pressure => (
            Condition::Unknown,
            format!("container `{}` is starting and the host is overloaded", facts.name),
        ),
        Some(facts) if facts.health == Some(HealthStatus::Starting) => {
            (Condition::Starting, format!("container `{}` is starting", facts.name))
        }
        _ => (Condition::Well, "all checks are well".to_owned()),
    }
}

/// How long the slowest of its endpoints took to answer, in milliseconds; on an overloaded host that
/// says nothing of the service.
fn latency(report: &HealthReport, primary: &BTreeSet<TargetId>) -> Option<f64> {
    let looked_at = report.targets.iter().filter(|target| primary.contains(target.id()));
    let latencies = looked_at.filter_map(latency_of).filter(|_| !report.under_pressure);
    latencies.max_by(f64::total_cmp)
}

/// Whether the fix froze the container, and it is.
fn is_quarantined(fix: &Fix, facts: &ContainerFacts) -> bool {
    let freezes = |step: &Step| matches!(&step.action, Action::ContainerPause(pause) if pause.container == facts.name);
    facts.status == ContainerStatus::Paused && fix.steps.iter().any(freezes)
}

/// One in quarantine does not work, and is not meant to: whom it harmed is looked at.
fn of_others(report: &HealthReport, primary: &BTreeSet<TargetId>) -> (Condition, String) {
    let mut others = report.targets.iter().filter(|t| !primary.contains(t.id()));
    match others.find(|t| t.verdict() == Verdict::Critical) {
        Some(ill) => (Condition::Bad, format!("`{}` is still not well", ill.id())),
        None => (Condition::Well, "it is frozen, and whom it harmed is well".to_owned()),
    }
}

fn is_mute_endpoint(report: &TargetReport) -> bool {
    report.state.target.endpoint.is_some() && report.verdict() == Verdict::Unknown
}

/// Ends of the container since the fix that nobody asked for.
fn crashes(
    events: &BTreeMap<TargetId, Vec<RuntimeEvent>>,
    container: Option<&str>,
    since: Timestamp,
) -> u32 {
    let Some(events) = container.and_then(|name| events.get(&TargetId::container(name))) else {
        return 0;
    };
    let crashes = health_monitor::deaths(events)
        .iter()
        .filter(|death| death.at > since && death.is_crash())
        .count();
    u32::try_from(crashes).unwrap_or(u32::MAX)
}

pub(super) fn stopped_by_person(report: &HealthReport, container: &str) -> bool {
    report
        .target(&TargetId::container(container))
        .and_then(|report| report.observation("container.state"))
        .is_some_and(|state| state.value == ObservedValue::Text("stopped".to_owned()))
}

/// How long it may need to notice that what it needs is back.
pub(super) fn settle(facts: &ContainerFacts) -> TimeDelta {
    let probing = facts
        .health_check
        .as_ref()
        .and_then(|check| TimeDelta::from_std(check.interval + check.timeout).ok())
        .unwrap_or_default();
    SETTLE + probing.min(LONGEST_SETTLE)
}
