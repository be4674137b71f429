//! The file: one writer at a time, by a lock that the kernel releases when its process dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::chain::{self, Append};
use super::entry::{Act, Head};
use crate::store::{give_to_owner_of, sync_dir};

/// The log's name in the data directory.
pub const FILE: &str = "audit.jsonl";

/// How long another writer, or a reader, is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is tried meanwhile.
const AGAIN: Duration = Duration::from_millis(5);

/// In the end of a file of this many bytes stands the last line, and what was torn after it.
const TAIL: u64 = 1024 * 1024;

/// Where a log is kept.
#[derive(Debug)]
pub(super) enum Place {
    /// In a file.
    File(PathBuf),
    /// Nowhere else.
    Memory(Mutex<Vec<u8>>),
}

impl Default for Place {
    fn default() -> Self {
        Self::Memory(Mutex::default())
    }
}

impl Place {
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::File(path) => read_file(path),
            Self::Memory(bytes) => Ok(bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        }
    }

    pub(super) fn append(&self, known: Option<&Head>, acts: &[Act]) -> io::Result<Head> {
        match self {
            Self::File(path) => append(path, known, acts),
            Self::Memory(bytes) => {
                let mut bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
                let Append { text, head, .. } = chain::append(&bytes, known, acts)?;
                bytes.extend(text);
                Ok(head)
            }
        }
    }

    pub(super) fn tail(&self) -> io::Result<Option<Head>> {
        match self {
            Self::File(path) => match File::open(path) {
                Ok(mut file) => Ok(chain::newest(&tail_of(&mut file)?)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
            Self::Memory(bytes) => {
                Ok(chain::newest(&bytes.lock().unwrap_or_else(PoisonError::into_inner)))
            }
        }
    }
}

/// Everything in the log of a data directory; nothing where there is none yet.
pub fn read(data_dir: &Path) -> io::Result<Vec<u8>> {
    read_file(&data_dir.join(FILE))
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    match File::open(path) {
        Ok(mut file) => {
            // Not in the middle of a line that is being written.
            lock(&file, File::try_lock_shared)?;
            file.read_to_end(&mut bytes)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(bytes)
}

/// Appends one entry where no store can be written: beside a running daemon, which takes note of it
/// within a minute.
pub fn append_alone(data_dir: &Path, act: &Act) -> io::Result<Head> {
    append(&data_dir.join(FILE), None, std::slice::from_ref(act))
}

fn append(path: &Path, known: Option<&Head>, acts: &[Act]) -> io::Result<Head> {
    let dir = path.parent().ok_or_else(|| io::Error::other("it has no directory"))?;
    let mut file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    lock(&file, File::try_lock)?;
    let is_new = file.metadata()?.len() == 0;
    if is_new {
        give_to_owner_of(&file, dir)?;
    }
    let Append { cut, text, head } = chain::append(&tail_of(&mut file)?, known, acts)?;
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

fn tail_of(file: &mut File) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = vec![];
    file.read_to_end(&mut tail)?;
    Ok(tail)
}
