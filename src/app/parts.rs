//! The one list of what runs beside the flow, and within which time each part turns.
//!
//! A part with such a time is broken off and begun anew when it stands still, which it may be at any
//! moment: what it does is done whole in the store or not at all. One without waits for what may
//! never come, such as a change of the settings, or is the one that must not be broken off while it
//! waits (see there). Each time is several times the longest that a part waits when all is well.

use std::time::Duration;

use crate::upkeep::Part;

const fn turning(name: &'static str, within: Duration) -> Part {
    Part { name, turns_within: Some(within) }
}

const fn waiting(name: &'static str) -> Part {
    Part { name, turns_within: None }
}

/// A silent connection is made anew after five minutes.
pub(super) const EVENTS: Part = turning("Docker's events", Duration::from_mins(12));
pub(super) const INVENTORY: Part = waiting("the inventory");
pub(super) const PROBES: Part = waiting("the probes");
pub(super) const LOGS: Part = waiting("the logs");
pub(super) const KNOWLEDGE: Part = turning("the runbooks", Duration::from_mins(5));
pub(super) const SETTINGS_FILE: Part = turning("the settings file", Duration::from_mins(5));
pub(super) const SETTINGS: Part = waiting("the settings");
pub(super) const CALENDAR: Part = waiting("the calendar");
/// A minute: a slot is missed by no more.
pub(super) const SCHEDULE: Part = turning("the schedule", Duration::from_mins(1));
pub(super) const SNAPSHOTS: Part = turning("the snapshots", Duration::from_hours(3));
pub(super) const WITNESS: Part = turning("the audit log's witness", Duration::from_mins(10));
pub(super) const HOUSEKEEPING: Part = turning("the housekeeping", Duration::from_hours(13));
pub(super) const ALERTS: Part = turning("the alerts", Duration::from_mins(5));
/// A beat is an hour at most.
pub(super) const HEARTBEAT: Part = turning("the sign of life", Duration::from_hours(2));
/// It asks the server each few seconds, and waits for no answer longer than seconds.
pub(super) const FLEET: Part = turning("the leases of the fleet", Duration::from_mins(2));
pub(super) const TRACES: Part = waiting("the traces");
pub(super) const SENDER: Part = turning("the sender to PostgreSQL", Duration::from_mins(10));
