//! Decides what of what waits for a channel is said now, and what together.
//!
//! Pure. A conversation is what is said of one incident, or an alert that belongs to none. Its
//! invariants: a conversation is told in order; nothing that waits is left out, only put together;
//! and however many begin at once, a person gets two of them alone and the rest as one message, until
//! a while has passed. What was begun alone goes on alone.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use selfheal_agents::model::{Severity, Timestamp};
use selfheal_agents::ports::{Alert, Delivery};
use serde::{Deserialize, Serialize};

use super::quiet::Quiet;
use super::routes::goes_everywhere;
use super::summary::{self, Occasion};

/// So many conversations are begun alone ...
const ALONE: usize = 2;
/// ... within so long; and so long after a summary nothing new is said that is not critical.
const WINDOW: TimeDelta = TimeDelta::minutes(10);
/// A summary waits until nothing was added for so long ...
const SETTLED: TimeDelta = TimeDelta::seconds(30);
/// ... but no longer than that.
const SETTLES_WITHIN: TimeDelta = TimeDelta::minutes(2);
/// After a quiet time more conversations than these are told as one.
const AFTER_QUIET: usize = 3;
/// What was told longer ago is a new conversation.
const REMEMBERED: TimeDelta = TimeDelta::hours(12);
/// Conversations remembered.
const MOST: usize = 100;

/// One message, and what of the outbox it says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parcel {
    /// What is said.
    pub(super) alert: Alert,
    /// What is done with when that arrived; never empty.
    pub(super) of: Vec<Delivery>,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// One conversation.
    Alone(String),
    /// Many that began at once.
    Many,
    /// Many that waited for the end of a quiet time.
    AfterQuiet,
}

/// What was said through a channel lately; kept in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lately {
    /// Conversations told alone, oldest first.
    alone: Vec<(String, Timestamp)>,
    /// When the last summary of many that began at once was sent.
    summed_at: Option<Timestamp>,
}

impl Lately {
    /// Takes in what arrived; answers whether that is to be kept.
    pub(super) fn note(&mut self, parcel: &Parcel, now: Timestamp) -> bool {
        match &parcel.kind {
            Kind::Alone(talk) if self.told_at(talk, now).is_some() => return false,
            Kind::Alone(talk) => self.alone.push((talk.clone(), now)),
            Kind::Many => self.summed_at = Some(now),
            Kind::AfterQuiet => return false,
        }
        self.alone.drain(..self.alone.len().saturating_sub(MOST));
        true
    }

    /// When a conversation was begun alone.
    fn told_at(&self, talk: &str, now: Timestamp) -> Option<Timestamp> {
        let mut alone = self.alone.iter().rev();
        let (_, at) = alone.find(|(known, at)| known == talk && is_within(REMEMBERED, *at, now))?;
        Some(*at)
    }

    /// Conversations begun alone that count against what is begun now.
    fn begun(&self, now: Timestamp) -> usize {
        self.alone.iter().filter(|(_, at)| is_within(WINDOW, *at, now)).count()
    }

    /// How many conversations may be begun alone now: none where there were many lately.
    fn room(&self, now: Timestamp) -> usize {
        let many_lately = self.summed_at.is_some_and(|at| is_within(WINDOW * 2, at, now));
        if many_lately { 0 } else { ALONE.saturating_sub(self.begun(now)) }
    }

    fn is_summed_within(&self, long: TimeDelta, now: Timestamp) -> bool {
        self.summed_at.is_some_and(|at| is_within(long, at, now))
    }
}

/// Whether it was no longer ago than that. What lies ahead was noted by a clock that was wrong, and
/// silences nobody.
fn is_within(long: TimeDelta, at: Timestamp, now: Timestamp) -> bool {
    (TimeDelta::zero()..long).contains(&(now - at))
}

/// How a channel wants to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taste {
    /// By a record of everything, at once.
    Everything,
    /// By everything outside of quiet times; it puts together by itself.
    Grouping,
    /// As people do.
    Person,
}

/// What waits of one conversation, oldest first; never empty.
struct Talk {
    name: String,
    waiting: Vec<Delivery>,
}

impl Talk {
    /// Whether nothing of it waits for its next try.
    fn is_ready(&self, now: Timestamp) -> bool {
        self.waiting.iter().all(|delivery| delivery.retry_at.is_none_or(|at| at <= now))
    }

    fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.waiting.iter().map(|delivery| &delivery.alert)
    }

    /// The worst that it says.
    fn severity(&self) -> Severity {
        self.alerts().map(|alert| alert.severity).max().unwrap_or(Severity::Info)
    }

    /// Whether it only says that something is over.
    fn is_end(&self) -> bool {
        self.alerts().all(Alert::is_over)
    }

    fn is_for_all(&self) -> bool {
        self.alerts().any(|alert| goes_everywhere(alert) || alert.event == "test")
    }

    /// Its next alert.
    fn first(mut self) -> Parcel {
        self.waiting.truncate(1);
        self.last()
    }

    /// All of it, told by its last alert.
    fn last(self) -> Parcel {
        let alert = self.waiting[self.waiting.len() - 1].alert.clone();
        Parcel { alert, of: self.waiting, kind: Kind::Alone(self.name) }
    }
}

