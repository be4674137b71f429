//! Looks again, before the next slot of the schedule, at what is held for something that passes
//! by itself, and at everything while a part of the world cannot be seen.
//!
//! The longer the reasons stay the same, the more rarely: a host that is overloaded for hours is
//! not helped by a look every few seconds. What Selfheal itself is about to end, or says when it
//! ends, is looked at without such a delay.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use chrono::TimeDelta;
use selfheal_agents::model::{Hold, Incident, IncidentId, IncidentState, Timestamp};

use super::api::ENGINE_UNSEEN;
use super::record::WAIT_PAGE_AFTER;
use super::state::{Blind, Inner, lock};
use super::{Scope, Trigger};

/// How often is asked whether something is due.
pub(super) const RETRY_EVERY: Duration = Duration::from_secs(5);
/// Pause before the second look; each next one is twice as long ...
const FIRST_PAUSE: TimeDelta = TimeDelta::seconds(5);
/// ... up to this.
const LONGEST_PAUSE: TimeDelta = TimeDelta::seconds(60);
/// A span of ages in which an incident is surely met once by [`RETRY_EVERY`].
const MET_ONCE: TimeDelta = TimeDelta::seconds(6);
/// How often Selfheal looks again while a part of the world cannot be seen.
const RETRY_BLIND: TimeDelta = TimeDelta::seconds(20);

/// When an incident that waits is looked at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Retry {
    reasons: Vec<&'static str>,
    pause: TimeDelta,
    next: Timestamp,
    /// Where waiting was in vain, it is not looked at before.
    earliest: Timestamp,
}

/// What waits.
pub(super) type Retries = Mutex<BTreeMap<IncidentId, Retry>>;

impl Inner {
    /// Asks for a look at each incident that is held and due.
    pub(super) async fn retry_held(&self) {
        let Ok(mut open) = self.store.open_incidents().await else {
            // A store in trouble is not asked at every tick for what is due.
            let later = self.world.clock.now() + RETRY_EVERY;
            lock(&self.retries).values_mut().for_each(|retry| retry.next = retry.next.max(later));
            return;
        };
        open.retain(|incident| incident.state() == IncidentState::Held);
        let (now, tell_after) = (self.world.clock.now(), self.tell_after());
        let mut retries = lock(&self.retries);
        retries.retain(|id, _| open.iter().any(|incident| incident.id == *id));
        for incident in open {
            let due = if incident.can_wait() {
                let known = retries.remove(&incident.id);
                let (retry, due) = next_retry(known, &incident, now);
                retries.insert(incident.id, retry);
                due
            } else {
                let known = retries.remove(&incident.id);
                let (retry, due) = next_end(known, &incident, now);
                retries.extend(retry.map(|retry| (incident.id, retry)));
                // Once more when it has lasted long enough to be told of.
                due || is_of_age(now - incident.opened_at, tell_after)
            };
            if due {
                self.queue.add(Scope::target(incident.target), Trigger::Schedule, false, None);
            }
        }
    }

    /// Whether the time has come for one of which it is known.
    pub(super) fn is_retry_due(&self) -> bool {
        let now = self.world.clock.now();
        lock(&self.retries).values().any(|retry| retry.next <= now)
    }

    /// Looks again before the next slot while something cannot be seen: that it is back is news. An
    /// engine of another host says by itself when it is, and is only looked for until people know.
    pub(super) fn retry_blind(&self) {
        let last = self.standing.borrow().last_check;
        let due = last.is_some_and(|last| self.world.clock.now() - last >= RETRY_BLIND);
        // An engine of another host that is away and told of is asked again by itself.
        let matters =
            |(part, blind): (&String, &Blind)| !part.starts_with(ENGINE_UNSEEN) || !blind.told;
        let is_blind = lock(&self.blind).iter().any(matters);
        let is_back = self.is_one_back();
        if (due && is_blind) || is_back {
            self.queue.add(Scope::All, Trigger::Schedule, false, None);
        }
    }

    /// Whether an engine of another host answers again that did not when this was last asked.
    fn is_one_back(&self) -> bool {
        let away: BTreeSet<String> = self.world.runtime.away().into_keys().collect();
        let mut before = lock(&self.away);
        let is_back = !before.is_subset(&away);
        *before = away;
        is_back
    }
}

impl Retry {
    fn of(incident: &Incident, next: Timestamp) -> Self {
        let reasons = incident.holds.iter().map(Hold::name).collect();
        Self { reasons, pause: FIRST_PAUSE, next, earliest: next }
    }
}

/// When the first of its reasons passes, where that is known and lies ahead.
fn ends(incident: &Incident, now: Timestamp) -> Option<Timestamp> {
    incident.holds.iter().filter_map(Hold::until).filter(|until| *until > now).min()
}

/// When to look again at one whose reasons say when they end, and whether that is now. Where nobody
/// knows a fix although the time came, each pause is longer than the last.
fn next_end(known: Option<Retry>, incident: &Incident, now: Timestamp) -> (Option<Retry>, bool) {
    let due = known.as_ref().is_some_and(|known| known.next <= now);
    let fresh = Retry::of(incident, now);
    let mut retry = known.filter(|known| known.reasons == fresh.reasons).unwrap_or(fresh);
    let in_vain = is_in_vain(incident);
    if due && in_vain {
        retry.earliest = now + retry.pause;
        retry.pause = (retry.pause * 2).min(LONGEST_PAUSE);
    }
    let next = ends(incident, now);
    // The look that is due says when the next one is to be; until then the pause is not forgotten.
    let next = if in_vain {
        Some(next.map_or(retry.earliest, |next| next.max(retry.earliest)))
    } else {
        next
    };
    (next.map(|next| Retry { next, ..retry }), due)
}

/// Whether the time came and there was no fix all the same.
fn is_in_vain(incident: &Incident) -> bool {
    let too_early = |hold: &Hold| matches!(hold, Hold::TooEarly { .. });
    incident.holds.contains(&Hold::NoFixKnown) && incident.holds.iter().any(too_early)
}

fn is_of_age(age: TimeDelta, wanted: TimeDelta) -> bool {
    (wanted..wanted + MET_ONCE).contains(&age)
}

/// When to look again at one that waits, and whether that is now.
fn next_retry(known: Option<Retry>, incident: &Incident, now: Timestamp) -> (Retry, bool) {
    let fresh = Retry::of(incident, now);
    let mut retry = known.filter(|known| known.reasons == fresh.reasons).unwrap_or(fresh);
    // It is told of in time.
    let of_age = incident.wait.is_some_and(|wait| is_of_age(now - wait.since, WAIT_PAGE_AFTER));
    if now < retry.next && !of_age {
        return (retry, false);
    }
    let paused = now + retry.pause;
    retry.next = ends(incident, now).map_or(paused, |ends| ends.min(paused));
    if !incident.holds.iter().any(ends_with_a_repair) {
        retry.pause = (retry.pause * 2).min(LONGEST_PAUSE);
    }
    (retry, true)
}

/// Whether it passes with a repair that is at work now.
const fn ends_with_a_repair(hold: &Hold) -> bool {
    matches!(
        hold,
        Hold::RepairUnderWay { .. } | Hold::WaitsForDependency { .. } | Hold::StaleDiagnosis { .. }
    )
}
