//! Says how long a window must be at least to prove something about this service, and learns
//! what that depends on: how long its starts take.

use std::time::Duration;

use chrono::TimeDelta;
use selfheal_agents::fix_engineer::actions::Action;
use selfheal_agents::health_monitor::{self, Sight, WarmUps};
use selfheal_agents::model::{
    ContainerFacts, Fix, HealthStatus, Incident, RuntimeEventKind, TargetId, TargetReport,
    Timestamp, Verdict,
};
use selfheal_agents::ports::IncidentQuery;

use super::look::Seen;
use super::repair::fixes;
use super::state::{Inner, lock};
use super::validation::LeastWindow;
use super::window::{View, primary};

/// How far back lives are looked at.
const LIVES_BACK: TimeDelta = TimeDelta::hours(1);
/// What takes longer while an incident is open about it was rather mended by somebody than slow.
const LONGEST_IN_TROUBLE: Duration = Duration::from_mins(10);
/// How long before a start an incident may have begun whose fix touched it since.
const INCIDENTS_BACK: TimeDelta = TimeDelta::days(1);
/// Before the name of each container whose starts were watched.
pub(super) const WARM_UPS: &str = "warm_up.";

impl Inner {
    /// The configured length, or longer: where the container died lately, soon after its start or
    /// again and again, it must outlive the longest of these lives by a quarter; where the fix
    /// starts it and its starts take long, half the configured length must be left once it works.
    pub(super) async fn least_window(
        &self,
        fix: &Fix,
        container: Option<&str>,
        now: Timestamp,
    ) -> LeastWindow {
        let configured = self.rules().validation_window;
        let Some(name) = container else { return configured.into() };
        let id = TargetId::container(name);
        let events = self.store.events(Some(&id), now - LIVES_BACK).await.unwrap_or_default();
        let life = health_monitor::longest_life(&events, now).unwrap_or_default() * 5 / 4;
        if !starts(fix, name) {
            return configured.max(life).into();
        }
        let warm_up = self.usual_start(name).await.unwrap_or_default();
        LeastWindow { window: configured.max(life).max(warm_up + configured / 2), warm_up }
    }

    /// How long the starts of a container usually take; `None` where that is not known.
    pub(super) async fn usual_start(&self, container: &str) -> Option<Duration> {
        self.recall::<WarmUps>(&warm_ups_name(container)).await.ok()??.usual()
    }

    /// Follows the starts of containers that a cycle looked at.
    pub(super) async fn learn_starts(&self, seen: &Seen) {
        for facts in seen.inventory.containers.values() {
            let (Some(started_at), Some(sight)) = (facts.started_at, sight_of(facts, seen)) else {
                continue;
            };
            let took = lock(&self.starts).see(&facts.name, started_at, sight, seen.now);
            if let Some(took) = took {
                self.keep_warm_up(&facts.name, started_at, took).await;
            }
        }
        let is_there = |name: &str| !seen.inventory.is_gone(&TargetId::container(name));
        lock(&self.starts).keep_only(is_there);
    }

    /// Learns from a window how long the start took that the fix made: no cycle looks at it before
    /// it works.
    pub(super) async fn learn_repaired_start(&self, incident: &Incident, view: &View) {
        let (Some(fix), Some(window)) = (&incident.fix, &incident.validation) else { return };
        let Some(recovered_at) = window.recovered_at else { return };
        let Some(name) = self.container_behind(&fix.target) else { return };
        let facts = view.inventory.containers.get(&name);
        let Some(started_at) = facts.and_then(|facts| facts.started_at) else { return };
        if started_at < fix.proposed_at || started_at > recovered_at {
            return;
        }
        let took = {
            let mut starts = lock(&self.starts);
            // As if it had been looked at from the first moment on, which the window did.
            starts.see(&name, started_at, Sight::Fails, started_at);
            starts.see(&name, started_at, Sight::Works(recovered_at), recovered_at)
        };
        if let Some(took) = took {
            self.keep_warm_up(&name, started_at, took).await;
        }
    }

