//! How many lines of one pattern came in the last ten minutes.

use std::collections::VecDeque;

use crate::model::{Timestamp, Trend};

/// Minutes that are remembered.
pub(super) const MINUTES: i64 = 10;

/// Lines by minute, oldest first; never more than ten minutes of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent(VecDeque<(i64, u32)>);

impl Recent {
    /// Counts a line; one from before the last ten minutes is left out.
    pub(super) fn add(&mut self, at: Timestamp) {
        let minute = minute(at);
        match self.0.iter_mut().rev().find(|(known, _)| *known <= minute) {
            Some((known, lines)) if *known == minute => *lines = lines.saturating_add(1),
            _ => {
                let place = self.0.partition_point(|(known, _)| *known < minute);
                self.0.insert(place, (minute, 1));
            }
        }
        let newest = self.0.back().map_or(minute, |(newest, _)| *newest);
        self.drop_before(newest - MINUTES);
    }

    /// Forgets what is older than ten minutes.
    pub(super) fn fade(&mut self, now: Timestamp) {
        self.drop_before(minute(now) - MINUTES);
    }

    fn drop_before(&mut self, oldest: i64) {
        while self.0.front().is_some_and(|(minute, _)| *minute <= oldest) {
            self.0.pop_front();
        }
    }

    /// Lines.
    pub(super) fn count(&self) -> u32 {
        self.0.iter().fold(0, |sum, (_, lines)| sum.saturating_add(*lines))
    }

    /// The minute of the first of them.
    pub(super) fn begun(&self) -> Option<Timestamp> {
        let (minute, _) = self.0.front()?;
        Timestamp::from_timestamp(minute * 60, 0)
    }

    /// In how many different minutes they came.
    pub(super) fn minutes(&self) -> usize {
        self.0.len()
    }

    /// Whether the newer half holds clearly more than the older one.
    pub(super) fn trend(&self, now: Timestamp) -> Trend {
        let middle = minute(now) - MINUTES / 2;
        let newer: u64 =
            self.0.iter().filter(|(at, _)| *at > middle).map(|(_, n)| u64::from(*n)).sum();
        let older = u64::from(self.count()) - newer;
        match () {
            () if newer + older < 2 => Trend::Steady,
            () if newer * 4 > older * 5 => Trend::Rising,
            () if newer * 5 < older * 4 => Trend::Falling,
            () => Trend::Steady,
        }
    }
}

fn minute(at: Timestamp) -> i64 {
    at.timestamp().div_euclid(60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_timestamp(1_767_268_800 + secs, 0).unwrap()
    }

    #[test]
    fn only_the_last_ten_minutes_count_in_whatever_order_lines_come() {
        let mut recent = Recent::default();
        for secs in [30, 0, 90, 61, 500] {
            recent.add(at(secs));
        }
        assert_eq!((recent.count(), recent.minutes()), (5, 3));
        recent.add(at(615));
        assert_eq!(recent.count(), 4, "the first minute is over");
        recent.add(at(1));
        assert_eq!(recent.count(), 4, "and a late line of it does not count");
        recent.fade(at(100_000));
        assert_eq!(recent.count(), 0);
    }
}
