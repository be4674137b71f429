//! Tells a target that flaps, changing between well and broken again and again, from one that broke.
//!
//! Counted as Nagios and Naemon do (<https://naemon.io/documentation/usersguide/flapping>): of the
//! last 21 samples of a target the 20 changes between them are weighed, the newest half as much
//! again as the oldest, and their share is compared with two thresholds, so that what flaps does
//! not begin and end to flap at every sample. A change that somebody made on purpose (a repair, a
//! maintenance) is told by the caller and counts as none: one cure must not look like unrest.

use std::collections::{BTreeMap, VecDeque};

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::model::{TargetId, Timestamp};

/// Changes that are looked at: one less than the samples.
const CHANGES: usize = 20;
/// Weight of the oldest change; in between it rises evenly.
const OLDEST: f64 = 0.8;
/// Weight of the newest.
const NEWEST: f64 = 1.2;
/// From this percentage on it flaps ...
const BEGINS_AT: f64 = 50.0;
/// ... until it is below this one.
const ENDS_BELOW: f64 = 25.0;
/// A sample without a change counts only after this time: many looks in a minute must not wash a
/// change out of the window.
const APART: TimeDelta = TimeDelta::seconds(30);

/// How one target changed lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Track {
    well: bool,
    sampled_at: Timestamp,
    /// Whether each sample differed from the one before, oldest first.
    changes: VecDeque<bool>,
    flaps_since: Option<Timestamp>,
}

/// A target that flaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flapping {
    /// The weighted share of changes, in percent.
    pub percent: u32,
    /// When it began to flap.
    pub since: Timestamp,
}

/// How all targets changed lately; those that never did are left out when it is written down.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flaps {
    tracks: BTreeMap<TargetId, Track>,
}

impl Flaps {
    /// Takes in how a target does at `at`. Answers whether it began to flap with that.
    ///
    /// `on_purpose`: somebody works on it, so that a change says nothing about it.
    pub fn sample(&mut self, id: &TargetId, well: bool, on_purpose: bool, at: Timestamp) -> bool {
        let first = Track { well, sampled_at: at, changes: VecDeque::new(), flaps_since: None };
        let track = self.tracks.entry(id.clone()).or_insert(first);
        let changed = track.well != well;
        if !changed && at - track.sampled_at < APART {
            return false;
        }
        track.take(well, changed && !on_purpose, at)
    }

    /// Whether a target flaps.
    pub fn of(&self, id: &TargetId) -> Option<Flapping> {
        let track = self.tracks.get(id)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage")]
        let percent = track.percent().round() as u32;
        track.flaps_since.map(|since| Flapping { percent, since })
    }

    /// Forgets targets that are not watched any more.
    pub fn keep_only(&mut self, is_watched: impl Fn(&TargetId) -> bool) {
        self.tracks.retain(|id, _| is_watched(id));
    }

    /// What is worth writing down: the targets that changed.
    #[must_use]
    pub fn unrest(&self) -> Self {
        let changed = self.tracks.iter().filter(|(_, track)| track.changes.contains(&true));
        Self { tracks: changed.map(|(id, track)| (id.clone(), track.clone())).collect() }
    }
}

impl Track {
    fn take(&mut self, well: bool, changed: bool, at: Timestamp) -> bool {
        (self.well, self.sampled_at) = (well, at);
        self.changes.push_back(changed);
        if self.changes.len() > CHANGES {
            self.changes.pop_front();
        }
        let percent = self.percent();
        if self.flaps_since.is_some() {
            self.flaps_since = self.flaps_since.filter(|_| percent >= ENDS_BELOW);
            return false;
        }
        self.flaps_since = (percent >= BEGINS_AT).then_some(at);
        self.flaps_since.is_some()
    }

