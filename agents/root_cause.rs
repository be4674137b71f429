//! Blames one target for what many show, with the evidence.
//!
//! Pure: findings, facts, dependencies and runbooks in, diagnoses out; running it twice on
//! the same input gives the same answer. The rule is *cause, not symptom*: among the
//! targets that fail, one that needs another failing target is a symptom of it, so the
//! deepest is blamed and the others wait until it works again. It does not choose a fix.
//!
//! Rejected: blaming whichever failed first. Health checks of different intervals make the
//! order of symptoms nearly random, so a clear lead only breaks ties (`roots`).

mod candidates;
mod changes;
mod conditions;
mod considered;
mod context;
mod graph;
mod neighbours;
mod outlived;
mod outside;
mod roots;
pub mod series;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    Category, Change, Confidence, ContainerFacts, Diagnosis, Facts, Finding, HealthReport, Ledger,
    Need, NeighbourSeen, Runbook, Severity, SinceWell, Target, TargetId, TargetState, Timestamp,
};

use candidates::Candidate;
pub use changes::{CHANGES_BACK, NEVER_ABOVE};
pub use conditions::{Unmet, holds, lasts_for, signature_matches, will_hold};
pub use graph::Graph;
pub use neighbours::{OTHER_NODE, OTHER_NODE_UNREACHED};
pub use outlived::complaints_over;

/// The issue type of trouble that no runbook explains.
pub const UNEXPLAINED: &str = "unexplained";

/// The issue type of error lines that no runbook knows, where nothing else is wrong.
pub const UNUSUAL_LINES: &str = "unusual-lines";

/// The issue type of what only another program alerts about.
pub const OUTSIDE_ALERT: &str = "outside-alert";

/// Everything a diagnosis is made from.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    /// What was observed, dependencies included.
    pub report: &'a HealthReport,
    /// What is wrong, [`by_target`].
    pub findings: &'a [Finding],
    /// Who needs whom.
    pub graph: &'a Graph,
    /// What is known about troubles.
    pub runbooks: &'a [&'a Runbook],
    /// Every target that is watched.
    pub targets: &'a BTreeMap<TargetId, Target>,
    /// Containers that were healthy before, since they were made.
    pub proven: &'a BTreeSet<TargetId>,
    /// What changed on containers lately.
    pub changes: &'a [Change],
    /// How containers that were made anew differ from those that worked, by container.
    pub since_well: &'a BTreeMap<TargetId, SinceWell>,
    /// When the trouble of a target was first seen, where an open incident remembers that.
    pub onsets: &'a BTreeMap<TargetId, Timestamp>,
    /// The targets of other nodes that something failing needs.
    pub neighbours: &'a BTreeMap<TargetId, NeighbourSeen>,
    /// When.
    pub now: Timestamp,
}

impl<'a> Evidence<'a> {
    /// The container a target runs in or stands for; itself if it is one.
    pub fn container_of(&self, id: &TargetId) -> Option<TargetId> {
        if id.container_name().is_some() {
            return Some(id.clone());
        }
        self.targets.get(id)?.container.as_deref().map(TargetId::container)
    }

    fn findings_of(&self, id: &TargetId) -> impl Iterator<Item = &'a Finding> {
        debug_assert!(self.findings.is_sorted_by_key(|finding| &finding.target));
        let from = self.findings.partition_point(|f| f.target < *id);
        let to = self.findings.partition_point(|f| f.target <= *id);
        self.findings[from..to].iter()
    }
}

/// A diagnosis with the findings it explains.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// Whom and why.
    pub diagnosis: Diagnosis,
    /// What it explains.
    pub findings: Vec<Finding>,
}

/// Findings in the order of their targets, in which each target's are found at once.
pub fn by_target(findings: &[Finding]) -> Vec<Finding> {
    let mut findings = findings.to_vec();
    findings.sort_by(|one, other| one.target.cmp(&other.target));
    findings
}

