//! Looks at every target in scope at once and puts the report together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::{join, join_all};

use super::checks::{CHECKS, Context, Judgement, Measured};
use super::life::last_death;
use super::steady::{Climb, Steady};
use super::trends::Trends;
use super::{DeathCause, Inquiry, Inventory, Thresholds};
use crate::model::{
    CheckName, ContainerFacts, Facts, HealthReport, HostFacts, LogDisk, NetworkAttachment,
    Observation, ObservedValue, Rising, RuntimeEvent, Target, TargetId, TargetKind, TargetReport,
    TargetState, Timestamp, Verdict, clean, engine_of,
};
use crate::ports::{Questions, World};

/// The agent. It remembers between two looks what hold times, hysteresis and lost networks
/// need; a clone goes on from there by itself.
#[derive(Debug, Clone)]
pub struct HealthMonitor {
    thresholds: Thresholds,
    steady: BTreeMap<(TargetId, CheckName), Steady>,
    /// By the container's id at the runtime: another id is another container.
    healthy_networks: BTreeMap<String, Vec<NetworkAttachment>>,
    /// Who ended a container's last life and when: a person's stop stays one after its events
    /// are too old to be handed in. By the runtime's id.
    ends: BTreeMap<String, (Option<Timestamp>, DeathCause)>,
    /// Endpoints that answered at least once.
    proven: BTreeSet<TargetId>,
    trends: Trends,
    /// What the look under way found rising.
    rising: BTreeMap<TargetId, Rising>,
}

/// What one look at one target brought.
struct Look {
    state: TargetState,
    usage_error: Option<String>,
}

/// A target that has not answered yet.
struct Late(TargetId);

/// What a target's answers tell.
struct Known {
    facts: Result<Facts, String>,
    usage_error: Option<String>,
}

impl Known {
    /// With how full the disks of a container's logs are.
    async fn with_log_disks(mut self, world: &World) -> Self {
        if let Ok(Facts::Container(facts)) = &mut self.facts {
            for folder in facts.log_folders() {
                // A folder that cannot be read from here says nothing: Selfheal may run beside
                // the host.
                if let Ok(survey) = world.logs.glance(&folder).await {
                    facts.log_disks.push(LogDisk { folder: folder.path(), survey });
                }
            }
        }
        self
    }

    fn of(self, target: &Target, events: Vec<RuntimeEvent>, world: &World) -> Look {
        let Self { facts, usage_error } = self;
        let state = TargetState { target: target.clone(), facts, events, at: world.clock.now() };
        Look { state, usage_error }
    }
}