    /// The weighted share of changes, 0 to 100. What was before the first sample did not change.
    fn percent(&self) -> f64 {
        let step = (NEWEST - OLDEST) / (CHANGES - 1) as f64;
        let newest_first = self.changes.iter().rev().enumerate();
        let weighed = newest_first.filter(|(_, changed)| **changed);
        let sum: f64 = weighed.map(|(age, _)| NEWEST - step * age as f64).sum();
        100.0 * sum / CHANGES as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> TargetId {
        TargetId::container("web")
    }

    fn minute(minute: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    /// One sample a minute, `+` well and `-` broken; answers when it began to flap.
    fn sampled(flaps: &mut Flaps, first: i64, states: &str) -> Vec<i64> {
        let samples = (first..).zip(states.chars());
        samples
            .filter(|(at, state)| flaps.sample(&web(), *state == '+', false, minute(*at)))
            .map(|(at, _)| at)
            .collect()
    }

    #[test]
    fn what_changes_at_every_sample_is_wholly_unrest() {
        let mut flaps = Flaps::default();
        sampled(&mut flaps, 0, "+-+-+-+-+-+-+-+-+-+-+");
        assert_eq!(flaps.of(&web()).unwrap().percent, 100);
    }

    #[test]
    fn changes_weigh_by_their_age() {
        let mut flaps = Flaps::default();
        sampled(&mut flaps, 0, "+-----------------");
        sampled(&mut flaps, 18, "+-+");
        // 0.8, and 0.8 + 0.4 / 19 times 17, 18 and 19: together 4.33684 of 20.
        let percent = flaps.tracks[&web()].percent();
        assert!((percent - 21.6842).abs() < 0.0001, "{percent}");
        assert_eq!(flaps.of(&web()), None);
    }

    #[test]
    fn it_begins_at_the_high_threshold_and_ends_below_the_low_one() {
        let mut flaps = Flaps::default();
        // The eight newest weigh 9.0 of 20 together, the nine newest 10.04.
        assert_eq!(sampled(&mut flaps, 0, "+-+-+-+-+-"), [9]);
        let mut calm = 0;
        while flaps.of(&web()).is_some() {
            let percent = flaps.of(&web()).unwrap().percent;
            assert!(percent >= 25, "{percent}");
            calm += 1;
            flaps.sample(&web(), false, false, minute(9 + calm));
        }
        assert!((11..=20).contains(&calm), "neither at once nor never: {calm}");
        assert_eq!(sampled(&mut flaps, 100, "+"), [] as [i64; 0], "one change begins nothing anew");
    }

    #[test]
    fn what_somebody_does_on_purpose_is_no_unrest() {
        let mut flaps = Flaps::default();
        for at in 0..100 {
            // It breaks by itself, and each time it is repaired.
            assert!(!flaps.sample(&web(), true, true, minute(4 * at)));
            assert!(!flaps.sample(&web(), true, false, minute(4 * at + 1)));
            assert!(!flaps.sample(&web(), false, false, minute(4 * at + 2)));
        }
        assert_eq!(flaps.of(&web()), None);
    }

    #[test]
    fn many_looks_in_a_moment_wash_nothing_out_and_those_of_one_moment_add_nothing() {
        let mut flaps = Flaps::default();
        sampled(&mut flaps, 0, "+-+-+-+-+-");
        for _ in 0..100 {
            flaps.sample(&web(), false, false, minute(9));
        }
        assert!(flaps.of(&web()).is_some());
        assert_eq!(flaps.tracks[&web()].changes.len(), 9);
    }

    #[test]
    fn only_unrest_is_written_down_and_it_reads_back_the_same() {
        let mut flaps = Flaps::default();
        sampled(&mut flaps, 0, "+-+-+-+-+-");
        flaps.sample(&TargetId::container("calm"), true, false, minute(0));
        let text = serde_json::to_string(&flaps.unrest()).unwrap();
        assert!(!text.contains("calm"));
        let back: Flaps = serde_json::from_str(&text).unwrap();
        assert_eq!(back.of(&web()), flaps.of(&web()));
    }
}
