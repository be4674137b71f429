//! Which runbooks may explain a target's trouble, and how sure each is.

use super::{DOCUMENTED_LIMIT, Evidence, changes, conditions};
use crate::model::{
    self, Applies, Blames, Finding, FindingSource, Ledger, LedgerSource, Program, Provenance,
    Runbook, Side, TargetId,
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
    /// Whether nothing but its log says so.
    pub(super) hearsay: bool,
    /// Whether only a client's line says so, which speaks against what the client needs.
    by_client: bool,
    /// Whose trouble it is, in words.
    subject: String,
    value: String,
}

impl Candidate<'_> {
    /// Whether it says something about `root` itself, not only about what suffers from it.
    pub(super) fn speaks_of(&self, root: &TargetId) -> bool {
        self.blamed == *root || self.shown_on == *root
    }

    /// Whether only somebody outside can mend it.
    pub(super) fn is_outside(&self) -> bool {
        !self.by_client && self.runbook.diagnosis.blames == Blames::Outside
    }

    /// Whether it only points at something that the target needs.
    fn points_away(&self) -> bool {
        self.by_client || self.runbook.diagnosis.blames == Blames::Dependency
    }

    /// Whether the runbook's fixes would be applied to the wrong program: to the client that
    /// told of the trouble instead of the one that has it.
    pub(super) fn is_mended_elsewhere(&self) -> bool {
        self.by_client
    }

    /// The order among candidates. What the program says in its own words is worth five
    /// points over a check that only sees the effect; a pointer to a dependency comes last,
    /// since it names no cause.
    pub(super) fn rank(&self, root: &TargetId) -> (bool, bool, i32, usize) {
        let bonus = if self.in_its_own_words { 5 } else { 0 };
        (
            self.speaks_of(root),
            !self.points_away(),
            i32::from(self.ledger.total().percent()) + bonus,
            self.runbook.fixes.len(),
        )
    }

    /// The runbook's words with the target and the value filled in.
    pub(super) fn summary(&self) -> String {
        self.runbook
            .diagnosis
            .summary
            .replace("{target}", &self.subject)
            .replace("{value}", &self.value)
    }
}

/// Whether something on the target says that a dependency is at fault.
pub(super) fn points_at_dependency(evidence: &Evidence<'_>, id: &TargetId) -> bool {
    of_target(evidence, id).iter().any(Candidate::points_away)
}

/// Every runbook that may explain what `id` shows.
pub(super) fn of_target<'a>(evidence: &Evidence<'a>, id: &TargetId) -> Vec<Candidate<'a>> {
    evidence.runbooks.iter().filter_map(|runbook| candidate(evidence, runbook, id)).collect()
}

/// Every runbook that would explain what `id` shows, but asks for something that was not seen;
/// with the first such thing, in the runbook's words.
pub(super) fn refuted_of_target<'a>(
    evidence: &Evidence<'a>,
    id: &TargetId,
) -> Vec<(Candidate<'a>, &'a str)> {
    let refuted = |runbook: &&'a Runbook| {
        let shown = shown_by(evidence, runbook, id)?;
        let missing = missing(evidence, runbook, id)?;
        // What it says as a client counts all the same.
        of_client(evidence, runbook, id).is_none().then_some((shown, missing))
    };
    evidence.runbooks.iter().filter_map(refuted).collect()
}

/// What a runbook asks for and is not so, in its words.
fn missing<'a>(evidence: &Evidence<'_>, runbook: &'a Runbook, id: &TargetId) -> Option<&'a str> {
    let unmet = |piece: &&'a model::Evidence| {
        piece.required && !conditions::holds(&piece.when, evidence, id)
    };
    runbook.evidence.iter().find(unmet).map(|piece| piece.why.as_str())
}

/// What the target itself shows comes first; what it says as a client only counts if there
/// is nothing of that.
fn candidate<'a>(
    evidence: &Evidence<'a>,
    runbook: &'a Runbook,
    id: &TargetId,
) -> Option<Candidate<'a>> {
    shown_by(evidence, runbook, id)
        .filter(|_| missing(evidence, runbook, id).is_none())
        .or_else(|| of_client(evidence, runbook, id))
}

