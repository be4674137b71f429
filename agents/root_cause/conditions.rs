//! Decides whether what a runbook asks for is so.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Evidence, changes};
use crate::model::{
    Condition, FindingSource, HealthStatus, Observation, ObservedValue, RuntimeEventKind, Scope,
    Signature, TargetId, Timestamp, Verdict, engine_of,
};

/// How long after the moment at which something has lasted long enough it surely has.
const MARGIN: Duration = Duration::from_millis(500);

/// The check's name without its instance: `host.disk` for `host.disk:/var`.
fn base_name(check: &str) -> &str {
    check.split(':').next().unwrap_or(check)
}

/// Whether a check signature matches an observation.
///
/// Without a verdict asked for, it takes a warning at least; or any verdict when the values
/// are listed, since a value such as `stopped` may be nobody's fault and still matter.
pub fn signature_matches(signature: &Signature, observation: &Observation) -> bool {
    let Some(check) = signature.check.as_deref() else {
        return false;
    };
    if base_name(&observation.check) != check {
        return false;
    }
    let value = observation.value.to_string();
    let least = signature.verdict.unwrap_or(if signature.is.is_empty() {
        Verdict::Warning
    } else {
        Verdict::Ok
    });
    observation.verdict >= least && (signature.is.is_empty() || signature.is.contains(&value))
}

/// Whether `condition` holds, seen from the target that shows the signature.
pub fn holds(condition: &Condition, evidence: &Evidence<'_>, seen_from: &TargetId) -> bool {
    let whom = scope(condition.on, evidence, seen_from);
    let any = whom.iter().any(|id| holds_for(condition, evidence, id));
    any != condition.not
}

/// What a condition lacks that does not hold yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// In words.
    pub why: String,
    /// When it will hold, if what lasts now goes on.
    pub from: Timestamp,
}

/// What `condition` lacks, where that is only time: it asks for something to have lasted, and that
/// has begun.
pub fn will_hold(
    condition: &Condition,
    evidence: &Evidence<'_>,
    seen_from: &TargetId,
) -> Option<Unmet> {
    let needed = condition.above.filter(|_| !condition.not)?;
    let all_else = Condition { above: None, ..condition.clone() };
    let whom = scope(condition.on, evidence, seen_from);
    let reports = whom.iter().filter(|id| holds_for(&all_else, evidence, id));
    let observations = reports.filter_map(|id| evidence.report.target(id));
    let ages = observations.flat_map(|report| &report.observations).filter_map(|seen| {
        let is_meant = condition.check.as_deref() == Some(base_name(&seen.check));
        let age = seen.age_secs().filter(|_| is_meant && value_fits(&all_else, seen))?;
        Some((age, seen))
    });
    let (age, oldest) = ages.max_by(|one, other| one.0.total_cmp(&other.0))?;
    Some(Unmet {
        why: format!("`{}` must be above {needed:.0} s and is {age:.0} s", oldest.check),
        from: lasts_for(age, needed, oldest.at),
    })
}

/// When what has lasted for so many seconds at that time will have lasted for more than it needs.
pub fn lasts_for(has_secs: f64, needs_secs: f64, at: Timestamp) -> Timestamp {
    // A clock of another machine, and the way to it, are not exact to the moment.
    let missing = Duration::try_from_secs_f64(needs_secs - has_secs).unwrap_or_default();
    at + missing + MARGIN
}

fn scope(scope: Scope, evidence: &Evidence<'_>, seen_from: &TargetId) -> BTreeSet<TargetId> {
    match scope {
        Scope::Target => BTreeSet::from([seen_from.clone()]),
        Scope::Container => evidence.container_of(seen_from).into_iter().collect(),
        Scope::Dependency => evidence.graph.needed_by(seen_from),
        Scope::Dependent => {
            let own = own_endpoints(evidence, seen_from);
            &evidence.graph.dependents_of(seen_from) - &own
        }
        Scope::Endpoint => own_endpoints(evidence, seen_from),
        // The host of another engine is not looked at from here.
        Scope::Host if is_elsewhere(evidence, seen_from) => BTreeSet::new(),
        Scope::Host => BTreeSet::from([TargetId::host()]),
    }
}

fn is_elsewhere(evidence: &Evidence<'_>, id: &TargetId) -> bool {
    evidence.container_of(id).is_some_and(|container| engine_of(container.name()).is_some())
}

/// Whether somebody other than its log shows that the container behind `id` does not work: it is down
/// or dies, it ran out of memory, or it does not answer those who ask from outside. Its own health
/// check is not enough: that may be what is broken. One that waits to be restarted counts although
/// it is only a warning, for it has just died: a look between two deaths must not see less.
pub(super) fn is_seen_broken(evidence: &Evidence<'_>, id: &TargetId) -> bool {
    let critical = |id: &TargetId, checks: Option<&[&str]>| {
        evidence.report.target(id).is_some_and(|report| {
            report.observations.iter().any(|seen| {
                seen.verdict == Verdict::Critical
                    && checks.is_none_or(|checks| checks.contains(&base_name(&seen.check)))
            })
        })
    };
    let waits_to_restart = |id: &TargetId| {
        evidence.report.target(id).is_some_and(|report| {
            let mut seen = report.observations.iter();
            seen.any(|o| o.check == "container.state" && o.value.to_string() == "restarting")
        })
    };
    let container = evidence.container_of(id).unwrap_or_else(|| id.clone());
    waits_to_restart(&container)
        || critical(&container, Some(&["container.state", "container.oom"]))
        || own_endpoints(evidence, id).iter().any(|endpoint| critical(endpoint, None))
        || (*id != container && critical(id, None))
}

