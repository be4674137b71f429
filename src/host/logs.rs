//! Trims the log files of containers.
//!
//! Invariant: what the container put there never leads out of its folder. Folders are opened one
//! after the other and files by name in an open folder, never through a link; only regular files
//! with one name are touched, and only if they are still the ones that were planned.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use selfheal_agents::model::{LogAside, LogEnds, LogFile, LogFolder, LogName, LogSurvey};
use selfheal_agents::ports::{LogFiles, WorldError, WorldResult};
use sha2::{Digest as _, Sha256};

use super::mounts;

/// A disk that needs longer is not one to work on.
const LIMIT: Duration = Duration::from_mins(1);
/// The same for a glance: everything else of a look waits for it.
const GLANCE: Duration = Duration::from_millis(500);
/// So many log files are told of one folder.
const MOST_FILES: usize = 1000;
/// So much room is left beside the copies, in bytes.
const ROOM_LEFT: u64 = 1024 * 1024 * 1024;
/// Of a file that takes too long to be read, so much of its beginning and of its end is, in bytes.
const ENDS: u64 = 1024 * 1024;

/// The logs of containers, and where copies of what is trimmed are kept.
#[derive(Debug, Clone)]
pub struct LocalLogs {
    aside: PathBuf,
    patience: Patience,
    /// Folders that are being glanced at.
    glances: Arc<Mutex<BTreeSet<LogFolder>>>,
}

/// How much is done with a file before it is trimmed.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Larger files are not copied, in bytes.
    largest_copy: u64,
    /// Reading takes no longer: the disk is full while it lasts.
    reading: Duration,
}

impl LocalLogs {
    /// Keeps copies in `aside`, which is made when it is first needed. How long they stay is the
    /// store's to say, whose backups name them.
    pub fn new(aside: PathBuf) -> Self {
        let patience =
            Patience { largest_copy: 512 * 1024 * 1024, reading: Duration::from_secs(30) };
        Self { aside, patience, glances: Arc::default() }
    }
}

#[async_trait]
impl LogFiles for LocalLogs {
    async fn survey(&self, folder: &LogFolder) -> WorldResult<LogSurvey> {
        let wanted = folder.clone();
        beside("looking at", folder, move || survey(&wanted)).await
    }

    async fn glance(&self, folder: &LogFolder) -> WorldResult<LogSurvey> {
        let (wanted, glances) = (folder.clone(), Arc::clone(&self.glances));
        let glance = move || {
            let known = || glances.lock().unwrap_or_else(PoisonError::into_inner);
            // The glance before still hangs: starting another would only pile up threads.
            if !known().insert(wanted.clone()) {
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            }
            let is_ours = std::fs::read_to_string("/proc/self/mountinfo")
                .is_ok_and(|mountinfo| mounts::is_on_this_machine(&mountinfo, &wanted.root));
            let seen = if is_ours {
                survey(&wanted)
            } else {
                Err(io::Error::other("its file system is not this machine's own"))
            };
            known().remove(&wanted);
            seen
        };
        within(GLANCE, "looking at", folder, glance).await
    }

    async fn set_aside(&self, folder: &LogFolder, file: &LogFile) -> WorldResult<LogAside> {
        let (wanted, file, logs) = (folder.clone(), file.clone(), self.clone());
        beside("copying a log of", folder, move || logs.copy(&wanted, &file)).await
    }

    async fn trim(&self, folder: &LogFolder, file: &LogFile, keep_bytes: u64) -> WorldResult<()> {
        let (wanted, file) = (folder.clone(), file.clone());
        beside("trimming a log of", folder, move || trim(&wanted, &file, keep_bytes)).await
    }

    async fn remove(&self, folder: &LogFolder, file: &LogFile) -> WorldResult<()> {
        let (wanted, file) = (folder.clone(), file.clone());
        beside("removing a rotated log of", folder, move || remove(&wanted, &file)).await
    }
}

async fn beside<T: Send + 'static>(
    doing: &str,
    folder: &LogFolder,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> WorldResult<T> {
    within(LIMIT, doing, folder, work).await
}

async fn within<T: Send + 'static>(
    limit: Duration,
    doing: &str,
    folder: &LogFolder,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> WorldResult<T> {
    let what = format!("{doing} {}", folder.path());
    match tokio::time::timeout(limit, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(Ok(done))) => Ok(done),
        Ok(Ok(Err(error))) => Err(match error.kind() {
            io::ErrorKind::NotFound => WorldError::NotFound { what: folder.path() },
            io::ErrorKind::PermissionDenied => WorldError::Denied {
                what,
                remedy: "let the user Selfheal runs as read and write it".to_owned(),
            },
            _ => WorldError::Refused { what, why: error.to_string() },
        }),
        Ok(Err(error)) => Err(WorldError::Unreachable { what, why: error.to_string() }),
        Err(_) => Err(WorldError::TimedOut { what, limit }),
    }
}

/// Opens the folder, following no link below the mount.
fn open_folder(folder: &LogFolder) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut open = File::from(rustix::fs::open(&folder.root, flags, Mode::empty())?);
    for part in folder.below.split('/').filter(|part| !part.is_empty()) {
        if part == ".." || part == "." {
            return Err(io::Error::other("a folder of logs is named without `..`"));
        }
        open = File::from(rustix::fs::openat(&open, part, flags, Mode::empty())?);
    }
    Ok(open)
}

