//! The times in which what is not urgent waits in the outbox. Pure.

use selfheal_agents::model::{Severity, Timestamp};

use crate::config::{QuietHours, is_open};

/// The quiet times of a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quiet {
    /// When they are.
    pub hours: Vec<QuietHours>,
    /// The time zone in which their cron lines are read.
    pub timezone: String,
}

impl Quiet {
    /// From which severity on an alert is heard all the same; `None` where it is not quiet at that
    /// time. A time that cannot be read is none: better one message too many.
    pub(super) fn except_at(&self, at: Timestamp) -> Option<Severity> {
        let open = |hours: &&QuietHours| {
            is_open(&hours.cron, hours.duration, &self.timezone, at).unwrap_or(false)
        };
        self.hours.iter().filter(open).map(|hours| hours.except).max()
    }
}
