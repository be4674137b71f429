//! How often something was written to the database, noted beside it after each time.
//!
//! The write-ahead log ends, for SQLite, where its checksums cease to fit: what was cut off or
//! damaged there is lost without a word. The database counts what is written to it; one that
//! has counted fewer than stand here has lost some. The note is never ahead of the database, so no
//! crash looks like a loss, and it costs no wait for the disk.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flate2::Crc;

/// What its name has after the database's.
pub(super) const WITNESS_END: &str = "-commits";

/// The note of one database.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
}

impl Witness {
    pub(super) fn open(database: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.open(path(database)).map(|file| Self { file })
    }

    /// Notes how often something was written by now, which is on disk.
    pub(super) fn note(&self, count: i64) {
        if let Err(error) = self.file.write_all_at(text(count).as_bytes(), 0) {
            tracing::debug!(%error, "the count of writes is not noted beside the database");
        }
    }
}

/// What is noted; `None` where nothing is, or nothing that can be believed.
pub(super) fn read(database: &Path) -> Option<i64> {
    let noted = std::fs::read_to_string(path(database)).ok()?;
    let count = i64::from_str_radix(noted.split(' ').next()?, 16).ok()?;
    (noted == text(count)).then_some(count)
}

/// Forgets what was noted of another database.
pub(super) fn forget(database: &Path) {
    // None may be there.
    let _ = std::fs::remove_file(path(database));
}

fn path(database: &Path) -> PathBuf {
    PathBuf::from(format!("{}{WITNESS_END}", database.display()))
}

/// Always the same length, so that one note covers the one before.
fn text(count: i64) -> String {
    let count = format!("{count:016x}");
    let mut sum = Crc::new();
    sum.update(count.as_bytes());
    format!("{count} {:08x}\n", sum.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_covers_the_one_before_and_a_damaged_one_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("a.db");
        assert_eq!(read(&database), None);
        let witness = Witness::open(&database).unwrap();
        for count in [1_000_000, 1_000_001] {
            witness.note(count);
            assert_eq!(read(&database), Some(count));
        }
        let whole = std::fs::read(path(&database)).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(path(&database), damaged).unwrap();
            assert_eq!(read(&database), None, "byte {at}");
        }
    }
}