fn survey(folder: &LogFolder) -> io::Result<LogSurvey> {
    let open = open_folder(folder)?;
    let room = rustix::fs::fstatvfs(&open)?;
    let mut files = vec![];
    for entry in Dir::read_from(&open)?.take(MOST_FILES) {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if LogName::of(name).is_none() {
            continue;
        }
        let Ok(stat) = rustix::fs::statat(&open, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        let is_file = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
        if is_file && stat.st_nlink == 1 {
            let taken_bytes = u64::try_from(stat.st_blocks).unwrap_or(0) * BLOCK;
            files.push(LogFile { name: name.to_owned(), inode: stat.st_ino, taken_bytes });
        }
    }
    files.sort_by_key(|file| std::cmp::Reverse(file.taken_bytes));
    Ok(LogSurvey {
        total_bytes: room.f_blocks.saturating_mul(room.f_frsize),
        available_bytes: room.f_bavail.saturating_mul(room.f_frsize),
        files,
    })
}

/// The unit of `st_blocks` (stat(3type)).
const BLOCK: u64 = 512;

/// Opens the very file that was planned, for reading and for writing at its end.
fn open_file(folder: &File, file: &LogFile) -> io::Result<File> {
    let flags =
        OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = File::from(rustix::fs::openat(folder, file.name.as_str(), flags, Mode::empty())?);
    let meta = open.metadata()?;
    let is_it = meta.is_file() && meta.nlink() == 1 && meta.ino() == file.inode;
    if is_it { Ok(open) } else { Err(io::Error::other("it is another file by now")) }
}

/// Cuts all but the end, from the beginning of a line on. As logrotate's `copytruncate` does: a
/// line written in the same instant may come before the end that was kept.
fn trim(folder: &LogFolder, file: &LogFile, keep_bytes: u64) -> io::Result<()> {
    let mut open = open_file(&open_folder(folder)?, file)?;
    let length = open.metadata()?.len();
    let kept = length.min(keep_bytes);
    let mut end = vec![0; usize::try_from(kept).map_err(io::Error::other)?];
    open.read_exact_at(&mut end, length - kept)?;
    let line = end.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    open.set_len(0)?;
    open.write_all(&end[if kept < length { line } else { 0 }..])?;
    open.sync_all()
}

/// Emptied first: a program that still has it open would keep its space otherwise.
fn remove(folder: &LogFolder, file: &LogFile) -> io::Result<()> {
    let open = open_folder(folder)?;
    let rotated = match open_file(&open, file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        rotated => rotated?,
    };
    rotated.set_len(0)?;
    rustix::fs::unlinkat(&open, file.name.as_str(), AtFlags::empty())?;
    open.sync_all()
}

impl LocalLogs {
    /// Copies the file where there is room for it, else takes down its checksum; where even that
    /// takes too long, those of its beginning and its end.
    fn copy(&self, folder: &LogFolder, file: &LogFile) -> io::Result<LogAside> {
        let open = open_file(&open_folder(folder)?, file)?;
        let bytes = open.metadata()?.len();
        let mut aside =
            LogAside { name: file.name.clone(), bytes, sha256: None, ends: None, copy: None };
        let mut copy = (bytes <= self.patience.largest_copy)
            .then(|| room_for_copy(&self.aside, bytes))
            .transpose()?
            .flatten();
        let deadline = Instant::now() + self.patience.reading;
        aside.sha256 = read_through(&open, bytes, copy.as_mut(), deadline)?;
        match (&aside.sha256, copy) {
            (Some(sha256), Some(copy)) => aside.copy = Some(keep(copy, &self.aside, sha256)?),
            (Some(_), None) => {}
            (None, _) => aside.ends = Some(ends_of(&open, bytes)?),
        }
        Ok(aside)
    }
}

/// A file that a copy may be written to; none where it would take room that is needed.
fn room_for_copy(aside: &Path, bytes: u64) -> io::Result<Option<tempfile::NamedTempFile>> {
    std::fs::create_dir_all(aside)?;
    std::fs::set_permissions(aside, std::fs::Permissions::from_mode(0o700))?;
    let room = rustix::fs::statvfs(aside)?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    let fits = free >= bytes.saturating_add(ROOM_LEFT);
    fits.then(|| tempfile::NamedTempFile::new_in(aside)).transpose()
}

/// Keeps a copy under its checksum; answers where.
fn keep(copy: tempfile::NamedTempFile, aside: &Path, sha256: &str) -> io::Result<String> {
    copy.as_file().sync_all()?;
    let path = aside.join(sha256);
    copy.persist(&path).map_err(|refused| refused.error)?;
    File::open(aside)?.sync_all()?;
    Ok(path.to_string_lossy().into_owned())
}

/// The SHA-256 of the first `bytes`; what a program appends meanwhile is not part of it. `None`
/// when the time is over before.
fn read_through(
    open: &File,
    bytes: u64,
    mut copy: Option<&mut tempfile::NamedTempFile>,
    deadline: Instant,
) -> io::Result<Option<String>> {
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 64 * 1024]);
    let mut rest = open.take(bytes);
    while Instant::now() < deadline {
        let read = rest.read(&mut buffer)?;
        if read == 0 {
            return Ok(Some(hex(digest)));
        }
        digest.update(&buffer[..read]);
        if let Some(copy) = &mut copy {
            copy.write_all(&buffer[..read])?;
        }
    }
    Ok(None)
}

fn ends_of(open: &File, bytes: u64) -> io::Result<LogEnds> {
    let length = bytes.min(ENDS);
    let sha256_from = |offset| {
        let mut part = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        open.read_exact_at(&mut part, offset)?;
        Ok::<_, io::Error>(hex(Sha256::new().chain_update(&part)))
    };
    Ok(LogEnds {
        bytes: length,
        first_sha256: sha256_from(0)?,
        last_sha256: sha256_from(bytes - length)?,
    })
}

fn hex(digest: Sha256) -> String {
    format!("{:x}", digest.finalize())
}

#[cfg(test)]
mod tests;
