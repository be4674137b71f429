//! What became of fixes goes to the other nodes, and theirs comes here.
//!
//! Each outcome is told by its node alone and known by its fix, so however often it is read it
//! counts once. They are kept in memory: the server has them, and so has each node its own. Of each
//! kind only the newest are told, read and kept, so that neither what every cycle goes through nor
//! what the server has of a node grows without end. What several nodes reach is learnt of at once; of
//! the rest now and then the newest, as a sample: were all of it read by all, that would grow with the
//! square of the fleet.
//!
//! Rejected: to hand on sums. They forget what came last, which quarantine asks for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use selfheal_agents::model::{FixId, Outcome, Timestamp};
use sha2::{Digest as _, Sha256};

use super::Fleet;
use super::server::{Learnt, Lesson, Question};
use super::shared::Shared;
use crate::coordinator::Coordinator;

/// How often this node tells, and reads what was learnt of what it reaches itself.
const EVERY: Duration = Duration::from_secs(5);
/// So soon it looks again whether the server is there: what others tried is to be known before what
/// it has just been given is mended.
const SOON: Duration = Duration::from_millis(500);
/// How often it reads what was learnt elsewhere.
const ELSEWHERE_EVERY: Duration = Duration::from_mins(5);
/// So many of a kind are read then, after all that is to be known was read once.
const SAMPLE: u32 = 10;
/// So many are told in one statement.
const TOGETHER: usize = 200;
/// So many of one kind are known, the newest, and so many are told by each node: more of them would
/// say no more.
const KEPT: u32 = 100;

/// How far what others learnt was read: the transactions from which on to ask next, 0 for all.
#[derive(Default)]
struct Read {
    elsewhere: u64,
    asked_elsewhere: Option<Instant>,
    ours: u64,
    /// Of these.
    leases: Vec<String>,
}

/// What another node learnt, as it is known here.
struct Known {
    outcome: Outcome,
    /// Whose it is.
    node: String,
    /// Whether its target is one of this node, too.
    is_ours: bool,
}

pub(super) async fn run(fleet: &Fleet, coordinator: &Coordinator) {
    let (mut taught, mut read) = (None, Read::default());
    // As many were recorded when all of them had been told.
    let mut told_all_of = None;
    let mut known = BTreeMap::new();
    let mut turns = tokio::time::interval(EVERY);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        // The leases say when the server is away; nobody need hear it twice.
        if fleet.state().away.is_some() {
            turns.reset_after(SOON);
            continue;
        }
        if let Err(error) = learn(fleet, &mut read, &mut known).await {
            tracing::debug!(%error, "the other nodes are asked later");
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

async fn learn(
    fleet: &Fleet,
    read: &mut Read,
    known: &mut BTreeMap<FixId, Known>,
) -> sqlx::Result<()> {
    let leases: Vec<String> = fleet.state().shared.leases().map(str::to_owned).collect();
    if read.leases != leases {
        // What is new here was not asked for so far.
        (read.ours, read.leases) = (0, leases);
    }
    if read.asked_elsewhere.is_none_or(|at| at.elapsed() >= ELSEWHERE_EVERY) {
        read.elsewhere = ask(fleet, known, read.elsewhere, None).await?;
        read.asked_elsewhere = (read.elsewhere > 0).then(Instant::now);
    }
    if !read.leases.is_empty() {
        read.ours = ask(fleet, known, read.ours, Some(&read.leases)).await?;
        if read.ours == 0 {
            read.asked_elsewhere = None;
        }
    }
    Ok(())
}

/// Takes in what others learnt since, of these leases or of everything; answers from when on to ask next.
async fn ask(
    fleet: &Fleet,
    known: &mut BTreeMap<FixId, Known>,
    since: u64,
    leases: Option<&[String]>,
) -> sqlx::Result<u64> {
    let most = if since == 0 { KEPT } else { SAMPLE };
    let question = Question { node: fleet.node(), since, leases, most };
    let (learnt, next) = fleet.inner.server.learn(&question).await?;
    take_in(fleet, known, &learnt);
    Ok(next)
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
    let mut lessons = worth_telling(&outcomes, &fleet.state().shared)?;
    lessons.retain(|lesson| !known.contains(&digest(&lesson.document)));
    for some in lessons.chunks(TOGETHER) {
        server.teach(fleet.node(), some).await?;
    }
    if taught.is_none() || !lessons.is_empty() {
        server.take_out_old(fleet.node(), KEPT).await?;
    }
    *taught = outcomes.last().map(|last| last.timestamp).or(*taught);
    Ok(())
}

/// The newest of each kind, oldest first: what the server would take out again is not told.
fn worth_telling(outcomes: &[Outcome], shared: &Shared) -> serde_json::Result<Vec<Lesson>> {
    let (mut lessons, mut kinds) = (vec![], BTreeMap::new());
    for outcome in outcomes.iter().rev() {
        let lease = shared.lease_of(&outcome.target);
        let newer = kinds.entry((&outcome.issue_type, &outcome.fix_type, lease)).or_insert(0);
        *newer += 1;
        if *newer <= KEPT {
            let document = serde_json::to_string(outcome)?;
            let (fix, shared) = (outcome.fix.to_string(), lease.map(str::to_owned));
            lessons.push(Lesson { fix, shared, document });
        }
    }
    lessons.reverse();
    Ok(lessons)
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
        let lease = one.shared.as_deref();
        let ours = lease.and_then(|lease| state.shared.known_as(lease, &outcome.target)).cloned();
        let is_ours = ours.is_some();
        outcome.target = ours.unwrap_or_else(|| outcome.target.at_node(&one.node));
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
        old.extend(ranked.into_iter().skip(KEPT as usize).map(|(_, (_, fix))| fix));
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
        let newest: Vec<u128> = (0..u128::from(KEPT)).chain(5000..5003).collect();
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
        let newest: Vec<u128> = (0..u128::from(KEPT) - 30).chain(5000..5030).collect();
        assert_eq!(numbers, newest);
    }
}
