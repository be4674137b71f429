//! When to try again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_mins(5);

/// How long to wait after `attempts` failures before this one: doubling from five
/// seconds to five minutes, of which `noise` takes up to a half, so that many who failed
/// together do not come back together.
pub(super) fn delay(attempts: u32, noise: u64) -> Duration {
    let full = FIRST.saturating_mul(2_u32.saturating_pow(attempts)).min(LONGEST);
    let share = u32::try_from(noise % 1000).expect("less than 1000");
    (full / 2 + full / 2 / 1000 * share).max(FIRST)
}

/// A number nobody can foresee.
pub(super) fn noise(id: i64) -> u64 {
    RandomState::new().hash_one(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_delay_stays_between_five_seconds_and_five_minutes(attempts: u32, noise: u64) {
            let delay = delay(attempts, noise);
            prop_assert!((FIRST..=LONGEST).contains(&delay), "{delay:?}");
        }

        #[test]
        fn more_failures_never_shorten_the_delay(attempts in 0_u32..20, noise: u64) {
            prop_assert!(delay(attempts + 1, noise) >= delay(attempts, noise));
        }
    }

    #[test]
    fn those_who_failed_together_come_back_apart() {
        assert!(delay(6, 0) < delay(6, 500));
        assert!(delay(6, 500) < delay(6, 999));
    }
}
