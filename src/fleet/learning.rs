//! What became of fixes goes to the other nodes, and theirs comes here.
//!
//! Each outcome is told by its node alone and known by its fix, so however often it is read it
//! counts once. They are kept in memory: the server has them, and so has each node its own. Of each
//! kind only the newest are, so that what every cycle goes through does not grow with the fleet.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use selfheal_agents::model::{FixId, Outcome, Timestamp};
use sha2::{Digest as _, Sha256};

use super::Fleet;
use super::server::{Learnt, Lesson};
use crate::coordinator::Coordinator;

/// How often.
const EVERY: Duration = Duration::from_secs(5);
/// So many are told in one statement.
const TOGETHER: usize = 200;
/// So many of one kind are known, the newest: more of them would say no more.
const KEPT: usize = 100;

/// What another node learnt, as it is known here.
struct Known {
    outcome: Outcome,
    /// Whose it is.
    node: String,
    /// Whether its target is one of this node, too.
    is_ours: bool,
}

pub(super) async fn run(fleet: &Fleet, coordinator: &Coordinator) {
    let (mut taught, mut since) = (None, 0);
    // As many were recorded when all of them had been told.
    let mut told_all_of = None;
    let mut known = BTreeMap::new();
    let mut turns = tokio::time::interval(EVERY);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        // The leases say when the server is away; nobody need hear it twice.
        if fleet.state().away.is_some() {
            continue;
        }
        match fleet.inner.server.learn(fleet.node(), since).await {
            Ok((learnt, next)) => {
                since = next;
                take_in(fleet, &mut known, &learnt);
            }
            Err(error) => tracing::debug!(%error, "the other nodes are asked later"),
        }
        let recorded = coordinator.store().outcomes_recorded();
        if told_all_of == Some(recorded) {
            continue;
        }
        match teach(fleet, coordinator, &mut taught).await {
            Ok(()) => told_all_of = Some(recorded),
            Err(error) => tracing::debug!(%error, "the other nodes are told later"),
        }
    }
}

async fn teach(
    fleet: &Fleet,
    coordinator: &Coordinator,
    taught: &mut Option<Timestamp>,
) -> anyhow::Result<()> {
    let server = &fleet.inner.server;
    let mut outcomes = coordinator.store().outcomes(*taught).await?;
    // One taken back by a person is told anew, with a time of its own.
    outcomes.retain(|outcome| taught.is_none_or(|taught| outcome.timestamp > taught));
    // What was told before this start is there already, but for what the server may have lost.
    let known = match taught {
        None => server.told(fleet.node()).await?,
        Some(_) => BTreeSet::new(),
    };
    let mut lessons = vec![];
    for outcome in &outcomes {
        let document = serde_json::to_string(outcome)?;
        if !known.contains(&digest(&document)) {
            let shared = fleet.state().shared.lease_of(&outcome.target).map(str::to_owned);
            lessons.push(Lesson { fix: outcome.fix.to_string(), shared, document });
        }
    }
    for some in lessons.chunks(TOGETHER) {
        server.teach(fleet.node(), some).await?;
    }
    *taught = outcomes.last().map(|last| last.timestamp).or(*taught);
    Ok(())
}

