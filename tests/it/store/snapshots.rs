//! Snapshots: when one is taken, how many are kept, and what is never taken for one.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::FutureExt as _;
use selfheal::store::{self, DATABASE_FILE, SNAPSHOT_DIR, snapshots};
use selfheal_agents::model::{JournalEntry, Timestamp};
use selfheal_agents::ports::{Clock, Incidents, Journal, Memory, Occasion, Store};

use super::samples::*;

/// A clock that is set by hand, in seconds after noon.
#[derive(Default)]
struct Dial(AtomicI64);

impl Dial {
    fn set(&self, secs: i64) {
        self.0.store(secs, Ordering::Relaxed);
    }
}

impl Clock for Dial {
    fn now(&self) -> Timestamp {
        at(self.0.load(Ordering::Relaxed))
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir.join(SNAPSHOT_DIR))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_newest_three_are_kept_for_the_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for n in 1..=5 {
        store.save_incident(&incident(n, &web(), 0)).await.unwrap();
        assert!(store.take_snapshot(Occasion::End).await.unwrap());
    }
    let kept: Vec<PathBuf> =
        snapshots(dir.path()).unwrap().into_iter().map(|one| one.path).collect();
    let named = |n| dir.path().join(SNAPSHOT_DIR).join(format!("snapshot_{n}_20251019_170000.db"));
    assert_eq!(kept, [named(5), named(4), named(3)]);
    assert_eq!(names(dir.path()).len(), 3, "and nothing beside them");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.path().join(SNAPSHOT_DIR)), 0o700);
    for path in kept {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn one_is_due_after_an_hour_or_soon_after_a_fix_ended_and_only_if_something_changed() {
    let dir = tempfile::tempdir().unwrap();
    let dial = Arc::new(Dial::default());
    let store = store::open(dir.path(), Arc::clone(&dial) as _).await.unwrap().store;
    let due = async |secs: i64| {
        dial.set(secs);
        store.take_snapshot(Occasion::Housekeeping).await.unwrap()
    };
    assert!(due(0).await, "there is none yet");
    let save = async |n| store.save_incident(&incident(n, &web(), 0)).await.unwrap();
    save(1).await;
    assert!(!due(3599).await);
    assert!(due(3600).await);
    assert!(!due(99_999).await, "nothing changed");
    // What is only seen can be seen again.
    store.record_observations(&[observation(&web(), 1, "container.cpu", 1.0)]).await.unwrap();
    assert!(!due(99_999).await);
    save(2).await;
    assert!(due(100_000).await);
    store.append(at(0), incident_id(2), fix_id(2), &planned(2)).await.unwrap();
    assert!(!due(100_300).await, "the fix is under way");
    store.append(at(0), incident_id(2), fix_id(2), &JournalEntry::Kept).await.unwrap();
    assert!(!due(100_299).await);
    assert!(due(100_300).await);
    save(3).await;
    assert!(due(5).await, "the clock was set back");
    save(4).await;
    assert!(store.take_snapshot(Occasion::End).await.unwrap());
    assert!(!store.take_snapshot(Occasion::End).await.unwrap(), "nothing changed");
}

#[tokio::test]
async fn one_that_was_cut_off_is_taken_for_none_and_swept_away() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.save_incident(&incident(1, &web(), 0)).await.unwrap();
    assert!(store.take_snapshot(Occasion::End).await.unwrap());
    let whole = snapshots(dir.path()).unwrap().remove(0);
    let half = std::fs::read(&whole.path).unwrap();
    let unfinished = dir.path().join(SNAPSHOT_DIR).join(".unfinished-aB3xYz");
    std::fs::write(&unfinished, &half[..half.len() / 2]).unwrap();
    assert_eq!(snapshots(dir.path()).unwrap(), std::slice::from_ref(&whole));
    store.close().await;
    std::fs::write(dir.path().join(DATABASE_FILE), "garbage").unwrap();
    let opened = store::open(dir.path(), Arc::new(Noon)).await.unwrap();
    assert_eq!(opened.damage.unwrap().restored.unwrap().snapshot, whole.path);
    assert!(opened.store.take_snapshot(Occasion::End).await.unwrap());
    assert!(!unfinished.exists());
    assert_eq!(names(dir.path()).len(), 2);
}

#[tokio::test]
async fn one_that_was_given_up_in_the_middle_is_still_due() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.save_incident(&incident(1, &web(), 0)).await.unwrap();
    let given_up = store.take_snapshot(Occasion::End).now_or_never();
    assert!(given_up.is_none(), "it is begun and not over");
    assert!(store.take_snapshot(Occasion::End).await.unwrap());
    assert!(!store.take_snapshot(Occasion::End).await.unwrap(), "and now nothing changed");
}

#[tokio::test]
async fn writes_go_on_while_one_is_taken_and_what_it_holds_is_of_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path()).await);
    for n in 1..=300 {
        store.save_incident(&incident(n, &web(), 0)).await.unwrap();
    }
    let taking = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.take_snapshot(Occasion::End).await }
    });
    let mut written = 300;
    while !taking.is_finished() {
        written += 1;
        store.save_incident(&incident(written, &web(), 0)).await.unwrap();
    }
    assert!(taking.await.unwrap().unwrap());
    assert!(written > 300, "nothing was held up");
    Arc::into_inner(store).unwrap().close().await;
    std::fs::write(dir.path().join(DATABASE_FILE), "garbage").unwrap();
    let after = store::open(dir.path(), Arc::new(Noon)).await.unwrap().store;
    let held = after.open_incidents().await.unwrap().len();
    assert!((300..=usize::try_from(written).unwrap()).contains(&held), "{held} of {written}");
}
