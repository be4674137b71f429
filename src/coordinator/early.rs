//! Holds what only has to last for longer before there is a fix for it, such as a session that must
//! not have been idle for a moment only.
//!
//! The hold says when that will be, and `retries` looks again then. A person is told of nothing
//! that is mended by itself so soon; but only once: where the time comes and something else is young
//! again, as in a pool whose sessions come and go, nobody knows a fix.

use std::time::Duration;

use selfheal_agents::model::{Facts, Hold, Incident, Timestamp};
use selfheal_agents::root_cause::Unmet;

use super::look::Seen;

/// A person is not left in the dark for longer than this while something is broken.
const SOON: Duration = Duration::from_mins(2);

/// The reasons of an incident that waits for a time which has not come, where its server could not be
/// asked by this look: one that answers nobody for a moment is asked again then, and to tell a
/// person before would be to tell him of what is mended by itself.
pub(super) fn goes_on(incident: &Incident, seen: &Seen) -> Option<Vec<Hold>> {
    let facts = seen.report.target(&incident.target)?.state.facts.as_ref();
    let is_silent = |facts: &Facts| facts.database().is_some_and(|server| !server.reachable);
    let of_waiting = |hold: &&Hold| matches!(hold, Hold::TooEarly { .. } | Hold::NoFixKnown);
    let lies_ahead = waits_until(incident).is_some_and(|until| until > seen.now);
    let waits = lies_ahead && facts.is_ok_and(is_silent);
    waits.then(|| incident.holds.iter().filter(of_waiting).cloned().collect())
}

/// The reasons to hold an incident whose fix lacks only time.
pub(super) fn holds(incident: &Incident, unmet: Unmet, now: Timestamp) -> Vec<Hold> {
    let waits_until = waits_until(incident);
    let Unmet { why: what, from } = unmet;
    let in_vain = waits_until.is_some_and(|until| until <= now);
    // What was said of an earlier look, and to nobody, does not count.
    let is_known =
        incident.holds.contains(&Hold::NoFixKnown) && (incident.told || waits_until.is_some());
    if in_vain || is_known || from > now + SOON {
        return vec![Hold::NoFixKnown, Hold::TooEarly { what, until: from }];
    }
    // Looks in between must not put it off.
    let until = waits_until.map_or(from, |known| known.min(from));
    vec![Hold::TooEarly { what, until }]
}

/// Until when it waits, if it does.
fn waits_until(incident: &Incident) -> Option<Timestamp> {
    incident.holds.iter().find_map(|hold| match hold {
        Hold::TooEarly { until, .. } => Some(*until),
        _ => None,
    })
}