/// Whether it is a data service that runs and turns everybody away: a database that starts,
/// recovers or shuts down, a cache that loads. That passes by itself, so it is only a warning, but
/// nobody who needs it can work meanwhile.
pub(super) fn takes_nobody_yet(evidence: &Evidence<'_>, id: &TargetId) -> bool {
    let says_so = |seen: &Observation| {
        let word = seen.value.to_string();
        seen.verdict.is_bad()
            && matches!(
                (base_name(&seen.check), word.as_str()),
                ("postgres.reachable", "starting") | ("redis.loading", "loading")
            )
    };
    evidence.report.target(id).is_some_and(|report| report.observations.iter().any(says_so))
}

/// The targets that show the container of `id` from outside. Who stops a container stops
/// them too, so they are no one who suffers from it.
fn own_endpoints(evidence: &Evidence<'_>, id: &TargetId) -> BTreeSet<TargetId> {
    let Some(container) = evidence.container_of(id) else {
        return BTreeSet::new();
    };
    let stands_for_it = |target: &&TargetId| {
        **target != container && evidence.container_of(target).as_ref() == Some(&container)
    };
    evidence.targets.keys().filter(stands_for_it).cloned().collect()
}

fn holds_for(condition: &Condition, evidence: &Evidence<'_>, id: &TargetId) -> bool {
    observed(condition, evidence, id)
        && found(condition, evidence, id)
        && tunable(condition, evidence, id)
        && (condition.changed.is_empty() || changes::changed(evidence, id, &condition.changed))
        && condition.was_healthy.is_none_or(|wanted| wanted == was_healthy(evidence, id))
        && since_well(condition, evidence, id)
}

/// Whether its container differs from the one that worked as asked for. Nothing asked is met.
fn since_well(condition: &Condition, evidence: &Evidence<'_>, id: &TargetId) -> bool {
    if condition.since_well.is_empty() && condition.never_well.is_none() {
        return true;
    }
    let container = evidence.container_of(id);
    let Some(known) = container.and_then(|id| evidence.since_well.get(&id)) else { return false };
    let differs = |difference| known.differs.contains(difference);
    let in_these = condition.since_well.is_empty() || condition.since_well.iter().any(differs);
    let in_others = known.differs.iter().any(|other| !condition.since_well.contains(other));
    in_these
        && !(condition.in_nothing_else && in_others)
        && condition.never_well.is_none_or(|wanted| wanted == known.never_well)
}

/// Whether the health check of the container of `id` succeeded before.
fn was_healthy(evidence: &Evidence<'_>, id: &TargetId) -> bool {
    let healthy = |kind: &RuntimeEventKind| {
        matches!(kind, RuntimeEventKind::Health { status: HealthStatus::Healthy })
    };
    let Some(container) = evidence.container_of(id) else {
        return false;
    };
    evidence.proven.contains(&container)
        || evidence.report.target(&container).is_some_and(|report| {
            let probes = report.state.container().map_or(&[][..], |facts| &facts.health_log);
            probes.iter().any(|probe| probe.exit_code == 0)
                || report.state.events.iter().any(|event| healthy(&event.kind))
        })
}

fn observed(condition: &Condition, evidence: &Evidence<'_>, id: &TargetId) -> bool {
    let Some(report) = evidence.report.target(id) else {
        // Nothing asked of the observations is nothing unmet.
        return condition.check.is_none() && condition.verdict.is_none();
    };
    match condition.check.as_deref() {
        None => condition.verdict.is_none_or(|least| report.verdict() >= least),
        Some(check) => report
            .observations
            .iter()
            .filter(|o| base_name(&o.check) == check)
            .any(|o| value_fits(condition, o)),
    }
}

fn value_fits(condition: &Condition, observation: &Observation) -> bool {
    let number = match observation.value {
        ObservedValue::Number(number) => Some(number),
        _ => None,
    };
    let text = observation.value.to_string();
    condition.verdict.is_none_or(|least| observation.verdict >= least)
        && (condition.is.is_empty() || condition.is.contains(&text))
        && condition.above.is_none_or(|limit| number.is_some_and(|n| n > limit))
        && condition.below.is_none_or(|limit| number.is_some_and(|n| n < limit))
}

fn found(condition: &Condition, evidence: &Evidence<'_>, id: &TargetId) -> bool {
    condition.finding.as_deref().is_none_or(|wanted| {
        evidence
            .findings_of(id)
            .any(|f| matches!(&f.source, FindingSource::Log { runbook, .. } if runbook == wanted))
    })
}

fn tunable(condition: &Condition, evidence: &Evidence<'_>, id: &TargetId) -> bool {
    condition.tunable.is_none_or(|role| {
        evidence.targets.get(id).is_some_and(|t| t.tunables.iter().any(|t| t.role == role))
    })
}