impl HealthMonitor {
    /// A monitor that has seen nothing yet.
    pub fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            steady: BTreeMap::new(),
            healthy_networks: BTreeMap::new(),
            ends: BTreeMap::new(),
            proven: BTreeSet::new(),
            trends: Trends::default(),
            rising: BTreeMap::new(),
        }
    }

    /// Takes other thresholds from the next look on; what was seen so far stays.
    pub fn set_thresholds(&mut self, thresholds: Thresholds) {
        self.thresholds = thresholds;
    }

    /// Takes observations made before this monitor was, oldest first, so that slow trouble is
    /// seen over a restart.
    pub fn remember(&mut self, observations: &[Observation]) {
        for observation in observations {
            self.trends.remember(observation);
        }
    }

    /// The networks a container was on when it was last seen healthy, by its runtime id.
    pub fn last_networks(&self, container_id: &str) -> Option<&[NetworkAttachment]> {
        self.healthy_networks.get(container_id).map(Vec::as_slice)
    }

    /// Looks at the targets of `scope` (all without one) and always at the host, everything
    /// at once, and waits for every answer. Container facts are those of the inventory.
    pub async fn observe(
        &mut self,
        world: &World,
        inventory: &Inventory,
        scope: Option<&BTreeSet<TargetId>>,
        events: &BTreeMap<TargetId, Vec<RuntimeEvent>>,
    ) -> HealthReport {
        self.observe_through(world, world, inventory, scope, events).await
    }

    /// As [`Self::observe`], with `questions` to decide how long an answer is waited for.
    /// Those without one are told in [`HealthReport::late`] and not judged.
    pub async fn observe_through(
        &mut self,
        questions: &dyn Questions,
        world: &World,
        inventory: &Inventory,
        scope: Option<&BTreeSet<TargetId>>,
        events: &BTreeMap<TargetId, Vec<RuntimeEvent>>,
    ) -> HealthReport {
        let at = world.clock.now();
        let wanted = inventory.targets.values().filter(|target| {
            target.id.kind() != TargetKind::Host
                && scope.is_none_or(|scope| scope.contains(&target.id))
        });
        let mut looks = vec![];
        // A loop, not a closure: the future has to be `Send` for every lifetime.
        for target in wanted {
            let events = events.get(&target.id).cloned().unwrap_or_default();
            let look = look(questions, inventory, target, &self.thresholds);
            looks.push(async move {
                let known = look.await?.with_log_disks(world).await;
                Ok(known.of(target, events, world))
            });
        }
        let (host, looks) = join(world.host.host(), join_all(looks)).await;
        let mut late = BTreeSet::new();
        let looks = looks.into_iter().filter_map(|look| match look {
            Ok(look) => Some(look),
            Err(Late(target)) => {
                late.insert(target);
                None
            }
        });
        let looks: Vec<Look> = looks.collect();
        let host = host.map_err(|error| clean(&error.to_string(), 300));
        let pressure = host.as_ref().map(|host| host.pressure).unwrap_or_default();
        let under_pressure = host.as_ref().is_ok_and(|host| self.is_overloaded(host));
        let host = Look {
            state: TargetState {
                target: Target::bare(TargetId::host()),
                facts: host.map(Facts::Host),
                events: vec![],
                at: world.clock.now(),
            },
            usage_error: None,
        };
        let targets = std::iter::once(host)
            .chain(looks)
            .map(|look| self.judge(look, inventory, under_pressure))
            .collect();
        self.forget_what_is_gone(inventory);
        let took = (world.clock.now() - at).to_std().unwrap_or(Duration::ZERO);
        let rising = std::mem::take(&mut self.rising);
        HealthReport { at, took, targets, late, rising, pressure, under_pressure, blind: vec![] }
    }

    fn is_overloaded(&self, host: &HostFacts) -> bool {
        let by_load = || {
            let load = host.load.map(|load| load[0] / host.cores.max(1) as f64);
            load.is_some_and(|load| load > self.thresholds.pressure_load_per_core)
        };
        let waited = host.pressure.cpu_percent;
        waited.map_or_else(by_load, |waited| waited > self.thresholds.pressure_cpu_percent)
    }

    fn judge(&mut self, look: Look, inventory: &Inventory, under_pressure: bool) -> TargetReport {
        let Look { state, usage_error } = look;
        let id = state.target.id.clone();
        if answered(&state) {
            self.proven.insert(id.clone());
        }
        let remembered_end = state.container().and_then(|facts| {
            if let Some(death) = last_death(facts, &state.events) {
                self.ends.insert(facts.id.clone(), (facts.finished_at, death.cause));
            }
            let (ended_at, cause) = self.ends.get(&facts.id)?;
            (*ended_at == facts.finished_at).then_some(*cause)
        });
        let container = state.target.container.as_ref();
        let container = container.and_then(|name| inventory.containers.get(name));
        let context = Context {
            thresholds: &self.thresholds,
            now: state.at,
            container,
            last_networks: container.and_then(|c| self.last_networks(&c.id)),
            remembered_end,
            replaced: state.container().is_some_and(|facts| is_replaced(facts, inventory)),
            unproven: inventory.found.contains(&id) && !self.proven.contains(&id),
            usage_error: usage_error.as_deref(),
        };
        let measured: Vec<Measured> = match &state.facts {
            Ok(_) => CHECKS.iter().flat_map(|check| check.judge(&state, &context)).collect(),
            Err(why) => vec![Measured::missing(first_check(id.kind()), why)],
        };
        let observations = measured
            .into_iter()
            .map(|measured| self.observation(&id, measured, state.at, under_pressure))
            .collect();
        let mut report = TargetReport { state, observations };
        self.remember_networks(&report);
        let soon = self.trends.watch(&report);
        report.observations.extend(soon);
        report
    }

    fn observation(
        &mut self,
        target: &TargetId,
        measured: Measured,
        at: Timestamp,
        under_pressure: bool,
    ) -> Observation {
        let steady = self.steady.entry((target.clone(), measured.check.clone())).or_default();
        let mut climb = None;
        let verdict = match (&measured.judgement, &measured.value) {
            (Judgement::Now(verdict), _) => *verdict,
            (Judgement::Against(limit), ObservedValue::Number(value)) => {
                let verdict = steady.judge(*value, limit, at);
                climb = steady.climb(limit);
                verdict
            }
            (Judgement::Against(_), _) => Verdict::Unknown,
        };
        let doubted = under_pressure && !measured.holds_under_pressure && verdict.is_bad();
        let verdict = if doubted { Verdict::Unknown } else { verdict };
        let doubt = if doubted { " (the host is overloaded: this proves nothing)" } else { "" };
        let since = steady.since(verdict, at);
        let climbed =
            climb.map_or_else(String::new, |climb| self.rises(target, &measured.check, climb));
        Observation {
            target: target.clone(),
            check: measured.check,
            value: measured.value,
            unit: measured.unit.to_owned(),
            verdict,
            detail: format!("{}{climbed}{doubt}", measured.detail),
            at,
            since,
        }
    }

    /// Keeps the check of a target to be looked at next; says how far it is.
    fn rises(&mut self, target: &TargetId, check: &CheckName, climb: Climb) -> String {
        let next = Rising { check: check.clone(), look_at: climb.look_at };
        let known = self.rising.entry(target.clone()).or_insert_with(|| next.clone());
        if next.look_at < known.look_at {
            *known = next;
        }
        let (so_far, needed) = (climb.held.as_secs(), climb.hold.as_secs());
        format!(" (above its limit for {so_far} of {needed} s)")
    }

    fn remember_networks(&mut self, report: &TargetReport) {
        let Some(facts) = report.state.container().filter(|facts| facts.is_up()) else { return };
        if report.verdict() == Verdict::Ok && !facts.networks.is_empty() {
            self.healthy_networks.insert(facts.id.clone(), facts.networks.clone());
        }
    }

    /// The own engine, where it cannot be seen, leaves an inventory without its containers; that is
    /// no reason to forget them. What another engine held is listed also while that is away.
    fn forget_what_is_gone(&mut self, inventory: &Inventory) {
        let sees_own = inventory.containers.keys().any(|name| engine_of(name).is_none());
        let stays = |target: &TargetId| {
            inventory.targets.contains_key(target) || (!sees_own && target.engine().is_none())
        };
        self.steady.retain(|(target, _), _| stays(target));
        self.trends.retain(|target| target.kind() == TargetKind::Host || stays(target));
        self.proven.retain(stays);
        if sees_own {
            // An id does not say whose it is.
            let ids: BTreeSet<&str> =
                inventory.containers.values().map(|c| c.id.as_str()).collect();
            self.ends.retain(|id, _| ids.contains(id.as_str()));
            self.healthy_networks.retain(|id, _| ids.contains(id.as_str()));
        }
    }
}