/// As the server makes it of what it has.
fn digest(document: &str) -> String {
    Sha256::digest(document).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn take_in(fleet: &Fleet, known: &mut BTreeMap<FixId, Known>, learnt: &[Learnt]) {
    if learnt.is_empty() {
        return;
    }
    let mut state = fleet.state();
    for one in learnt {
        let Ok(mut outcome) = serde_json::from_str::<Outcome>(&one.document) else { continue };
        let ours = one.shared.as_deref().and_then(|key| state.shared.targets_of(key).next());
        let is_ours = ours.is_some();
        outcome.target = ours.cloned().unwrap_or_else(|| outcome.target.at_node(&one.node));
        let node = one.node.clone();
        known.insert(outcome.fix, Known { outcome, node, is_ours });
    }
    keep_newest(known);
    let before = state.outcomes.len();
    if known.len() != before {
        tracing::debug!(outcomes = known.len(), "learnt from other nodes");
    }
    state.outcomes = Arc::new(known.values().map(|one| one.outcome.clone()).collect());
}

/// Forgets what is old where there is enough of its kind: an issue, a fix and, where it is one of
/// this node, the target. The newest of each node stay before the second of any, so that one whose
/// service fails all day is not all that is known.
fn keep_newest(known: &mut BTreeMap<FixId, Known>) {
    let mut kinds: BTreeMap<_, BTreeMap<_, Vec<_>>> = BTreeMap::new();
    for Known { outcome, node, is_ours } in known.values() {
        let kind = (&outcome.issue_type, &outcome.fix_type, is_ours.then_some(&outcome.target));
        let of_node = kinds.entry(kind).or_default().entry(node).or_default();
        of_node.push((outcome.timestamp, outcome.fix));
    }
    let mut old: Vec<FixId> = vec![];
    for nodes in kinds.into_values() {
        let mut ranked = vec![];
        for mut of_node in nodes.into_values() {
            of_node.sort_unstable_by(|one, other| other.cmp(one));
            ranked.extend(of_node.into_iter().enumerate());
        }
        ranked.sort_unstable_by_key(|(nth, (at, fix))| (*nth, Reverse((*at, *fix))));
        old.extend(ranked.into_iter().skip(KEPT).map(|(_, (_, fix))| fix));
    }
    for fix in old {
        known.remove(&fix);
    }
}

#[cfg(test)]
mod tests {
    use selfheal_agents::model::{
        Confidence, IncidentId, ResultStatus, TargetId, ValidationStatus,
    };
    use uuid::Uuid;

    use super::*;

    fn known(number: i64, node: &str, target: &TargetId, is_ours: bool) -> (FixId, Known) {
        let fix = FixId(Uuid::from_u128(u128::from(number.unsigned_abs())));
        let outcome = Outcome {
            // The later it was, the smaller its number.
            timestamp: Timestamp::from_timestamp(1_760_893_200 - number, 0).unwrap(),
            fix,
            incident: IncidentId(Uuid::nil()),
            target: target.clone(),
            issue_type: "crash".to_owned(),
            fix_type: "container.restart".to_owned(),
            original_confidence: Confidence::literal(90),
            confidence: Confidence::literal(90),
            result_status: ResultStatus::Applied,
            validation_status: ValidationStatus::Passed,
            success: true,
            error_count_after: 0,
            time_to_repair_secs: None,
        };
        (fix, Known { outcome, node: node.to_owned(), is_ours })
    }

    #[test]
    fn of_many_nodes_only_the_newest_outcomes_of_a_kind_are_known_and_of_a_shared_target_its_own() {
        let cache = TargetId::container("cache");
        let of_nodes = (0..1000).map(|nth| {
            let node = format!("n{nth}");
            known(nth, &node, &cache.at_node(&node), false)
        });
        let of_ours = (5000..5003).map(|nth| known(nth, "n1", &cache, true));
        let mut all: BTreeMap<_, _> = of_nodes.chain(of_ours).collect();
        keep_newest(&mut all);
        let numbers: Vec<u128> = all.keys().map(|fix| fix.0.as_u128()).collect();
        let newest: Vec<u128> = (0..KEPT as u128).chain(5000..5003).collect();
        assert_eq!(numbers, newest);
    }

    #[test]
    fn a_node_whose_service_fails_all_day_is_not_all_that_is_known() {
        let cache = TargetId::container("cache");
        let loud = (0..1000).map(|nth| known(nth, "loud", &cache.at_node("loud"), false));
        let calm = (5000..5030).map(|nth| known(nth, "calm", &cache.at_node("calm"), false));
        let mut all: BTreeMap<_, _> = loud.chain(calm).collect();
        keep_newest(&mut all);
        let numbers: Vec<u128> = all.keys().map(|fix| fix.0.as_u128()).collect();
        let newest: Vec<u128> = (0..KEPT as u128 - 30).chain(5000..5030).collect();
        assert_eq!(numbers, newest);
    }
}
