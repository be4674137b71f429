//! Thinks about rehearsals: whether a clone is safe, how long it is looked at, what its end proves.
//!
//! Pure. A clone is alone: it reaches none of what its container needs, and may write nothing that
//! lasts. So that it works proves much, and that it fails proves something only where being alone
//! does not explain it. Whatever is in doubt proves nothing, and the fix goes on as the gate decided
//! it: a rehearsal can hold a fix back and never open a guard.

mod alone;
mod share;

use std::time::Duration;

use chrono::TimeDelta;

use super::actions::Action;
use super::config_file;
use crate::model::{
    Blueprint, Captured, CloneFile, ContainerFacts, Fix, HealthStatus, HostFacts, MountFacts,
    RehearsalVerdict, Rehearse, Remake, Timestamp,
};
use alone::{explained, said_the_same};
pub use share::Share;

/// A clone without a health check runs at least so long before it counts as working ...
const LEAST_STAY: Duration = Duration::from_secs(5);
/// ... and what fails later than that is for the validation window.
const LONGEST_STAY: Duration = Duration::from_mins(1);
/// Beside what a health check may take by itself.
const SLACK: Duration = Duration::from_secs(10);
/// A health check that takes longer than this proves nothing here.
const LONGEST: Duration = Duration::from_mins(4);
/// A clone never gets more memory than this, in bytes.
const MOST_MEMORY: u64 = 2 << 30;
/// With less memory than this, in bytes, it would prove nothing.
const LEAST_MEMORY: u64 = 64 << 20;
/// A clone never gets more than so many cores.
const MOST_CORES: u64 = 2;
/// How the names of sockets, and of folders for them, end.
const SOCKETS: [&str; 4] = [".sock", ".socket", "-unix", "/tmp"];
/// Folders in which there are devices or where servers put their sockets.
const SERVED: [&str; 5] = ["/dev", "/sys", "/var/lib/docker", "/var/lib/mysql", "/var/spool"];
/// Billionths of a core.
const CORE: u64 = 1_000_000_000;

/// The container on whose clone the fix is to be tried, if it is to be tried at all.
pub fn rehearses(fix: &Fix, rehearse: Rehearse) -> Option<&str> {
    fix.steps.iter().find_map(|step| match &step.action {
        _ if rehearse == Rehearse::Never => None,
        Action::ContainerRecreate(recreate) => Some(recreate.container.as_str()),
        _ if rehearse == Rehearse::Recreate => None,
        Action::ConfigSet(set) => set.target.container_name(),
        Action::ConfigRestore(restore) => restore.target.container_name(),
        Action::ContainerSetMemory(set) => Some(set.container.as_str()),
        Action::ContainerSetCpu(set) => Some(set.container.as_str()),
        _ => None,
    })
}

/// What of its container a step changes, so that a clone is made with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// How it is made.
    Made(Box<Blueprint>, Remake),
    /// A file of the host.
    File {
        /// Its path on the host.
        path: String,
        /// Its content.
        bytes: Vec<u8>,
    },
    /// Its limit of memory, in bytes.
    Memory(u64),
    /// Its limit of processor time, in billionths of a core.
    Cpu(u64),
    /// Nothing that a clone could be made with.
    Nothing,
}

/// What a step changes of what it found; an error says why that cannot be told.
pub fn changed_by(action: &Action, before: Captured) -> Result<Changed, String> {
    Ok(match (action, before) {
        (Action::ContainerRecreate(_), Captured::Made { blueprint, remake }) => {
            Changed::Made(blueprint, remake)
        }
        (Action::ConfigSet(set), Captured::File(file)) => {
            let turned = config_file::set_number(&set.file, &file.bytes, &set.key, set.to);
            let bytes = turned.map_err(|error| format!("{}: {error}", set.file))?;
            Changed::File { path: set.file.clone(), bytes }
        }
        (Action::ConfigRestore(restore), _) => {
            let bytes = restore.good.clone().into_bytes();
            Changed::File { path: restore.file.clone(), bytes }
        }
        (Action::ContainerSetMemory(set), _) => {
            Changed::Memory(set.limits.memory_bytes.unwrap_or(u64::MAX))
        }
        (Action::ContainerSetCpu(set), _) => Changed::Cpu(set.limit_nanos),
        _ => Changed::Nothing,
    })
}

