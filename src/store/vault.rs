//! The vault of backups: `backups/ID/manifest.json` and `backups/blobs/SHA256`.
//!
//! Contents are stored once, by checksum; a manifest carries a checksum of its own. What
//! [`Vault::save`] returned is on disk and was read back; what [`Vault::load`] returns has
//! its checksums. An id becomes a path only as a [`BackupId`], which holds no separator.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use selfheal_agents::fix_engineer::config_file::sha256;
use selfheal_agents::model::{Backup, BackupId, Captured};
use selfheal_agents::ports::{StoreError, StoreResult};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files;

/// Where the vault is in the data directory.
pub(super) const VAULT_DIR: &str = "backups";
/// Where copies of trimmed logs are in the data directory; the backups name them.
pub const COPIES_DIR: &str = "trimmed_logs";
/// One that is younger may belong to a backup that is still being made.
const YOUNG: Duration = Duration::from_hours(1);
/// Where its contents are in the data directory.
pub(super) const BLOB_DIR: &str = "backups/blobs";
const MANIFEST: &str = "manifest.json";

/// More than anybody makes in one second.
const MOST_IN_A_SECOND: u32 = 999_999;

/// The backups of one data directory.
#[derive(Debug)]
pub(super) struct Vault {
    dir: PathBuf,
    blobs: PathBuf,
    /// Made by whoever trims logs, when it is first needed.
    copies: PathBuf,
    /// One change at a time: pruning must not take a content that a new backup relies on.
    changing: Mutex<()>,
}

/// What stands in a manifest: the backup, and the SHA-256 of its JSON text.
#[derive(Serialize, Deserialize)]
struct Manifest {
    sha256: String,
    backup: Value,
}

