//! A damaged database: it is set aside as it was found, and the newest snapshot that is whole takes
//! its place. One that is gone, with something of it left, is no less damaged.
//!
//! What was done is noted in a file until whoever opened the store has written down what follows
//! from it (see [`SqlStore::damage_is_told`]): a crash at any instant leaves neither a half
//! copy in place nor a store that nobody knows was restored.
//!
//! [`SqlStore::damage_is_told`]: super::SqlStore::damage_is_told

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use selfheal_agents::model::Timestamp;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::OpenError;
use super::examine::{ExamineError, Verdict, examine};
use super::open::{SCHEMA, failed, unwritable};
use super::snapshots::{Snapshot, snapshots, sweep};
use super::witness::WITNESS_END;
use super::{files, vault};

/// Where it is noted in the data directory.
const NOTE: &str = "damage.json";
/// How the name of a copy begins that is not in its place yet.
const UNFINISHED: &str = ".restored-";

/// What became of a damaged database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// Where it was set aside to, as it was found; `None` where it was gone.
    pub set_aside: Option<PathBuf>,
    /// What took its place; without it the store is empty.
    pub restored: Option<Restored>,
}

/// A snapshot that took the place of a damaged database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Its file, which stays.
    pub snapshot: PathBuf,
    /// What was written later is not known any more.
    pub taken_at: Timestamp,
}

/// Sets the database aside if it is damaged, and puts a snapshot in its place if there is one.
/// Answers also what an earlier start did and nobody was told of.
pub(super) async fn deal_with(
    dir: &Path,
    database: &Path,
    now: Timestamp,
) -> Result<Option<Damage>, OpenError> {
    let begun = noted(dir);
    let written = |why| unwritable(dir, why);
    let damage = if database.try_exists().map_err(written)? {
        let Some(why) = what_is_wrong(dir, database).await? else { return Ok(begun) };
        let aside = free_name(database, now);
        tracing::error!(
            "the store {} is damaged ({why}) and is set aside as {}; backups are kept",
            database.display(),
            aside.display()
        );
        Damage { set_aside: Some(aside), restored: None }
    } else if let Some(begun) = begun {
        // A start that was cut off in the middle is gone on with.
        begun
    } else if was_there(dir, database).map_err(written)? {
        tracing::error!("the store {} is gone; backups are kept", database.display());
        Damage { set_aside: None, restored: None }
    } else {
        return Ok(None);
    };
    note(dir, &damage).map_err(written)?;
    let aside = damage.set_aside.clone().unwrap_or_else(|| free_name(database, now));
    set_aside(dir, database, &aside).map_err(written)?;
    restore(dir, database, damage).await.map(Some)
}

/// Forgets the note.
pub(super) fn told(dir: &Path) -> io::Result<()> {
    match std::fs::remove_file(dir.join(NOTE)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => files::sync_dir(dir),
    }
}

fn noted(dir: &Path) -> Option<Damage> {
    serde_json::from_slice(&std::fs::read(dir.join(NOTE)).ok()?).ok()
}

fn note(dir: &Path, damage: &Damage) -> io::Result<()> {
    files::replace(&dir.join(NOTE), &serde_json::to_vec(damage)?)
}

/// Whether a database that is gone was there: something of it is left. Backups are no sign, who
/// begins anew keeps them.
fn was_there(dir: &Path, database: &Path) -> io::Result<bool> {
    for end in ["-wal", WITNESS_END] {
        if PathBuf::from(format!("{}{end}", database.display())).try_exists()? {
            return Ok(true);
        }
    }
    Ok(!snapshots(dir)?.is_empty())
}

