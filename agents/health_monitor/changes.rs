//! Notices what somebody changed about a container between two looks.
//!
//! A [`Snapshot`] holds how a container was: its image, its limits, and of everything that
//! may be secret (environment, command, labels, lines of files) only a keyed digest of 32
//! bits, so that nobody who reads the store can try out guesses. [`between`] tells two
//! snapshots apart. Bounded in files and lines. It does not say whether a change is to blame.
//!
//! Rejected: to keep the values and compare them. They are secrets, and to know *that* the
//! password changed is enough.

mod files;
mod terms;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::{
    Change, ChangeKind, ContainerFacts, ContainerStatus, MemoryLimits, TargetId, Timestamp, clean,
};
use crate::ports::World;

use files::FileMark;
use terms::Terms;

/// The key of all digests: whoever has only the store cannot try out guesses.
#[derive(Clone)]
pub struct DigestKey([u8; 32]);

impl DigestKey {
    /// A key; it has to be the same at the next start, or every value looks changed.
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The first 32 bits of SHA-256 over key, length and text: enough to see a change, and so
    /// few that a right guess cannot be told from a lucky one.
    fn digest(&self, text: &[u8]) -> u32 {
        let hash = Sha256::new()
            .chain_update(self.0)
            .chain_update((text.len() as u64).to_be_bytes())
            .chain_update(text)
            .finalize();
        u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
    }

    /// Tells one key from another without telling anything of it.
    pub fn mark(&self) -> String {
        format!("{:08x}", self.digest(b"mark"))
    }

    fn each<'a>(
        &self,
        values: impl Iterator<Item = (&'a String, &'a str)>,
    ) -> BTreeMap<String, u32> {
        let mark =
            |(name, value): (&String, &str)| (clean(name, 200), self.digest(value.as_bytes()));
        values.take(MOST_NAMES).map(mark).collect()
    }
}

impl std::fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Variables or labels that are compared of one container.
const MOST_NAMES: usize = 256;
/// Names told in one change.
const MOST_TOLD: usize = 8;
/// Labels that tools write anew at every deployment: they tell nothing that the deployment does not.
const WRITTEN_BY_TOOLS: [&str; 2] = ["com.docker.compose.", "org.opencontainers.image."];

/// How a container was at one look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    container_id: String,
    created_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
    restart_count: u64,
    image: String,
    image_id: String,
    command: u32,
    environment: BTreeMap<String, u32>,
    labels: BTreeMap<String, u32>,
    limits: MemoryLimits,
    mounts: BTreeSet<String>,
    networks: BTreeSet<String>,
    files: BTreeMap<String, FileMark>,
    /// `None` in what older versions kept.
    #[serde(default)]
    terms: Option<Terms>,
    /// When this was so.
    seen_at: Timestamp,
}

impl Snapshot {
    /// How the container is now; `None` if the runtime could not say. `before` is the last
    /// snapshot of it, if there is one: a file that cannot be read is taken to be as it was.
    pub async fn take(
        world: &World,
        facts: &ContainerFacts,
        before: Option<&Self>,
        key: &DigestKey,
    ) -> Option<Self> {
        if facts.status == ContainerStatus::Unknown || facts.created_at.is_none() {
            return None;
        }
        let told = |(name, _): &(&String, &String)| {
            !WRITTEN_BY_TOOLS.iter().any(|prefix| name.starts_with(prefix))
        };
        let labels = facts.labels.iter().filter(told).map(|(name, value)| (name, value.as_str()));
        let environment = facts.environment.iter().map(|(name, value)| (name, value.expose()));
        let mounts = facts.mounts.iter().map(|mount| {
            let how = if mount.writable { "" } else { " (read only)" };
            clean(&format!("{} on {}{how}", mount.source, mount.destination), 300)
        });
        Some(Self {
            container_id: facts.id.clone(),
            created_at: facts.created_at,
            started_at: facts.started_at,
            restart_count: facts.restart_count,
            image: facts.image.clone(),
            image_id: facts.image_id.clone(),
            command: key.digest(facts.command.expose().as_bytes()),
            environment: key.each(environment),
            labels: key.each(labels),
            limits: facts.limits,
            mounts: mounts.collect(),
            networks: facts.networks.iter().map(|network| network.network.clone()).collect(),
            files: files::look(world, facts, before.map(|before| &before.files), key).await,
            terms: Some(Terms::of(facts, key)),
            seen_at: world.clock.now(),
        })
    }

    /// Hosts that its configuration passes requests on to.
    pub fn upstreams(&self) -> BTreeSet<String> {
        self.files.values().flat_map(FileMark::upstreams).cloned().collect()
    }

    /// When the container was so.
    pub const fn seen_at(&self) -> Timestamp {
        self.seen_at
    }

    /// Whether everything but the time of the look is the same.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        Self { seen_at: other.seen_at, ..self.clone() } == *other
    }
}

