//! Keeps the leases of this node, takes over those that nobody keeps, and tells how the node is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use selfheal_agents::lease::{Ask, Reading, Row};
use selfheal_agents::model::{Fix, IncidentState};

use super::server::Own;
use super::{Away, Fleet, State, away, clock};
use crate::coordinator::{Coordinator, Scope, Trigger};

/// A lease is renewed so many times before it ends.
const RENEWALS: u32 = 4;

pub(super) async fn run(fleet: &Fleet, coordinator: &Coordinator) {
    let (mut is_prepared, mut told) = (false, String::new());
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
        match turn(fleet, coordinator, &mut told).await {
            Ok(true) => fleet.is_away(None),
            Ok(false) => fleet.is_away(Some(Away::NameTaken(format!(
                "another node of the fleet is called `{}` as well: give one of them another name \
                 (fleet.node) and start it again",
                fleet.node()
            )))),
            Err(error) => fleet.is_away(Some(Away::Silent(away(&error)))),
        }
    }
}

/// One look; answers whether this node may take part.
async fn turn(fleet: &Fleet, coordinator: &Coordinator, told: &mut String) -> sqlx::Result<bool> {
    if !tell(fleet, coordinator, told).await? {
        return Ok(false);
    }
    let wanted: Vec<String> = fleet.state().tenures.keys().cloned().collect();
    if wanted.is_empty() {
        return Ok(true);
    }
    // Before a lease comes here: what is frozen must be known by then.
    fleet.read_frozen().await?;
    let rows = fleet.inner.server.rows(&wanted).await?;
    let busy = busy(fleet, coordinator, &rows.leases).await;
    fleet.state().let_go(&busy, clock());
    for lease in wanted {
        let reading = Reading { era: &rows.era, row: rows.leases.get(&lease) };
        keep(fleet, coordinator, &lease, reading, busy.contains(&lease)).await?;
    }
    Ok(true)
}

/// Renews, takes over, gives away or waits for one lease, whatever its row asks for.
async fn keep(
    fleet: &Fleet,
    coordinator: &Coordinator,
    lease: &str,
    reading: Reading<'_>,
    is_busy: bool,
) -> sqlx::Result<()> {
    let sent = clock();
    let (ask, was_held) = {
        let mut state = fleet.state();
        let Some(tenure) = state.tenures.get_mut(lease) else { return Ok(()) };
        let was_held = tenure.is_held(sent);
        if reading.row.is_some_and(|row| row.holder != fleet.inner.me) && tenure.fence().is_some() {
            fleet.inner.lost.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(lease, "another node has taken this lease over");
        }
        tenure.set_busy(is_busy);
        (tenure.after_reading(reading, sent), was_held)
    };
    if ask == Ask::Nothing {
        return Ok(());
    }
    let mark = fleet.ask(lease, reading.era, &ask).await?;
    let is_held = {
        let mut state = fleet.state();
        let Some(tenure) = state.tenures.get_mut(lease) else { return Ok(()) };
        tenure.answered(&ask, sent, mark);
        tenure.is_held(clock())
    };
    if let Ask::Pass { to, .. } = &ask {
        tracing::info!(lease, "the lease goes to {to}, which waits for it");
    }
    if is_held && !was_held {
        begin(fleet, coordinator, lease);
    }
    Ok(())
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

/// Tells how this node is; answers whether its name is its own.
async fn tell(fleet: &Fleet, coordinator: &Coordinator, told: &mut String) -> sqlx::Result<bool> {
    let (summary, mode) = {
        let state = fleet.state();
        let summary = state.summary_now().and_then(|now| serde_json::to_string(&now).ok());
        (summary.unwrap_or_default(), state.mode.clone())
    };
    let frozen = fleet.frozen_here(coordinator);
    let own = Own {
        name: &fleet.inner.node,
        history: &fleet.inner.history,
        address: &fleet.inner.address,
        mode: &mode,
        frozen: frozen.as_deref(),
        summary: (summary != *told).then_some(summary.as_str()),
    };
    let is_ours = fleet.inner.server.tell_node(&own).await?;
    *told = if is_ours { summary } else { String::new() };
    Ok(is_ours)
}