/// Where the container sees a file of the host, with its new content; `None` where it does not.
pub fn seen_at(facts: &ContainerFacts, path: &str, bytes: Vec<u8>) -> Option<CloneFile> {
    let binds = facts.mounts.iter().filter(|mount| mount.bind);
    let within = binds.filter_map(|mount| {
        let rest = path.strip_prefix(mount.source.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then_some((mount, rest))
    });
    // Of mounts within each other the inner one is seen.
    let (mount, rest) = within.min_by_key(|(_, rest)| rest.len())?;
    let at = mount.destination.trim_end_matches('/').to_owned();
    Some(CloneFile { path: format!("{at}{rest}"), mount: at, bytes })
}

/// Why a clone of it would not be safe, if so: what it sees must not lead to anything that works.
pub fn unsafe_because<'a>(
    facts: &ContainerFacts,
    mut others: impl Iterator<Item = &'a ContainerFacts>,
) -> Option<String> {
    if let Some(mount) = facts.mounts.iter().find(|mount| may_hold_sockets(mount)) {
        return Some(format!("through `{}` a clone could reach what works", mount.destination));
    }
    let shares = |other: &ContainerFacts| {
        let theirs = |mount: &MountFacts| {
            let meets = |m: &MountFacts| meet(&m.source, &mount.source);
            other.mounts.iter().any(|m| meets(m) && (m.writable || mount.writable))
        };
        facts.mounts.iter().find(|mount| theirs(mount)).map(|mount| mount.destination.clone())
    };
    others.find_map(|other| {
        let at = shares(other).filter(|_| other.id != facts.id)?;
        Some(format!(
            "it shares `{at}` with `{}`, which a clone could reach through it",
            other.name
        ))
    })
}

/// Whether they are the same, or one of these folders is in the other.
fn meet(one: &str, other: &str) -> bool {
    is_within(one, other) || is_within(other, one)
}

fn is_within(path: &str, folder: &str) -> bool {
    let rest = path.trim_end_matches('/').strip_prefix(folder.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A socket does its work through a read-only mount as well.
fn may_hold_sockets(mount: &MountFacts) -> bool {
    let named = |path: &str| {
        let path = path.to_lowercase();
        path == "/"
            || path.split('/').any(|part| part == "run")
            || SOCKETS.iter().any(|end| path.trim_end_matches('/').ends_with(end))
            || SERVED.iter().any(|folder| is_within(&path, folder))
    };
    (mount.bind && named(&mount.source)) || (!mount.is_nameless() && named(&mount.destination))
}

/// The most memory in bytes and processor time in billionths of a core that a clone gets on this
/// host; `None` where too little memory is free.
pub fn room_for_clone(host: &HostFacts) -> Option<(u64, u64)> {
    let free = host.memory_total_bytes.saturating_sub(host.memory_used_bytes);
    let memory = MOST_MEMORY.min(free / 2);
    let cores = u64::try_from(host.cores).unwrap_or(1) / 2;
    (memory >= LEAST_MEMORY).then(|| (memory, CORE * cores.clamp(1, MOST_CORES)))
}

/// How long a clone is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// It must have run for so long.
    pub stay: Duration,
    /// After that it has proved what it can.
    pub at_most: Duration,
}

impl Terms {
    /// For a container that fails like this, within `lifetime` in any case.
    pub fn of(facts: &ContainerFacts, lifetime: Duration) -> Self {
        let life = facts.finished_at.zip(facts.started_at).map(|(end, start)| end - start);
        let life = life.and_then(|life| life.to_std().ok()).unwrap_or_default();
        let stay = (life * 2).clamp(LEAST_STAY, LONGEST_STAY);
        let check = facts.health_check.as_ref().map_or(Duration::ZERO, |check| {
            check.start_period + (check.interval + check.timeout) * (check.retries + 1)
        });
        let at_most = (stay.max(check) + SLACK).min(LONGEST).min(lifetime);
        Self { stay: stay.min(at_most), at_most }
    }
}

/// How a clone ended up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It works, after so long.
    Works {
        /// In whole seconds.
        secs: i64,
        /// Whether its health check says so.
        healthy: bool,
    },
    /// Its health check fails.
    Unhealthy,
    /// It has not become healthy in all the time it had.
    NotHealthyYet,
    /// Its process ended.
    Ended {
        /// Its code, where it is known.
        exit_code: Option<i64>,
        /// Whether the kernel ended it for its memory.
        out_of_memory: bool,
    },
    /// The runtime could not start it, for this reason.
    NotStarted(String),
}