/// Diagnoses everything that is wrong: one answer a root, worst first.
pub fn diagnose(evidence: Evidence<'_>) -> Vec<Explained> {
    // Before anything else: what others say neither blames nor makes any cause surer.
    let (alerts, findings) = outside::part(evidence.findings);
    let evidence = Evidence { findings: &findings, ..evidence };
    let (findings, over) = outlived::part(&evidence);
    let evidence = Evidence { findings: &findings, ..evidence };
    let failing: BTreeSet<TargetId> = evidence
        .findings
        .iter()
        // Lines that nobody understands blame nobody.
        .filter(|f| f.is_trouble() && !f.is_pattern())
        .map(|f| f.target.clone())
        .collect();
    let suspects = suspects(&evidence, &failing);
    let causes: Causes =
        suspects.iter().map(|id| (id.clone(), explaining(&evidence, id, &suspects))).collect();
    let mut explained: Vec<Explained> = all_roots(&evidence, &failing, &causes)
        .into_iter()
        .filter_map(|root| explain(&evidence, root, &failing, &causes))
        .collect();
    merge_same_blame(&mut explained);
    let firsts = roots::weigh_first(&evidence, &mut explained);
    roots::name_what_they_share(&evidence, &mut explained);
    considered::add_other_roots(&evidence, &mut explained);
    for one in &mut explained {
        context::add(&evidence, one);
        outlived::add(&over, one);
    }
    let alone = context::alone(&evidence, &explained);
    explained.extend(alone);
    outside::put_beside(&evidence, &alerts, &mut explained);
    explained.sort_by_key(|e| {
        let worst = e.findings.iter().map(|f| f.severity).max();
        let is_first = firsts.contains(&e.diagnosis.blamed);
        (Reverse(worst), Reverse(e.diagnosis.affected.len()), Reverse(is_first))
    });
    explained
}

/// The suspects that explain each suspect; a root has none.
type Causes = BTreeMap<TargetId, Vec<TargetId>>;

/// Those that nothing explains, and the deepest of those that only two guesses would: nobody who
/// fails goes untold.
fn all_roots<'a>(
    evidence: &Evidence<'_>,
    failing: &'a BTreeSet<TargetId>,
    causes: &'a Causes,
) -> BTreeSet<&'a TargetId> {
    let mut roots: BTreeSet<&TargetId> =
        causes.iter().filter(|(_, causes)| causes.is_empty()).map(|(id, _)| id).collect();
    let is_told = |id: &TargetId| {
        roots.iter().any(|root| id == *root || is_symptom(evidence, causes, id, root))
    };
    let untold: BTreeSet<&TargetId> = failing.iter().filter(|id| !is_told(id)).collect();
    let is_deepest =
        |id: &&TargetId| causes.get(*id).into_iter().flatten().all(|cause| !untold.contains(cause));
    roots.extend(untold.iter().copied().filter(is_deepest));
    roots
}

/// Whether `id` fails for `root`, directly or for what fails for it: between an endpoint and what
/// its proxy passes requests on to stands the proxy, which only the proxy's own words lead over.
/// Two guesses in a row are still one too many.
fn is_symptom(evidence: &Evidence<'_>, causes: &Causes, id: &TargetId, root: &TargetId) -> bool {
    let mut reached = BTreeSet::new();
    let mut open = vec![id];
    while let Some(next) = open.pop() {
        let further = causes.get(next).into_iter().flatten();
        open.extend(further.filter(|cause| reached.insert(*cause)));
    }
    reached.contains(root) && evidence.graph.perhaps_needed_by(id).contains(root)
}

/// What fails, and what is out although something failing needs it.
fn suspects(evidence: &Evidence<'_>, failing: &BTreeSet<TargetId>) -> BTreeSet<TargetId> {
    let mut suspects = failing.clone();
    for id in failing {
        let needed = evidence.graph.perhaps_needed_by(id).into_iter();
        suspects.extend(needed.filter(|needed| is_out(evidence, needed)));
    }
    suspects
}

/// Whether a container does not run, whoever stopped it, or another node's target is in trouble.
fn is_out(evidence: &Evidence<'_>, id: &TargetId) -> bool {
    neighbours::trouble(evidence, id).is_some()
        || evidence
            .report
            .target(id)
            .and_then(|report| report.state.container())
            .is_some_and(ContainerFacts::is_down)
}

