//! What one runbook's signatures showed on one target within the last ten minutes.
//!
//! Bounded: counts are kept in buckets of half a minute, and a few samples stand for all
//! lines.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::TimeDelta;

use crate::model::{Runbook, Signature, TargetId, Timestamp, Trend, clean};

/// Lines older than this do not count.
pub(super) const WINDOW: TimeDelta = TimeDelta::minutes(10);
/// A finding without a new line for this long is over: a little more than the longest usual
/// time between two cycles.
const FRESH: TimeDelta = TimeDelta::minutes(6);
/// Length of a bucket, in seconds.
const BUCKET_SECS: i64 = 30;
/// Samples kept.
const MAX_SAMPLES: usize = 5;
/// Length of a sample, in characters.
const SAMPLE_CHARS: usize = 300;

/// One signature by its text: a runbook that is read again may have it in another place, or
/// no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sign(u64);

impl Sign {
    /// The sign of a log signature.
    pub(super) fn of(signature: &Signature) -> Self {
        let mut hasher = DefaultHasher::new();
        (&signature.log, signature.side).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// The signs of one trouble on one target.
#[derive(Debug, Clone)]
pub(super) struct Window {
    /// The container whose log they stand in.
    pub(super) container: TargetId,
    /// Lines, by the start of the bucket in seconds and by signature.
    buckets: BTreeMap<(i64, Sign), u64>,
    samples: VecDeque<(Sign, String)>,
    /// Time of the first line of this trouble.
    pub(super) first_seen: Timestamp,
    /// Time of the last.
    pub(super) last_seen: Timestamp,
    /// When a report last spoke of the target.
    pub(super) reported_at: Timestamp,
}

impl Window {
    pub(super) fn new(container: TargetId, at: Timestamp) -> Self {
        Self {
            container,
            buckets: BTreeMap::new(),
            samples: VecDeque::new(),
            first_seen: at,
            last_seen: at,
            reported_at: at,
        }
    }

    /// Counts a line.
    pub(super) fn add(&mut self, at: Timestamp, sign: Sign, text: &str) {
        let start = at.timestamp().div_euclid(BUCKET_SECS) * BUCKET_SECS;
        *self.buckets.entry((start, sign)).or_default() += 1;
        self.last_seen = self.last_seen.max(at);
        // A flood of one line must not clean it a million times.
        if self.samples.len() < MAX_SAMPLES {
            let sample = clean(text, SAMPLE_CHARS);
            if self.samples.iter().all(|(_, known)| *known != sample) {
                self.samples.push_back((sign, sample));
            }
        }
    }

    /// Forgets lines before `oldest`; returns whether any are left.
    pub(super) fn prune(&mut self, oldest: Timestamp) -> bool {
        let oldest_bucket = oldest.timestamp() - BUCKET_SECS;
        self.buckets.retain(|(start, _), _| *start > oldest_bucket);
        if self.last_seen < oldest {
            self.buckets.clear();
        }
        !self.buckets.is_empty()
    }

    /// Forgets lines of signatures that `runbook` no longer has; returns whether any are left.
    pub(super) fn keep_signs_of(&mut self, runbook: &Runbook) -> bool {
        let signs: Vec<Sign> = runbook.signatures.iter().map(Sign::of).collect();
        let before = self.buckets.len();
        self.buckets.retain(|(_, sign), _| signs.contains(sign));
        if self.buckets.len() < before {
            self.samples.retain(|(sign, _)| signs.contains(sign));
            let newest = self.buckets.keys().next_back();
            let ends =
                newest.and_then(|(start, _)| Timestamp::from_timestamp(start + BUCKET_SECS, 0));
            self.last_seen = ends.map_or(self.last_seen, |ends| ends.min(self.last_seen));
        }
        !self.buckets.is_empty()
    }

    /// Lines within the window.
    pub(super) fn count(&self) -> u64 {
        self.buckets.values().sum()
    }

    /// Whether it counts: one signature was seen often enough, and not too long before `now`.
    pub(super) fn counts(&self, runbook: &Runbook, now: Timestamp) -> bool {
        let often_enough = runbook.signatures.iter().any(|signature| {
            let sign = Sign::of(signature);
            let seen: u64 = self
                .buckets
                .iter()
                .filter(|((_, of), _)| *of == sign)
                .map(|(_, lines)| lines)
                .sum();
            signature.log.is_some() && seen >= signature.at_least.unwrap_or(1)
        });
        often_enough && self.last_seen >= now - FRESH
    }

    /// Whether the newer half of the window holds clearly more than the older one.
    pub(super) fn trend(&self, now: Timestamp) -> Trend {
        let middle = (now - WINDOW / 2).timestamp();
        let newer: u64 =
            self.buckets.iter().filter(|((start, _), _)| *start >= middle).map(|(_, n)| n).sum();
        let older = self.count() - newer;
        match () {
            () if self.count() < 2 => Trend::Steady,
            () if newer * 4 > older * 5 => Trend::Rising,
            () if newer * 5 < older * 4 => Trend::Falling,
            () => Trend::Steady,
        }
    }

    pub(super) fn samples(&self) -> Vec<String> {
        self.samples.iter().map(|(_, sample)| sample.clone()).collect()
    }
}
