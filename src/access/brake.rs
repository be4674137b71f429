//! Slows down whoever shows wrong tokens.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::bucket::Buckets;

/// What one miss costs.
const EACH: Duration = Duration::from_secs(6);
/// What may be owed before no more is looked at: ten misses at once, and then one in six seconds.
const CREDIT: Duration = Duration::from_mins(1);

/// What each address owes for its misses.
#[derive(Debug)]
pub(super) struct Brake(Buckets<IpAddr>);

impl Default for Brake {
    fn default() -> Self {
        Self(Buckets::new(EACH, CREDIT))
    }
}

impl Brake {
    /// Notes a miss. Answers how long to wait, where too many came before.
    pub(super) fn miss(&self, from: Option<IpAddr>, now: Instant) -> Option<Duration> {
        self.0.take(from.map(network), now)
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
        assert!(brake.0.remembered() <= 1025);
        assert_eq!(misses(&brake, Some(IpAddr::V4(9999.into())), now), 0, "all others are one");
        assert_eq!(misses(&brake, Some(IpAddr::V4(9999.into())), now + CREDIT * 2), 10);
    }
}
