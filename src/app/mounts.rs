//! What of the host's files people mounted into containers.
//!
//! A file system that hangs, as a network share whose server is away, keeps nobody waiting: what is
//! on it counts as mounted by itself, and it is asked no second time before it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use selfheal_agents::health_monitor::Inventory;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};

/// How long all of them together may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// So many may hang at a time: each holds a thread.
const MOST_ASKED: usize = 64;

/// Which of what is mounted are files.
pub(super) struct Mounts {
    is_file: fn(&Path) -> bool,
    /// Who has not answered yet.
    asked: BTreeMap<String, JoinHandle<bool>>,
}

impl Default for Mounts {
    fn default() -> Self {
        Self { is_file: Path::is_file, asked: BTreeMap::new() }
    }
}

impl Mounts {
    /// Those that are files: renaming over one would leave the container on the old content. So would
    /// it where nobody knows, and those count, too.
    pub(super) async fn single_files(&mut self, mounted: &BTreeSet<String>) -> BTreeSet<String> {
        let is_file = self.is_file;
        self.asked.retain(|path, asked| mounted.contains(path) || !asked.is_finished());
        for path in mounted {
            if self.asked.len() < MOST_ASKED && !self.asked.contains_key(path) {
                let asked = path.clone();
                let asking = spawn_blocking(move || is_file(Path::new(&asked)));
                self.asked.insert(path.clone(), asking);
            }
        }
        let by = Instant::now() + ANSWER_WITHIN;
        let mut single = BTreeSet::new();
        for path in mounted {
            let is_single = match self.asked.get_mut(path) {
                Some(asked) => timeout_at(by, asked).await.ok(),
                None => None,
            };
            if is_single.is_some() {
                self.asked.remove(path);
            } else {
                tracing::warn!("{path} is mounted into a container and does not answer");
            }
            if is_single.is_none_or(|answer| answer.unwrap_or(true)) {
                single.insert(path.clone());
            }
        }
        single
    }
}

/// Files and folders that a person mounted into a container.
pub(super) fn mounted(inventory: &Inventory) -> BTreeSet<String> {
    let mounts = inventory.containers.values().flat_map(|facts| &facts.mounts);
    mounts.filter(|mount| mount.bind).map(|mount| mount.source.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a share whose server is away: hangs as long as there is a file beside it.
    fn hangs(path: &Path) -> bool {
        while path.with_extension("away").exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        path.is_file()
    }

    #[tokio::test]
    async fn a_share_that_hangs_hides_no_other_file_and_is_asked_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        for name in ["a", "b", "a.away"] {
            std::fs::write(path(name), "").unwrap();
        }
        let mut mounts = Mounts { is_file: hangs, ..Mounts::default() };
        let all: BTreeSet<String> = ["a", "b", ""].map(path).into();
        for _ in 0..2 {
            // Nobody knows of the first one: then it is not renamed over.
            assert_eq!(mounts.single_files(&all).await, [path("a"), path("b")].into());
            assert_eq!(mounts.asked.len(), 1);
        }
        let folder_of_all: BTreeSet<String> = [path("")].into();
        assert!(mounts.single_files(&folder_of_all).await.is_empty());
        std::fs::remove_file(path("a.away")).unwrap();
        assert_eq!(mounts.single_files(&all).await, [path("a"), path("b")].into());
        assert!(mounts.asked.is_empty());
        assert_eq!(mounts.single_files(&[path("a")].into()).await, [path("a")].into());
    }
}
