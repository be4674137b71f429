//! Whether checks still tell of what a fix was to mend: where nothing was broken, to work proves
//! nothing.
//!
//! Only the checks that the runbook of the diagnosis names, on what was repaired or blamed. What a
//! log says again, the looks notice; what a check foretells takes hours to be taken back, and whoever
//! foretells it again has it counted as a fault that came back; and so it is where a limit was moved
//! and the value is as near to it as before.

use std::collections::BTreeSet;

use selfheal_agents::error_detector::Catalogue;
use selfheal_agents::error_detector::catalogue::check_base;
use selfheal_agents::fix_engineer::actions::Action;
use selfheal_agents::health_monitor::Inventory;
use selfheal_agents::model::{
    Finding, FindingSource, Fix, HealthReport, Incident, Step, TargetId, Verdict,
};

use super::returns::only_relieves;
use super::state::Inner;
use super::window::primary;

/// What is left of what a fix was to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Remains {
    /// Nothing that a check tells of.
    Nothing,
    /// A value is above its limit again, but not for long enough to count, or cannot be measured.
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
    if only_relieves(fix) || fix.steps.iter().any(only_shares_out) {
        return Remains::Nothing;
    }
    let of_runbook = |check: &str| {
        let named = runbook.signatures.iter().filter_map(|signature| signature.check.as_deref());
        named.map(check_base).any(|name| name == check_base(check))
    };
    let mut found = Remains::Nothing;
    for finding in incident.findings.iter().filter(|finding| mended.contains(&finding.target)) {
        match of_finding(finding, report, of_runbook) {
            Remains::Nothing => {}
            Remains::Untold => found = Remains::Untold,
            trouble @ Remains::Trouble(_) => return trouble,
        }
    }
    found
}

fn of_finding(
    finding: &Finding,
    report: &HealthReport,
    of_runbook: impl Fn(&str) -> bool,
) -> Remains {
    let FindingSource::Check { check, .. } = &finding.source else { return Remains::Nothing };
    if !of_runbook(check) || check_base(check).ends_with("_forecast") {
        return Remains::Nothing;
    }
    let observed = report.target(&finding.target).and_then(|target| target.observation(check));
    let rises = report.rising.get(&finding.target).is_some_and(|rising| rising.check == *check);
    match observed {
        Some(o) if o.verdict.is_bad() => Remains::Trouble(o.detail.clone()),
        Some(o) if rises || o.verdict == Verdict::Unknown => Remains::Untold,
        _ => Remains::Nothing,
    }
}

/// Whether a step only gives room or takes it: undone, it takes away what is used by now, or gives it
/// back to what harms others.
fn only_shares_out(step: &Step) -> bool {
    matches!(
        step.action,
        Action::ContainerSetCpu(_) | Action::ContainerSetMemory(_) | Action::RedisSetMemory(_)
    )
}