    /// Whether it works because it was mended, and not because its start was over: a fix touched it
    /// since, or it took long while people knew of it. So it is taken where that is not known.
    pub(super) async fn was_mended(
        &self,
        container: &str,
        started_at: Timestamp,
        took: Duration,
    ) -> bool {
        let since = Some(started_at - INCIDENTS_BACK);
        let query = IncidentQuery { since, ..IncidentQuery::default() };
        let Ok(incidents) = self.store.incidents(&query).await else { return true };
        let is_its = |id: &TargetId| self.container_behind(id).as_deref() == Some(container);
        // The fix that started it was decided on before.
        let touched = |fix: &Fix| fix.proposed_at > started_at && fix.touches().iter().any(is_its);
        let in_trouble = |incident: &Incident| {
            let meanwhile = started_at..=started_at + took;
            meanwhile.contains(&incident.opened_at) && incident.targets().iter().any(is_its)
        };
        incidents.iter().any(|incident| {
            incident.validation.is_some() && fixes(incident).iter().any(touched)
                || took > LONGEST_IN_TROUBLE && in_trouble(incident)
        })
    }

    async fn keep_warm_up(&self, container: &str, started_at: Timestamp, took: Duration) {
        if self.was_mended(container, started_at, took).await {
            return;
        }
        let name = warm_ups_name(container);
        let Ok(known) = self.recall::<WarmUps>(&name).await else { return };
        let mut known = known.unwrap_or_default();
        known.add(took);
        if let Err(error) = self.keep_in_mind(&name, &known).await {
            tracing::error!(container.name = container, %error, "how long its start took is not kept");
        }
    }
}

/// Whether a fix starts the container, or may: what a person's own command does nobody knows.
fn starts(fix: &Fix, container: &str) -> bool {
    fix.steps.iter().any(|step| match &step.action {
        Action::ContainerStart(_) | Action::ContainerRestart(_) | Action::ContainerRecreate(_) => {
            step.action.target() == TargetId::container(container)
        }
        Action::RunCommand(_) => true,
        _ => false,
    })
}

fn warm_ups_name(container: &str) -> String {
    format!("{WARM_UPS}{container}")
}

/// What a cycle saw of a running container and its endpoints; `None` where it did not look.
fn sight_of(facts: &ContainerFacts, seen: &Seen) -> Option<Sight> {
    let id = TargetId::container(&facts.name);
    seen.report.target(&id).filter(|_| facts.is_up() && !seen.put_off.contains(&id))?;
    let own = primary(&seen.inventory, &id, Some(&facts.name));
    let verdict = |id: &TargetId| seen.report.target(id).map(TargetReport::verdict);
    let fails = |id: &TargetId| {
        matches!(verdict(id), Some(Verdict::Critical | Verdict::Unknown))
            || seen.put_off.contains(id)
    };
    if facts.health != Some(HealthStatus::Starting) && !own.iter().any(fails) {
        return Some(Sight::Works(works_since(facts, seen)));
    }
    let needs = own.iter().flat_map(|id| seen.graph.perhaps_needed_by(id));
    let waits = needs.into_iter().any(|need| !own.contains(&need) && fails(&need));
    Some(if waits { Sight::Waits } else { Sight::Fails })
}

/// Since when a container works that works now: its health check knows better than the time of
/// this look.
fn works_since(facts: &ContainerFacts, seen: &Seen) -> Timestamp {
    let healthy = RuntimeEventKind::Health { status: HealthStatus::Healthy };
    let events = seen.events_of(&TargetId::container(&facts.name)).iter().rev();
    let in_this_life = events.filter(|e| facts.started_at.is_none_or(|at| e.at >= at));
    in_this_life.filter(|e| e.kind == healthy).map(|e| e.at).next().unwrap_or(seen.now)
}