/// What the target itself shows of a runbook, whatever else that asks for.
fn shown_by<'a>(
    evidence: &Evidence<'a>,
    runbook: &'a Runbook,
    id: &TargetId,
) -> Option<Candidate<'a>> {
    if !applies(evidence, runbook, id) {
        return None;
    }
    let by_log = log_finding(evidence, runbook, id, Side::Server);
    let by_check = check_value(evidence, runbook, id);
    let value = match (by_log, &by_check) {
        (Some(finding), _) => finding.message.clone(),
        (None, Some(value)) => value.clone(),
        (None, None) => return None,
    };
    let blamed = match runbook.diagnosis.blames {
        // An endpoint that stands for no container known here can only stand for itself.
        Blames::Container => evidence.container_of(id).unwrap_or_else(|| id.clone()),
        Blames::Itself | Blames::Dependency | Blames::Outside => id.clone(),
    };
    Some(Candidate {
        runbook,
        shown_on: id.clone(),
        subject: blamed.to_string(),
        ledger: ledger(evidence, runbook, id, &blamed),
        blamed,
        in_its_own_words: by_log.is_some(),
        hearsay: by_check.is_none() && !conditions::is_seen_broken(evidence, id),
        by_client: false,
        value,
    })
}

/// The runbook's evidence speaks of the program in trouble, not of its client, and is left out.
fn of_client<'a>(
    evidence: &Evidence<'a>,
    runbook: &'a Runbook,
    id: &TargetId,
) -> Option<Candidate<'a>> {
    let finding = log_finding(evidence, runbook, id, Side::Client)?;
    let base = runbook.diagnosis.base.min(DOCUMENTED_LIMIT.percent());
    let what = format!("as a client says, runbook `{}`: {}", runbook.id, runbook.title);
    Some(Candidate {
        runbook,
        shown_on: id.clone(),
        blamed: id.clone(),
        ledger: Ledger::with_base(base, what),
        in_its_own_words: true,
        hearsay: !conditions::is_seen_broken(evidence, id),
        by_client: true,
        subject: the_one_meant(evidence, runbook, id)
            .map_or_else(|| format!("something that {id} needs"), |needed| needed.to_string()),
        value: finding.message.clone(),
    })
}

/// The only target that `id` needs and the runbook is about.
fn the_one_meant(evidence: &Evidence<'_>, runbook: &Runbook, id: &TargetId) -> Option<TargetId> {
    let needed = evidence.graph.needed_by(id);
    let mut fitting = needed.into_iter().filter(|needed| {
        let is_named = runbook.applies != Applies::default();
        is_named && needed != id && applies(evidence, runbook, needed)
    });
    let one = fitting.next()?;
    // A database and the container it runs in are one thing.
    let home = evidence.container_of(&one);
    fitting.all(|other| home.is_some() && evidence.container_of(&other) == home).then_some(one)
}

fn applies(evidence: &Evidence<'_>, runbook: &Runbook, id: &TargetId) -> bool {
    let container = evidence.container_of(id);
    let facts = container
        .and_then(|container| evidence.report.target(&container))
        .and_then(|report| report.state.container());
    runbook.applies.fits(id.kind(), facts.map(Program::from))
}

fn log_finding<'a>(
    evidence: &Evidence<'a>,
    runbook: &Runbook,
    id: &TargetId,
    wanted: Side,
) -> Option<&'a Finding> {
    let says_so = |source: &FindingSource| {
        matches!(source, FindingSource::Log { runbook: found, side }
            if *found == runbook.id && *side == wanted)
    };
    evidence.findings_of(id).find(|finding| says_so(&finding.source))
}

fn check_value(evidence: &Evidence<'_>, runbook: &Runbook, id: &TargetId) -> Option<String> {
    let report = evidence.report.target(id)?;
    report
        .observations
        .iter()
        .find(|o| runbook.signatures.iter().any(|s| conditions::signature_matches(s, o)))
        .map(|o| format!("{}{}", o.value, o.unit))
}

fn ledger(evidence: &Evidence<'_>, runbook: &Runbook, id: &TargetId, blamed: &TargetId) -> Ledger {
    let mut ledger = Ledger::with_base(
        runbook.diagnosis.base,
        format!("runbook `{}`: {}", runbook.id, runbook.title),
    );
    for piece in &runbook.evidence {
        if conditions::holds(&piece.when, evidence, id) && piece.weight != 0 {
            // Its own source: nothing that speaks for it only by time may decide.
            let source = if piece.when.changed.is_empty() {
                LedgerSource::Evidence
            } else {
                LedgerSource::Change
            };
            ledger.add(piece.weight, piece.why.clone(), source);
        }
    }
    // A pointer to somebody else says nothing of what was changed here.
    if matches!(runbook.diagnosis.blames, Blames::Itself | Blames::Container) {
        changes::write_down(&mut ledger, &changes::before_trouble(evidence, blamed));
    }
    let above = i32::from(ledger.total().percent()) - i32::from(DOCUMENTED_LIMIT.percent());
    if runbook.status == Provenance::Documented && above > 0 {
        let what = "the runbook is documented, but was never reproduced";
        ledger.add(-above, what, LedgerSource::Evidence);
    }
    ledger
}
