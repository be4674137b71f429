//! How long is waited before something that ends again and again is begun anew.

use std::time::Duration;

/// Pause before the first new beginning; each next one is twice as long ...
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// ... up to this, ...
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// ... until it has gone well for so long.
const GOES_WELL_AFTER: Duration = Duration::from_mins(15);

/// Ends one after the other, with no good time in between.
#[derive(Debug, Default)]
pub struct Spell {
    ends: u32,
}

impl Spell {
    /// It ended after it had run for so long; answers how long to wait.
    pub fn ended_after(&mut self, ran: Duration) -> Duration {
        if ran >= GOES_WELL_AFTER {
            self.ends = 0;
        }
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.ends)).min(LONGEST_PAUSE);
        self.ends = self.ends.saturating_add(1);
        pause
    }

    /// How many ends there were.
    pub const fn ends(&self) -> u32 {
        self.ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_it_goes_well() {
        let mut spell = Spell::default();
        let mut last = Duration::ZERO;
        for _ in 0..20 {
            let pause = spell.ended_after(Duration::from_secs(1));
            assert!(pause > last || pause == LONGEST_PAUSE, "{pause:?} after {last:?}");
            last = pause;
        }
        assert_eq!((last, spell.ends()), (LONGEST_PAUSE, 20));
        assert_eq!((spell.ended_after(GOES_WELL_AFTER), spell.ends()), (FIRST_PAUSE, 1));
    }
}
