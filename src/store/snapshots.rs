//! Snapshots: whole copies of the database in `snapshots/`, for a start that finds it damaged.
//!
//! Whatever bears a snapshot's name was examined as a database is at a start, and is on disk; one
//! that was cut off has another name and is swept away. A copy is read over a connection of its own
//! and holds up no write. It is taken only where more room stays free than the reserve takes, and
//! never of the reserve.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{NaiveDateTime, TimeDelta};
use selfheal_agents::model::Timestamp;
use selfheal_agents::ports::{Occasion, StoreError, StoreResult};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tempfile::NamedTempFile;
use tokio::sync::Mutex;

use super::examine::{Verdict, examine};
use super::files;
use super::reserve::RESERVE_BYTES;
use super::sqlite::store_error;

/// Where they are in the data directory.
pub const SNAPSHOT_DIR: &str = "snapshots";
/// How the name of one begins that is not whole yet.
const UNFINISHED: &str = ".unfinished-";
const STAMP: &str = "%Y%m%d_%H%M%S";
/// How many are kept.
const KEPT: usize = 3;
/// Time between two ...
const APART: TimeDelta = TimeDelta::hours(1);
/// ... or less when a fix ended: what restores it then knows of no fix under way.
const APART_AFTER_FIX: TimeDelta = TimeDelta::minutes(5);
/// A larger database is copied more rarely: never more than this in each such time, in bytes.
const MOST_EACH: u64 = 64 * 1024 * 1024;

/// One snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its file.
    pub path: PathBuf,
    /// What was written before then is in it.
    pub taken_at: Timestamp,
    /// Higher is newer, whatever the clock says.
    serial: u64,
}

/// The snapshots of a data directory, newest first. None of them is opened. That there is no
/// folder of them is no error.
pub fn snapshots(data_dir: &Path) -> io::Result<Vec<Snapshot>> {
    let dir = data_dir.join(SNAPSHOT_DIR);
    let names = match files::names(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => vec![],
        names => names?,
    };
    let mut all: Vec<Snapshot> = names.iter().filter_map(|name| parsed(&dir, name)).collect();
    all.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.serial));
    Ok(all)
}

/// `snapshot_7_20251019_170000.db`: its number, and when it was taken.
fn parsed(dir: &Path, name: &str) -> Option<Snapshot> {
    let rest = name.strip_prefix("snapshot_")?.strip_suffix(".db")?;
    let (serial, stamp) = rest.split_once('_')?;
    let taken_at = NaiveDateTime::parse_from_str(stamp, STAMP).ok()?.and_utc();
    Some(Snapshot { path: dir.join(name), taken_at, serial: serial.parse().ok()? })
}

/// How often something happened, and how much of that is in a snapshot. One that was given up in the
/// middle, or failed, holds none of it.
struct Counted {
    all: AtomicU64,
    held: AtomicU64,
}

impl Counted {
    const fn from(all: u64) -> Self {
        Self { all: AtomicU64::new(all), held: AtomicU64::new(0) }
    }

