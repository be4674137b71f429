//! Slows down whoever shows wrong tokens.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What one miss costs.
const EACH: Duration = Duration::from_secs(6);
/// What may be owed before no more is looked at: ten misses at once, and then one in six seconds.
const CREDIT: Duration = Duration::from_mins(1);
/// Addresses remembered at most; beyond, all others count as one.
const MOST: usize = 1024;

/// From when on each address owes nothing. Who is not in it owes nothing.
#[derive(Debug, Default)]
pub(super) struct Brake {
    debts: Mutex<HashMap<Option<IpAddr>, Instant>>,
}

impl Brake {
    /// Notes a miss. Answers how long to wait, where too many came before.
    pub(super) fn miss(&self, from: Option<IpAddr>, now: Instant) -> Option<Duration> {
        let mut debts = self.debts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut from = from.map(network);
        if debts.len() >= MOST && !debts.contains_key(&from) {
            debts.retain(|_, free_at| *free_at > now);
            if debts.len() >= MOST {
                from = None;
            }
        }
        let free_at = debts.get(&from).copied().unwrap_or(now).max(now) + EACH;
        let wait = (free_at - now).saturating_sub(CREDIT);
        if !wait.is_zero() {
            return Some(wait);
        }
        debts.insert(from, free_at);
        None
    }
}

/// Who has one address of IPv6 has the other 2^64 of its network as well.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & (u128::MAX << 64)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    fn misses(brake: &Brake, from: Option<IpAddr>, now: Instant) -> usize {
        (0..100).take_while(|_| brake.miss(from, now).is_none()).count()
    }

    #[test]
    fn ten_misses_at_once_and_then_one_in_six_seconds() {
        let (brake, began) = (Brake::default(), Instant::now());
        assert_eq!(misses(&brake, HERE, began), 10);
        let wait = brake.miss(HERE, began).unwrap();
        assert_eq!(wait, EACH);
        assert_eq!(misses(&brake, HERE, began + wait), 1, "asking meanwhile costs nothing more");
        assert_eq!(misses(&brake, HERE, began + Duration::from_hours(1)), 10);
    }

    #[test]
    fn another_address_is_not_slowed_down_and_the_rest_of_a_network_is() {
        let (brake, now) = (Brake::default(), Instant::now());
        let from = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        assert_eq!(misses(&brake, from("2001:db8::1"), now), 10);
        assert_eq!(misses(&brake, from("2001:db8::ffff:1"), now), 0);
        assert_eq!(misses(&brake, from("2001:db8:0:1::1"), now), 10);
        assert_eq!(misses(&brake, from("10.0.0.1"), now), 10);
        assert_eq!(misses(&brake, from("::ffff:10.0.0.1"), now), 0, "the same written otherwise");
        assert_eq!(misses(&brake, None, now), 10);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (brake, now) = (Brake::default(), Instant::now());
        for number in 0..5000_u32 {
            brake.miss(Some(IpAddr::V4(number.into())), now);
        }
        assert!(brake.debts.lock().unwrap().len() <= MOST + 1);
        assert_eq!(misses(&brake, Some(IpAddr::V4(9999.into())), now), 0, "all others are one");
        assert_eq!(misses(&brake, Some(IpAddr::V4(9999.into())), now + CREDIT * 2), 10);
    }
}
