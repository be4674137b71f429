//! The guards, one function a reason, in the order in which a person would ask.

use selfheal_agents::fix_engineer::actions::{Act, Action, Reversal};
use selfheal_agents::model::{Fix, Hold, Mode, Step};

use super::{Facts, Unearned};

type Guard = fn(&Fix, &Facts) -> Option<Hold>;

/// Every guard. A new one is a function below and a line here.
const GUARDS: &[Guard] = &[
    dry_run,
    mode,
    frozen,
    stopped_in_all,
    excluded,
    external,
    touches_selfheal,
    stopped_by_person,
    confidence,
    distrust,
    unearned,
    checkable,
    failed_rehearsal,
    starting,
    waits,
    deployment,
    backup,
    other_healer,
    managed_elsewhere,
    leased_elsewhere,
    maintenance,
    quiet_hour,
    budgets,
    safety_stop,
    flapping,
    common_cause,
    stale,
    recovering,
    overload,
];

/// All reasons to hold.
pub(super) fn holds(fix: &Fix, facts: &Facts) -> Vec<Hold> {
    GUARDS.iter().filter_map(|guard| guard(fix, facts)).collect()
}

fn dry_run(_: &Fix, facts: &Facts) -> Option<Hold> {
    facts.dry_run.then_some(Hold::DryRun)
}

fn mode(_: &Fix, facts: &Facts) -> Option<Hold> {
    (facts.mode != Mode::Auto).then_some(Hold::Mode { mode: facts.mode })
}

fn frozen(fix: &Fix, facts: &Facts) -> Option<Hold> {
    let touched = fix.touches();
    facts
        .freezes
        .iter()
        .filter(|f| !f.safety_stop && f.until.is_none_or(|until| until > facts.now))
        .find(|f| f.target.as_ref().is_none_or(|t| touched.contains(t) || *t == fix.target))
        .map(|f| Hold::Frozen { until: f.until, why: f.reason.clone() })
}

fn stopped_in_all(_: &Fix, facts: &Facts) -> Option<Hold> {
    let stop = facts.freezes.iter().find(|f| f.safety_stop)?;
    Some(Hold::SafetyStopInAll { why: stop.reason.clone() })
}

fn excluded(fix: &Fix, facts: &Facts) -> Option<Hold> {
    for target in fix.touches() {
        match facts.policies.get(&target) {
            None => return Some(Hold::FactsMissing { what: format!("the policy of `{target}`") }),
            Some(policy) if policy.excluded => return Some(Hold::TargetExcluded { target }),
            Some(_) => {}
        }
    }
    None
}

fn external(fix: &Fix, facts: &Facts) -> Option<Hold> {
    let labelled = fix
        .touches()
        .into_iter()
        .find(|t| facts.policies.get(t).is_some_and(|policy| policy.external));
    let target = labelled.or_else(|| facts.external.then(|| fix.target.clone()))?;
    Some(Hold::TargetExternal { target })
}

fn touches_selfheal(_: &Fix, facts: &Facts) -> Option<Hold> {
    facts.touches_selfheal.then_some(Hold::TouchesSelfheal)
}

fn stopped_by_person(fix: &Fix, facts: &Facts) -> Option<Hold> {
    match facts.stopped_by_person {
        None => Some(Hold::FactsMissing { what: format!("who stopped `{}`", fix.target) }),
        Some(true) if !facts.dependents_suffer => {
            Some(Hold::StoppedByPerson { target: fix.target.clone() })
        }
        Some(_) => None,
    }
}

fn confidence(fix: &Fix, facts: &Facts) -> Option<Hold> {
    (fix.confidence < facts.threshold).then_some(Hold::ConfidenceTooLow {
        confidence: fix.confidence,
        threshold: facts.threshold,
    })
}

fn distrust(fix: &Fix, facts: &Facts) -> Option<Hold> {
    let why = facts.distrust.clone()?;
    Some(Hold::Quarantined { fix_type: fix.fix_type.clone(), why })
}

fn unearned(_: &Fix, facts: &Facts) -> Option<Hold> {
    let Unearned { confirmed, needed } = facts.unearned?;
    Some(Hold::Shadow { confirmed, needed })
}

fn checkable(fix: &Fix, _: &Facts) -> Option<Hold> {
    // Every action of the catalogue has an undo or a post-condition; an empty condition
    // would be an action nobody can check.
    fix.steps
        .iter()
        .find(|step| step.action.reversal() == Reversal::PostCondition(""))
        .map(|step| Hold::Irreversible { action: step.action.name().to_owned() })
}