/// The suspects below `id` that can explain why it fails.
///
/// A dependency explains when it is broken outright or takes nobody yet, or when the target
/// itself points at its dependencies; any other warning below a broken target explains nothing. A hint (a connection,
/// a proxy's upstream) is followed only where no firm need explains, and only by what says
/// itself that the fault lies elsewhere: a monitor is connected to everything, a database to
/// where it is copied to, and neither fails for that.
fn explaining(
    evidence: &Evidence<'_>,
    id: &TargetId,
    suspects: &BTreeSet<TargetId>,
) -> Vec<TargetId> {
    let points_away = candidates::points_at_dependency(evidence, id);
    let firm = explaining_over(Graph::needed_by, evidence, id, suspects, points_away);
    if !firm.is_empty() || !points_away {
        return firm;
    }
    explaining_over(Graph::perhaps_needed_by, evidence, id, suspects, points_away)
}

fn explaining_over(
    needs: fn(&Graph, &TargetId) -> BTreeSet<TargetId>,
    evidence: &Evidence<'_>,
    id: &TargetId,
    suspects: &BTreeSet<TargetId>,
    points_away: bool,
) -> Vec<TargetId> {
    needs(evidence.graph, id)
        .into_iter()
        .filter(|needed| suspects.contains(needed) && needed != id)
        // In a circle of needs nobody is deeper; each stands for itself.
        .filter(|needed| !needs(evidence.graph, needed).contains(id))
        .filter(|needed| {
            points_away
                || is_out(evidence, needed)
                || conditions::takes_nobody_yet(evidence, needed)
                || evidence.findings_of(needed).any(|f| f.severity == Severity::Critical)
        })
        .collect()
}

fn explain(
    evidence: &Evidence<'_>,
    root: &TargetId,
    failing: &BTreeSet<TargetId>,
    causes: &Causes,
) -> Option<Explained> {
    let members: Vec<TargetId> = failing
        .iter()
        .filter(|id| *id == root || is_symptom(evidence, causes, id, root))
        .cloned()
        .collect();
    let findings: Vec<Finding> =
        members.iter().flat_map(|id| evidence.findings_of(id)).cloned().collect();
    if findings.is_empty() {
        return None;
    }
    let mut all: Vec<Candidate<'_>> = std::iter::once(root)
        .chain(members.iter().filter(|id| *id != root))
        .flat_map(|id| candidates::of_target(evidence, id))
        .collect();
    all.sort_by_key(|c| Reverse(c.rank(root)));
    let mut all = all.into_iter().peekable();
    let trouble = neighbours::trouble(evidence, root);
    let best = all.next_if(|c| trouble.is_none() && c.speaks_of(root));
    let considered = considered::beside(evidence, root, &members, best.as_ref(), all);
    let mut diagnosis = match (best, trouble) {
        (_, Some(trouble)) => neighbours::diagnosed(evidence, root, &members, trouble),
        (Some(best), None) => diagnosed(evidence, root, &members, &best),
        (None, None) => unexplained(evidence, root, &members, &findings),
    };
    diagnosis.considered = considered;
    Some(Explained { diagnosis, findings })
}

fn diagnosed(
    evidence: &Evidence<'_>,
    root: &TargetId,
    members: &[TargetId],
    best: &Candidate<'_>,
) -> Diagnosis {
    Diagnosis {
        issue_type: best.runbook.id.clone(),
        title: best.runbook.title.clone(),
        category: best.runbook.category,
        summary: best.summary(),
        confidence: best.ledger.total(),
        ledger: best.ledger.clone(),
        affected: affected(members, &best.blamed),
        external: best.is_outside(),
        elsewhere: best.is_mended_elsewhere(),
        hearsay: best.hearsay,
        expected_fix_secs: best.runbook.diagnosis.expected_fix_secs,
        changes: changes::before_trouble(evidence, &best.blamed),
        ways: ways(evidence, root, members),
        considered: vec![],
        basis: basis_of(evidence, &best.blamed),
        blamed: best.blamed.clone(),
        at: evidence.now,
    }
}