impl Vault {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.join(VAULT_DIR),
            blobs: data_dir.join(BLOB_DIR),
            copies: data_dir.join(COPIES_DIR),
            changing: Mutex::new(()),
        }
    }

    /// Writes contents and manifest, reads both back, and returns the id it got.
    pub(super) fn save(&self, backup: &Backup) -> StoreResult<BackupId> {
        let _changing = self.lock();
        for captured in &backup.captured {
            if let Captured::File(file) = captured {
                if sha256(&file.bytes) != file.sha256 {
                    return Err(StoreError::Corrupt(format!(
                        "the content to back up of {} does not have its own checksum",
                        file.path
                    )));
                }
                files::write_blob(&self.blobs.join(&file.sha256), &file.bytes, &file.sha256)
                    .map_err(|error| unavailable(&self.blobs, &error))?;
            }
        }
        let id = self.claim(&backup.id)?;
        let kept = Backup { id: id.clone(), ..backup.clone() };
        if let Err(error) = self.write_manifest(&kept) {
            let _ = std::fs::remove_dir_all(self.dir.join(id.as_str()));
            return Err(error);
        }
        files::sync_dir(&self.dir).map_err(|error| unavailable(&self.dir, &error))?;
        match self.load(&id)? {
            Some(read) if read == kept => Ok(id),
            _ => Err(StoreError::Corrupt(format!("{id} reads differently than it was written"))),
        }
    }

    /// One backup with its contents, every checksum verified.
    pub(super) fn load(&self, id: &BackupId) -> StoreResult<Option<Backup>> {
        let Some(mut backup) = self.read_manifest(id)? else { return Ok(None) };
        for captured in &mut backup.captured {
            if let Captured::File(file) = captured {
                let unusable = |why: &str| {
                    StoreError::Corrupt(format!("the copy of {} in {id} {why}", file.path))
                };
                if !files::is_sha256(&file.sha256) {
                    return Err(unusable("has no proper checksum"));
                }
                file.bytes = match std::fs::read(self.blobs.join(&file.sha256)) {
                    Ok(bytes) => bytes,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        return Err(unusable("is gone"));
                    }
                    Err(error) => return Err(unavailable(&self.blobs, &error)),
                };
                if sha256(&file.bytes) != file.sha256 {
                    return Err(unusable("was changed on disk"));
                }
            }
        }
        Ok(Some(backup))
    }

    /// The newest backups without their contents. One whose manifest cannot be read is
    /// left out, with a warning: it must not hide the others.
    pub(super) fn list(&self, limit: usize) -> StoreResult<Vec<Backup>> {
        let mut ids = self.ids()?;
        ids.sort_by_key(|id| std::cmp::Reverse(age_key(id)));
        let mut backups = vec![];
        for id in ids {
            if backups.len() == limit {
                break;
            }
            match self.read_manifest(&id) {
                Ok(found) => backups.extend(found),
                Err(error) => tracing::warn!("a backup is left out of the list: {error}"),
            }
        }
        Ok(backups)
    }

    /// Writes `left_behind` and `rolled_back_at`; nothing else of a backup ever changes.
    pub(super) fn update(&self, backup: &Backup) -> StoreResult<()> {
        let _changing = self.lock();
        let Some(mut kept) = self.read_manifest(&backup.id)? else {
            return Err(StoreError::Conflict(format!("there is no {}", backup.id)));
        };
        kept.left_behind.clone_from(&backup.left_behind);
        kept.rolled_back_at = backup.rolled_back_at;
        self.write_manifest(&kept)
    }

    /// Removes the backups that `unwanted` names, and contents and copies of logs that nobody
    /// needs any more; returns how many backups went. An unreadable manifest stays, and so does
    /// every content then, since it may need it.
    pub(super) fn remove_where(&self, unwanted: impl Fn(&Backup) -> bool) -> StoreResult<u64> {
        let _changing = self.lock();
        let (mut removed, mut all_read) = (0, true);
        let (mut needed, mut copied) = (BTreeSet::new(), BTreeSet::new());
        for id in self.ids()? {
            match self.read_manifest(&id) {
                Ok(Some(backup)) if unwanted(&backup) => {
                    std::fs::remove_dir_all(self.dir.join(id.as_str()))
                        .map_err(|error| unavailable(&self.dir, &error))?;
                    removed += 1;
                }
                Ok(Some(backup)) => {
                    needed.extend(checksums(&backup));
                    copied.extend(copies(&backup));
                }
                Ok(None) => {}
                Err(_) => all_read = false,
            }
        }
        if all_read {
            files::remove_others(&self.blobs, &needed)
                .map_err(|error| unavailable(&self.blobs, &error))?;
            files::remove_old_others(&self.copies, &copied, YOUNG)
                .map_err(|error| unavailable(&self.copies, &error))?;
        }
        Ok(removed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Makes the directory of the wanted id, or of the next free one of the same second.
    fn claim(&self, wanted: &BackupId) -> StoreResult<BackupId> {
        let others = (2..=MOST_IN_A_SECOND)
            .filter_map(|serial| format!("backup_{}_{serial}", wanted.stamp()).parse().ok());
        for id in std::iter::once(wanted.clone()).chain(others) {
            match files::make_dir(&self.dir.join(id.as_str())) {
                Ok(()) => return Ok(id),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(unavailable(&self.dir, &error)),
            }
        }
        Err(StoreError::Conflict(format!("no id is left for {wanted}")))
    }

    fn write_manifest(&self, backup: &Backup) -> StoreResult<()> {
        let corrupt = |error: serde_json::Error| StoreError::Corrupt(error.to_string());
        let backup_json = serde_json::to_value(backup).map_err(corrupt)?;
        let manifest =
            Manifest { sha256: sha256(backup_json.to_string().as_bytes()), backup: backup_json };
        let text = serde_json::to_string_pretty(&manifest).map_err(corrupt)?;
        let dir = self.dir.join(backup.id.as_str());
        files::replace(&dir.join(MANIFEST), text.as_bytes())
            .map_err(|error| unavailable(&dir, &error))
    }

    fn read_manifest(&self, id: &BackupId) -> StoreResult<Option<Backup>> {
        let path = self.dir.join(id.as_str()).join(MANIFEST);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unavailable(&path, &error)),
        };
        let corrupt = |why: String| StoreError::Corrupt(format!("{}: {why}", path.display()));
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|error| corrupt(error.to_string()))?;
        if sha256(manifest.backup.to_string().as_bytes()) != manifest.sha256 {
            return Err(corrupt("it was changed on disk".to_owned()));
        }
        serde_json::from_value(manifest.backup)
            .map(Some)
            .map_err(|error| corrupt(error.to_string()))
    }

    fn ids(&self) -> StoreResult<Vec<BackupId>> {
        files::names(&self.dir)
            .map(|names| names.iter().filter_map(|name| name.parse().ok()).collect())
            .map_err(|error| unavailable(&self.dir, &error))
    }
}

/// Whether the data directory holds any backup, without reading one.
pub(super) fn has_backups(data_dir: &Path) -> bool {
    files::names(&data_dir.join(VAULT_DIR))
        .is_ok_and(|names| names.iter().any(|name| name.parse::<BackupId>().is_ok()))
}

/// Sorts ids by age: `_10` comes after `_2`.
fn age_key(id: &BackupId) -> (String, u32) {
    let serial = id.as_str().splitn(4, '_').nth(3).and_then(|serial| serial.parse().ok());
    (id.stamp().to_owned(), serial.unwrap_or(1))
}

fn checksums(backup: &Backup) -> impl Iterator<Item = String> + '_ {
    backup.captured.iter().filter_map(|captured| match captured {
        Captured::File(file) => Some(file.sha256.clone()),
        _ => None,
    })
}

/// The names of the copies of trimmed logs that a backup tells of.
fn copies(backup: &Backup) -> impl Iterator<Item = String> + '_ {
    let files = backup.captured.iter().flat_map(|captured| match captured {
        Captured::Logs { files, .. } => files.as_slice(),
        _ => &[],
    });
    let name = |copy: &String| Some(Path::new(copy).file_name()?.to_str()?.to_owned());
    files.filter_map(move |file| file.copy.as_ref().and_then(name))
}

fn unavailable(path: &Path, error: &io::Error) -> StoreError {
    if error.kind() == io::ErrorKind::StorageFull {
        let path = path.display();
        return StoreError::Unavailable(format!(
            "the disk that holds {path} is full; free some space there"
        ));
    }
    StoreError::Unavailable(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
