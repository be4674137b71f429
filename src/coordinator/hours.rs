//! How each target did, hour by hour, for a day: the worst that any cycle saw of it in that hour,
//! and whether it was healed after that.
//!
//! Its invariant: an hour in which nobody looked says nothing. It is written down only when it
//! says something new, so that it lasts beyond a restart and costs a few writes an hour.

use std::collections::BTreeMap;

use selfheal_agents::model::{TargetId, Timestamp, Verdict};
use serde::{Deserialize, Serialize};

use super::look::Seen;
use super::state::{Inner, lock};

/// Under which name it is kept.
const HOURS: &str = "hours";
/// So many hours are kept, with the present one.
pub const HOURS_KEPT: usize = 24;
/// Targets followed at most: containers that are made anew under other names are no end of them.
const MOST_FOLLOWED: usize = 2_048;

/// How one target did in one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hour {
    /// Nobody looked.
    #[default]
    Unseen,
    /// Nothing was wrong with it.
    Well,
    /// Something was worth a look.
    Ailing,
    /// It was broken.
    Down,
    /// It was broken or ailing, and a fix that was kept mended it.
    Healed,
}

impl Hour {
    /// The same after one more look.
    fn and(self, verdict: Verdict) -> Self {
        match (self, verdict) {
            (before, Verdict::Unknown) => before,
            (_, Verdict::Critical) => Self::Down,
            (Self::Unseen, Verdict::Ok) => Self::Well,
            (Self::Down, _) | (_, Verdict::Ok) => self,
            (_, Verdict::Warning) => Self::Ailing,
        }
    }
}

/// By hours since 1970.
type Day = BTreeMap<i64, Hour>;

/// How every target did.
#[derive(Debug, Default)]
pub(super) struct Hours {
    days: BTreeMap<TargetId, Day>,
    /// Whether what an earlier run wrote down was read.
    is_recalled: bool,
    /// Whether it says something that is not written down.
    is_news: bool,
}

fn hour_of(at: Timestamp) -> i64 {
    at.timestamp().div_euclid(3600)
}

impl Hours {
    fn mark(&mut self, target: &TargetId, now: Timestamp, change: impl FnOnce(Hour) -> Hour) {
        if self.days.len() >= MOST_FOLLOWED && !self.days.contains_key(target) {
            return;
        }
        let day = self.days.entry(target.clone()).or_default();
        let hour = day.entry(hour_of(now)).or_default();
        let changed = change(*hour);
        self.is_news |= changed != *hour;
        *hour = changed;
    }

    /// A cycle saw this of a target.
    fn see(&mut self, target: &TargetId, verdict: Verdict, now: Timestamp) {
        self.mark(target, now, |hour| hour.and(verdict));
    }

    /// A fix that was kept mended these.
    pub(super) fn heal(&mut self, targets: &[TargetId], now: Timestamp) {
        for target in targets {
            self.mark(target, now, |_| Hour::Healed);
        }
    }

    /// Adds what an earlier run saw.
    fn recall(&mut self, earlier: BTreeMap<TargetId, Day>) {
        for (target, day) in earlier {
            if self.days.len() >= MOST_FOLLOWED && !self.days.contains_key(&target) {
                continue;
            }
            let own = self.days.entry(target).or_default();
            for (hour, was) in day {
                own.entry(hour).or_insert(was);
            }
        }
        self.is_recalled = true;
    }

    /// Forgets what is older than a day, and targets of which nothing is left.
    fn forget(&mut self, now: Timestamp) {
        let oldest = oldest(now);
        for day in self.days.values_mut() {
            day.retain(|hour, _| *hour >= oldest);
        }
        self.days.retain(|_, day| day.values().any(|hour| *hour != Hour::Unseen));
    }

    /// The last day of each target, oldest hour first.
    fn last_day(&self, now: Timestamp) -> BTreeMap<TargetId, Vec<Hour>> {
        let hours = oldest(now)..=hour_of(now);
        let of = |day: &Day| -> Vec<Hour> {
            hours.clone().map(|hour| day.get(&hour).copied().unwrap_or_default()).collect()
        };
        self.days.iter().map(|(target, day)| (target.clone(), of(day))).collect()
    }
}

fn oldest(now: Timestamp) -> i64 {
    let kept = i64::try_from(HOURS_KEPT).unwrap_or(i64::MAX);
    hour_of(now).saturating_sub(kept - 1)
}

