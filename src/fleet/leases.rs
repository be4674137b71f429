//! Keeps the leases of this node, takes over those that nobody keeps, and tells how the node is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use selfheal_agents::lease::{Ask, Reading, Row};
use selfheal_agents::model::{Fix, IncidentState};

use super::registry::{Held, Summary, is_forgotten};
use super::server::{Line, Own, Rows};
use super::{Away, Fleet, State, away, clock};
use crate::coordinator::{Coordinator, Scope, Trigger};

/// A lease is renewed so many times before it ends.
const RENEWALS: u32 = 4;

pub(super) async fn run(fleet: &Fleet, coordinator: &Coordinator) {
    let (mut is_prepared, mut told, mut told_at) = (false, None, clock());
    let mut turns = tokio::time::interval(fleet.inner.lease / RENEWALS);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        if !is_prepared {
            match fleet.inner.server.prepare().await {
                Ok(()) => is_prepared = true,
                Err(error) => {
                    fleet.is_away(Some(Away::Silent(error.to_string())));
                    continue;
                }
            }
        }
        if is_forgotten(told_at) {
            told = None;
        }
        match turn(fleet, coordinator, &mut told).await {
            Ok(true) => {
                told_at = clock();
                fleet.is_away(None);
            }
            Ok(false) => fleet.is_away(Some(Away::NameTaken(format!(
                "another node of the fleet is called `{}` as well: give one of them another name \
                 (fleet.node) and start it again",
                fleet.node()
            )))),
            Err(error) => {
                // Who was away for long may have been forgotten: it tells all of itself again.
                told = None;
                fleet.is_away(Some(Away::Silent(away(&error))));
            }
        }
    }
}

/// How this node is, and what it looks after.
type Told = Option<(Arc<Summary>, Vec<Held>)>;

/// One look; answers whether this node may take part.
async fn turn(fleet: &Fleet, coordinator: &Coordinator, told: &mut Told) -> sqlx::Result<bool> {
    // One connection for all that follows: to wait for one each time takes as long as to ask.
    let mut line = fleet.inner.server.line().await?;
    if !tell(fleet, coordinator, &mut line, told).await? {
        return Ok(false);
    }
    let wanted: Vec<String> = fleet.state().tenures.keys().cloned().collect();
    if wanted.is_empty() {
        return Ok(true);
    }
    let rows = line.rows(fleet.node(), &wanted).await?;
    // Before a lease comes here: what is frozen must be known by then.
    fleet.take_frozen(&rows.frozen);
    let busy = busy(fleet, coordinator, &rows.leases).await;
    fleet.state().let_go(&busy, clock());
    let sent = clock();
    let (asks, held) = asks(fleet, (&wanted, &rows), &busy, sent);
    let mut marks = fleet.ask(&mut line, &rows.era, &asks).await?;
    for (lease, ask) in &asks {
        let mark = marks.remove(lease);
        let is_held = fleet.state().tenures.get_mut(lease).is_some_and(|tenure| {
            tenure.answered(ask, sent, mark);
            tenure.is_held(clock())
        });
        if let Ask::Pass { to, .. } = ask {
            tracing::info!(lease, "the lease goes to {to}, which waits for it");
        }
        if is_held && !held.contains(lease) {
            begin(fleet, coordinator, lease);
        }
    }
    Ok(true)
}

/// What to ask for, by what was read: to renew, take over, give away or wait for each. Beside it those
/// that were had until now.
fn asks(
    fleet: &Fleet,
    (read, rows): (&[String], &Rows),
    busy: &BTreeSet<String>,
    now: Duration,
) -> (BTreeMap<String, Ask>, BTreeSet<String>) {
    let (mut asks, mut held) = (BTreeMap::new(), BTreeSet::new());
    let mut state = fleet.state();
    // Of one that came up since then nothing was read.
    for lease in read {
        let Some(tenure) = state.tenures.get_mut(lease) else { continue };
        let row = rows.leases.get(lease);
        if tenure.is_held(now) {
            held.insert(lease.clone());
        }
        if row.is_some_and(|row| row.holder != fleet.inner.me) && tenure.fence().is_some() {
            fleet.inner.lost.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(lease, "another node has taken this lease over");
        }
        tenure.set_busy(busy.contains(lease));
        let ask = tenure.after_reading(Reading { era: &rows.era, row }, now);
        if ask != Ask::Nothing {
            asks.insert(lease.clone(), ask);
        }
    }
    (asks, held)
}

