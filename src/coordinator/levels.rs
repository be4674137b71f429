//! What was measured of each target, over the last day: for charts, and for nothing else.
//!
//! In memory alone, bounded, and coarse: nothing is decided by it. A restart begins it anew;
//! what forecasts need is in the store.

use std::collections::{BTreeMap, VecDeque};

use chrono::TimeDelta;
use selfheal_agents::error_detector;
use selfheal_agents::model::{ObservedValue, TargetId, Timestamp};

use super::look::Seen;
use super::state::{Inner, lock};

/// What is followed: how much is used, how often it dies, how fast it answers.
const FOLLOWED: [&str; 9] = [
    "container.cpu",
    "container.memory",
    "container.deaths",
    "host.cpu",
    "http.latency",
    "postgres.latency",
    "mysql.latency",
    "redis.latency",
    ERROR_LINES,
];
/// Error lines in a log, by the minute.
pub const ERROR_LINES: &str = "log.errors";
/// Values closer together are one: the highest of them.
const SPACING: TimeDelta = TimeDelta::minutes(4);
/// Older ones are forgotten.
const KEPT: TimeDelta = TimeDelta::hours(24);
/// Values kept of one check: a day of one in five minutes.
const MOST_VALUES: usize = 288;
/// Checks of targets followed at most.
const MOST_FOLLOWED: usize = 2_048;

/// A value and when it was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    at_secs: i64,
    value: f32,
}

#[derive(Debug, Default)]
struct Followed {
    unit: String,
    points: VecDeque<Point>,
}

/// What one check measured over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// The check.
    pub check: String,
    /// The unit of its values.
    pub unit: String,
    /// Values, oldest first.
    pub points: Vec<(Timestamp, f64)>,
}

/// All that is followed.
#[derive(Debug, Default)]
pub(super) struct Levels {
    followed: BTreeMap<(TargetId, &'static str), Followed>,
    /// When logs were read last.
    read_at: BTreeMap<TargetId, Timestamp>,
}

impl Levels {
    #[expect(clippy::cast_possible_truncation, reason = "a chart shows three figures of it")]
    fn see(&mut self, target: &TargetId, (check, unit): (&str, &str), value: f64, now: Timestamp) {
        let Some(check) = FOLLOWED.into_iter().find(|followed| *followed == check) else { return };
        let key = (target.clone(), check);
        if self.followed.len() >= MOST_FOLLOWED && !self.followed.contains_key(&key) {
            return;
        }
        let followed = self.followed.entry(key).or_default();
        unit.clone_into(&mut followed.unit);
        let point = Point { at_secs: now.timestamp(), value: value as f32 };
        match followed.points.back_mut() {
            // A clock set back makes everything later wrong; begin anew.
            Some(last) if point.at_secs < last.at_secs => {
                followed.points.clear();
                followed.points.push_back(point);
            }
            Some(last) if point.at_secs - last.at_secs < SPACING.num_seconds() => {
                last.value = last.value.max(point.value);
            }
            _ => followed.points.push_back(point),
        }
        if followed.points.len() > MOST_VALUES {
            followed.points.pop_front();
        }
    }

    /// So many error lines were read of a log.
    fn read(&mut self, target: &TargetId, lines: u64, now: Timestamp) {
        let Some(from) = self.read_at.insert(target.clone(), now) else { return };
        let minutes = (now - from).as_seconds_f64() / 60.0;
        if minutes > 0.0 {
            self.see(target, (ERROR_LINES, "lines/min"), lines as f64 / minutes, now);
        }
    }

    fn forget(&mut self, now: Timestamp) {
        let oldest = (now - KEPT).timestamp();
        for followed in self.followed.values_mut() {
            while followed.points.front().is_some_and(|point| point.at_secs < oldest) {
                followed.points.pop_front();
            }
        }
        self.followed.retain(|_, followed| !followed.points.is_empty());
        self.read_at.retain(|_, at| now - *at < KEPT);
    }

    fn of(&self, target: &TargetId) -> Vec<Level> {
        let point = |point: &Point| {
            Some((Timestamp::from_timestamp(point.at_secs, 0)?, f64::from(point.value)))
        };
        let its = self.followed.iter().filter(|((id, _), _)| id == target);
        its.map(|((_, check), followed)| Level {
            check: (*check).to_owned(),
            unit: followed.unit.clone(),
            points: followed.points.iter().filter_map(point).collect(),
        })
        .collect()
    }
}

impl Inner {
    /// Takes in what a cycle measured.
    pub(super) fn remember_measured(&self, seen: &Seen) {
        let mut levels = lock(&self.levels);
        for measured in seen.report.targets.iter().flat_map(|target| &target.observations) {
            if let ObservedValue::Number(value) = measured.value
                && value.is_finite()
            {
                let check = (measured.check.as_str(), measured.unit.as_str());
                levels.see(&measured.target, check, value, seen.now);
            }
        }
        for (target, batch) in &seen.logs {
            levels.read(target, error_detector::error_lines(batch), seen.now);
        }
        levels.forget(seen.now);
    }

    /// What was measured of a target over the last day, as far as this run knows.
    pub(super) fn levels_of(&self, target: &TargetId) -> Vec<Level> {
        lock(&self.levels).of(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATENCY: (&str, &str) = ("http.latency", "ms");

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::days(9) + TimeDelta::minutes(minutes)
    }

    fn values(levels: &Levels) -> Vec<f64> {
        let its = levels.of(&TargetId::host());
        its.iter().flat_map(|level| &level.points).map(|(_, value)| *value).collect()
    }

    #[test]
    fn a_peak_between_two_values_is_not_lost_and_the_oldest_give_way() {
        let (mut levels, host) = (Levels::default(), TargetId::host());
        for (minute, value) in [(0, 3.0), (1, 90.0), (2, 4.0), (5, 5.0)] {
            levels.see(&host, LATENCY, value, at(minute));
        }
        levels.see(&host, ("host.load", ""), 1.0, at(5));
        assert_eq!(values(&levels), [90.0, 5.0], "and what is not followed is left out");
        for step in 2..1000 {
            levels.see(&host, LATENCY, 7.0, at(step * 5));
        }
        assert_eq!(values(&levels).len(), MOST_VALUES);
        levels.forget(at(999 * 5 + 25 * 60));
        assert!(values(&levels).is_empty());
    }

    #[test]
    fn lines_are_counted_by_the_minute_from_the_second_reading_on() {
        let (mut levels, host) = (Levels::default(), TargetId::host());
        levels.read(&host, 500, at(0));
        levels.read(&host, 10, at(5));
        assert_eq!(values(&levels), [2.0], "nobody knows how long the first ones took");
    }
}
