//! Gathers the facts that the policy gate decides on.
//!
//! What cannot be found out stays unknown, and the gate holds on it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use selfheal_agents::model::{
    ContainerFacts, Diagnosis, Facts as TargetFacts, FindingSource, Fix, FixId, Hold, Incident,
    IncidentState, Maker, ObservedValue, Side, TargetId, TargetKind, TargetPolicy, Timestamp,
};
use selfheal_agents::ports::{Ownership, StoreResult};
use selfheal_agents::root_cause::{Explained, OUTSIDE_ALERT};

use super::Freeze;
use super::cycle::{Bench, failing_beside};
use super::deployments::deployment;
use super::look::Seen;
use super::policy::{self, Facts, Spent};
use super::state::Inner;
use super::window::{primary, settle};

/// A start period is believed for so long where nobody knows how long its starts take, ...
const LONGEST_START: Duration = Duration::from_hours(1);
/// ... and where that is known for twice as long as they do, but never for less than this.
const LEAST_START: Duration = Duration::from_mins(15);
/// A start so soon after the container was made is its first.
const FIRST_START: TimeDelta = TimeDelta::minutes(1);

impl Inner {
    /// The facts about `fix` of an incident outside a cycle: by what was just seen, and by what else
    /// is open.
    pub(super) async fn facts_now(
        &self,
        incident: &Incident,
        diagnosis: &Diagnosis,
        fix: &Fix,
        seen: &Seen,
    ) -> StoreResult<Facts> {
        let (rules, history) = (self.rules(), self.history().await?);
        let open = self.store.open_incidents().await?;
        let roots = [incident.target.clone()].into_iter();
        let bench = Bench {
            seen,
            rules: &rules,
            history: &history,
            over: std::collections::BTreeSet::new(),
            roots: roots.chain(failing_beside(incident, &open, seen)).collect(),
            dry_run: false,
            begun: Mutex::default(),
        };
        self.facts(diagnosis, fix, &bench).await
    }

    /// The facts about `fix` for `diagnosis`.
    pub(super) async fn facts(
        &self,
        diagnosis: &Diagnosis,
        fix: &Fix,
        bench: &Bench<'_>,
    ) -> StoreResult<Facts> {
        let seen = bench.seen;
        let policies: BTreeMap<TargetId, TargetPolicy> = fix
            .touches()
            .into_iter()
            .filter_map(|id| Some((id.clone(), seen.inventory.targets.get(&id)?.policy.clone())))
            .collect();
        let own_policy = policies.get(&fix.target).cloned().unwrap_or_default();
        let container = container_of(bench, &fix.target);
        let up = container.is_some_and(ContainerFacts::is_up);
        let exited = container.is_some_and(ContainerFacts::is_down);
        let under_way = self.under_way(bench, fix).await;
        let usual_start = match container {
            Some(container) => self.usual_start(&container.name).await,
            None => None,
        };
        let (failing, watched) = share_of_failing(bench, fix);
        let mode = bench.rules.mode_for(&fix.target, &own_policy, &diagnosis.issue_type);
        Ok(Facts {
            now: seen.now,
            mode: self.mode_with_allowed(mode, diagnosis, fix).await?,
            threshold: bench.rules.threshold,
            external: diagnosis.external,
            stopped_by_person: stopped_by_person(bench, &fix.target),
            dependents_suffer: dependents_suffer(bench, diagnosis, &fix.target),
            // An exit is believed whenever it happens; everything else waits for the start.
            starting_until: container.filter(|_| up).and_then(|c| start_period_end(c, usual_start)),
            came_back: container.filter(|_| up).and_then(|facts| came_back(bench, facts)),
            deployment: under_way.deployment,
            backup: under_way.backup,
            unknown: self.in_the_way(fix, &seen.inventory).or(under_way.unknown),
            healer: healer(bench, container),
            managed: managed(bench, fix),
            elsewhere: self.elsewhere(touched_by(fix)),
            freezes: self.freezes().into_iter().chain(self.frozen_there()).collect(),
            maintenance: self.maintenance_around(fix, bench),
            quiet: self.quiet_hour(&fix.target, seen.now),
            spent: self.spent(fix, bench).await?,
            budgets: bench.rules.budgets,
            flapping: self.flapping(&seen.inventory, &fix.target),
            failing,
            watched,
            failures_in_a_row: u32::try_from(bench.history.failures_in_a_row(&fix.target))
                .unwrap_or(u32::MAX),
            changed: policy::too_old(fix.proposed_at, seen.now, bench.rules.plan_lifetime),
            database_in_recovery: self.in_recovery(bench, &fix.target),
            distrust: bench.history.distrust(&diagnosis.issue_type, &fix.fix_type, &fix.target),
            unearned: self.unearned(fix, bench.history),
            failed_rehearsal: None,
            touches_selfheal: touches_selfheal(bench, fix),
            overload: overload(bench, exited),
            dry_run: bench.dry_run,
            policies,
        })
    }