/// What this node looks after from now on is looked at, for what the last one left.
fn begin(fleet: &Fleet, coordinator: &Coordinator, lease: &str) {
    let mut state = fleet.state();
    let fence = state.tenures.get_mut(lease).and_then(|tenure| {
        tenure.set_wanted(false);
        tenure.fence()
    });
    tracing::info!(lease, fence, "this node has the lease");
    let targets: BTreeSet<_> = state.shared.targets_of(lease).cloned().collect();
    let scope = if targets.is_empty() { Scope::All } else { Scope::Targets(targets) };
    coordinator.request(scope, Trigger::Schedule);
}

/// The leases under which a repair is at work, where somebody waits for one or would get it.
async fn busy(
    fleet: &Fleet,
    coordinator: &Coordinator,
    rows: &BTreeMap<String, Row>,
) -> BTreeSet<String> {
    let is_asked_for = rows.values().any(|row| row.wanted_by.is_some());
    let is_named = |state: &State| state.tenures.keys().all(|lease| state.shared.names(lease));
    if !is_asked_for && is_named(&fleet.state()) {
        return BTreeSet::new();
    }
    // Also what a person has taken back long after its incident was closed.
    let at_work = coordinator.at_work();
    let Ok(open) = coordinator.store().open_incidents().await else {
        // Not known is busy.
        return fleet.state().tenures.keys().cloned().collect();
    };
    let state = fleet.state();
    let repaired = open.iter().filter(|incident| {
        matches!(incident.state(), IncidentState::Fixing | IncidentState::Validating)
    });
    let targets = repaired.flat_map(|incident| {
        incident.fix.iter().flat_map(Fix::touches).chain([incident.target.clone()])
    });
    targets
        .chain(at_work)
        .filter_map(|target| state.shared.lease_of(&target).map(str::to_owned))
        .collect()
}

/// Tells how this node is; answers whether its name is its own. Most of the time nothing is new, and
/// then nothing is put into words.
async fn tell(
    fleet: &Fleet,
    coordinator: &Coordinator,
    line: &mut Line,
    told: &mut Told,
) -> sqlx::Result<bool> {
    let (now, mode) = {
        let state = fleet.state();
        (state.summary.clone().map(|summary| (summary, state.held())), state.mode.clone())
    };
    // One that says the same is the same: see `State::take_over`.
    let is_told = |(summary, held): &(Arc<Summary>, Vec<Held>)| {
        told.as_ref().is_some_and(|(last, had)| Arc::ptr_eq(last, summary) && had == held)
    };
    let news = now.as_ref().filter(|now| !is_told(now)).and_then(|(summary, held)| {
        let whole = Summary { leases: held.clone(), ..Summary::clone(summary) };
        serde_json::to_string(&whole).ok()
    });
    let frozen = fleet.frozen_here(coordinator);
    let own = Own {
        name: &fleet.inner.node,
        history: &fleet.inner.history,
        address: &fleet.inner.address,
        mode: &mode,
        frozen: frozen.as_deref(),
        summary: news.as_deref(),
    };
    let told_there = line.tell_node(&own).await?;
    *told = now.filter(|_| told_there.is_some());
    if told_there.is_some_and(|told| told.decisions_wait) {
        fleet.inner.decisions_wait.freezes.notify_one();
        fleet.inner.decisions_wait.others.notify_one();
    }
    Ok(told_there.is_some())
}