impl Inner {
    /// Takes in what a cycle saw.
    pub(super) async fn remember_hours(&self, seen: &Seen) {
        if !lock(&self.hours).is_recalled {
            match self.recall(HOURS).await {
                Ok(earlier) => lock(&self.hours).recall(earlier.unwrap_or_default()),
                // To write before that was read would overwrite it.
                Err(error) => {
                    return tracing::error!(%error, "how targets did before cannot be read");
                }
            }
        }
        let news = {
            let mut hours = lock(&self.hours);
            let judged = seen.report.targets.iter().filter(|t| !seen.put_off.contains(t.id()));
            for target in judged {
                hours.see(target.id(), target.verdict(), seen.now);
            }
            hours.forget(seen.now);
            std::mem::take(&mut hours.is_news).then(|| hours.days.clone())
        };
        let Some(news) = news else { return };
        if let Err(error) = self.keep_in_mind(HOURS, &news).await {
            tracing::error!(%error, "how targets do is not kept");
            lock(&self.hours).is_news = true;
        }
    }

    /// The last day of each target, oldest hour first.
    pub(super) fn last_day(&self) -> BTreeMap<TargetId, Vec<Hour>> {
        lock(&self.hours).last_day(self.world.clock.now())
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::days(9) + TimeDelta::minutes(minutes)
    }

    fn last(hours: &Hours, minutes: i64) -> Vec<Hour> {
        let mut days = hours.last_day(at(minutes));
        days.remove(&TargetId::host()).unwrap_or_default().split_off(HOURS_KEPT - 3)
    }

    #[test]
    fn the_worst_of_an_hour_stands_until_a_fix_mends_it() {
        let (mut hours, host) = (Hours::default(), TargetId::host());
        hours.see(&host, Verdict::Ok, at(0));
        hours.see(&host, Verdict::Unknown, at(1));
        assert_eq!(last(&hours, 1), [Hour::Unseen, Hour::Unseen, Hour::Well]);
        hours.see(&host, Verdict::Critical, at(2));
        hours.see(&host, Verdict::Warning, at(3));
        hours.see(&host, Verdict::Ok, at(4));
        assert_eq!(last(&hours, 4)[2], Hour::Down, "well again by itself is no healing");
        hours.heal(std::slice::from_ref(&host), at(5));
        hours.see(&host, Verdict::Ok, at(6));
        assert_eq!(last(&hours, 6)[2], Hour::Healed);
        hours.see(&host, Verdict::Critical, at(7));
        assert_eq!(last(&hours, 7)[2], Hour::Down, "and is broken again");
        hours.see(&host, Verdict::Warning, at(130));
        assert_eq!(last(&hours, 130), [Hour::Down, Hour::Unseen, Hour::Ailing]);
    }

    #[test]
    fn however_many_targets_come_and_go_only_so_many_are_followed() {
        let (mut hours, mut earlier) = (Hours::default(), BTreeMap::new());
        for number in 0..MOST_FOLLOWED + 9 {
            hours.see(&TargetId::container(&format!("job-{number}")), Verdict::Ok, at(0));
            let day = Day::from([(hour_of(at(0)), Hour::Well)]);
            earlier.insert(TargetId::container(&format!("old-{number}")), day);
        }
        assert_eq!(hours.days.len(), MOST_FOLLOWED);
        hours.recall(earlier);
        assert_eq!(hours.days.len(), MOST_FOLLOWED);
        let known = TargetId::container("job-7");
        hours.see(&known, Verdict::Critical, at(1));
        assert_eq!(
            hours.last_day(at(1))[&known].last(),
            Some(&Hour::Down),
            "it goes on with those"
        );
        hours.forget(at(25 * 60));
        hours.see(&TargetId::host(), Verdict::Ok, at(25 * 60));
        assert_eq!(hours.days.len(), 1, "and begins with others when these are gone");
    }

    #[test]
    fn what_is_older_than_a_day_is_forgotten_and_what_an_earlier_run_saw_is_not() {
        let (mut hours, host) = (Hours::default(), TargetId::host());
        hours.see(&host, Verdict::Critical, at(0));
        let earlier = hours.days.clone();
        let mut next = Hours::default();
        next.see(&host, Verdict::Ok, at(60));
        next.recall(earlier);
        assert_eq!(last(&next, 60)[1..], [Hour::Down, Hour::Well]);
        next.forget(at(24 * 60));
        assert_eq!(last(&next, 60)[1..], [Hour::Unseen, Hour::Well]);
        next.forget(at(99 * 60));
        assert!(next.days.is_empty());
    }
}