fn unexplained(
    evidence: &Evidence<'_>,
    root: &TargetId,
    members: &[TargetId],
    findings: &[Finding],
) -> Diagnosis {
    let worst = findings.iter().max_by_key(|f| f.severity);
    let message = worst.map_or_else(String::new, |f| f.message.clone());
    let mut ledger = Ledger::with_base(30, "something is wrong, and no runbook explains it");
    if members.len() > 1 {
        let what = format!("{} targets above it fail too", members.len() - 1);
        ledger.add(10, what, crate::model::LedgerSource::Evidence);
    }
    let recent = changes::before_trouble(evidence, root);
    changes::write_down(&mut ledger, &recent);
    Diagnosis {
        issue_type: UNEXPLAINED.to_owned(),
        title: "No runbook explains this".to_owned(),
        category: worst.map_or(Category::Exceptions, |f| f.category),
        blamed: root.clone(),
        summary: format!("{message}. No runbook explains it, so a person has to look."),
        confidence: ledger.total(),
        ledger,
        affected: affected(members, root),
        external: false,
        elsewhere: false,
        hearsay: false,
        expected_fix_secs: 0,
        changes: recent,
        ways: ways(evidence, root, members),
        considered: vec![],
        basis: basis_of(evidence, root),
        at: evidence.now,
    }
}

/// The needs over which trouble of `root` reaches those that suffer, each once.
fn ways(evidence: &Evidence<'_>, root: &TargetId, members: &[TargetId]) -> Vec<Need> {
    let mut ways: Vec<Need> = vec![];
    for step in members.iter().flat_map(|id| evidence.graph.way(id, root)) {
        if ways.len() < MOST_WAYS && !ways.contains(&step) {
            ways.push(step);
        }
    }
    ways
}

/// Needs shown of one diagnosis.
const MOST_WAYS: usize = 20;

fn affected(members: &[TargetId], blamed: &TargetId) -> Vec<TargetId> {
    members.iter().filter(|id| *id != blamed).cloned().collect()
}

/// Two roots may blame the same container (a database and the endpoint before it): one
/// answer, the surer one, with the findings of both.
fn merge_same_blame(explained: &mut Vec<Explained>) {
    let mut merged: Vec<Explained> = vec![];
    for mut next in explained.drain(..) {
        let Some(same) = merged.iter_mut().find(|m| m.diagnosis.blamed == next.diagnosis.blamed)
        else {
            merged.push(next);
            continue;
        };
        if next.diagnosis.confidence > same.diagnosis.confidence {
            std::mem::swap(same, &mut next);
        }
        considered::add_merged(same, &next);
        let known: BTreeSet<String> = same.findings.iter().map(|f| f.key.clone()).collect();
        same.findings.extend(next.findings.into_iter().filter(|f| !known.contains(&f.key)));
        for id in next.diagnosis.affected {
            if id != same.diagnosis.blamed && !same.diagnosis.affected.contains(&id) {
                same.diagnosis.affected.push(id);
            }
        }
    }
    *explained = merged;
}

fn basis_of(evidence: &Evidence<'_>, id: &TargetId) -> String {
    evidence.report.target(id).map_or_else(String::new, |report| basis(&report.state))
}

/// What a diagnosis rests on, as a text: if it differs just before applying, somebody else
/// acted meanwhile and the diagnosis is stale.
pub fn basis(state: &TargetState) -> String {
    match &state.facts {
        Ok(Facts::Container(facts)) => basis_of_container(facts),
        Ok(_) => "reachable or not, judged again by its probe".to_owned(),
        Err(_) => "unseen".to_owned(),
    }
}

/// [`basis`] of a container just looked at.
pub fn basis_of_container(facts: &ContainerFacts) -> String {
    format!("container {} of {}", facts.id, facts.image_id)
}

/// How sure a diagnosis without a proven runbook may become: one point below the default
/// threshold, so that it never acts alone.
const DOCUMENTED_LIMIT: Confidence = Confidence::literal(84);

#[cfg(test)]
mod tests;
