//! Proposes typed, reversible fixes for a diagnosis, best first.
//!
//! The runbook says which actions help; each action's own file knows how to plan itself
//! for the target at hand ([`plan`]) and how to be applied and undone ([`actions`]). The
//! invariant: a proposed fix is complete: every value in it is decided, so that what a
//! person approves is what is applied. It does not decide whether the fix may run.

pub mod actions;
pub mod config_file;
pub mod plan;
pub mod rehearsal;
pub mod remembered;
pub mod steps;
mod turning;

use crate::learning_engine::History;
use crate::model::{
    Confidence, Course, Diagnosis, Fix, FixId, FixTemplate, Hold, Ledger, LedgerSource, Provenance,
    Runbook, Step, StepRole, TargetId, Timestamp,
};
use crate::root_cause::Unmet;
use actions::{Act, Action};
use plan::{PlanRequest, Unfit};

/// What was proposed, and why other fixes of the runbook were not.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Proposals {
    /// Best first.
    pub fixes: Vec<Fix>,
    /// One sentence for each fix of the runbook that does not fit here.
    pub unfit: Vec<String>,
    /// Why one was not even planned: whoever made the container does the like itself.
    pub managed: Option<Hold>,
    /// The first that lacks nothing but time.
    pub not_yet: Option<Unmet>,
}

impl Proposals {
    fn may_lack_time(&mut self, unmet: Option<Unmet>) {
        let known = self.not_yet.take();
        self.not_yet = known.into_iter().chain(unmet).min_by_key(|unmet| unmet.from);
    }
}

/// Proposes the fixes of `runbook`, which explains it, for `diagnosis`.
pub async fn propose(
    diagnosis: &Diagnosis,
    runbook: &Runbook,
    workshop: plan::Workshop<'_>,
    history: &History,
) -> Proposals {
    let mut proposals = Proposals::default();
    if diagnosis.external || diagnosis.elsewhere {
        return proposals;
    }
    for template in &runbook.fixes {
        let request = PlanRequest { template, diagnosis, workshop };
        if !request.applies() {
            proposals.may_lack_time(request.will_apply());
            continue;
        }
        if let Some(hold) = request.left_to_manager() {
            proposals.managed = Some(hold);
            continue;
        }
        let planned = match request.unfit_elsewhere() {
            Some(unfit) => Err(unfit),
            None => actions::plan(&template.action, &request).await,
        };
        match planned {
            Ok(steps) => {
                proposals.fixes.push(fix(
                    diagnosis,
                    runbook.status,
                    template,
                    steps,
                    workshop.evidence.now,
                    history,
                ));
            }
            Err(Unfit { why, from }) => {
                proposals.unfit.push(format!("`{}`: {why}", template.action));
                proposals.may_lack_time(from.map(|from| Unmet { why, from }));
            }
        }
    }
    // Stable: among equals the runbook's order stands.
    proposals.fixes.sort_by_key(|f| std::cmp::Reverse(f.confidence));
    proposals
}

fn fix(
    diagnosis: &Diagnosis,
    status: Provenance,
    template: &FixTemplate,
    steps: Vec<Step>,
    now: Timestamp,
    history: &History,
) -> Fix {
    let mut ledger = diagnosis.ledger.clone();
    if template.adjust != 0 {
        ledger.add(template.adjust, template.why.clone(), LedgerSource::Fix);
    }
    let read_of = status == Provenance::Documented;
    if read_of {
        limit(&mut ledger, "the runbook is documented, but was never reproduced");
    }
    let seen = ledger.entries.iter().any(|e| e.source == LedgerSource::Evidence && e.points > 0);
    let target = repaired_target(diagnosis, &steps);
    let mut fix = complete(&diagnosis.issue_type, target, ledger, steps, now, history);
    fix.quiet = template.quiet;
    if read_of && !seen {
        limit(
            &mut fix.ledger,
            "never reproduced, and no evidence confirms it: history is not enough",
        );
    }
    // A knob that a person declared is theirs to be turned; everything else needs more than words:
    // a line that anybody can cause once goes away by itself, and looks mended.
    let repairs = |step: &&Step| step.role == StepRole::Repair;
    let only_knobs =
        fix.steps.iter().filter(repairs).all(|s| matches!(s.action, Action::ConfigSet(_)));
    if diagnosis.hearsay && !only_knobs {
        limit(&mut fix.ledger, "only its log says so: no check sees that it does not work");
    }
    keep_changes_from_deciding(&mut fix.ledger);
    fix.confidence = fix.ledger.total();
    fix
}