/// What is to be seen of a clone that was started at that time; `None` while it is looked at.
pub fn ending(
    clone: &ContainerFacts,
    started_at: Timestamp,
    now: Timestamp,
    terms: Terms,
) -> Option<Ending> {
    if clone.is_down() {
        return Some(Ending::Ended { exit_code: clone.exit_code, out_of_memory: clone.oom_killed });
    }
    if clone.health == Some(HealthStatus::Unhealthy) {
        return Some(Ending::Unhealthy);
    }
    let ran = now - started_at;
    let lasts = |time: Duration| ran >= TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX);
    let healthy = clone.health.map(|health| health == HealthStatus::Healthy);
    if lasts(terms.stay) && clone.is_up() && healthy != Some(false) {
        return Some(Ending::Works { secs: ran.num_seconds(), healthy: healthy == Some(true) });
    }
    lasts(terms.at_most).then_some(Ending::NotHealthyYet)
}

/// What is known of the container and its clone when the clone has ended up somehow.
#[derive(Debug, Clone, Copy)]
pub struct Compared<'a> {
    /// The container, as it fails.
    pub original: &'a ContainerFacts,
    /// What it wrote lately.
    pub original_lines: &'a [String],
    /// What the clone wrote, and what its health check did.
    pub lines: &'a [String],
    /// By what names it knows what it needs and cannot reach as a clone.
    pub needs: &'a [String],
    /// How much of the host the clone got.
    pub share: Share,
}

impl Compared<'_> {
    /// What else than the fault might end so a clone that does not end as its container does.
    fn lacks(&self, ending: &Ending) -> Option<String> {
        if let Some(need) = self.needs.first() {
            return Some(format!("it cannot reach `{need}`"));
        }
        if let Some(mount) = self.original.mounts.iter().find(|mount| mount.writable) {
            return Some(format!("it has not `{}` as the container has", mount.destination));
        }
        let less = self.share.less_than_any(*ending == Ending::Unhealthy)?;
        Some(format!("it has {less} than the container may take"))
    }
}

/// What it proves that a clone ended up so, and why.
pub fn conclude(ending: &Ending, compared: Compared<'_>) -> (RehearsalVerdict, String) {
    use RehearsalVerdict::{Failed, Inconclusive};
    let what = match bad_end(ending) {
        Ok(what) => what,
        Err(proof) => return proof,
    };
    let started = std::slice::from_ref(&what);
    if let Some(line) = explained(started.iter().chain(compared.lines), compared.needs) {
        return (Inconclusive, format!("{what}, as one may that is alone: {line}"));
    }
    if let Some(less) = compared.share.less_than_own() {
        return (Inconclusive, format!("{what}, with {less} than its own limit"));
    }
    if matches!(ending, Ending::NotStarted(_)) {
        return (Failed, what);
    }
    let same_end = match ending {
        Ending::Ended { exit_code, .. } => compared.original.exit_code == *exit_code,
        _ => compared.original.health == Some(HealthStatus::Unhealthy),
    };
    if same_end && said_the_same(compared.original_lines, compared.lines) {
        return (Failed, format!("{what}, as the container does"));
    }
    match compared.lacks(ending) {
        Some(lack) => (Inconclusive, format!("{what}, and {lack}")),
        None => (Failed, format!("{what}, and it needs nothing that it could not reach")),
    }
}

/// What went wrong; an error is what the end proves by itself.
fn bad_end(ending: &Ending) -> Result<String, (RehearsalVerdict, String)> {
    use RehearsalVerdict::{Inconclusive, Passed};
    Err(match ending {
        Ending::Works { secs, healthy: true } => {
            (Passed, format!("the clone was healthy after {secs} s"))
        }
        Ending::Works { secs, healthy: false } => (Passed, format!("the clone ran for {secs} s")),
        Ending::NotHealthyYet => {
            (Inconclusive, "the clone did not become healthy in its time".to_owned())
        }
        Ending::Ended { out_of_memory: true, .. } => {
            (Inconclusive, "the clone needs more memory than it may have".to_owned())
        }
        Ending::Unhealthy => return Ok("the clone's health check fails".to_owned()),
        Ending::Ended { exit_code: Some(code), .. } => {
            return Ok(format!("the clone ended with exit code {code}"));
        }
        Ending::Ended { exit_code: None, .. } => return Ok("the clone ended".to_owned()),
        Ending::NotStarted(why) => {
            return Ok(format!("the clone could not be started: {why}"));
        }
    })
}

#[cfg(test)]
mod tests;
