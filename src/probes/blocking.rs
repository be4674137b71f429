//! Chains of sessions that wait for one another, whatever the server.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use selfheal_agents::model::Backend;

/// How many sessions wait for each, directly or through others. An edge is a waiting session and
/// one it waits for.
pub(super) fn waiters<Id: Copy + Ord>(edges: &[(Id, Id)]) -> BTreeMap<Id, u32> {
    let mut waiting_for: BTreeMap<Id, Vec<Id>> = BTreeMap::new();
    for (waiting, blocker) in edges {
        waiting_for.entry(*blocker).or_default().push(*waiting);
    }
    let count = |blocker: Id| {
        let mut seen = BTreeSet::from([blocker]);
        let mut next = vec![blocker];
        while let Some(pid) = next.pop() {
            let waiting = waiting_for.get(&pid).into_iter().flatten();
            next.extend(waiting.copied().filter(|pid| seen.insert(*pid)));
        }
        u32::try_from(seen.len() - 1).unwrap_or(u32::MAX)
    };
    waiting_for.keys().map(|blocker| (*blocker, count(*blocker))).collect()
}

/// Brings those first for whom most wait.
pub(super) fn most_waited_for(blockers: &mut [Backend]) {
    blockers.sort_by_key(|blocker| (Reverse(blocker.blocks), blocker.pid));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_through_others_counts_too_and_once() {
        // 2 and 3 wait for 1; 4 waits for both; 5 for 4.
        let counts = waiters(&[(2, 1), (3, 1), (4, 2), (4, 3), (5, 4)]);
        assert_eq!(counts, BTreeMap::from([(1, 4), (2, 2), (3, 2), (4, 1)]));
    }

    #[test]
    fn a_deadlock_is_counted_and_does_not_hang() {
        assert_eq!(waiters(&[(1, 2), (2, 1)]), BTreeMap::from([(1, 1), (2, 1)]));
    }
}