    /// Who else may change one of these, if this node may not.
    pub(super) fn elsewhere(&self, targets: impl IntoIterator<Item = TargetId>) -> Option<Hold> {
        targets.into_iter().find_map(|target| match self.fleet.ownership(&target) {
            Ownership::Ours => None,
            Ownership::Elsewhere { node } => Some(Hold::LeasedElsewhere { node }),
            Ownership::Unknown { why } => {
                let what = format!("which node looks after `{target}`: {why}");
                Some(Hold::FactsMissing { what })
            }
        })
    }

    /// What other nodes have frozen.
    fn frozen_there(&self) -> impl Iterator<Item = Freeze> {
        self.fleet.frozen().into_iter().map(|there| Freeze {
            target: Some(there.target),
            until: there.until,
            reason: format!("{} (frozen at node `{}`)", there.why, there.node),
            by: there.node,
            safety_stop: false,
            stuck: None,
        })
    }

    /// Who is at work on a target for which there is no fix: what is seen may be their doing.
    pub(super) fn busy_there(&self, diagnosis: &Diagnosis, bench: &Bench<'_>) -> Vec<Hold> {
        let target = &diagnosis.blamed;
        let container = container_of(bench, target);
        let deployed = container.and_then(|facts| deployment(bench.seen, facts));
        let window = self.maintenance_open(target, bench.seen.now);
        let elsewhere = match self.fleet.ownership(target) {
            // What another program told this node that one need not have heard, so it tells nobody.
            Ownership::Elsewhere { node } if diagnosis.issue_type != OUTSIDE_ALERT => {
                Some(Hold::LeasedElsewhere { node })
            }
            _ => None,
        };
        deployed
            .into_iter()
            .chain(window.map(|window| Hold::MaintenanceWindow { window }))
            .chain(elsewhere)
            .collect()
    }

