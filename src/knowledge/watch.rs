//! Notices changed runbooks of one's own and puts them in force between two cycles.
//!
//! A broken file is told of once, by name with all its faults, and not again until it says
//! something else; the others work. It looks at times and lengths, not into the files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use selfheal_agents::error_detector::{BrokenRunbook, Catalogue};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the folder is looked at.
const EVERY: Duration = Duration::from_secs(5);

/// What tells one state of the folder from another: each file with its time and length.
pub type Fingerprint = BTreeSet<(PathBuf, Option<SystemTime>, u64)>;

/// Reads runbooks again when something in their folder has changed.
#[derive(Debug)]
struct Reloader {
    folder: PathBuf,
    seen: Fingerprint,
    told: BTreeSet<String>,
}

/// What a change brought.
struct Changed {
    catalogue: Catalogue,
    /// The broken files that were not broken in this way before.
    newly_broken: Vec<BrokenRunbook>,
}

impl Reloader {
    /// Begins with the folder as it was before it was first read, and with what was told of
    /// it then: what changed since is news.
    fn new(folder: PathBuf, seen: Fingerprint, broken: &[BrokenRunbook]) -> Self {
        Self { folder, seen, told: broken.iter().map(ToString::to_string).collect() }
    }

    /// Looks once; `None` when nothing changed.
    fn look(&mut self) -> Option<Changed> {
        let now = fingerprint(&self.folder);
        if now == self.seen {
            return None;
        }
        self.seen = now;
        Some(self.read())
    }

    fn read(&mut self) -> Changed {
        let there = self.folder.is_dir().then_some(self.folder.as_path());
        let (catalogue, broken) = super::load(there, super::Keep::InForce);
        let known = std::mem::take(&mut self.told);
        self.told = broken.iter().map(ToString::to_string).collect();
        let newly_broken = broken.into_iter().filter(|b| !known.contains(&b.to_string())).collect();
        Changed { catalogue, newly_broken }
    }
}

/// The files of a folder and of the folders in it.
pub fn fingerprint(folder: &Path) -> Fingerprint {
    let below = |path: &Path| super::entries(path).unwrap_or_default();
    let files = below(folder)
        .into_iter()
        .flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] });
    let state = |path: PathBuf| {
        let facts = fs::metadata(&path).ok();
        let changed = facts.as_ref().and_then(|facts| facts.modified().ok());
        (path, changed, facts.map_or(0, |facts| facts.len()))
    };
    files.map(state).collect()
}

/// Keeps `catalogue` up to date with the runbooks in `folder` until cancelled.
///
/// `seen` is the folder as it was before `catalogue` was first read from it, and `broken`
/// what was wrong in it then, which people were told of.
pub async fn watch(
    folder: PathBuf,
    seen: Fingerprint,
    broken: Vec<BrokenRunbook>,
    catalogue: watch::Sender<Arc<Catalogue>>,
    cancel: CancellationToken,
) {
    let mut reloader = Reloader::new(folder, seen, &broken);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let looked = tokio::task::spawn_blocking(move || {
            let changed = reloader.look();
            (reloader, changed)
        });
        let Ok((returned, changed)) = looked.await else { return };
        reloader = returned;
        if let Some(changed) = changed {
            take_over(changed, &catalogue);
        }
    }
}

fn take_over(changed: Changed, catalogue: &watch::Sender<Arc<Catalogue>>) {
    for broken in &changed.newly_broken {
        tracing::warn!(runbook.file = broken.file, "{broken}; what it does not name is in force");
    }
    tracing::info!(runbooks = changed.catalogue.len(), "changed runbooks are in force");
    catalogue.send_replace(Arc::new(changed.catalogue));
}

#[cfg(test)]
mod tests {
    use super::super::tests::{OWN, overlay};
    use super::*;

    /// A reloader of a folder that was just read.
    fn begun(folder: &Path) -> Reloader {
        let seen = fingerprint(folder);
        let there = folder.is_dir().then_some(folder);
        let (_, broken) = super::super::load(there, super::super::Keep::InForce);
        Reloader::new(folder.to_owned(), seen, &broken)
    }

    fn known(changed: &Changed, line: &str) -> bool {
        changed.catalogue.matching(line).any(|id| id == "own-trouble")
    }

    #[test]
    fn what_is_added_changed_and_taken_away_counts_from_the_next_look_on() {
        let folder = overlay(&[("ours/readme.txt", "none yet")]);
        let file = folder.path().join("ours/own-trouble.toml");
        let mut reloader = begun(folder.path());
        assert!(reloader.look().is_none());

        fs::write(&file, OWN.replace("ID", "own-trouble")).unwrap();
        let added = reloader.look().unwrap();
        assert!(known(&added, "job failed: E-4711") && added.newly_broken.is_empty());
        assert!(reloader.look().is_none());

        fs::write(&file, OWN.replace("ID", "own-trouble").replace("E-4711", "Error 4712")).unwrap();
        let changed = reloader.look().unwrap();
        assert!(known(&changed, "job failed: Error 4712"));
        assert!(!known(&changed, "job failed: E-4711"));

        fs::remove_file(&file).unwrap();
        assert!(!known(&reloader.look().unwrap(), "job failed: Error 4712"));
    }

    #[test]
    fn a_broken_file_is_told_once_and_silences_no_other() {
        let folder = overlay(&[("ours/own-trouble.toml", &OWN.replace("ID", "own-trouble"))]);
        let mut reloader = begun(folder.path());
        fs::write(folder.path().join("ours/spoilt.toml"), "id = ").unwrap();
        let spoilt = reloader.look().unwrap();
        assert!(spoilt.newly_broken[0].file.ends_with("ours/spoilt.toml"));
        assert!(known(&spoilt, "job failed: E-4711"));

        fs::write(folder.path().join("ours/note.txt"), "unrelated").unwrap();
        assert!(reloader.look().unwrap().newly_broken.is_empty(), "it was told already");
    }

    #[test]
    fn what_changes_while_the_program_starts_is_seen_by_the_first_look() {
        let folder = overlay(&[("ours/readme.txt", "none yet")]);
        let seen = fingerprint(folder.path());
        let (_, broken) = super::super::load(Some(folder.path()), super::super::Keep::InForce);
        let file = folder.path().join("ours/own-trouble.toml");
        fs::write(file, OWN.replace("ID", "own-trouble")).unwrap();
        let mut reloader = Reloader::new(folder.path().to_owned(), seen, &broken);
        assert!(known(&reloader.look().unwrap(), "job failed: E-4711"));
    }

    #[test]
    fn a_folder_that_is_made_later_is_seen() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("knowledge");
        let mut reloader = begun(&folder);
        fs::create_dir_all(folder.join("ours")).unwrap();
        fs::write(folder.join("ours/own-trouble.toml"), OWN.replace("ID", "own-trouble")).unwrap();
        assert!(known(&reloader.look().unwrap(), "job failed: E-4711"));
    }
}
