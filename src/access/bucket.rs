//! How much of something each of many may have: so much at once, and then so much a time.
//!
//! What it remembers is bounded, whoever asks. It knows no reason and no words.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Those remembered at most; beyond, all others count as one.
const MOST: usize = 1024;

/// From when on each owes nothing. Who is not in it owes nothing.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    /// What one costs.
    each: Duration,
    /// What may be owed before no more is given.
    credit: Duration,
    debts: Mutex<HashMap<Option<K>, Instant>>,
}

impl<K: Eq + Hash> Buckets<K> {
    pub(super) fn new(each: Duration, credit: Duration) -> Self {
        Self { each, credit, debts: Mutex::default() }
    }

    /// Takes one. Answers how long to wait, where there is none left; that costs nothing more.
    pub(super) fn take(&self, by: Option<K>, now: Instant) -> Option<Duration> {
        let mut debts = self.debts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by = by;
        if debts.len() >= MOST && !debts.contains_key(&by) {
            debts.retain(|_, free_at| *free_at > now);
            if debts.len() >= MOST {
                by = None;
            }
        }
        let free_at = debts.get(&by).copied().unwrap_or(now).max(now) + self.each;
        let wait = (free_at - now).saturating_sub(self.credit);
        if !wait.is_zero() {
            return Some(wait);
        }
        debts.insert(by, free_at);
        None
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.debts.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
