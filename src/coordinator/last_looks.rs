//! Knows how long windows were watched: by a time that nobody can set.
//!
//! In memory only: while Selfheal was away nobody watched.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use chrono::TimeDelta;
use selfheal_agents::model::{IncidentId, Timestamp};
use selfheal_agents::ports::Clock;
use tokio::time::Instant;

use super::state::lock;

/// What happened in a longer pause between two looks nobody saw: no more of it counts as watched.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// One moment, by the clock and by the time that only goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) at: Timestamp,
    instant: Instant,
}

impl Moment {
    /// This one.
    pub(super) fn now(clock: &dyn Clock) -> Self {
        Self { at: clock.now(), instant: Instant::now() }
    }
}

/// What passed between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passed {
    /// By the clock, which may have been set.
    pub(super) by_clock: TimeDelta,
    /// Of that, how long somebody watched.
    pub(super) watched: Duration,
}

impl Passed {
    /// How long it took to write what was logged since the last look; zero where nobody can say: of
    /// a longer pause only a part counts as watched, while its lines are of all of it.
    pub(super) fn logged(self) -> Duration {
        if self.watched < LONGEST_PAUSE { self.watched } else { Duration::ZERO }
    }
}

/// When each window was last looked at.
#[derive(Debug, Default)]
pub(super) struct LastLooks(Mutex<BTreeMap<IncidentId, Moment>>);

impl LastLooks {
    /// It is looked at now, or its window opens.
    pub(super) fn note(&self, incident: IncidentId, now: Moment) {
        lock(&self.0).insert(incident, now);
    }

    /// It is looked after no more.
    pub(super) fn forget(&self, incident: IncidentId) {
        lock(&self.0).remove(&incident);
    }

    /// Whether the last look was so long ago, or nobody knows.
    pub(super) fn are_over(&self, incident: IncidentId, wait: Duration) -> bool {
        lock(&self.0).get(&incident).is_none_or(|last| last.instant.elapsed() >= wait)
    }

    /// What passed since the last look; `None` where that was before this start of Selfheal.
    pub(super) fn passed(&self, incident: IncidentId, now: Moment) -> Option<Passed> {
        let last = *lock(&self.0).get(&incident)?;
        let watched = now.instant.saturating_duration_since(last.instant).min(LONGEST_PAUSE);
        Some(Passed { by_clock: now.at - last.at, watched })
    }
}
