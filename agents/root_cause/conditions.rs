//! Decides whether what a runbook asks for is so.

use std::collections::BTreeSet;

use super::Evidence;
use crate::model::{
    Condition, FindingSource, Observation, ObservedValue, Scope, Signature, TargetId, Verdict,
};

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

fn scope(scope: Scope, evidence: &Evidence<'_>, seen_from: &TargetId) -> BTreeSet<TargetId> {
    match scope {
        Scope::Target => BTreeSet::from([seen_from.clone()]),
        Scope::Container => evidence.container_of(seen_from).into_iter().collect(),
        Scope::Dependency => evidence.graph.needed_by(seen_from),
        Scope::Dependent => evidence.graph.dependents_of(seen_from),
        Scope::Host => BTreeSet::from([TargetId::host()]),
    }
}

fn holds_for(condition: &Condition, evidence: &Evidence<'_>, id: &TargetId) -> bool {
    observed(condition, evidence, id)
        && found(condition, evidence, id)
        && tunable(condition, evidence, id)
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
            .any(|f| matches!(&f.source, FindingSource::Log { runbook } if runbook == wanted))
    })
}

fn tunable(condition: &Condition, evidence: &Evidence<'_>, id: &TargetId) -> bool {
    condition.tunable.is_none_or(|role| {
        evidence.targets.get(id).is_some_and(|t| t.tunables.iter().any(|t| t.role == role))
    })
}
