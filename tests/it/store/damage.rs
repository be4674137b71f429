//! Damage: it is found, set aside and reported; nothing damaged is ever used.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use selfheal::store::{self, DATABASE_FILE, Damage, OpenError, Opened};
use selfheal_agents::fix_engineer::config_file::sha256;
use selfheal_agents::model::JournalEntry;
use selfheal_agents::ports::{Backups, Incidents, Journal, Store, StoreError};

use super::samples::*;

/// A data directory with a life behind it: enough records for many pages.
async fn lived_in(dir: &Path) {
    let store = open(dir).await;
    for n in 1..=60 {
        store.save_incident(&incident(n, &web(), 0)).await.unwrap();
        store.append(at(0), incident_id(n), fix_id(n), &planned(n)).await.unwrap();
    }
    store.save_backup(&backup(1, 0, "delay = 0.1\n")).await.unwrap();
    store.close().await;
}

async fn is_set_aside(dir: &Path, damaged: &[u8]) -> PathBuf {
    std::fs::write(dir.join(DATABASE_FILE), damaged).unwrap();
    let reading = store::open_read_only(dir).await;
    if !damaged.is_empty() {
        // Reading alone must not change anything, whatever it can make of the file.
        drop(reading);
        assert_eq!(std::fs::read(dir.join(DATABASE_FILE)).unwrap(), damaged);
    }
    let Opened { store, damage } = store::open(dir, Arc::new(Noon)).await.unwrap();
    let Damage { set_aside: aside, restored } = damage.expect("it is reported");
    let aside = aside.expect("it was there");
    assert_eq!(restored, None, "there is no snapshot");
    store.damage_is_told().await.unwrap();
    assert_eq!(std::fs::read(&aside).unwrap(), damaged, "it is kept as it was");
    store.check_writable().await.unwrap();
    store.append(at(9), incident_id(9), fix_id(9), &JournalEntry::Kept).await.unwrap();
    assert_eq!(store.open_incidents().await.unwrap(), [], "it starts anew");
    let listed = store.backups(10).await.unwrap();
    assert_eq!(listed.len(), 1, "the backups do not depend on it");
    assert!(store.backup(&listed[0].id).await.unwrap().is_some());
    store.close().await;
    aside
}

#[tokio::test]
async fn a_file_of_garbage_is_set_aside_and_a_second_one_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    lived_in(dir.path()).await;
    let first = is_set_aside(dir.path(), b"this is not a database at all").await;
    assert_eq!(first, dir.path().join("selfheal.db.corrupt-20251019_170000"));
    let second = is_set_aside(dir.path(), &[0xff; 10_000]).await;
    assert_eq!(second, dir.path().join("selfheal.db.corrupt-20251019_170000_2"));
}

#[tokio::test]
async fn a_truncated_database_is_set_aside_wherever_it_was_cut() {
    let dir = tempfile::tempdir().unwrap();
    lived_in(dir.path()).await;
    let whole = std::fs::read(dir.path().join(DATABASE_FILE)).unwrap();
    assert!(whole.len() > 20 * 4096, "there is something to cut");
    for keep in [0, 1, 50, 4096, 5000, whole.len() / 2, whole.len() - 4096] {
        is_set_aside(dir.path(), &whole[..keep]).await;
    }
}

#[tokio::test]
async fn overwritten_pages_are_found() {
    let dir = tempfile::tempdir().unwrap();
    lived_in(dir.path()).await;
    let whole = std::fs::read(dir.path().join(DATABASE_FILE)).unwrap();
    for page in [1, 3, 7] {
        let mut damaged = whole.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0xa5);
        is_set_aside(dir.path(), &damaged).await;
    }
}

#[tokio::test]
async fn an_interrupted_first_start_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(DATABASE_FILE), "").unwrap();
    open(dir.path()).await.check_writable().await.unwrap();
}

#[tokio::test]
async fn garbage_opened_for_reading_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(DATABASE_FILE), "this is not a database at all").unwrap();
    let reading = store::open_read_only(dir.path()).await.map(drop);
    assert!(matches!(reading, Err(OpenError::Damaged { .. })), "{reading:?}");
}

#[tokio::test]
async fn a_copy_that_was_tampered_with_is_not_restored() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let kept = backup(1, 0, "delay = 0.1\n");
    store.save_backup(&kept).await.unwrap();
    let copy = dir.path().join("backups/blobs").join(sha256(b"delay = 0.1\n"));
    for damaged in [Some(&b"delay = 9.9\n"[..]), Some(b""), None] {
        match damaged {
            Some(content) => std::fs::write(&copy, content).unwrap(),
            None => std::fs::remove_file(&copy).unwrap(),
        }
        let refused = store.backup(&kept.id).await;
        let Err(StoreError::Corrupt(why)) = &refused else { panic!("{refused:?}") };
        assert!(why.contains("/srv/web/config.json"), "{why}");
        assert_eq!(store.backups(9).await.unwrap().len(), 1, "it stays listed");
    }
    // The next backup of the same content must not rely on the damaged copy.
    std::fs::write(&copy, "damaged").unwrap();
    let again = store.save_backup(&kept).await.unwrap();
    assert!(store.backup(&again).await.unwrap().is_some());
    assert!(store.backup(&kept.id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_manifest_that_was_tampered_with_is_not_believed_and_hides_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let kept = backup(1, 0, "delay = 0.1\n");
    store.save_backup(&kept).await.unwrap();
    let other = store.save_backup(&backup(2, 60, "delay = 0.2\n")).await.unwrap();
    let manifest = dir.path().join("backups").join(kept.id.as_str()).join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let elsewhere = text.replace("/srv/web/config.json", "/etc/shadow");
    assert_ne!(text, elsewhere);
    for damaged in [&elsewhere, &text[..text.len() / 2], "", "{}"] {
        std::fs::write(&manifest, damaged).unwrap();
        let refused = store.backup(&kept.id).await;
        assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
        let listed: Vec<_> = store.backups(9).await.unwrap().into_iter().map(|b| b.id).collect();
        assert_eq!(listed, std::slice::from_ref(&other));
    }
    // Pruning everything else must leave the copies that the damaged one may need.
    assert_eq!(store.prune(at(9999), Duration::ZERO).await.unwrap(), 1);
    std::fs::write(&manifest, &text).unwrap();
    assert_eq!(store.backup(&kept.id).await.unwrap(), Some(kept));
}
