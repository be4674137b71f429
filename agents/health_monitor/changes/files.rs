//! Configuration files mounted into a container, and what changed in them.
//!
//! Only files that look like configuration, so many of a container and so many lines of a
//! file. A file that is different at every look is data, not configuration, and is not told.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::super::inventory::upstreams::upstreams;
use super::DigestKey;
use crate::model::{ContainerFacts, FileContent, Timestamp, clean};
use crate::ports::{World, WorldError};

/// Files looked at of one container.
const MOST_FILES: usize = 16;
/// A longer file is told to have changed, but not where.
const MOST_LINES: usize = 1_000;
/// A file that changed at so many looks in a row is data.
const RESTLESS: u8 = 3;

/// A file as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileMark {
    /// SHA-256 of its content.
    sha256: String,
    /// Digest of each line; empty if it has too many or is no text.
    lines: Vec<u32>,
    modified_secs: i64,
    /// Hosts that it passes requests on to.
    #[serde(default)]
    upstreams: Vec<String>,
    /// Looks at which it was different from the look before, less those at which it was not.
    restless: u8,
}

impl FileMark {
    fn of(file: &FileContent, before: Option<&Self>, key: &DigestKey) -> Self {
        if let Some(same) = before.filter(|before| before.sha256 == file.sha256) {
            let restless = same.restless.saturating_sub(1);
            return Self { modified_secs: file.modified_secs, restless, ..same.clone() };
        }
        let restless =
            before.map_or(0, |before| before.restless.saturating_add(1).min(RESTLESS + 1));
        Self {
            sha256: file.sha256.clone(),
            lines: lines(&file.bytes, key),
            modified_secs: file.modified_secs,
            upstreams: std::str::from_utf8(&file.bytes).map(upstreams).unwrap_or_default(),
            restless,
        }
    }
}

impl FileMark {
    /// Hosts that the file passes requests on to, as far as it is a proxy's.
    pub(super) fn upstreams(&self) -> impl Iterator<Item = &String> {
        self.upstreams.iter()
    }
}

fn lines(bytes: &[u8], key: &DigestKey) -> Vec<u32> {
    let Ok(text) = std::str::from_utf8(bytes) else { return vec![] };
    let lines: Vec<u32> =
        text.lines().take(MOST_LINES + 1).map(|line| key.digest(line.as_bytes())).collect();
    if lines.len() > MOST_LINES { vec![] } else { lines }
}

/// The files of all bind mounts; what cannot be read now is as it was before.
pub(super) async fn look(
    world: &World,
    facts: &ContainerFacts,
    before: Option<&BTreeMap<String, FileMark>>,
    key: &DigestKey,
) -> BTreeMap<String, FileMark> {
    let mut files = BTreeMap::new();
    for mount in facts.mounts.iter().filter(|mount| mount.bind) {
        let below = |path: &&String| {
            path.strip_prefix(mount.source.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let paths = match world.files.list(&mount.source).await {
            Ok(paths) => paths,
            Err(WorldError::NotFound { .. }) => vec![],
            Err(_) => before.into_iter().flat_map(BTreeMap::keys).filter(below).cloned().collect(),
        };
        for path in paths {
            if files.len() >= MOST_FILES {
                break;
            }
            let known = before.and_then(|before| before.get(&path));
            let mark = match world.files.read(&path).await {
                Ok(file) => Some(FileMark::of(&file, known, key)),
                Err(WorldError::NotFound { .. }) => None,
                Err(_) => known.cloned(),
            };
            files.extend(mark.map(|mark| (path, mark)));
        }
    }
    files
}

/// What is different, with the time of each change: the file's own if that lies between the
/// two looks, else that of the second.
pub(super) fn changed(
    before: &BTreeMap<String, FileMark>,
    after: &BTreeMap<String, FileMark>,
    from: Timestamp,
    to: Timestamp,
) -> Vec<(Timestamp, String)> {
    let time = |mark: &FileMark| {
        let own = Timestamp::from_timestamp(mark.modified_secs, 0);
        // The file's time has whole seconds only.
        own.filter(|at| at.timestamp() >= from.timestamp() && *at <= to).unwrap_or(to)
    };
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    paths
        .into_iter()
        .filter_map(|path| {
            let name = clean(path, 200);
            match (before.get(path), after.get(path)) {
                (Some(old), Some(new)) if old.sha256 != new.sha256 => (new.restless < RESTLESS)
                    .then(|| (time(new), format!("{name} changed{}", place(old, new)))),
                (None, Some(new)) => Some((time(new), format!("{name} is new"))),
                (Some(_), None) => Some((to, format!("{name} is gone"))),
                _ => None,
            }
        })
        .collect()
}

/// `: lines 3-4`, counted in the new file; empty where that is not known.
fn place(old: &FileMark, new: &FileMark) -> String {
    if old.lines.is_empty() || new.lines.is_empty() {
        return String::new();
    }
    let shorter = old.lines.len().min(new.lines.len());
    let pairs = || old.lines.iter().zip(&new.lines);
    let head = pairs().take_while(|(a, b)| a == b).count();
    let back = old.lines.iter().rev().zip(new.lines.iter().rev());
    let tail = back.take(shorter - head).take_while(|(a, b)| a == b).count();
    let (first, last) = (head + 1, new.lines.len() - tail);
    let gone = old.lines.len() - tail - head;
    match last.checked_sub(first) {
        // Nothing is left of it in the new file; or only the end of the last line differs.
        None if gone > 0 => format!(": {gone} line(s) gone after line {head}"),
        None => String::new(),
        Some(0) => format!(": line {first}"),
        Some(_) => format!(": lines {first}-{last}"),
    }
}
