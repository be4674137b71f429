//! A full disk: a small file system of its own, filled to the last byte.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use selfheal::store::{self, DATABASE_FILE, Opened, RESERVE_BYTES, RESERVE_FILE, snapshots};
use selfheal_agents::model::JournalEntry;
use selfheal_agents::ports::{Backups, Incidents, Journal, Memory, Occasion, Store, StoreError};

use super::samples::*;

/// A file system in memory, unmounted at the end.
pub(crate) struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` where mounting is not allowed.
    pub(crate) fn mount(mebibytes: u64) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "selfheal-test"])
            .arg(dir.path())
            .output()
            .is_ok_and(|done| done.status.success());
        if !mounted {
            writeln!(std::io::stderr(), "SKIPPED: mounting a small disk needs root")
                .expect("standard error is open");
        }
        mounted.then_some(Self { dir })
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Leaves no room at all; removing the file makes room again.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.dir.path().join("everything else");
        let mut file = std::fs::File::create(&path).expect("a file");
        for chunk in [1 << 20, 4096, 1] {
            while file.write_all(&vec![1; chunk]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).output();
    }
}

fn says_full(refused: &Result<(), StoreError>, dir: &Path) {
    let Err(StoreError::Unavailable(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("full") && why.contains(dir.to_str().unwrap()), "{why}");
}

#[tokio::test]
async fn on_a_full_disk_no_fix_begins_but_one_that_was_begun_can_be_undone() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let dir = disk.data_dir();
    let store = open(&dir).await;
    let reserve = dir.join(RESERVE_FILE);
    assert_eq!(std::fs::metadata(&reserve).unwrap().len(), RESERVE_BYTES);
    store.append(at(0), incident_id(1), fix_id(1), &planned(1)).await.unwrap();
    store.save_backup(&backup(1, 0, "delay = 0.1\n")).await.unwrap();
    let everything_else = disk.fill();

    // The write-ahead log has a little room left in its last page; it runs out soon.
    let noise: Vec<_> = (0..2000).map(|n| observation(&web(), n, "container.cpu", 1.0)).collect();
    says_full(&store.record_observations(&noise).await, &dir);
    says_full(&store.save_backup(&backup(2, 5, &"x".repeat(9000))).await.map(drop), &dir);
    assert!(reserve.is_file(), "what can be refused does not touch the reserve");

    let undo = JournalEntry::RollbackStarted { reason: "the disk is full".to_owned() };
    for step in 0..200 {
        store.append(at(1), incident_id(1), fix_id(1), &undo).await.unwrap();
        store
            .append(at(1), incident_id(1), fix_id(1), &JournalEntry::Undone { step })
            .await
            .unwrap();
    }
    store.append(at(2), incident_id(1), fix_id(1), &JournalEntry::RolledBack).await.unwrap();
    let mut undone = backup(1, 0, "delay = 0.1\n");
    undone.rolled_back_at = Some(at(2));
    store.update_backup(&undone).await.unwrap();
    store.save_incident(&incident(1, &web(), 0)).await.unwrap();
    assert_eq!(store.unfinished_fixes().await.unwrap(), []);
    assert!(!reserve.is_file(), "the reserve was what made this possible");

    std::fs::remove_file(everything_else).unwrap();
    store.check_writable().await.unwrap();
    assert_eq!(std::fs::metadata(&reserve).unwrap().len(), RESERVE_BYTES, "kept back again");
    store.close().await;
    let after = open(&dir).await;
    assert_eq!(after.journal(fix_id(1)).await.unwrap().len(), 402);
    assert_eq!(after.backup(&undone.id).await.unwrap(), Some(undone));
}

#[tokio::test]
async fn a_disk_too_small_for_the_reserve_is_used_without_it() {
    let Some(disk) = SmallDisk::mount(8) else { return };
    let store = open(&disk.data_dir()).await;
    store.check_writable().await.unwrap();
    assert!(!disk.data_dir().join(RESERVE_FILE).exists());
    store.append(at(0), incident_id(1), fix_id(1), &planned(1)).await.unwrap();
}

#[tokio::test]
async fn what_was_kept_back_gives_room_to_put_a_file_back() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let store = open(&disk.data_dir()).await;
    let _everything_else = disk.fill();
    let config = disk.dir.path().join("worker.json");
    let put_back = || std::fs::write(&config, "x".repeat(1 << 20));
    assert_eq!(put_back().unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    store.make_room().await;
    put_back().unwrap();
}

#[tokio::test]
async fn a_snapshot_takes_nothing_of_the_room_that_is_kept_back() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let dir = disk.data_dir();
    let store = open(&dir).await;
    store.save_incident(&incident(1, &web(), 0)).await.unwrap();
    let everything_else = disk.fill();
    assert!(!store.take_snapshot(Occasion::End).await.unwrap());
    assert!(dir.join(RESERVE_FILE).is_file());
    assert_eq!(snapshots(&dir).unwrap(), []);
    std::fs::remove_file(everything_else).unwrap();
    assert!(store.take_snapshot(Occasion::End).await.unwrap(), "as soon as there is room");
}

#[tokio::test]
async fn a_damaged_database_on_a_full_disk_is_replaced_by_its_snapshot() {
    // A little room is as good as none.
    for left in [0, 64 * 1024] {
        let Some(disk) = SmallDisk::mount(64) else { return };
        let dir = disk.data_dir();
        let store = open(&dir).await;
        store.save_incident(&incident(1, &web(), 0)).await.unwrap();
        assert!(store.take_snapshot(Occasion::End).await.unwrap());
        store.close().await;
        let database = dir.join(DATABASE_FILE);
        let cut = std::fs::read(&database).unwrap();
        std::fs::write(&database, &cut[..cut.len() / 2]).unwrap();
        let everything_else = std::fs::File::options().write(true).open(disk.fill()).unwrap();
        let length = everything_else.metadata().unwrap().len();
        everything_else.set_len(length - left).unwrap();

        let Opened { store, damage } = store::open(&dir, Arc::new(Noon)).await.unwrap();
        assert!(damage.expect("it is found").restored.is_some());
        assert_eq!(store.incident(incident_id(1)).await.unwrap(), Some(incident(1, &web(), 0)));
        let undo = JournalEntry::RollbackStarted { reason: "the disk is full".to_owned() };
        store.append(at(1), incident_id(1), fix_id(1), &undo).await.unwrap();
    }
}