    /// Whether the server that the target is, or holds, brings its data up, as it answers or, where
    /// it takes nobody meanwhile, as its own lines say. `None` when it could not be asked.
    pub(super) fn in_recovery(&self, bench: &Bench<'_>, target: &TargetId) -> Option<bool> {
        let container = container_of(bench, target);
        if container.is_some_and(ContainerFacts::is_down) {
            return Some(false);
        }
        let name = container.map(|facts| facts.name.as_str());
        if self.says_it_recovers(bench, target, name) {
            return Some(true);
        }
        for (_, known) in data_servers(bench, target, name) {
            match known {
                Some(Ok(facts)) if facts.is_recovering() => return Some(true),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
        Some(false)
    }

    /// Whether a server of data there wrote that it begins or ends, and it has not answered since.
    fn says_it_recovers(
        &self,
        bench: &Bench<'_>,
        target: &TargetId,
        container: Option<&str>,
    ) -> bool {
        if data_servers(bench, target, container).next().is_none() {
            return false;
        }
        let catalogue = self.catalogue();
        let waits_for_answer = |runbook: &str| {
            let over = catalogue.get(runbook).and_then(|known| known.over_when.as_ref());
            over.is_some_and(|over| over.check.ends_with(".reachable"))
        };
        bench.seen.findings.iter().filter(|finding| finding.is_trouble()).any(|finding| {
            let FindingSource::Log { runbook, side: Side::Server, .. } = &finding.source else {
                return false;
            };
            let known = bench.seen.inventory.targets.get(&finding.target);
            let within = known.and_then(|known| known.container.as_deref());
            let is_of_it = finding.target == *target || (within.is_some() && within == container);
            is_of_it && waits_for_answer(runbook)
        })
    }

    /// The maintenance window that is open for anything the fix touches, or that runs in it.
    fn maintenance_around(&self, fix: &Fix, bench: &Bench<'_>) -> Option<String> {
        let inventory = &bench.seen.inventory;
        let mut around = touched_by(fix).flat_map(|id| {
            let known = inventory.targets.get(&id);
            primary(inventory, &id, known.and_then(|target| target.container.as_deref()))
        });
        around.find_map(|id| self.maintenance_open(&id, bench.seen.now))
    }

    /// Every fix that was begun within the hour counts, whatever it is part of and whatever became
    /// of it: each step of a chain, each try and each dependent's restart disturbs what is in use.
    async fn spent(&self, fix: &Fix, bench: &Bench<'_>) -> StoreResult<Spent> {
        let an_hour_ago = bench.seen.now - TimeDelta::hours(1);
        // There is a backup for each. Of more than these all is spent anyway.
        let most = usize::try_from(bench.rules.budgets.per_host).unwrap_or(usize::MAX);
        let newest = self.store.backups(most.saturating_add(1)).await?;
        let lately = newest.into_iter().filter(|backup| backup.at > an_hour_ago);
        let mut begun: BTreeMap<FixId, (TargetId, String)> =
            lately.map(|backup| (backup.fix, (backup.target, backup.fix_type))).collect();
        // And those whose backup is about to be made.
        let open = self.store.open_incidents().await?;
        let fixing = open.into_iter().filter(|i| i.state() == IncidentState::Fixing);
        begun.extend(fixing.filter_map(|i| i.fix).map(|f| (f.id, (f.target, f.fix_type))));
        // One that is decided on again counts once.
        begun.remove(&fix.id);
        let in_this_cycle = bench.begun.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut spent = Spent::default();
        for (target, fix_type) in begun.into_values().chain(in_this_cycle) {
            spent.host += 1;
            spent.target += u32::from(target == fix.target);
            spent.action += u32::from(fix_type == fix.fix_type);
        }
        Ok(spent)
    }
}

/// How many of the fix's own engine fail, and of how many: what fails on another host says nothing of
/// a cause on this one, nor does what nobody can see there make that the smaller share.
fn share_of_failing(bench: &Bench<'_>, fix: &Fix) -> (u32, u32) {
    let inventory = &bench.seen.inventory;
    let engine = inventory.engine(&fix.target);
    let is_beside = |id: &&TargetId| inventory.engine(id) == engine;
    let failing = bench.roots.iter().filter(is_beside).count();
    let watched = inventory.targets.keys().filter(is_beside).count();
    (u32::try_from(failing).unwrap_or(u32::MAX), u32::try_from(watched).unwrap_or(u32::MAX))
}

pub(super) fn touched_by(fix: &Fix) -> impl Iterator<Item = TargetId> {
    fix.touches().into_iter().chain([fix.target.clone()])
}

fn container_of<'a>(bench: &'a Bench<'_>, target: &TargetId) -> Option<&'a ContainerFacts> {
    let name = bench.seen.inventory.targets.get(target)?.container.as_deref()?;
    bench.seen.inventory.containers.get(name)
}

/// When a trouble began, by the earliest sign of it: what was seen first, or the end of a container
/// that is down.
pub(super) fn began(one: &Explained, bench: &Bench<'_>) -> Option<Timestamp> {
    let blamed = container_of(bench, &one.diagnosis.blamed);
    let ended = blamed.filter(|facts| facts.is_down()).and_then(|facts| facts.finished_at);
    let seen = one.findings.iter().filter(|f| !f.is_pattern()).map(|f| f.first_seen);
    seen.chain(ended).min().map(|at| at.min(bench.seen.now))
}

/// `None` when it is a container whose state could not be observed.
fn stopped_by_person(bench: &Bench<'_>, target: &TargetId) -> Option<bool> {
    if target.kind() != TargetKind::Container {
        return Some(false);
    }
    let state = bench.seen.report.target(target)?.observation("container.state")?;
    match &state.value {
        ObservedValue::Text(word) if word != "unknown" => Some(word == "stopped"),
        _ => None,
    }
}

/// Whether something above it fails for this very reason; other trouble of a dependent is
/// no reason to start what a person stopped.
fn dependents_suffer(bench: &Bench<'_>, diagnosis: &Diagnosis, target: &TargetId) -> bool {
    let above = bench.seen.graph.dependents_of(target);
    diagnosis.affected.iter().any(|id| above.contains(id))
}

/// Something it needs that came up since it did, and so lately that it may not have noticed.
fn came_back(bench: &Bench<'_>, facts: &ContainerFacts) -> Option<TargetId> {
    let needed = bench.seen.graph.needed_by(&TargetId::container(&facts.name));
    let lately = bench.seen.now - settle(facts);
    needed.into_iter().find(|id| {
        let up = container_of(bench, id).filter(|needed| needed.is_up());
        let started_at = up.and_then(|needed| needed.started_at);
        started_at.is_some_and(|at| at > lately && facts.started_at.is_none_or(|own| at > own))
    })
}

/// The end of its start period, which is believed only so far; `usual` is what its starts take.
fn start_period_end(facts: &ContainerFacts, usual: Option<Duration>) -> Option<Timestamp> {
    // The first start of one made anew may bring its data up to a new version.
    let age = facts.created_at.zip(facts.started_at).map(|(made, started)| started - made);
    let usual = usual.filter(|_| age.is_some_and(|age| age > FIRST_START));
    let most = usual.map_or(LONGEST_START, |usual| (usual * 2).max(LEAST_START));
    let period = facts.health_check.as_ref()?.start_period.min(most);
    Some(facts.started_at? + TimeDelta::from_std(period).ok()?)
}

/// Another healer that looks after this container, if one runs. What is down is left to none of
/// them: they restart what is unhealthy.
fn healer(bench: &Bench<'_>, container: Option<&ContainerFacts>) -> Option<String> {
    let inventory = &bench.seen.inventory;
    if let Some(other) = &inventory.other_selfheal {
        return Some(format!("another Selfheal, in container `{other}`"));
    }
    let facts = container.filter(|facts| !facts.is_down())?;
    inventory.healed_elsewhere.get(&facts.name).cloned()
}

/// Why a step is left to whoever made the container that it changes, or that its target runs in.
fn managed(bench: &Bench<'_>, fix: &Fix) -> Option<Hold> {
    fix.steps.iter().find_map(|step| {
        let container = container_of(bench, &step.action.target())?;
        Maker::of(container)?.leaves(step.action.name())
    })
}

/// The servers of data that are `target` or run in `container`, with what is known of each.
pub(super) fn data_servers<'a>(
    bench: &'a Bench<'_>,
    target: &'a TargetId,
    container: Option<&'a str>,
) -> impl Iterator<Item = (&'a TargetId, Option<&'a Result<TargetFacts, String>>)> {
    let targets = bench.seen.inventory.targets.values();
    let ours = targets.filter(move |known| {
        let runs_in_it = container.is_some() && known.container.as_deref() == container;
        let kind = known.id.kind();
        matches!(kind, TargetKind::Postgres | TargetKind::Mysql | TargetKind::Redis)
            && (known.id == *target || runs_in_it)
    });
    ours.map(|known| {
        let report = bench.seen.report.target(&known.id);
        (&known.id, report.map(|report| &report.state.facts))
    })
}

fn touches_selfheal(bench: &Bench<'_>, fix: &Fix) -> bool {
    let Some(own) = bench.rules.declared.own_container.as_deref() else {
        return false;
    };
    fix.touches().iter().any(|id| id.container_name() == Some(own))
}

fn overload(bench: &Bench<'_>, exited: bool) -> Option<u32> {
    if !bench.seen.report.under_pressure || exited {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage")]
    Some(bench.seen.report.pressure.cpu_percent.unwrap_or(100.0).clamp(0.0, 100.0) as u32)
}

#[cfg(test)]
mod tests {
    use selfheal_agents::fakes::healthy;

    use super::*;

    #[test]
    fn a_start_period_of_hours_is_believed_only_so_far() {
        let minutes = |minutes| Duration::from_mins(minutes);
        for (period, usual, believed) in [
            (1, None, 1),
            (50, None, 50),
            (48 * 60, None, 60),
            (48 * 60, Some(1), 15),
            (48 * 60, Some(40), 80),
            (5, Some(40), 5),
        ] {
            let mut web = healthy("web");
            web.started_at = Some(Timestamp::UNIX_EPOCH);
            web.created_at = Some(Timestamp::UNIX_EPOCH - TimeDelta::days(1));
            web.health_check.as_mut().unwrap().start_period = minutes(period);
            let end = start_period_end(&web, usual.map(minutes)).unwrap();
            let end = end - Timestamp::UNIX_EPOCH;
            assert_eq!(end, TimeDelta::minutes(believed), "{period} min, {usual:?}");
            // Its first start may take longer than any later one.
            web.created_at = web.started_at;
            let end = start_period_end(&web, usual.map(minutes)).unwrap() - Timestamp::UNIX_EPOCH;
            assert_eq!(end, TimeDelta::minutes(i64::try_from(period.min(60)).unwrap()));
        }
    }
}
