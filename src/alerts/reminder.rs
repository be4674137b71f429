//! Reminds of what waits for a person. Pure.

use chrono::TimeDelta;
use selfheal_agents::model::{Incident, IncidentState, Timestamp, clean};
use selfheal_agents::ports::Alert;

use super::compose::{AlertEvent, TITLE_CHARS, alert_for, what_broke};

/// After the first reminder there is one each day.
const AGAIN_AFTER: TimeDelta = TimeDelta::days(1);

/// Since when an incident waits for a person: since it was held after the last decision about it,
/// or since it is stuck. `None` where it does not wait.
pub fn waits_since(incident: &Incident) -> Option<Timestamp> {
    let state = incident.state();
    if !matches!(state, IncidentState::Held | IncidentState::Stuck) {
        return None;
    }
    let begun = incident.timeline.iter().rposition(|e| e.state == Some(IncidentState::Fixing));
    let since_then = incident.timeline.iter().skip(begun.map_or(0, |at| at + 1));
    since_then.filter(|entry| entry.state == Some(state)).map(|entry| entry.at).next()
}

/// The reminder that is due of what waits `since` then, if one is: the first `after` so long, then
/// one each day. Those that were missed meanwhile are not made up.
pub fn reminder(
    incident: &Incident,
    since: Timestamp,
    after: TimeDelta,
    now: Timestamp,
) -> Option<Alert> {
    let overdue = now - since - after;
    if overdue < TimeDelta::zero() {
        return None;
    }
    let nth = overdue.num_seconds() / AGAIN_AFTER.num_seconds();
    let event = match incident.state() {
        IncidentState::Stuck => AlertEvent::Stuck,
        _ => AlertEvent::Held,
    };
    let waited = in_words(after + AGAIN_AFTER * i32::try_from(nth).unwrap_or(i32::MAX));
    let known = alert_for(incident, event);
    let (broke, told) = (what_broke(incident), &known.title);
    let rest = told.strip_prefix(&broke).unwrap_or(told).trim_start_matches(['.', ' ']);
    let title = format!("{broke}. It has waited for you for {waited}. {rest}");
    Some(Alert {
        key: format!("{} reminder {} {nth}", incident.id, since.timestamp()),
        event: "reminder".to_owned(),
        title: clean(&title, TITLE_CHARS),
        at: now,
        ..known
    })
}

fn in_words(waited: TimeDelta) -> String {
    match (waited.num_days(), waited.num_hours(), waited.num_minutes()) {
        (2.., ..) => format!("{} days", waited.num_days()),
        (_, 2.., _) => format!("{} hours", waited.num_hours()),
        (.., minutes) => format!("{minutes} minutes"),
    }
}

#[cfg(test)]
mod tests {
    use selfheal_agents::fakes::start_time;
    use selfheal_agents::model::{Actor, Hold, IncidentId, TargetId};
    use uuid::Uuid;

    use super::*;

    fn at(hours: i64) -> Timestamp {
        start_time() + TimeDelta::hours(hours)
    }

    fn held() -> Incident {
        let id = IncidentId(Uuid::nil());
        let mut incident = Incident::open(id, TargetId::container("web"), vec![], at(-1));
        incident.hold_for(vec![Hold::NoFixKnown], at(0));
        incident.become_state(IncidentState::Held, at(0), Actor::PolicyGate, "held").unwrap();
        incident
    }

    fn due(incident: &Incident, hours: i64) -> Option<String> {
        let since = waits_since(incident)?;
        reminder(incident, since, TimeDelta::hours(4), at(hours)).map(|alert| alert.key)
    }

    #[test]
    fn there_is_one_after_four_hours_and_then_one_each_day() {
        let incident = held();
        assert_eq!(due(&incident, 3), None);
        let first = due(&incident, 4).unwrap();
        assert_eq!(due(&incident, 27), Some(first.clone()), "the same key is sent once");
        let second = due(&incident, 28).unwrap();
        assert_ne!(second, first);
        assert_eq!(due(&incident, 51), Some(second.clone()));
        assert_ne!(due(&incident, 52).unwrap(), second);
    }

    #[test]
    fn a_word_of_the_gate_does_not_begin_the_wait_anew_and_a_decision_does() {
        let mut incident = held();
        incident.note(at(2), Actor::PolicyGate, "held for another reason");
        assert_eq!(waits_since(&incident), Some(at(0)));
        let person = Actor::Person("ada".to_owned());
        incident.become_state(IncidentState::Fixing, at(3), person, "approved").unwrap();
        assert_eq!(waits_since(&incident), None);
        incident.become_state(IncidentState::Held, at(5), Actor::FixEngineer, "not begun").unwrap();
        assert_eq!(waits_since(&incident), Some(at(5)));
    }

    #[test]
    fn its_first_line_says_how_long_it_waits_and_what_to_do() {
        let incident = held();
        let alert = reminder(&incident, at(0), TimeDelta::hours(4), at(29)).unwrap();
        let expected = "container:web: something is wrong. It has waited for you for 28 hours. \
                        Nothing was changed: no safe automatic fix is known for this. \
                        You must repair it by hand.";
        assert_eq!(alert.title, expected);
        assert_eq!((alert.event.as_str(), alert.incident), ("reminder", Some(incident.id)));
    }
}