/// Why the database cannot be trusted; `None` if it can.
async fn what_is_wrong(dir: &Path, database: &Path) -> Result<Option<String>, OpenError> {
    match examine(database).await {
        Ok(Verdict::Sound) => Ok(None),
        Ok(Verdict::Damaged { why }) => Ok(Some(why)),
        // Either the first start was interrupted, or everything was cut off. Backups and snapshots
        // tell which: there are none before the first fix.
        Ok(Verdict::Empty) => {
            let snapshots = snapshots(dir).map_err(|why| unwritable(dir, why))?;
            let had_content = vault::has_backups(dir) || !snapshots.is_empty();
            Ok(had_content.then(|| "nothing is left of it".to_owned()))
        }
        Ok(Verdict::Newer(found)) => {
            Err(OpenError::Newer { file: database.to_owned(), found, known: SCHEMA })
        }
        Err(ExamineError::Unreadable(error)) => Err(unwritable(dir, error)),
        Err(error @ ExamineError::Failed(_)) => Err(failed(database, &error)),
    }
}

fn free_name(database: &Path, now: Timestamp) -> PathBuf {
    let stamp = now.format("%Y%m%d_%H%M%S");
    let named = |serial: u32| {
        let serial = if serial == 1 { String::new() } else { format!("_{serial}") };
        PathBuf::from(format!("{}.corrupt-{stamp}{serial}", database.display()))
    };
    let serial = (1..u32::MAX).find(|serial| !named(*serial).exists()).unwrap_or(u32::MAX);
    named(serial)
}

/// Moves the database and its companions out of the way. The database goes first: as long as it is
/// in its place, its companions say what is wrong with it.
fn set_aside(dir: &Path, database: &Path, aside: &Path) -> io::Result<()> {
    for end in ["", "-wal", "-shm", WITNESS_END] {
        let named = |path: &Path| PathBuf::from(format!("{}{end}", path.display()));
        match std::fs::rename(named(database), named(aside)) {
            // There may be none; a start before may have been cut off here; and a reader that closes
            // last takes the log with it, at any moment.
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    files::sync_dir(dir)
}

/// Puts the newest snapshot that is whole in the database's place. Damaged ones stay where they are.
async fn restore(dir: &Path, database: &Path, mut damage: Damage) -> Result<Damage, OpenError> {
    sweep(dir, UNFINISHED);
    let written = |why| unwritable(dir, why);
    for snapshot in snapshots(dir).map_err(written)? {
        let Some(copy) = whole_copy(dir, &snapshot).await? else { continue };
        let Snapshot { path, taken_at, .. } = snapshot;
        damage.restored = Some(Restored { snapshot: path, taken_at });
        note(dir, &damage).map_err(written)?;
        copy.persist(database).map_err(|refused| written(refused.error))?;
        files::sync_dir(dir).map_err(written)?;
        tracing::warn!("the snapshot of {taken_at} was restored; what happened since is not known");
        return Ok(damage);
    }
    damage.restored = None;
    note(dir, &damage).map_err(written)?;
    tracing::warn!("there is no snapshot to restore; the history and the journal start anew");
    Ok(damage)
}

/// A copy of a snapshot, on disk and examined; `None`, with a line in the log, if it cannot be
/// trusted. Where that cannot be found out nothing is decided: an older one, or none, would take its
/// place for good.
async fn whole_copy(dir: &Path, snapshot: &Snapshot) -> Result<Option<NamedTempFile>, OpenError> {
    let unknown = |error: &dyn std::fmt::Display| {
        let why =
            format!("{error}; it is to be restored: mend that, or move it away to do without");
        failed(&snapshot.path, &why)
    };
    let copy = copy(dir, &snapshot.path).map_err(|error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => unwritable(dir, error),
        _ => unknown(&error),
    })?;
    let why = match examine(copy.path()).await.map_err(|error| unknown(&error))? {
        Verdict::Sound => return Ok(Some(copy)),
        Verdict::Damaged { why } => why,
        Verdict::Newer(_) => "a newer selfheal wrote it".to_owned(),
        Verdict::Empty => "nothing is left of it".to_owned(),
    };
    tracing::error!("the snapshot {} cannot be restored: {why}", snapshot.path.display());
    Ok(None)
}

fn copy(dir: &Path, snapshot: &Path) -> io::Result<NamedTempFile> {
    // Made for its owner only.
    let mut copy = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(dir)?;
    io::copy(&mut File::open(snapshot)?, &mut copy)?;
    copy.as_file().sync_all()?;
    Ok(copy)
}
