//! Lets a command run once at a time, over the end of Selfheal too.
//!
//! Each command has an empty file, which its programs read from. It is locked, and the system
//! keeps that lock as long as anything holds the file open: where Selfheal was killed while a
//! program ran, its next start finds out that it still runs.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use tokio::time::Instant;

/// How long until a lock that is taken is tried again.
const AGAIN: Duration = Duration::from_millis(50);

/// The right to run the programs of one command. Dropped, it stays with what they left running.
pub(super) struct Turn {
    file: File,
}

impl Turn {
    /// Waits for it, up to `limit`; `None` where an earlier run still has it.
    pub(super) async fn take(
        folder: &Path,
        name: &str,
        limit: Duration,
    ) -> io::Result<Option<Self>> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::open(folder.join(name), flags, Mode::RUSR | Mode::WUSR)?;
        let until = Instant::now() + limit;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Self { file: file.into() })),
                Err(Errno::WOULDBLOCK) if Instant::now() >= until => return Ok(None),
                Err(Errno::WOULDBLOCK | Errno::INTR) => tokio::time::sleep(AGAIN).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What a program reads from: nothing, and the lock with it.
    pub(super) fn input(&self) -> io::Result<Stdio> {
        self.file.try_clone().map(Stdio::from)
    }

    /// Ends it after a program that ended by itself: what that left running is no part of it.
    pub(super) fn give_back(self) {
        if let Err(error) = flock(&self.file, FlockOperation::Unlock) {
            tracing::warn!(%error, "a command stays locked until what it started has ended");
        }
    }
}
