//! Who else was considered, and why not.
//!
//! Every explanation that something on the failing targets speaks for is named with the sum it
//! would have had: what is less sure, what asks for something that was not seen, what only tells of
//! a symptom, and which other roots were looked at. A person who disagrees sees with what.

use super::candidates::{self, Candidate};
use super::roots::{self, Tie};
use super::{Evidence, Explained};
use crate::model::{Considered, TargetId};

/// Explanations shown of one diagnosis.
const MOST_SHOWN: usize = 40;

/// The other explanations of what `members` show, the nearest first.
///
/// `best` is the runbook that won; without one, none says anything about `root`.
pub(super) fn beside<'a>(
    evidence: &Evidence<'a>,
    root: &TargetId,
    members: &[TargetId],
    best: Option<&Candidate<'a>>,
    others: impl Iterator<Item = Candidate<'a>>,
) -> Vec<Considered> {
    let weaker = others.map(|other| {
        let why_not = match best {
            Some(best) if other.speaks_of(root) => format!("less sure than `{}`", best.runbook.id),
            _ => format!("`{}` needs `{root}`, which is broken itself", other.shown_on),
        };
        of(&other, why_not)
    });
    let refuted = members.iter().flat_map(|id| candidates::refuted_of_target(evidence, id)).map(
        |(other, missing)| of(&other, format!("not seen, and it would have to be: {missing}")),
    );
    weaker.chain(refuted).take(MOST_SHOWN).collect()
}

fn of(candidate: &Candidate<'_>, why_not: String) -> Considered {
    Considered {
        target: candidate.blamed.clone(),
        runbook: candidate.runbook.id.clone(),
        confidence: candidate.ledger.total(),
        why_not,
    }
}

/// Adds `loser`, which blames the same target, to what was considered for `winner`.
pub(super) fn add_merged(winner: &mut Explained, loser: &Explained) {
    let of = &loser.diagnosis;
    let why_not = format!("less sure than `{}`", winner.diagnosis.issue_type);
    let own = whole(loser, why_not);
    let all = std::iter::once(own).chain(of.considered.iter().cloned());
    add(winner, all.collect());
}

/// Adds to each diagnosis the other roots that might have been the cause of it.
pub(super) fn add_other_roots(evidence: &Evidence<'_>, explained: &mut [Explained]) {
    for place in 0..explained.len() {
        let one = &explained[place];
        let others = explained.iter().enumerate().filter(|(at, _)| *at != place);
        let roots = others
            .filter_map(|(_, other)| {
                let why_not = why_not_blamed(evidence, one, other)?;
                Some(whole(other, why_not))
            })
            .collect();
        add(&mut explained[place], roots);
    }
}

fn whole(of: &Explained, why_not: String) -> Considered {
    Considered {
        target: of.diagnosis.blamed.clone(),
        runbook: of.diagnosis.issue_type.clone(),
        confidence: of.diagnosis.confidence,
        why_not,
    }
}

/// Why `other` is not blamed for what `one` explains; `None` if nothing connects them.
fn why_not_blamed(evidence: &Evidence<'_>, one: &Explained, other: &Explained) -> Option<String> {
    let (root, rival) = (&one.diagnosis.blamed, &other.diagnosis.blamed);
    match roots::tie(evidence, one, other) {
        Some(Tie::Circle) => {
            return Some("each needs the other, so neither is the deeper one".to_owned());
        }
        Some(Tie::Shared(sufferer)) => {
            return Some(format!(
                "`{sufferer}` may suffer from either; neither needs the other, and each is a cause of its own"
            ));
        }
        None => {}
    }
    if evidence.graph.needed_by(root).contains(rival) {
        return Some(format!("it only warns, which does not explain that `{root}` fails"));
    }
    evidence.graph.perhaps_needed_by(root).contains(rival).then(|| {
        format!("`{root}` was only seen to be connected to it, and does not say that the fault lies there")
    })
}

fn add(to: &mut Explained, new: Vec<Considered>) {
    let known = &mut to.diagnosis.considered;
    for one in new {
        let same = |other: &Considered| other.target == one.target && other.runbook == one.runbook;
        if known.len() < MOST_SHOWN && !known.iter().any(same) {
            known.push(one);
        }
    }
}
