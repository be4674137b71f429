//! How long a service takes from its start until it works.
//!
//! Learnt from starts that were watched from their beginning: what was already running when it
//! was first seen teaches nothing, and neither does a start that had to wait for something else.
//! It says what is usual, not how long anything must be waited for.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// Starts of one service that are remembered: the newest.
const STARTS_KEPT: usize = 10;
/// Of fewer starts the middle one is the usual one: the longest may be the odd one.
const MANY: usize = 5;
/// What takes longer is no start any more.
const LONGEST: Duration = Duration::from_mins(30);
/// A start that is first seen later than this was not watched from its beginning.
const FIRST_SIGHT: Duration = Duration::from_mins(1);

/// How long the last starts of a service took.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WarmUps {
    /// In seconds, oldest first.
    took_secs: Vec<u64>,
}

impl WarmUps {
    /// Takes in one more start.
    pub fn add(&mut self, took: Duration) {
        self.took_secs.push(took.as_secs());
        let surplus = self.took_secs.len().saturating_sub(STARTS_KEPT);
        self.took_secs.drain(..surplus);
    }

    /// How long all but the longest took, or the middle one of few, and a quarter more; `None`
    /// before the first.
    pub fn usual(&self) -> Option<Duration> {
        let mut sorted = self.took_secs.clone();
        sorted.sort_unstable();
        // One odd start says little. Of two the longer one counts: a window that is too long costs
        // time, and one that is too short takes back a fix that helped.
        let rank = if sorted.len() < MANY { sorted.len() / 2 } else { sorted.len() - 2 };
        let usual = sorted.get(rank)?;
        Some((Duration::from_secs(*usual) * 5 / 4).min(LONGEST))
    }
}

/// What one look at a service shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// It works, since then.
    Works(Timestamp),
    /// It does not work yet, or not any more.
    Fails,
    /// It does not work, and something else explains that.
    Waits,
}

/// The present lives of services, each followed from its start until it works.
#[derive(Debug, Default)]
pub struct Starts {
    lives: BTreeMap<String, Life>,
}

#[derive(Debug)]
struct Life {
    started_at: Timestamp,
    /// Whether it is being waited for.
    warming: bool,
}

impl Starts {
    /// Takes in one look at the life of `service` that began at `started_at`; answers how long
    /// its start took, if that is known with this look.
    pub fn see(
        &mut self,
        service: &str,
        started_at: Timestamp,
        sight: Sight,
        now: Timestamp,
    ) -> Option<Duration> {
        let known = self.lives.get_mut(service).filter(|life| life.started_at == started_at);
        let Some(life) = known else {
            let age = (now - started_at).to_std().unwrap_or_default();
            let warming = sight != Sight::Waits && age <= FIRST_SIGHT;
            self.lives.insert(service.to_owned(), Life { started_at, warming });
            return if warming { self.end(service, sight) } else { None };
        };
        life.warming &= sight != Sight::Waits;
        self.end(service, sight)
    }

    fn end(&mut self, service: &str, sight: Sight) -> Option<Duration> {
        let (life, Sight::Works(since)) = (self.lives.get_mut(service)?, sight) else {
            return None;
        };
        let took = (since - life.started_at).to_std().unwrap_or_default();
        (std::mem::take(&mut life.warming) && took <= LONGEST).then_some(took)
    }

    /// Forgets services that are gone.
    pub fn keep_only(&mut self, is_there: impl Fn(&str) -> bool) {
        self.lives.retain(|service, _| is_there(service));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::start_time;

    fn at(secs: u64) -> Timestamp {
        start_time() + Duration::from_secs(secs)
    }

    /// What looks at one life teach, in seconds.
    fn taught(looks: &[(u64, Sight)]) -> Vec<u64> {
        let mut starts = Starts::default();
        let looks = looks.iter();
        let took = looks.filter_map(|(secs, sight)| starts.see("web", at(0), *sight, at(*secs)));
        took.map(|took| took.as_secs()).collect()
    }

    fn works(secs: u64) -> (u64, Sight) {
        (secs, Sight::Works(at(secs)))
    }

    #[test]
    fn a_start_lasts_until_the_service_works_for_the_first_time() {
        assert_eq!(taught(&[(2, Sight::Fails), (100, Sight::Fails), works(240)]), [240]);
        assert_eq!(taught(&[works(3)]), [3]);
        let hangs_later = [works(3), (500, Sight::Fails), works(900)];
        assert_eq!(taught(&hangs_later), [3], "that is no start");
        assert_eq!(taught(&[(2, Sight::Fails), (300, Sight::Works(at(200)))]), [200]);
    }

    #[test]
    fn what_was_not_watched_or_waited_for_others_teaches_nothing() {
        assert_eq!(taught(&[works(3000)]), [0_u64; 0], "it ran before anybody looked");
        assert_eq!(taught(&[(90, Sight::Fails), works(240)]), [0_u64; 0]);
        assert_eq!(taught(&[(2, Sight::Waits), works(240)]), [0_u64; 0]);
        assert_eq!(taught(&[(2, Sight::Fails), (9, Sight::Waits), works(240)]), [0_u64; 0]);
        assert_eq!(taught(&[(2, Sight::Fails), works(1801)]), [0_u64; 0], "somebody mended it");
    }

    #[test]
    fn another_life_is_another_start() {
        let mut starts = Starts::default();
        assert_eq!(starts.see("web", at(0), Sight::Fails, at(1)), None);
        assert_eq!(starts.see("web", at(50), Sight::Fails, at(51)), None, "it died and began anew");
        let took = starts.see("web", at(50), Sight::Works(at(70)), at(70));
        assert_eq!(took, Some(Duration::from_secs(20)));
    }

    #[test]
    fn the_usual_time_covers_nearly_all_starts_with_a_margin_and_has_an_end() {
        let usual = |secs: &[u64]| {
            let mut known = WarmUps::default();
            for secs in secs {
                known.add(Duration::from_secs(*secs));
            }
            known.usual().map(|usual| usual.as_secs())
        };
        assert_eq!(usual(&[]), None);
        assert_eq!(usual(&[240]), Some(300));
        assert_eq!(usual(&[8, 240]), Some(300), "of two the longer");
        assert_eq!(usual(&[4, 240, 8]), Some(10), "of few the middle one");
        assert_eq!(usual(&[8, 1500, 16, 8, 8]), Some(20), "one odd start in five");
        let odd = [8, 8, 8, 8, 1600, 8, 8, 8, 8, 8];
        assert_eq!(usual(&odd), Some(10), "one odd start in ten");
        assert_eq!(usual(&[1800]), Some(1800), "never more than half an hour");
        let forgotten: Vec<u64> = [400, 400].into_iter().chain([8; 10]).collect();
        assert_eq!(usual(&forgotten), Some(10));
    }
}
