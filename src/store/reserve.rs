//! Room kept back for a full disk: a file that is deleted when a write that must not fail
//! finds no room, so that a fix that was begun can still be finished or undone.
//!
//! It does not decide which writes deserve it; see `Urgency` in the database module.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The reserve's name in the data directory.
pub const RESERVE_FILE: &str = "reserve.bin";
/// Its size, in bytes.
pub const RESERVE_BYTES: u64 = 16 * 1024 * 1024;

/// The reserve of one data directory.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
}

impl Reserve {
    pub(super) fn new(dir: &Path) -> Self {
        Self { path: dir.join(RESERVE_FILE) }
    }

    /// Whether the room is kept back now.
    pub(super) fn is_full(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|file| file.len() == RESERVE_BYTES)
    }

    /// Keeps room back, unless it is already.
    ///
    /// Twice the size is written and the half given back, so that a disk with hardly any
    /// room is not filled by the reserve itself.
    pub(super) fn fill(&self) -> io::Result<()> {
        if self.is_full() {
            return Ok(());
        }
        let filled = self.write_twice_and_halve();
        if filled.is_err() {
            self.release();
        }
        filled
    }

    fn write_twice_and_halve(&self) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.path)?;
        // Noise, since file systems that compress would store zeros in no room at all.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let noise: Vec<u8> = (0..8192)
            .flat_map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            })
            .collect();
        let chunk = u64::try_from(noise.len()).expect("64 KiB fit");
        for _ in 0..(2 * RESERVE_BYTES / chunk) {
            file.write_all(&noise)?;
        }
        file.set_len(RESERVE_BYTES)
    }

    /// Gives the room back; returns whether there was any.
    pub(super) fn release(&self) -> bool {
        // Shortened first: an open handle elsewhere would keep a deleted file's room.
        let _ = File::options().write(true).open(&self.path).and_then(|file| file.set_len(0));
        std::fs::remove_file(&self.path).is_ok()
    }
}
