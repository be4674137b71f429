//! How long to wait before Redis is tried again.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(15);

/// Doubles with each failure in a row.
#[derive(Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It works.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Whether no failure was waited for since it worked last.
    pub(super) const fn is_new(&self) -> bool {
        self.failures == 0
    }

    /// How long to wait after one more failure.
    fn next(&mut self) -> Duration {
        let delay = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        delay
    }

    /// Waits after one more failure, or until `cancel`.
    pub(super) async fn wait(&mut self, cancel: &CancellationToken) {
        cancel.run_until_cancelled(tokio::time::sleep(self.next())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_grows_to_its_longest_and_begins_anew_once_it_works() {
        let mut backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..40).map(|_| backoff.next()).collect();
        assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!((pauses[0], pauses[39]), (FIRST, LONGEST));
        backoff.reset();
        assert_eq!(backoff.next(), FIRST);
    }
}
