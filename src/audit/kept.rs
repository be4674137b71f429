//! What is put away, and for how long it is kept.
//!
//! A file that is full or old gets a name of its own, with the number of its last entry, and the next
//! entry begins a new one; the chain goes on across them. The oldest is removed when all of it is
//! older than is kept, or when all together are too large. Before that an entry says so, with the
//! number and hash of the last one that goes: only so may a log begin later than with entry 1.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::TimeDelta;
use selfheal_agents::model::Timestamp;

use super::chain;
use super::entry::{Act, Entry, Head};
use super::file::{FILE, end_of, first_line, only_writer};
use crate::store::sync_dir;

/// No file grows much larger, in bytes.
const FULL: u64 = 16 * 1024 * 1024;
/// Nor all that are put away together.
pub(super) const MOST_BYTES: u64 = 512 * 1024 * 1024;
/// A file is put away after this part of the time for which entries are kept.
const PARTS: u32 = 12;

/// What the entry before a removal is called.
pub(super) const SHORTENED: &str = "audit_shortened";

/// A file that is put away.
pub(super) struct Away {
    pub(super) path: PathBuf,
    pub(super) name: String,
}

/// The files that are put away, oldest first.
pub(super) fn put_away(data_dir: &Path) -> io::Result<Vec<Away>> {
    let mut all = vec![];
    let files = match fs::read_dir(data_dir) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
        Err(error) => return Err(error),
    };
    for file in files {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix("audit-").and_then(|name| name.strip_suffix(".jsonl"));
        if number.is_some_and(|number| number.len() == 20 && number.parse::<u64>().is_ok()) {
            all.push(Away { path: file.path(), name });
        }
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(all)
}

/// Puts the newest file away if it is full or old; whether it did. One that does not end as it should
/// stays, for whoever looks and for the next entry, which puts right what a crash cut off.
pub(super) fn put_away_if_due(data_dir: &Path, now: Timestamp, keep: Duration) -> io::Result<bool> {
    let path = data_dir.join(FILE);
    if !path.exists() {
        return Ok(false);
    }
    let mut file = only_writer(&path)?;
    let is_old = |entry: &Entry| older_than(entry.at, now, keep / PARTS);
    let first = Entry::read(&first_line(&file)?);
    if file.metadata()?.len() < FULL && !first.as_ref().is_some_and(is_old) {
        return Ok(false);
    }
    let end = end_of(&mut file)?;
    let Some(last) = chain::newest(&end).filter(|_| end.ends_with(b"\n")) else { return Ok(false) };
    let away = data_dir.join(format!("audit-{:020}.jsonl", last.seq));
    if away.exists() {
        return Err(io::Error::other(format!("{} is there already", away.display())));
    }
    fs::rename(&path, away)?;
    sync_dir(data_dir)?;
    Ok(true)
}

fn older_than(at: Timestamp, now: Timestamp, age: Duration) -> bool {
    TimeDelta::from_std(age).is_ok_and(|age| now - at > age)
}

/// A file that is to be removed, and what is to be said of it.
pub(super) struct Outdated {
    pub(super) path: PathBuf,
    pub(super) act: Act,
}

/// The oldest file, if it is not to be kept any longer. `most` bytes are kept at most.
pub(super) fn outdated(
    data_dir: &Path,
    now: Timestamp,
    keep: Duration,
    most: u64,
) -> io::Result<Option<Outdated>> {
    let all = put_away(data_dir)?;
    let Some(oldest) = all.first() else { return Ok(None) };
    // What follows on it says where it ends, whatever has become of its own end.
    let next = all.get(1).map_or_else(|| data_dir.join(FILE), |next| next.path.clone());
    let Some(follows) = first_entry(&next)? else { return Ok(None) };
    let mut bytes = 0;
    for away in &all {
        bytes += away.path.metadata()?.len();
    }
    let why = if older_than(follows.at, now, keep) {
        format!("entries are kept for {}", humantime::format_duration(keep))
    } else if bytes > most {
        format!("no more than {} MB are kept", most / 1_048_576)
    } else {
        return Ok(None);
    };
    let last = Head { seq: follows.seq - 1, hash: follows.previous };
    let act = Act::of_selfheal(now, SHORTENED)
        .saying(format!("{last} and all before it are removed: {why}"));
    Ok(Some(Outdated { path: oldest.path.clone(), act }))
}

/// With what a file begins; `None` where nothing stands in it yet. What does not begin with an entry
/// was altered: nothing that stands before it is removed by itself.
fn first_entry(path: &Path) -> io::Result<Option<Entry>> {
    let line = match File::open(path) {
        Ok(file) => first_line(&file)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if line.is_empty() {
        return Ok(None);
    }
    let entry = Entry::read(&line).filter(|entry| entry.seq > 0).ok_or_else(|| {
        let path = path.display();
        io::Error::other(format!(
            "{path} does not begin with an entry; keep a copy and move it away"
        ))
    })?;
    Ok(Some(entry))
}

/// The last of what was removed, if that is what an entry says.
pub(super) fn removed(entry: &Entry) -> Option<Head> {
    (entry.act == SHORTENED).then(|| entry.detail.split(' ').next()?.parse().ok()).flatten()
}