/// What changed from one look at a container to the next, the most telling first.
pub fn between(name: &str, before: &Snapshot, after: &Snapshot) -> Vec<Change> {
    let mut list = List { target: TargetId::container(name), after, changes: vec![] };
    let is_new = before.container_id != after.container_id;
    let at = if is_new { after.created_at.unwrap_or(after.seen_at) } else { after.seen_at };
    if (&before.image, &before.image_id) != (&after.image, &after.image_id) {
        list.add(at, ChangeKind::Image, image_words(before, after));
    }
    for (at, what) in files::changed(&before.files, &after.files, before.seen_at, after.seen_at) {
        list.add(at, ChangeKind::File, what);
    }
    list.names(
        at,
        ChangeKind::Environment,
        "the environment",
        &before.environment,
        &after.environment,
    );
    if before.command != after.command {
        list.add(at, ChangeKind::Command, "its command changed".to_owned());
    }
    list.sets(at, ChangeKind::Mounts, "mounts", &before.mounts, &after.mounts);
    list.sets(at, ChangeKind::Networks, "networks", &before.networks, &after.networks);
    if before.limits != after.limits {
        let what = format!(
            "the memory limit changed from {} to {}",
            limit_words(before.limits),
            limit_words(after.limits)
        );
        list.add(at, ChangeKind::Limits, what);
    }
    if let (Some(before), Some(after)) = (&before.terms, &after.terms) {
        list.sets(at, ChangeKind::Ports, "published ports", before.ports(), after.ports());
        for (kind, what) in before.changed(after) {
            list.add(at, kind, what);
        }
    }
    list.names(at, ChangeKind::Labels, "the labels", &before.labels, &after.labels);
    if is_new {
        list.add(at, ChangeKind::Deployed, "it was made anew".to_owned());
    } else {
        list.start(before);
    }
    list.changes
}

/// A container that was not there at the last look.
pub fn appeared(name: &str, after: &Snapshot) -> Change {
    Change {
        at: after.created_at.unwrap_or(after.seen_at),
        target: TargetId::container(name),
        kind: ChangeKind::Deployed,
        what: format!("it was made, from the image {}", clean(&after.image, 120)),
        by_selfheal: false,
    }
}

/// The changes found so far.
struct List<'a> {
    target: TargetId,
    after: &'a Snapshot,
    changes: Vec<Change>,
}

impl List<'_> {
    fn add(&mut self, at: Timestamp, kind: ChangeKind, what: String) {
        let at = at.min(self.after.seen_at);
        let target = self.target.clone();
        self.changes.push(Change { at, target, kind, what, by_selfheal: false });
    }

    fn names(
        &mut self,
        at: Timestamp,
        kind: ChangeKind,
        of: &str,
        before: &BTreeMap<String, u32>,
        after: &BTreeMap<String, u32>,
    ) {
        let is_new = |name: &&String| !before.contains_key(*name);
        let differs = |name: &&String| before.get(*name).is_some_and(|old| old != &after[*name]);
        let gone = before.keys().filter(|name| !after.contains_key(*name));
        let parts = [
            told("changed", after.keys().filter(differs)),
            told("new", after.keys().filter(is_new)),
            told("gone", gone),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if !parts.is_empty() {
            self.add(at, kind, format!("{of} changed ({})", parts.join("; ")));
        }
    }

    fn sets(
        &mut self,
        at: Timestamp,
        kind: ChangeKind,
        of: &str,
        before: &BTreeSet<String>,
        after: &BTreeSet<String>,
    ) {
        let parts = [told("new", after.difference(before)), told("gone", before.difference(after))];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if !parts.is_empty() {
            self.add(at, kind, format!("its {of} changed ({})", parts.join("; ")));
        }
    }

    /// A start is somebody's deed only where the restart policy did not do it.
    fn start(&mut self, before: &Snapshot) {
        let by_policy = self.after.restart_count > before.restart_count;
        let Some(at) = self.after.started_at.filter(|_| !by_policy) else { return };
        if before.started_at != Some(at) {
            self.add(at, ChangeKind::Started, "it was started".to_owned());
        }
    }
}

/// `changed: A, B`, with the rest counted; `None` for no names.
fn told<'a>(how: &str, names: impl Iterator<Item = &'a String>) -> Option<String> {
    let names: Vec<&str> = names.map(String::as_str).collect();
    let shown = names.iter().take(MOST_TOLD).copied().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => None,
        few if few <= MOST_TOLD => Some(format!("{how}: {shown}")),
        many => Some(format!("{how}: {shown} and {} more", many - MOST_TOLD)),
    }
}

fn image_words(before: &Snapshot, after: &Snapshot) -> String {
    let short = |id: &str| id.trim_start_matches("sha256:").chars().take(12).collect::<String>();
    let ids = format!("{} to {}", short(&before.image_id), short(&after.image_id));
    if before.image == after.image {
        format!("the image {} changed from {ids}", clean(&after.image, 120))
    } else {
        let (old, new) = (clean(&before.image, 120), clean(&after.image, 120));
        format!("the image changed from {old} to {new} ({ids})")
    }
}

fn limit_words(limits: MemoryLimits) -> String {
    limits
        .memory_bytes
        .map_or_else(|| "none".to_owned(), |bytes| format!("{} MiB", bytes / (1024 * 1024)))
}

#[cfg(test)]
mod tests;