/// The check that speaks when a target could not be looked at.
const fn first_check(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Host => "host.cpu",
        TargetKind::Container => "container.state",
        TargetKind::Postgres => "postgres.reachable",
        TargetKind::Mysql => "mysql.reachable",
        TargetKind::Redis => "redis.reachable",
        TargetKind::Http => "http.status",
        TargetKind::Tcp => "tcp.reachable",
    }
}

fn answered(state: &TargetState) -> bool {
    match &state.facts {
        Ok(Facts::Postgres(facts) | Facts::Mysql(facts)) => facts.reachable,
        Ok(Facts::Redis(facts)) => facts.reachable,
        Ok(Facts::Http(facts)) => facts.ok,
        Ok(Facts::Tcp(facts)) => facts.reachable,
        Ok(Facts::Host(_) | Facts::Container(_)) | Err(_) => false,
    }
}

async fn look(
    questions: &dyn Questions,
    inventory: &Inventory,
    target: &Target,
    thresholds: &Thresholds,
) -> Result<Known, Late> {
    if let Some(name) = target.id.container_name() {
        return container(questions, inventory, &target.id, name).await;
    }
    let Some(Inquiry { life, endpoint, limit }) = Inquiry::of(target, inventory, thresholds) else {
        return Ok(Known { facts: Err(why_no_endpoint(inventory, target)), usage_error: None });
    };
    let facts = questions.probe(&target.id, life, endpoint, limit).await;
    let facts = facts.ok_or_else(|| Late(target.id.clone()))?;
    Ok(Known { facts: Ok(facts), usage_error: None })
}

async fn container(
    questions: &dyn Questions,
    inventory: &Inventory,
    id: &TargetId,
    name: &str,
) -> Result<Known, Late> {
    let Some(facts) = inventory.containers.get(name) else {
        let unknown = "the runtime knows no such container".to_owned();
        return Ok(Known { facts: Err(unknown), usage_error: None });
    };
    let mut facts = facts.clone();
    let mut usage_error = None;
    if facts.is_up() {
        match questions.usage(&facts).await.ok_or_else(|| Late(id.clone()))? {
            Ok(usage) => facts.usage = Some(usage),
            // It may have ended between the list and this question: that is no fault.
            Err(error) if error.is_transient() => {
                usage_error = Some(clean(&error.to_string(), 300));
            }
            Err(_) => {}
        }
    }
    Ok(Known { facts: Ok(Facts::Container(Box::new(facts))), usage_error })
}

fn why_no_endpoint(inventory: &Inventory, target: &Target) -> String {
    let container = target.container.as_deref().unwrap_or_default();
    match inventory.containers.get(container) {
        Some(facts) if facts.is_up() => format!("container `{container}` has no address"),
        Some(facts) if facts.is_down() => format!("container `{container}` does not run"),
        Some(_) => format!("container `{container}` cannot be looked at"),
        None => "no address is known".to_owned(),
    }
}

/// Whether a port that it publishes belongs to a newer container that runs.
fn is_replaced(facts: &ContainerFacts, inventory: &Inventory) -> bool {
    inventory.containers.values().any(|other| {
        other.is_up()
            && other.created_at > facts.created_at
            && other.published_ports.iter().any(|port| facts.published_ports.contains(port))
    })
}