/// What is said now of what `waits` for one channel, at most one message a conversation.
pub(super) fn parcels(
    waits: Vec<Delivery>,
    lately: &Lately,
    quiet: &Quiet,
    taste: Taste,
    now: Timestamp,
) -> Vec<Parcel> {
    let mut talks = talks(waits);
    if taste == Taste::Everything {
        return talks.into_iter().filter(|talk| talk.is_ready(now)).map(Talk::first).collect();
    }
    // An end wakes nobody where a program closes what it was told of.
    let closes = |talk: &Talk| taste == Taste::Grouping && talk.is_end();
    talks.retain(|talk| closes(talk) || may_be_heard(talk, lately, quiet, now));
    let (kept_back, rest): (Vec<_>, Vec<_>) =
        talks.into_iter().partition(|talk| was_kept_back(talk, lately, quiet, now));
    let mut parcels = after_quiet(kept_back, taste, now);
    parcels.extend(as_they_come(rest, lately, taste, now));
    parcels
}

fn talks(waits: Vec<Delivery>) -> Vec<Talk> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut talks: Vec<Talk> = vec![];
    for delivery in waits {
        let alert = &delivery.alert;
        let name = alert.incident.map_or_else(|| alert.key.clone(), |id| id.to_string());
        let place = *places.entry(name.clone()).or_insert(talks.len());
        match talks.get_mut(place) {
            Some(talk) => talk.waiting.push(delivery),
            None => talks.push(Talk { name, waiting: vec![delivery] }),
        }
    }
    talks
}

/// Whoever was woken by a conversation while it is quiet hears how it goes on.
fn may_be_heard(talk: &Talk, lately: &Lately, quiet: &Quiet, now: Timestamp) -> bool {
    let Some(except) = quiet.except_at(now) else { return true };
    let told_at = lately.told_at(&talk.name, now);
    talk.is_for_all()
        || told_at.is_some_and(|at| quiet.except_at(at).is_some())
        || talk.alerts().any(|alert| alert.severity >= except)
}

/// Whether it waited for the end of a quiet time.
fn was_kept_back(talk: &Talk, lately: &Lately, quiet: &Quiet, now: Timestamp) -> bool {
    let first = &talk.waiting[0].alert;
    quiet.except_at(now).is_none()
        && quiet.except_at(first.at).is_some_and(|except| first.severity < except)
        && !talk.is_for_all()
        && lately.told_at(&talk.name, now).is_none()
}

/// What began and ended meanwhile is told by its end; of many only one message is made.
fn after_quiet(talks: Vec<Talk>, taste: Taste, now: Timestamp) -> Vec<Parcel> {
    if taste == Taste::Person && talks.len() > AFTER_QUIET {
        return together(talks, Occasion::AfterQuiet, now).into_iter().collect();
    }
    talks.into_iter().filter(|talk| talk.is_ready(now)).map(Talk::last).collect()
}

fn as_they_come(talks: Vec<Talk>, lately: &Lately, taste: Taste, now: Timestamp) -> Vec<Parcel> {
    let goes_on = |talk: &Talk| {
        let told = lately.told_at(&talk.name, now).is_some();
        taste == Taste::Grouping || told || talk.is_for_all()
    };
    // What is worse does not wait for what only came first.
    let begins = (0..talks.len()).filter(|place| !goes_on(&talks[*place]));
    let mut first: Vec<usize> = begins.collect();
    first.sort_by_key(|place| std::cmp::Reverse(talks[*place].severity()));
    first.truncate(lately.room(now));
    let (mut alone, mut many) = (vec![], vec![]);
    for (place, talk) in talks.into_iter().enumerate() {
        let is_alone = goes_on(&talk) || first.contains(&place);
        if is_alone { alone.push(talk) } else { many.push(talk) }
    }
    let alone = alone.into_iter().filter(|talk| talk.is_ready(now)).map(Talk::first);
    let mut parcels: Vec<Parcel> = alone.collect();
    let urgent = many.iter().any(|talk| talk.severity() == Severity::Critical);
    // What is critical does not wait that long for the next summary.
    let pause = if urgent { SETTLES_WITHIN } else { WINDOW };
    if !lately.is_summed_within(pause, now) && is_settled(&many, now) {
        parcels.extend(together(many, Occasion::AtOnce, now));
    }
    parcels
}

/// Whether nothing more is to be waited for.
fn is_settled(talks: &[Talk], now: Timestamp) -> bool {
    let times = || talks.iter().flat_map(Talk::alerts).map(|alert| alert.at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return false };
    !is_within(SETTLED, last, now) || !is_within(SETTLES_WITHIN, first, now)
}

/// One message for all; the only one of its kind stays as it is.
fn together(mut talks: Vec<Talk>, why: Occasion, now: Timestamp) -> Option<Parcel> {
    if !talks.iter().all(|talk| talk.is_ready(now)) {
        return None;
    }
    if talks.len() == 1 {
        return talks.pop().map(Talk::last);
    }
    let alerts: Vec<&Alert> =
        talks.iter().filter_map(|talk| talk.waiting.last()).map(|last| &last.alert).collect();
    let alert = summary::of(&alerts, why, now);
    let of = talks.into_iter().flat_map(|talk| talk.waiting).collect();
    let kind = if why == Occasion::AtOnce { Kind::Many } else { Kind::AfterQuiet };
    Some(Parcel { alert, of, kind })
}

#[cfg(test)]
mod tests;
