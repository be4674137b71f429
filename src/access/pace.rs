//! How fast anybody may go on asking: for what changes something, and for what is long to answer.
//!
//! Who shows a token is counted by its name, wherever they are; who shows none by the network they come
//! from. On this machine nobody without a token is counted: whoever is here and need not show one may
//! do worse. It is there for programs that run wild, not against people.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::bucket::Buckets;
use super::{Holder, network};

/// What a request costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Next to nothing.
    Free,
    /// Its answer takes the longer, the more there is.
    Read,
    /// It changes something.
    Write,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Asker {
    Token(String),
    Network(IpAddr),
}

/// What of each everybody may ask for in a minute, at once or spread over it.
#[derive(Debug, Default)]
pub(super) struct Pace {
    writes: Option<Buckets<Asker>>,
    reads: Option<Buckets<Asker>>,
}

impl Pace {
    /// So many a minute; 0 is no limit.
    pub(super) fn new(writes: u32, reads: u32) -> Self {
        let minute = Duration::from_mins(1);
        let buckets = |most: u32| (most > 0).then(|| Buckets::new(minute / most, minute));
        Self { writes: buckets(writes), reads: buckets(reads) }
    }

    /// Counts a request. Answers how long to wait, where too many came before.
    pub(super) fn ask(
        &self,
        cost: Cost,
        holder: Option<&Holder>,
        from: Option<IpAddr>,
        now: Instant,
    ) -> Option<Duration> {
        let buckets = match cost {
            Cost::Free => return None,
            Cost::Read => self.reads.as_ref()?,
            Cost::Write => self.writes.as_ref()?,
        };
        let asker = match (holder, from.map(|from| from.to_canonical())) {
            (Some(holder), _) => Some(Asker::Token(holder.name.clone())),
            (None, Some(from)) if from.is_loopback() => return None,
            (None, from) => from.map(|from| Asker::Network(network(from))),
        };
        buckets.take(asker, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(pace: &Pace, cost: Cost, from: &str, now: Instant) -> usize {
        let from = Some(from.parse().unwrap());
        (0..1000).take_while(|_| pace.ask(cost, None, from, now).is_none()).count()
    }

    #[test]
    fn a_minutes_worth_at_once_and_then_one_after_the_other() {
        let (pace, now) = (Pace::new(30, 60), Instant::now());
        assert_eq!(taken(&pace, Cost::Write, "10.0.0.7", now), 30);
        assert_eq!(taken(&pace, Cost::Read, "10.0.0.7", now), 60, "each has its own");
        assert_eq!(taken(&pace, Cost::Write, "10.0.0.8", now), 30, "and so has each peer");
        let from = Some("10.0.0.7".parse().unwrap());
        let wait = pace.ask(Cost::Write, None, from, now).unwrap();
        assert_eq!(wait, Duration::from_secs(2));
        assert_eq!(taken(&pace, Cost::Write, "10.0.0.7", now + wait), 1);
    }

    #[test]
    fn what_costs_nothing_what_has_no_limit_and_who_is_here_is_not_counted() {
        let (pace, now) = (Pace::new(30, 0), Instant::now());
        assert_eq!(taken(&pace, Cost::Free, "10.0.0.7", now), 1000);
        assert_eq!(taken(&pace, Cost::Read, "10.0.0.7", now), 1000);
        for here in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(taken(&pace, Cost::Write, here, now), 1000, "{here}");
        }
    }
}
