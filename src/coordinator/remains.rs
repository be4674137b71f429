//! Whether checks still tell of what a fix was to mend: where nothing was broken, to work proves
//! nothing.
//!
//! Only the checks that the runbook of the diagnosis names, and as bad as it asks for, on what was
//! repaired or blamed. What a log says again, the looks notice; what a check foretells takes hours
//! to be taken back, and whoever foretells it again has it counted as a fault that came back; and
//! so it is where a limit was moved and the value is as near to it as before.

use std::collections::BTreeSet;

use selfheal_agents::error_detector::Catalogue;
use selfheal_agents::error_detector::catalogue::check_base;
use selfheal_agents::fix_engineer::actions::Action;
use selfheal_agents::health_monitor::Inventory;
use selfheal_agents::model::{
    Finding, FindingSource, Fix, HealthReport, Incident, Runbook, Signature, Step, TargetId,
    Verdict,
};
use selfheal_agents::root_cause::signature_matches;

use super::returns::only_relieves;
use super::state::Inner;
use super::window::primary;

/// What is left of what a fix was to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Remains {
    /// Nothing that a check tells of.
    Nothing,
    /// That will show: a value is above its limit again, but not for long enough to count, or the
    /// host is overloaded.
    NotYet,
    /// It cannot be measured, perhaps never again.
    Untold,
    /// It is still there: what is wrong, in words.
    Trouble(String),
}

impl Inner {
    /// What is left of what the incident was about on what was repaired, and on what was blamed.
    pub(super) fn remains(
        &self,
        incident: &Incident,
        fix: &Fix,
        repaired: &BTreeSet<TargetId>,
        inventory: &Inventory,
        report: &HealthReport,
    ) -> Remains {
        let blamed = self.container_behind(&incident.target);
        let mut mended = primary(inventory, &incident.target, blamed.as_deref());
        mended.extend(repaired.iter().cloned());
        remains(incident, fix, &mended, report, &self.catalogue())
    }
}

/// What is left of the findings of `incident` on the targets of `mended`.
fn remains(
    incident: &Incident,
    fix: &Fix,
    mended: &BTreeSet<TargetId>,
    report: &HealthReport,
    catalogue: &Catalogue,
) -> Remains {
    let issue_type = incident.diagnosis.as_ref().map(|diagnosis| diagnosis.issue_type.as_str());
    let Some(runbook) = issue_type.and_then(|id| catalogue.get(id)) else {
        return Remains::Nothing;
    };
    if only_relieves(fix) || fix.steps.iter().any(leaves_the_value) {
        return Remains::Nothing;
    }
    let mut found = Remains::Nothing;
    for finding in incident.findings.iter().filter(|finding| mended.contains(&finding.target)) {
        match of_finding(finding, report, runbook) {
            Remains::Nothing => {}
            Remains::NotYet => found = Remains::NotYet,
            Remains::Untold if found == Remains::NotYet => {}
            Remains::Untold => found = Remains::Untold,
            trouble @ Remains::Trouble(_) => return trouble,
        }
    }
    found
}

fn of_finding(finding: &Finding, report: &HealthReport, runbook: &Runbook) -> Remains {
    let FindingSource::Check { check, .. } = &finding.source else { return Remains::Nothing };
    let base = check_base(check);
    let of_check = |sign: &&Signature| sign.check.as_deref() == Some(base);
    let signs: Vec<&Signature> = runbook.signatures.iter().filter(of_check).collect();
    if signs.is_empty() || base.ends_with("_forecast") {
        return Remains::Nothing;
    }
    let observed = report.target(&finding.target).and_then(|target| target.observation(check));
    let Some(observed) = observed else { return Remains::Nothing };
    let asked_for = signs.iter().any(|sign| signature_matches(sign, observed));
    let rises = report.rising.get(&finding.target).is_some_and(|rising| rising.check == *check);
    match observed.verdict {
        verdict if verdict.is_bad() && asked_for => Remains::Trouble(observed.detail.clone()),
        _ if rises => Remains::NotYet,
        Verdict::Unknown if report.under_pressure => Remains::NotYet,
        Verdict::Unknown => Remains::Untold,
        _ => Remains::Nothing,
    }
}

/// Whether a step is not meant to bring the value down. What only gives room or takes it: undone,
/// it takes away what is used by now, or gives it back to what harms others. A limit on how long
/// sessions may idle ends none that idles already. And a cache that may evict stays full.
fn leaves_the_value(step: &Step) -> bool {
    matches!(
        step.action,
        Action::ContainerSetCpu(_)
            | Action::ContainerSetMemory(_)
            | Action::RedisSetMemory(_)
            | Action::RedisSetPolicy(_)
            | Action::PostgresAlterSystem(_)
    )
}

/// Whether the check says how full a cache is that the fix lets evict: that it stays so is no
/// fault, and whether it takes writes another check says.
pub(super) fn stays_full(fix: &Fix, check: &str) -> bool {
    let lets_evict = |step: &Step| matches!(step.action, Action::RedisSetPolicy(_));
    check == "redis.memory" && fix.steps.iter().any(lets_evict)
}
