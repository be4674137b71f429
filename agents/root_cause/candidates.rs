//! Which runbooks may explain a target's trouble, and how sure each is.

use super::{DOCUMENTED_LIMIT, Evidence, conditions};
use crate::model::{
    Blames, Finding, FindingSource, Ledger, LedgerSource, Provenance, Runbook, TargetId,
};

/// One possible explanation.
#[derive(Debug, Clone)]
pub(super) struct Candidate<'a> {
    /// The runbook that suggests it.
    pub(super) runbook: &'a Runbook,
    /// The target whose signature matched.
    pub(super) shown_on: TargetId,
    /// The target it would blame.
    pub(super) blamed: TargetId,
    /// How sure.
    pub(super) ledger: Ledger,
    /// Whether a log line said so in its own words.
    in_its_own_words: bool,
    value: String,
}

impl Candidate<'_> {
    /// Whether it says something about `root` itself, not only about what suffers from it.
    pub(super) fn speaks_of(&self, root: &TargetId) -> bool {
        self.blamed == *root || self.shown_on == *root
    }

    /// Whether only somebody outside can mend it.
    pub(super) fn is_outside(&self) -> bool {
        self.runbook.diagnosis.blames == Blames::Outside
    }

    /// The order among candidates. What the program says in its own words is worth five
    /// points over a check that only sees the effect; a pointer to a dependency comes last,
    /// since it names no cause.
    pub(super) fn rank(&self, root: &TargetId) -> (bool, bool, i32, usize) {
        let bonus = if self.in_its_own_words { 5 } else { 0 };
        (
            self.speaks_of(root),
            self.runbook.diagnosis.blames != Blames::Dependency,
            i32::from(self.ledger.total().percent()) + bonus,
            self.runbook.fixes.len(),
        )
    }

    /// The runbook's words with the target and the value filled in.
    pub(super) fn summary(&self) -> String {
        self.runbook
            .diagnosis
            .summary
            .replace("{target}", &self.blamed.to_string())
            .replace("{value}", &self.value)
    }
}

/// Whether something on the target says that a dependency is at fault.
pub(super) fn points_at_dependency(evidence: &Evidence<'_>, id: &TargetId) -> bool {
    of_target(evidence, id).iter().any(|c| c.runbook.diagnosis.blames == Blames::Dependency)
}

/// Every runbook that may explain what `id` shows.
pub(super) fn of_target<'a>(evidence: &Evidence<'a>, id: &TargetId) -> Vec<Candidate<'a>> {
    evidence.runbooks.iter().filter_map(|runbook| candidate(evidence, runbook, id)).collect()
}

fn candidate<'a>(
    evidence: &Evidence<'a>,
    runbook: &'a Runbook,
    id: &TargetId,
) -> Option<Candidate<'a>> {
    if !applies(evidence, runbook, id) {
        return None;
    }
    let by_log = log_finding(evidence, runbook, id);
    let by_check = check_value(evidence, runbook, id);
    let value = match (by_log, &by_check) {
        (Some(finding), _) => finding.message.clone(),
        (None, Some(value)) => value.clone(),
        (None, None) => return None,
    };
    let required_missing =
        runbook.evidence.iter().any(|e| e.required && !conditions::holds(&e.when, evidence, id));
    if required_missing {
        return None;
    }
    let blamed = match runbook.diagnosis.blames {
        // An endpoint that stands for no container known here can only stand for itself.
        Blames::Container => evidence.container_of(id).unwrap_or_else(|| id.clone()),
        Blames::Itself | Blames::Dependency | Blames::Outside => id.clone(),
    };
    Some(Candidate {
        runbook,
        shown_on: id.clone(),
        blamed,
        ledger: ledger(evidence, runbook, id),
        in_its_own_words: by_log.is_some(),
        value,
    })
}

fn applies(evidence: &Evidence<'_>, runbook: &Runbook, id: &TargetId) -> bool {
    let kinds = &runbook.applies.kinds;
    let images = &runbook.applies.images;
    let image_fits = || {
        evidence
            .container_of(id)
            .and_then(|container| evidence.report.target(&container))
            .and_then(|report| report.state.container())
            .is_some_and(|facts| images.iter().any(|part| facts.image.contains(part.as_str())))
    };
    (kinds.is_empty() || kinds.contains(&id.kind())) && (images.is_empty() || image_fits())
}

fn log_finding<'a>(
    evidence: &Evidence<'a>,
    runbook: &Runbook,
    id: &TargetId,
) -> Option<&'a Finding> {
    evidence.findings_of(id).find(
        |f| matches!(&f.source, FindingSource::Log { runbook: found } if *found == runbook.id),
    )
}

fn check_value(evidence: &Evidence<'_>, runbook: &Runbook, id: &TargetId) -> Option<String> {
    let report = evidence.report.target(id)?;
    report
        .observations
        .iter()
        .find(|o| runbook.signatures.iter().any(|s| conditions::signature_matches(s, o)))
        .map(|o| format!("{}{}", o.value, o.unit))
}

fn ledger(evidence: &Evidence<'_>, runbook: &Runbook, id: &TargetId) -> Ledger {
    let mut ledger = Ledger::with_base(
        runbook.diagnosis.base,
        format!("runbook `{}`: {}", runbook.id, runbook.title),
    );
    for piece in &runbook.evidence {
        if conditions::holds(&piece.when, evidence, id) && piece.weight != 0 {
            ledger.add(piece.weight, piece.why.clone(), LedgerSource::Evidence);
        }
    }
    let above = i32::from(ledger.total().percent()) - i32::from(DOCUMENTED_LIMIT.percent());
    if runbook.status == Provenance::Documented && above > 0 {
        let what = "the runbook is documented, but was never reproduced";
        ledger.add(-above, what, LedgerSource::Evidence);
    }
    ledger
}