/// That something was changed just before says whom to blame, not that this fix helps: where
/// only that would make it sure enough to act alone, it is taken away again.
fn keep_changes_from_deciding(ledger: &mut Ledger) {
    if ledger.total_without(LedgerSource::Change) <= UNPROVEN_LIMIT {
        limit(ledger, "a change shortly before says whom to blame, not that this fix helps");
    }
}

/// Takes away what is above [`UNPROVEN_LIMIT`], and says why.
fn limit(ledger: &mut Ledger, why: &str) {
    let above = i32::from(ledger.total().percent()) - i32::from(UNPROVEN_LIMIT.percent());
    if above > 0 {
        ledger.add(-above, why, LedgerSource::Evidence);
    }
}

/// The most that words alone are worth, those of a log as those of a handbook, percent; one below
/// the default threshold for acting alone.
const UNPROVEN_LIMIT: Confidence = Confidence::literal(84);

/// A fix with what history says about it.
fn complete(
    issue_type: &str,
    target: TargetId,
    mut ledger: Ledger,
    steps: Vec<Step>,
    now: Timestamp,
    history: &History,
) -> Fix {
    let repairs = steps.iter().find(|s| s.role == StepRole::Repair).or_else(|| steps.first());
    let fix_type = repairs.map_or("none", |step| step.action.name()).to_owned();
    let original_confidence = ledger.total();
    let confidence = history.adjust(&mut ledger, issue_type, &fix_type, &target);
    Fix {
        id: new_fix_id(now),
        fix_type,
        target,
        issue_type: issue_type.to_owned(),
        summary: summary(&steps),
        interruption_secs: steps.iter().map(|s| s.action.interruption_secs()).sum(),
        steps,
        ledger,
        original_confidence,
        confidence,
        course: Course::First,
        quiet: false,
        warnings: vec![],
        proposed_at: now,
    }
}

fn repaired_target(diagnosis: &Diagnosis, steps: &[Step]) -> TargetId {
    let repairs = || steps.iter().filter(|s| s.role == StepRole::Repair);
    // Something else may have to make room first; who is repaired is the one that is blamed.
    repairs()
        .find(|s| s.action.target() == diagnosis.blamed)
        .or_else(|| repairs().next())
        .map_or_else(|| diagnosis.blamed.clone(), |s| s.action.target())
}

fn summary(steps: &[Step]) -> String {
    steps.iter().map(|s| s.action.describe()).collect::<Vec<_>>().join(", then ")
}

/// A fresh id whose time part is `now`, so that ids sort by age.
pub fn new_fix_id(now: Timestamp) -> FixId {
    FixId(crate::model::time_ordered_id(now))
}

/// The restart of a target that still fails although what it needs works again.
///
/// `restart` is planned like any other; the ledger says what it rests on.
pub fn follow_up(
    dependent: &TargetId,
    repaired: &TargetId,
    restart: Action,
    now: Timestamp,
    history: &History,
) -> Fix {
    let mut ledger = Ledger::with_base(
        80,
        format!("`{dependent}` still fails although `{repaired}` works again"),
    );
    ledger.add(
        10,
        "a program that gave up on a lost dependency connects anew when restarted",
        LedgerSource::Evidence,
    );
    let steps = vec![Step { action: restart, role: StepRole::Repair }];
    complete("dependent-gave-up", dependent.clone(), ledger, steps, now, history)
}

#[cfg(test)]
mod tests;