    fn add(&self) {
        self.all.fetch_add(1, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }

    fn hold(&self, count: u64) {
        self.held.store(count, Ordering::Relaxed);
    }

    fn is_more(&self) -> bool {
        self.now() != self.held.load(Ordering::Relaxed)
    }
}

/// Takes the snapshots of one database.
pub(super) struct Snapshots {
    data_dir: PathBuf,
    database: PathBuf,
    /// How often something worth keeping was written, ...
    changes: Counted,
    /// ... and a fix came to its end.
    fixes_ended: Counted,
    /// It was said that there is no room.
    is_told: AtomicBool,
    /// One at a time.
    taking: Mutex<()>,
}

impl Snapshots {
    pub(super) fn new(data_dir: &Path, database: &Path) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            database: database.to_owned(),
            // What the last run wrote at its end may be in none.
            changes: Counted::from(1),
            fixes_ended: Counted::from(0),
            is_told: AtomicBool::new(false),
            taking: Mutex::new(()),
        }
    }

    /// Something worth keeping was written.
    pub(super) fn changed(&self) {
        self.changes.add();
    }

    /// A fix came to its end.
    pub(super) fn fix_ended(&self) {
        self.fixes_ended.add();
    }

    /// Takes one if it is time; answers whether it did.
    pub(super) async fn take(&self, occasion: Occasion, now: Timestamp) -> StoreResult<bool> {
        let _one_at_a_time = self.taking.lock().await;
        let failed = |error| StoreError::Unavailable(format!("the snapshots: {error}"));
        if !self.is_due(occasion, now).map_err(failed)? {
            return Ok(false);
        }
        // Before it is read: what is written meanwhile may not be in it.
        let (changes, fixes_ended) = (self.changes.now(), self.fixes_ended.now());
        let taken = self.copy(now).await?;
        if taken {
            self.changes.hold(changes);
            self.fixes_ended.hold(fixes_ended);
        }
        Ok(taken)
    }

    fn is_due(&self, occasion: Occasion, now: Timestamp) -> io::Result<bool> {
        if !self.changes.is_more() {
            return Ok(false);
        }
        let newest = snapshots(&self.data_dir)?.into_iter().next();
        let Some(newest) = newest.filter(|_| occasion == Occasion::Housekeeping) else {
            return Ok(true);
        };
        let apart = if self.fixes_ended.is_more() { APART_AFTER_FIX } else { APART };
        let times = i32::try_from(self.size() / MOST_EACH).unwrap_or(i32::MAX).saturating_add(1);
        let age = now - newest.taken_at;
        // One of the future: the clock was set back, and its age is not known.
        let is_time = apart.checked_mul(times).is_some_and(|apart| age >= apart);
        Ok(is_time || age < TimeDelta::zero())
    }

    /// What a copy takes at most, in bytes.
    fn size(&self) -> u64 {
        let log = PathBuf::from(format!("{}-wal", self.database.display()));
        [&self.database, &log]
            .into_iter()
            .filter_map(|file| std::fs::metadata(file).ok())
            .map(|file| file.len())
            .sum()
    }

    /// Copies, examines, and only then gives the copy its name. `false`: there is no room.
    async fn copy(&self, now: Timestamp) -> StoreResult<bool> {
        let dir = self.data_dir.join(SNAPSHOT_DIR);
        let failed = |error: io::Error| StoreError::Unavailable(format!("a snapshot: {error}"));
        let Some(unfinished) = self.begin(&dir).map_err(failed)? else { return Ok(false) };
        self.vacuum_into(unfinished.path()).await.map_err(|error| store_error(&error))?;
        match examine(unfinished.path()).await {
            Ok(Verdict::Sound) => {}
            Ok(verdict) => {
                let why = match verdict {
                    Verdict::Damaged { why } => why,
                    other => format!("{other:?}"),
                };
                return Err(StoreError::Corrupt(format!(
                    "a snapshot of {} is not whole: {why}",
                    self.database.display()
                )));
            }
            Err(error) => return Err(StoreError::Unavailable(error.to_string())),
        }
        let data_dir = self.data_dir.clone();
        tokio::task::spawn_blocking(move || finish(unfinished, &data_dir, now))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(failed)?;
        Ok(true)
    }

    /// An empty file to copy into, for its owner only.
    fn begin(&self, dir: &Path) -> io::Result<Option<NamedTempFile>> {
        sweep(dir, UNFINISHED);
        let needed = self.size() + RESERVE_BYTES;
        let disk = rustix::fs::statvfs(&self.data_dir)?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < needed {
            if !self.is_told.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "there is no room for a snapshot of the store in {}: {} MB are needed; free \
                     some space",
                    dir.display(),
                    needed / 1_000_000
                );
            }
            return Ok(None);
        }
        self.is_told.store(false, Ordering::Relaxed);
        match files::make_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(dir).map(Some)
    }

    async fn vacuum_into(&self, copy: &Path) -> sqlx::Result<()> {
        let mut connection = SqliteConnectOptions::new()
            .filename(&self.database)
            .read_only(true)
            .busy_timeout(Duration::from_secs(5))
            .connect()
            .await?;
        let copied = sqlx::query("VACUUM INTO $1")
            .bind(copy.display().to_string())
            .execute(&mut connection)
            .await;
        connection.close().await?;
        copied.map(drop)
    }
}

/// Puts a whole copy in its place, for good, and removes what is too old.
fn finish(unfinished: NamedTempFile, data_dir: &Path, now: Timestamp) -> io::Result<()> {
    let earlier = snapshots(data_dir)?;
    let serial = earlier.first().map_or(1, |newest| newest.serial.saturating_add(1));
    let dir = data_dir.join(SNAPSHOT_DIR);
    let name = format!("snapshot_{serial}_{}.db", now.format(STAMP));
    files::settle(unfinished, &dir.join(name))?;
    for old in earlier.into_iter().skip(KEPT - 1) {
        std::fs::remove_file(old.path)?;
    }
    Ok(())
}

/// Removes what was cut off before it was whole.
pub(super) fn sweep(dir: &Path, prefix: &str) {
    for name in files::names(dir).unwrap_or_default() {
        if name.starts_with(prefix) {
            // It is in nobody's way.
            let _ = std::fs::remove_file(dir.join(name));
        }
    }
}
