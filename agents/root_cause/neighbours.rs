//! Blames what another node of the fleet looks after.
//!
//! Nothing here is changed for it: that node heals it. Only where no node sees what is wrong does a
//! person have to look.

use super::{Evidence, affected, basis_of, ways};
use crate::model::{Category, Diagnosis, Ledger, NeighbourTrouble, TargetId};

/// The issue type of what another node looks after.
pub const OTHER_NODE: &str = "other-node";
/// The issue type of what does not answer although no node sees why.
pub const OTHER_NODE_UNREACHED: &str = "other-node-unreached";

/// How sure a node is that sees it itself.
const SEEN: u8 = 95;
/// How sure it is that what does not answer is what its dependents suffer from.
const UNREACHED: u8 = 80;

/// What is wrong with a target of another node.
pub(super) fn trouble<'a>(evidence: &Evidence<'a>, id: &TargetId) -> Option<&'a NeighbourTrouble> {
    evidence.neighbours.get(id)?.trouble.as_ref()
}

/// The diagnosis of what fails for `root`, a target of another node.
pub(super) fn diagnosed(
    evidence: &Evidence<'_>,
    root: &TargetId,
    members: &[TargetId],
    trouble: &NeighbourTrouble,
) -> Diagnosis {
    let suffer = members.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
    let (issue_type, title, ledger, summary, is_external) = match trouble {
        NeighbourTrouble::LookedAfter { node, why } => (
            OTHER_NODE,
            "What it needs on another node fails",
            Ledger::with_base(SEEN, format!("node `{node}` looks after it")),
            format!(
                "{root}: {why}. Node `{node}` looks after it. What waits for it here: {suffer}."
            ),
            false,
        ),
        NeighbourTrouble::Unreached { why } => (
            OTHER_NODE_UNREACHED,
            "What it needs on another node does not answer",
            Ledger::with_base(UNREACHED, "nothing answers there, and no node sees why"),
            format!(
                "{root}: {why}. What suffers from it here: {suffer}. To restart that would not help."
            ),
            true,
        ),
    };
    Diagnosis {
        issue_type: issue_type.to_owned(),
        title: title.to_owned(),
        category: Category::Network,
        blamed: root.clone(),
        summary,
        confidence: ledger.total(),
        ledger,
        affected: affected(members, root),
        external: is_external,
        elsewhere: true,
        hearsay: false,
        expected_fix_secs: 0,
        changes: vec![],
        ways: ways(evidence, root, members),
        considered: vec![],
        basis: basis_of(evidence, root),
        at: evidence.now,
    }
}
