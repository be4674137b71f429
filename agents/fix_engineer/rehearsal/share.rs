//! How much of the host a clone got, beside what its container would have.

use super::{CORE, MOST_CORES, MOST_MEMORY};

/// What a clone got of memory and processor time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The limit of memory with the fix, in bytes; `None` for none.
    pub own_memory_bytes: Option<u64>,
    /// The limit of processor time with the fix, in billionths of a core; `None` for none.
    pub own_cpu_nanos: Option<u64>,
    /// The most a clone could get of both.
    pub room: (u64, u64),
}

impl Share {
    /// What the clone had less of than the limit of its container allows, if anything.
    pub(super) fn less_than_own(self) -> Option<&'static str> {
        let cut = |own: Option<u64>, room: u64| own.is_some_and(|own| own > room);
        if cut(self.own_memory_bytes, self.room.0) {
            return Some("less memory");
        }
        cut(self.own_cpu_nanos, self.room.1).then_some("fewer processors")
    }

    /// What a container without a limit may have more of, so that it counts. Fewer processors
    /// make a clone slow, which is what a health check tells (`slow_counts`).
    pub(super) fn less_than_any(self, slow_counts: bool) -> Option<&'static str> {
        if self.own_memory_bytes.is_none() && self.room.0 < MOST_MEMORY {
            return Some("less memory");
        }
        let fewer = self.own_cpu_nanos.is_none() && self.room.1 < CORE * MOST_CORES;
        (slow_counts && fewer).then_some("fewer processors")
    }
}