fn failed_rehearsal(_: &Fix, facts: &Facts) -> Option<Hold> {
    facts.failed_rehearsal.clone().map(|why| Hold::RehearsalFailed { why })
}

fn starting(fix: &Fix, facts: &Facts) -> Option<Hold> {
    let until = facts.starting_until.filter(|until| *until > facts.now)?;
    Some(Hold::InStartPeriod { target: fix.target.clone(), until })
}

fn waits(_: &Fix, facts: &Facts) -> Option<Hold> {
    facts.came_back.clone().map(|dependency| Hold::WaitsForDependency { dependency })
}

fn deployment(_: &Fix, facts: &Facts) -> Option<Hold> {
    facts.deployment.clone()
}

fn backup(_: &Fix, facts: &Facts) -> Option<Hold> {
    let running = facts.backup.clone().map(|seen| Hold::BackupUnderWay { seen });
    running.or_else(|| facts.unknown.clone().map(|what| Hold::FactsMissing { what }))
}

fn other_healer(_: &Fix, facts: &Facts) -> Option<Hold> {
    facts.healer.clone().map(|healer| Hold::OtherHealer { healer })
}

fn managed_elsewhere(_: &Fix, facts: &Facts) -> Option<Hold> {
    facts.managed.clone()
}

fn leased_elsewhere(_: &Fix, facts: &Facts) -> Option<Hold> {
    facts.elsewhere.clone()
}

fn maintenance(_: &Fix, facts: &Facts) -> Option<Hold> {
    facts.maintenance.clone().map(|window| Hold::MaintenanceWindow { window })
}

fn quiet_hour(fix: &Fix, facts: &Facts) -> Option<Hold> {
    (fix.quiet && facts.quiet != Some(true))
        .then(|| Hold::QuietHour { configured: facts.quiet.is_some() })
}

fn budgets(_: &Fix, facts: &Facts) -> Option<Hold> {
    let (spent, budgets) = (facts.spent, facts.budgets);
    [
        ("target", spent.target, budgets.per_target),
        ("action", spent.action, budgets.per_action),
        ("host", spent.host, budgets.per_host),
    ]
    .into_iter()
    .find(|(_, used, allowed)| used >= allowed)
    .map(|(scope, used, allowed)| Hold::BudgetSpent { scope: scope.to_owned(), used, allowed })
}

fn safety_stop(_: &Fix, facts: &Facts) -> Option<Hold> {
    let failures = facts.failures_in_a_row;
    (failures >= facts.budgets.failures_in_a_row).then_some(Hold::SafetyStop { failures })
}

fn flapping(_: &Fix, facts: &Facts) -> Option<Hold> {
    let (target, percent) = facts.flapping.clone()?;
    Some(Hold::Flapping { target, percent })
}

/// A handful of targets says nothing about a share; below this many failing, never.
const COMMON_CAUSE_LEAST: u32 = 4;

fn common_cause(_: &Fix, facts: &Facts) -> Option<Hold> {
    if facts.watched == 0 {
        return Some(Hold::FactsMissing { what: "how many targets are watched".to_owned() });
    }
    let share = f64::from(facts.failing) / f64::from(facts.watched);
    (facts.failing >= COMMON_CAUSE_LEAST && share > facts.budgets.common_cause_share)
        .then_some(Hold::CommonCause { failing: facts.failing, watched: facts.watched })
}

fn stale(_: &Fix, facts: &Facts) -> Option<Hold> {
    facts.changed.clone().map(|changed| Hold::StaleDiagnosis { changed })
}

fn recovering(fix: &Fix, facts: &Facts) -> Option<Hold> {
    // It interrupts nothing, and off its network nobody can ask the database anything.
    let leaves_it_running = |step: &Step| matches!(step.action, Action::NetworkConnect(_));
    if !fix.steps.is_empty() && fix.steps.iter().all(leaves_it_running) {
        return None;
    }
    match facts.database_in_recovery {
        Some(false) => None,
        Some(true) => Some(Hold::DatabaseInRecovery { target: fix.target.clone() }),
        None => Some(Hold::FactsMissing {
            what: format!("whether the database behind `{}` is in recovery", fix.target),
        }),
    }
}

fn overload(fix: &Fix, facts: &Facts) -> Option<Hold> {
    // What takes processor time away from the one that has it all is the way out.
    let relieves = |step: &Step| matches!(step.action, Action::ContainerSetCpu(_));
    if fix.steps.iter().all(relieves) {
        return None;
    }
    facts.overload.map(|cpu_percent| Hold::UnderPressure { cpu_percent })
}
