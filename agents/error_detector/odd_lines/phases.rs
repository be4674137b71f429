//! When a container starts and stops: lines of those moments are no news while it is well.

use chrono::TimeDelta;

use crate::model::{ContainerFacts, RuntimeEvent, RuntimeEventKind, Timestamp};

/// A program without a start period gets so long to come up.
const STARTING: TimeDelta = TimeDelta::minutes(2);
/// A container that was told to stop is gone after so long, or was not told to stop.
const STOPPING: TimeDelta = TimeDelta::seconds(60);

/// The part of a container's life in which a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It comes up, and may have to wait for others.
    Starting,
    /// It does its work.
    Steady,
    /// It was told to stop.
    Stopping,
}

/// When it started and was told to stop lately.
#[derive(Debug, Default)]
pub(super) struct Phases {
    starts: Vec<Timestamp>,
    stops: Vec<Timestamp>,
    starting: TimeDelta,
}

impl Phases {
    pub(super) fn of(facts: &ContainerFacts, events: &[RuntimeEvent]) -> Self {
        let at = |wanted: fn(&RuntimeEventKind) -> bool| {
            events.iter().filter(move |event| wanted(&event.kind)).map(|event| event.at)
        };
        let period = facts.health_check.as_ref().map_or(TimeDelta::zero(), |check| {
            TimeDelta::from_std(check.start_period).unwrap_or_default()
        });
        Self {
            starts: at(|kind| matches!(kind, RuntimeEventKind::Start))
                .chain(facts.started_at)
                .collect(),
            stops: at(asks_to_stop).collect(),
            starting: period.max(STARTING),
        }
    }

    /// In which phase a line was written.
    pub(super) fn at(&self, at: Timestamp) -> Phase {
        let last = |times: &[Timestamp]| times.iter().copied().filter(|t| *t <= at).max();
        let started = last(&self.starts);
        let stopped = last(&self.stops).filter(|stop| at - *stop < STOPPING);
        match (started, stopped) {
            (started, Some(stop)) if started.is_none_or(|start| start <= stop) => Phase::Stopping,
            (Some(start), _) if at - start < self.starting => Phase::Starting,
            _ => Phase::Steady,
        }
    }
}

/// Signals by which people and Docker end a program; others only speak to it.
fn asks_to_stop(kind: &RuntimeEventKind) -> bool {
    match kind {
        RuntimeEventKind::Kill { signal } => matches!(signal.as_str(), "2" | "3" | "9" | "15"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes;
    use crate::model::TargetId;

    #[test]
    fn every_line_belongs_to_a_start_to_steady_work_or_to_a_stop() {
        let at = |secs: i64| fakes::start_time() + TimeDelta::seconds(secs);
        let event = |secs, kind| RuntimeEvent {
            at: at(secs),
            target: TargetId::container("web"),
            kind,
            by_selfheal: false,
        };
        let kill = |signal: &str| RuntimeEventKind::Kill { signal: signal.to_owned() };
        let events = [
            event(500, kill("1")),
            event(1_000, kill("15")),
            event(1_020, RuntimeEventKind::Start),
        ];
        let phases = Phases::of(&fakes::container("web"), &events);
        for (secs, phase) in [
            (-3_590, Phase::Starting),
            (0, Phase::Steady),
            (501, Phase::Steady),
            (999, Phase::Steady),
            (1_000, Phase::Stopping),
            (1_019, Phase::Stopping),
            (1_020, Phase::Starting),
            (1_139, Phase::Starting),
            (1_140, Phase::Steady),
        ] {
            assert_eq!(phases.at(at(secs)), phase, "{secs}");
        }
    }
}
