//! When a full cycle is due: cron with a time zone, jitter, and no slot run twice.
//!
//! Pure: the caller tells the time and remembers the last slot. A slot is named by its
//! nominal moment in UTC, so neither the end of summer time nor a clock that is set back
//! brings it again. Slots missed meanwhile are made up by one run.

use std::time::Duration;

use chrono::TimeDelta;
use chrono_tz::Tz;
use croner::Cron;
use selfheal_agents::fix_engineer::config_file::sha256;
use selfheal_agents::model::{TargetId, Timestamp};

use crate::config::{Maintenance, Schedule, is_open, parse_cron, parse_time_zone};

/// Where the last slot is kept among the store's values.
pub const LAST_SLOT: &str = "schedule.last_slot";

/// A last slot further ahead than this was run by a clock that was wrong, and counts no
/// more; anything nearer is a clock that was set back, and its slots stay run.
const CLOCK_WAS_WRONG: TimeDelta = TimeDelta::hours(2);

/// One moment of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// As the cron expression says; the slot's name.
    pub nominal: Timestamp,
    /// With jitter: when it really starts.
    pub starts: Timestamp,
}

/// A cron expression in its time zone, with jitter.
#[derive(Debug, Clone)]
pub struct CronSchedule {
    cron: Cron,
    zone: Tz,
    jitter: Duration,
    seed: String,
}

impl CronSchedule {
    /// From the settings. Hosts with different seeds (their names) get different jitter.
    pub fn new(schedule: &Schedule, seed: &str) -> Result<Self, String> {
        Ok(Self {
            cron: parse_cron(&schedule.cron)?,
            zone: parse_time_zone(&schedule.timezone)?,
            jitter: schedule.jitter,
            seed: seed.to_owned(),
        })
    }

    /// The first slot whose nominal moment is after `after`.
    pub fn next_slot(&self, after: Timestamp) -> Option<Slot> {
        let nominal = self.next_nominal(after)?;
        Some(self.slot(nominal))
    }

    /// The slot to run now, if any: the latest that has started and comes after `last`.
    /// Without a `last` nothing was missed; give the moment the program first started.
    pub fn due(&self, last: Timestamp, now: Timestamp) -> Option<Slot> {
        let latest = self.slot(self.previous_nominal(now, true)?);
        // The jitter of a slot ends before the next slot, so the one before has started.
        let started = if latest.starts <= now {
            latest
        } else {
            self.slot(self.previous_nominal(latest.nominal, false)?)
        };
        let believed = last - now <= CLOCK_WAS_WRONG;
        (!believed || started.nominal > last).then_some(started)
    }

    /// The time between the next two slots.
    pub fn interval(&self, now: Timestamp) -> Option<Duration> {
        let first = self.next_nominal(now)?;
        (self.next_nominal(first)? - first).to_std().ok()
    }

    fn slot(&self, nominal: Timestamp) -> Slot {
        let gap = self.next_nominal(nominal).and_then(|next| (next - nominal).to_std().ok());
        let most = gap.map_or(self.jitter, |gap| self.jitter.min(gap));
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        let later = if most == 0 { 0 } else { self.draw(nominal) % most };
        let later = TimeDelta::milliseconds(i64::try_from(later).unwrap_or_default());
        Slot { nominal, starts: nominal + later }
    }

    /// The same number each time for the same slot on the same host.
    fn draw(&self, nominal: Timestamp) -> u64 {
        let digest = sha256(format!("{} {}", self.seed, nominal.timestamp()).as_bytes());
        u64::from_str_radix(&digest[..16], 16).unwrap_or_default()
    }

    fn next_nominal(&self, after: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_next_occurrence(&after.with_timezone(&self.zone), false);
        found.ok().map(|at| at.to_utc())
    }

    fn previous_nominal(&self, before: Timestamp, inclusive: bool) -> Option<Timestamp> {
        let before = before.with_timezone(&self.zone);
        let found = self.cron.find_previous_occurrence(&before, inclusive);
        found.ok().map(|at| at.to_utc())
    }
}

/// The maintenance window that is open for `target` now: its cron expression. The cron lines
/// are read in `timezone`. A window that cannot be read counts as open, since a guard that
/// lacks its facts holds; the settings refuse such a window, so this does not happen.
pub fn open_window<'a>(
    windows: &'a [Maintenance],
    timezone: &str,
    target: &TargetId,
    now: Timestamp,
) -> Option<&'a str> {
    let mut concerned = windows.iter().filter(|window| concerns(window, target));
    let open = concerned
        .find(|window| is_open(&window.cron, window.duration, timezone, now).unwrap_or(true));
    open.map(|window| window.cron.as_str())
}

/// Whether a quiet hour is open for `target` now; `None` when there is none for it. One that
/// cannot be read counts as closed: then what can wait goes on waiting.
pub fn in_quiet_hour(
    windows: &[Maintenance],
    timezone: &str,
    target: &TargetId,
    now: Timestamp,
) -> Option<bool> {
    let mut concerned = windows.iter().filter(|window| concerns(window, target)).peekable();
    concerned.peek()?;
    Some(
        concerned
            .any(|window| is_open(&window.cron, window.duration, timezone, now).unwrap_or(false)),
    )
}

fn concerns(window: &Maintenance, target: &TargetId) -> bool {
    window.target.as_ref().is_none_or(|only| only == target)
}

#[cfg(test)]
mod tests;
