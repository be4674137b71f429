//! Who ended a container, read from the runtime's events.
//!
//! A stop or kill asked of the runtime emits `kill` before `die` (and a stop, `stop` after
//! it); a process that ends by itself emits `die` alone. `docker restart` emits all of them.
//! So a `die` with neither is a death nobody asked for. Docker's own restart counter is of
//! no use: a restart resets it.

use std::time::Duration;

use crate::model::{ContainerFacts, RuntimeEvent, RuntimeEventKind, Timestamp};

/// A `kill` longer ago than this did not cause the death; a slow `docker stop` is still
/// recognised by the `stop` that follows it.
const KILL_TAKES_AT_MOST: Duration = Duration::from_mins(2);

/// Why a container's first process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeathCause {
    /// By itself.
    Itself,
    /// A person, or another program, asked the runtime.
    Person,
    /// Selfheal asked the runtime.
    Selfheal,
}

/// One end of a container's first process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    /// When.
    pub at: Timestamp,
    /// With what code.
    pub exit_code: i64,
    /// Why.
    pub cause: DeathCause,
}

impl Death {
    /// Whether nobody asked for it.
    pub fn is_crash(&self) -> bool {
        self.cause == DeathCause::Itself
    }
}

/// Every death among the events, oldest first.
pub fn deaths(events: &[RuntimeEvent]) -> Vec<Death> {
    let mut deaths: Vec<Death> = vec![];
    let mut asked: Option<(Timestamp, DeathCause)> = None;
    for event in events {
        let by = if event.by_selfheal { DeathCause::Selfheal } else { DeathCause::Person };
        match &event.kind {
            RuntimeEventKind::Kill { signal } if ends(signal) => asked = Some((event.at, by)),
            RuntimeEventKind::Die { exit_code } => {
                let by_kill = asked
                    .take()
                    .filter(|(at, _)| event.at - *at <= to_delta(KILL_TAKES_AT_MOST))
                    .map(|(_, by)| by);
                let cause = if event.by_selfheal { Some(by) } else { by_kill };
                let cause = cause.unwrap_or(DeathCause::Itself);
                deaths.push(Death { at: event.at, exit_code: *exit_code, cause });
            }
            RuntimeEventKind::Stop => {
                if let Some(last) = deaths.last_mut().filter(|death| death.is_crash()) {
                    last.cause = by;
                }
            }
            RuntimeEventKind::Start => asked = None,
            _ => {}
        }
    }
    deaths
}

/// The death that ended the container's last life, if its event is among these.
pub(super) fn last_death(facts: &ContainerFacts, events: &[RuntimeEvent]) -> Option<Death> {
    let last = deaths(events).pop()?;
    facts.started_at.is_none_or(|started| last.at >= started).then_some(last)
}

fn to_delta(duration: Duration) -> chrono::TimeDelta {
    chrono::TimeDelta::from_std(duration).unwrap_or(chrono::TimeDelta::MAX)
}

/// Whether a signal means that the process shall end; `HUP` and the user signals ask for
/// something else.
fn ends(signal: &str) -> bool {
    let name = signal.trim().trim_start_matches("SIG");
    !matches!(name, "1" | "10" | "12" | "28" | "HUP" | "USR1" | "USR2" | "WINCH" | "0")
}

/// The deaths nobody asked for, since `window` ago, that no later deliberate start has
/// answered: whoever starts a container by hand wants it judged anew.
pub(super) fn unanswered_crashes(
    events: &[RuntimeEvent],
    now: Timestamp,
    window: Duration,
) -> Vec<Death> {
    let all = deaths(events);
    let answered = events
        .iter()
        .filter(|e| e.by_selfheal && e.kind == RuntimeEventKind::Start)
        .map(|e| e.at)
        .chain(all.iter().filter(|d| !d.is_crash()).map(|d| d.at))
        .max();
    let from = now - to_delta(window);
    all.into_iter()
        .filter(|d| d.is_crash() && d.at >= from && answered.is_none_or(|at| d.at > at))
        .collect()
}

/// A life longer than this is no period that a validation window could wait for.
const LONGEST_PERIOD: Duration = Duration::from_mins(10);

/// The longest time from a start to an end that nobody asked for or a kill for memory, or between two
/// of these, of at most ten minutes; `None` where none was so short.
pub fn longest_life(events: &[RuntimeEvent], now: Timestamp) -> Option<Duration> {
    let crashes = deaths(events).into_iter().filter(Death::is_crash).map(|death| death.at);
    let mut ends: Vec<Timestamp> = crashes.collect();
    ends.sort_unstable();
    let kills = oom_episodes(events, now, Duration::from_hours(1));
    let starts: Vec<Timestamp> =
        events.iter().filter(|e| e.kind == RuntimeEventKind::Start).map(|e| e.at).collect();
    let lives = |ends: &[Timestamp]| {
        let since_start = ends.iter().filter_map(|end| {
            let begun = starts.iter().filter(|start| *start <= end).max()?;
            (*end - *begun).to_std().ok()
        });
        let gaps = ends.windows(2).filter_map(|pair| (pair[1] - pair[0]).to_std().ok());
        since_start.chain(gaps).filter(|life| *life <= LONGEST_PERIOD).max()
    };
    lives(&ends).max(lives(&kills))
}

