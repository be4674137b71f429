//! The file: one writer at a time, by a lock that the kernel releases when its process dies.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use memchr::memrchr;

use super::chain::{self, Append, LONGEST_LINE};
use super::entry::{Act, Head};
use super::kept::put_away;
use super::log::Log;
use crate::store::{give_to_owner_of, sync_dir};

/// The name of the log's newest file in the data directory.
pub const FILE: &str = "audit.jsonl";

/// How long another writer, or a reader, is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is tried meanwhile.
const AGAIN: Duration = Duration::from_millis(5);

/// In the end of a log of this many bytes stands where it goes on, whoever wrote last.
const TAIL: u64 = 1024 * 1024;
/// In this many bytes stands at least the last line, and what was torn after it.
const LAST: u64 = 2 * LONGEST_LINE as u64;

/// Where a log is kept.
#[derive(Debug)]
pub(super) enum Place {
    /// In a data directory.
    Folder(PathBuf),
    /// Nowhere else.
    Memory(Mutex<Vec<u8>>),
}

impl Default for Place {
    fn default() -> Self {
        Self::Memory(Mutex::default())
    }
}

/// How a log ends.
pub(super) struct End {
    /// Its newest entry.
    pub(super) newest: Option<Head>,
    /// Whether that follows on what was known.
    pub(super) leads_on: bool,
}

impl Place {
    pub(super) fn open(&self) -> io::Result<Log> {
        match self {
            Self::Folder(dir) => Log::open(dir),
            Self::Memory(bytes) => {
                Ok(Log::of(bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()))
            }
        }
    }

    pub(super) fn append(&self, known: Option<&Head>, acts: &[Act]) -> io::Result<Head> {
        match self {
            Self::Folder(dir) => append(dir, known, acts),
            Self::Memory(bytes) => {
                let mut bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
                let Append { text, head, .. } = chain::append(&bytes, known, acts)?;
                bytes.extend(text);
                Ok(head)
            }
        }
    }

    /// How it ends now, seen by who knows it up to `known`.
    pub(super) fn end(&self, known: Option<&Head>) -> io::Result<End> {
        let tail = match self {
            Self::Folder(dir) => tail_for(dir, newest_file(&dir.join(FILE))?.as_mut(), known)?,
            Self::Memory(bytes) => bytes.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        let leads_on = known.is_none_or(|known| chain::leads(&tail, known));
        Ok(End { newest: chain::newest(&tail), leads_on })
    }
}

/// Appends one entry where no store can be written: beside a running daemon, which takes note of it
/// within a minute.
pub fn append_alone(data_dir: &Path, act: &Act) -> io::Result<Head> {
    append(data_dir, None, std::slice::from_ref(act))
}

fn append(dir: &Path, known: Option<&Head>, acts: &[Act]) -> io::Result<Head> {
    let mut file = only_writer(&dir.join(FILE))?;
    let is_new = file.metadata()?.len() == 0;
    if is_new {
        give_to_owner_of(&file, dir)?;
    }
    let tail = tail_for(dir, Some(&mut file), known)?;
    let Append { cut, text, head } = chain::append(&tail, known, acts)?;
    let length = file.metadata()?.len() - cut as u64;
    file.set_len(length)?;
    if let Err(error) = file.write_all(&text).and_then(|()| file.sync_all()) {
        // As far as it can be had: the next one cuts off what is left.
        let _ = file.set_len(length);
        return Err(error);
    }
    if is_new {
        sync_dir(dir)?;
    }
    Ok(head)
}

/// The newest file, made if it is missing, for this writer alone until it is closed.
pub(super) fn only_writer(path: &Path) -> io::Result<File> {
    loop {
        let file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        lock(&file, File::try_lock)?;
        if is_at(&file, path)? {
            return Ok(file);
        }
    }
}

/// The newest file, if there is one. While it is locked it is not put away, and no line is half
/// written.
pub(super) fn newest_file(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        lock(&file, File::try_lock_shared)?;
        if is_at(&file, path)? {
            return Ok(Some(file));
        }
    }
}

/// Whether a file still has its name: while its lock was waited for, it may have been put away.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let of = |metadata: Metadata| (metadata.dev(), metadata.ino());
    match path.metadata() {
        Ok(there) => Ok(of(there) == of(file.metadata()?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Healing must not wait for ever for whoever holds the lock.
fn lock(file: &File, attempt: fn(&File) -> Result<(), TryLockError>) -> io::Result<()> {
    let began = Instant::now();
    loop {
        match attempt(file) {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => {
                std::thread::sleep(AGAIN);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// So much of the end of a log as whoever knows it up to `known` needs to go on: mostly its last line.
fn tail_for(
    dir: &Path,
    mut newest: Option<&mut File>,
    known: Option<&Head>,
) -> io::Result<Vec<u8>> {
    let last = tail_of(dir, newest.as_deref_mut(), LAST)?;
    let there = chain::newest(&last);
    if there.is_some() && known.is_none_or(|known| there.as_ref() == Some(known)) {
        return Ok(last);
    }
    tail_of(dir, newest, TAIL)
}

/// The end of the newest file, and where that is short, of the one before as well.
fn tail_of(dir: &Path, newest: Option<&mut File>, bytes: u64) -> io::Result<Vec<u8>> {
    let tail = newest.map_or(Ok(vec![]), |newest| last_of(newest, bytes))?;
    let missing = bytes - tail.len() as u64;
    let before = if missing == 0 { None } else { put_away(dir)?.pop() };
    let Some(before) = before else { return Ok(tail) };
    let mut before = last_of(&mut File::open(before.path)?, missing)?;
    // What was torn there is not put right any more.
    before.truncate(memrchr(b'\n', &before).map_or(0, |end| end + 1));
    before.extend(tail);
    Ok(before)
}

/// The end of a file that is put away, or is to be.
pub(super) fn end_of(file: &mut File) -> io::Result<Vec<u8>> {
    last_of(file, LAST)
}

fn last_of(file: &mut File, bytes: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
    let mut tail = vec![];
    file.take(bytes).read_to_end(&mut tail)?;
    Ok(tail)
}

/// The first line of a file without its end; of one that is longer than any of ours, the beginning.
pub(super) fn first_line(mut file: &File) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))?;
    let mut line = vec![];
    BufReader::new(file).take(LONGEST_LINE as u64 + 1).read_until(b'\n', &mut line)?;
    if line.ends_with(b"\n") {
        line.pop();
    }
    Ok(line)
}
