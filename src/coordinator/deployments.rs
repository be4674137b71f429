//! Tells from containers and events that somebody is deploying: what they are about to start, stop
//! or make anew must not be touched meanwhile.
//!
//! Pure; it looks no farther back than a minute. What Selfheal itself makes is none.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use selfheal_agents::health_monitor;
use selfheal_agents::model::{
    ContainerFacts, ContainerStatus, HealthStatus, Hold, RuntimeEvent, RuntimeEventKind, TargetId,
    Timestamp, clean, engine_of,
};

use super::look::Seen;

/// A container made or removed this recently is part of a deployment.
const JUST_NOW: TimeDelta = TimeDelta::seconds(10);
/// Several containers of a project that came up within this time came up together; so long an
/// updater may still be at work on one that it made.
const TOGETHER: TimeDelta = TimeDelta::seconds(60);
/// The last of them came up so long ago: then they are all there.
const ALL_UP_AFTER: TimeDelta = TimeDelta::seconds(20);
/// One that was made and not started within this time was forgotten by whoever made it.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::minutes(10);

/// What somebody deploys around this container, as the reason to hold.
pub(super) fn deployment(seen: &Seen, facts: &ContainerFacts) -> Option<Hold> {
    let project = facts.compose_project();
    let same_project = |other: &ContainerFacts| {
        other.name == facts.name || project.is_some_and(|p| other.compose_project() == Some(p))
    };
    let together: Vec<&ContainerFacts> =
        seen.inventory.containers.values().filter(|other| same_project(other)).collect();
    let replaced = by_an_updater(seen, facts);
    let coming_up = || project.and_then(|project| compose_up(seen, project, &together));
    let just_made = || just_made(seen, facts, &together);
    replaced.or_else(coming_up).or_else(just_made).or_else(|| not_well_yet(seen, facts))
}

const fn under_way(seen: String, until: Option<Timestamp>) -> Hold {
    Hold::DeploymentUnderWay { seen, until }
}

/// An updater runs, and the container was just made by somebody.
fn by_an_updater(seen: &Seen, facts: &ContainerFacts) -> Option<Hold> {
    let is_here =
        |name: &&String| **name != facts.name && engine_of(name) == engine_of(&facts.name);
    let updater = seen.inventory.updaters.iter().find(is_here)?;
    let is_create = |event: &&RuntimeEvent| event.kind == RuntimeEventKind::Create;
    let made = others_events(seen, &facts.name, TOGETHER).rfind(is_create)?;
    let age = (seen.now - made.at).num_seconds();
    let (name, updater) = (clean(&facts.name, 100), clean(updater, 100));
    let said = format!("`{name}` was made {age} s ago, and `{updater}` updates containers here");
    Some(under_way(said, Some(made.at + TOGETHER)))
}

/// The project is being brought up: some of its containers wait to be started, or several came up
/// together just now.
fn compose_up(seen: &Seen, project: &str, together: &[&ContainerFacts]) -> Option<Hold> {
    let project = clean(project, 100);
    let waits = together.iter().find(|other| waits_to_be_started(seen, other));
    if let Some(other) = waits {
        let name = clean(&other.name, 100);
        let said = format!("Compose project `{project}`: `{name}` is made and not started yet");
        return Some(under_way(said, None));
    }
    let ups = together.iter().filter_map(|other| Some((&other.name, came_up(seen, other)?)));
    let ups: Vec<_> = ups.collect();
    let newest = ups.iter().map(|(_, at)| *at).max()?;
    let names: BTreeSet<_> = ups.iter().map(|(name, _)| name).collect();
    (names.len() > 1 && seen.now - newest < ALL_UP_AFTER).then(|| {
        let count = names.len();
        let said = format!(
            "Compose project `{project}`: {count} of its containers came up within a minute"
        );
        under_way(said, Some(newest + ALL_UP_AFTER))
    })
}

fn waits_to_be_started(seen: &Seen, other: &ContainerFacts) -> bool {
    let lately = other.created_at.is_some_and(|at| seen.now - at < FORGOTTEN_AFTER);
    other.status == ContainerStatus::Created && other.start_error.is_empty() && lately
}

/// When somebody last made or started it, within the minute. What starts after it ended by itself is
/// brought back by its restart policy, and by nobody.
fn came_up(seen: &Seen, other: &ContainerFacts) -> Option<Timestamp> {
    let deaths = health_monitor::deaths(seen.events_of(&TargetId::container(&other.name)));
    let by_somebody = |event: &&RuntimeEvent| match event.kind {
        RuntimeEventKind::Create => true,
        RuntimeEventKind::Start => {
            let before = deaths.iter().rfind(|death| death.at <= event.at);
            before.is_none_or(|death| !death.is_crash())
        }
        _ => false,
    };
    others_events(seen, &other.name, TOGETHER).filter(by_somebody).map(|event| event.at).max()
}

/// It, or one of its project, was made or removed a moment ago.
fn just_made(seen: &Seen, facts: &ContainerFacts, together: &[&ContainerFacts]) -> Option<Hold> {
    let names = together.iter().map(|other| other.name.as_str()).chain([facts.name.as_str()]);
    let mut events = names.flat_map(|name| others_events(seen, name, JUST_NOW));
    let event =
        events.find(|e| matches!(e.kind, RuntimeEventKind::Create | RuntimeEventKind::Destroy))?;
    let age = (seen.now - event.at).num_seconds();
    let verb = if event.kind == RuntimeEventKind::Create { "made" } else { "removed" };
    Some(under_way(format!("`{}` was {verb} {age} s ago", event.target), Some(event.at + JUST_NOW)))
}

/// It was made within the minute and runs, and its health check has not succeeded yet: many a
/// program needs longer than its check allows. One that ends again and again is none of these.
fn not_well_yet(seen: &Seen, facts: &ContainerFacts) -> Option<Hold> {
    let asks_itself = facts.health.is_some_and(|health| health != HealthStatus::Healthy);
    let is_create = |event: &&RuntimeEvent| event.kind == RuntimeEventKind::Create;
    let made = others_events(seen, &facts.name, TOGETHER).rfind(is_create)?;
    let changes_much = |event: &RuntimeEvent| {
        let well = RuntimeEventKind::Health { status: HealthStatus::Healthy };
        event.kind == well || matches!(event.kind, RuntimeEventKind::Die { .. })
    };
    let since = seen.events_of(&TargetId::container(&facts.name)).iter();
    let still = !since.filter(|event| event.at >= made.at).any(changes_much);
    let age = (seen.now - made.at).num_seconds();
    let name = clean(&facts.name, 100);
    (facts.is_up() && asks_itself && still).then(|| {
        let said = format!("`{name}` was made {age} s ago and has not been well yet");
        under_way(said, Some(made.at + TOGETHER))
    })
}

/// What others did to a container within that time, oldest first.
fn others_events<'a>(
    seen: &'a Seen,
    container: &str,
    within: TimeDelta,
) -> impl DoubleEndedIterator<Item = &'a RuntimeEvent> + use<'a> {
    let now = seen.now;
    let events = seen.events_of(&TargetId::container(container)).iter();
    events.filter(move |event| !event.by_selfheal && event.at > now - within)
}