/// Out-of-memory kills since `window` ago; kills within ten seconds of the first are one.
/// A single runaway child gives dozens of events a second.
pub(super) fn oom_episodes(
    events: &[RuntimeEvent],
    now: Timestamp,
    window: Duration,
) -> Vec<Timestamp> {
    let from = now - to_delta(window);
    let mut episodes: Vec<Timestamp> = vec![];
    for event in events.iter().filter(|e| e.kind == RuntimeEventKind::Oom && e.at >= from) {
        let is_same = episodes
            .last()
            .is_some_and(|first| event.at - *first <= chrono::TimeDelta::seconds(10));
        if !is_same {
            episodes.push(event.at);
        }
    }
    episodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{FakeWorld, container, start_time};
    use crate::model::TargetId;

    fn event(secs: u64, kind: RuntimeEventKind) -> RuntimeEvent {
        let at = start_time() + Duration::from_secs(secs);
        RuntimeEvent { at, target: TargetId::container("web"), kind, by_selfheal: false }
    }

    fn die(secs: u64) -> RuntimeEvent {
        event(secs, RuntimeEventKind::Die { exit_code: 1 })
    }

    fn kill(secs: u64, signal: &str) -> RuntimeEvent {
        event(secs, RuntimeEventKind::Kill { signal: signal.to_owned() })
    }

    fn causes(events: &[RuntimeEvent]) -> Vec<DeathCause> {
        deaths(events).iter().map(|d| d.cause).collect()
    }

    #[test]
    fn only_a_bare_death_is_a_crash() {
        assert_eq!(causes(&[die(1)]), [DeathCause::Itself]);
        assert_eq!(causes(&[kill(1, "9"), die(2)]), [DeathCause::Person]);
        let stopped = [die(2), event(2, RuntimeEventKind::Stop)];
        assert_eq!(causes(&stopped), [DeathCause::Person]);
        assert_eq!(causes(&[kill(1, "1"), die(2)]), [DeathCause::Itself]);
        assert_eq!(causes(&[kill(1, "SIGHUP"), die(2)]), [DeathCause::Itself]);
    }

    #[test]
    fn a_kill_long_before_or_before_a_start_explains_nothing() {
        assert_eq!(causes(&[kill(1, "15"), die(500)]), [DeathCause::Itself]);
        let started = [kill(1, "15"), event(2, RuntimeEventKind::Start), die(3)];
        assert_eq!(causes(&started), [DeathCause::Itself]);
    }

    #[tokio::test]
    async fn what_docker_tells_of_a_restart_is_no_crash() {
        let fake = FakeWorld::default();
        let world = fake.add(container("web")).world();
        world.runtime.restart("web", None, 10).await.unwrap();
        let mut events = fake.events_so_far();
        assert_eq!(causes(&events), [DeathCause::Person]);
        for event in &mut events {
            event.by_selfheal = true;
        }
        assert_eq!(causes(&events), [DeathCause::Selfheal]);
    }

    #[test]
    fn a_deliberate_start_answers_the_crashes_before_it() {
        let mut started = event(30, RuntimeEventKind::Start);
        started.by_selfheal = true;
        let now = start_time() + Duration::from_mins(1);
        let window = Duration::from_mins(5);
        let before = [die(1), die(10), die(20)];
        assert_eq!(unanswered_crashes(&before, now, window).len(), 3);
        let after = [die(1), die(10), die(20), started, die(40)];
        assert_eq!(unanswered_crashes(&after, now, window).len(), 1);
        let later = now + window;
        assert_eq!(unanswered_crashes(&before, later, window).len(), 0);
    }

    #[test]
    fn a_storm_of_kills_for_memory_is_one_episode() {
        let mut events: Vec<_> = (0..60).map(|_| event(1, RuntimeEventKind::Oom)).collect();
        events.push(event(4, RuntimeEventKind::Oom));
        let now = start_time() + Duration::from_mins(1);
        assert_eq!(oom_episodes(&events, now, Duration::from_mins(10)).len(), 1);
        events.push(event(30, RuntimeEventKind::Oom));
        assert_eq!(oom_episodes(&events, now, Duration::from_mins(10)).len(), 2);
    }

    #[test]
    fn the_longest_life_is_between_two_ends_that_nobody_asked_for_and_came_soon_enough() {
        let now = start_time() + Duration::from_mins(30);
        let longest = |events: &[RuntimeEvent]| longest_life(events, now).map(|l| l.as_secs());
        assert_eq!(longest(&[]), None);
        assert_eq!(longest(&[die(1)]), None);
        assert_eq!(longest(&[die(1), die(51), die(91)]), Some(50));
        assert_eq!(longest(&[die(1), die(602), die(632)]), Some(30), "too long for a period");
        assert_eq!(longest(&[die(1), kill(99, "15"), die(100), die(131)]), Some(130));
        let oom = |secs| event(secs, RuntimeEventKind::Oom);
        assert_eq!(longest(&[oom(1), oom(2), oom(71)]), Some(70));
        let start = |secs| event(secs, RuntimeEventKind::Start);
        assert_eq!(longest(&[start(1), die(241)]), Some(240), "the first death of its life");
        assert_eq!(longest(&[start(1), oom(91)]), Some(90));
        assert_eq!(longest(&[start(1), die(602)]), None, "too long for a period");
        assert_eq!(longest(&[die(1), start(20)]), None, "this life goes on");
    }
}
