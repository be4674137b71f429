//! What only a database in a directory can show: opening, reopening, sharing, crashing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use selfheal::store::{self, DATABASE_FILE, EXPORT_FILE, OpenError};
use selfheal_agents::model::{JournalEntry, TargetId};
use selfheal_agents::ports::{
    Backups, IncidentQuery, Incidents, Journal, Memory, Outbox, Outcomes, Store, StoreError,
};

use super::samples::*;

#[tokio::test]
async fn everything_is_there_after_the_store_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).await;
    let saved = incident(1, &web(), 0);
    first.save_incident(&saved).await.unwrap();
    let record = first.append(at(1), saved.id, fix_id(1), &planned(1)).await.unwrap();
    first.record_outcome(&outcome(1, 2, true)).await.unwrap();
    let kept = backup(1, 3, "delay = 0.1\n");
    first.save_backup(&kept).await.unwrap();
    first.set_value("mode", Some(&serde_json::json!("observe"))).await.unwrap();
    first.enqueue(&alert(Some(saved.id), "held", 4), &["hook".to_owned()]).await.unwrap();
    first.close().await;

    let second = open(dir.path()).await;
    assert_eq!(second.open_incidents().await.unwrap(), [saved]);
    assert_eq!(second.journal(fix_id(1)).await.unwrap(), std::slice::from_ref(&record));
    assert_eq!(second.outcomes(None).await.unwrap(), [outcome(1, 2, true)]);
    assert_eq!(second.backup(&kept.id).await.unwrap(), Some(kept));
    assert_eq!(second.value("mode").await.unwrap(), Some("observe".into()));
    assert_eq!(second.waiting().await.unwrap(), 1);
    let next = second.append(at(5), record.incident, fix_id(1), &JournalEntry::Kept).await.unwrap();
    assert_eq!(next.sequence, record.sequence + 1);
}

#[tokio::test]
async fn a_second_instance_is_refused_and_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).await;
    let second = store::open(dir.path(), Arc::new(Noon)).await.map(drop);
    let Err(OpenError::InUse { pid, .. }) = second else { panic!("{second:?}") };
    assert_eq!(pid, Some(std::process::id()));
    first.close().await;
    open(dir.path()).await.check_writable().await.unwrap();
}

#[tokio::test]
async fn reading_beside_a_writer_sees_its_writes_and_refuses_to_write() {
    let dir = tempfile::tempdir().unwrap();
    let missing = store::open_read_only(dir.path()).await.map(drop);
    assert!(matches!(missing, Err(OpenError::Missing { .. })), "{missing:?}");

    let writer = open(dir.path()).await;
    let reader = store::open_read_only(dir.path()).await.unwrap();
    writer.save_incident(&incident(1, &web(), 0)).await.unwrap();
    writer.save_backup(&backup(1, 0, "a")).await.unwrap();
    assert_eq!(reader.open_incidents().await.unwrap(), [incident(1, &web(), 0)]);
    assert_eq!(reader.backups(9).await.unwrap().len(), 1);
    for refused in [
        reader.save_incident(&incident(2, &web(), 0)).await,
        reader.save_backup(&backup(2, 0, "b")).await.map(drop),
        reader.update_backup(&backup(1, 0, "a")).await,
        reader.check_writable().await,
        reader.prune(at(0), Duration::ZERO).await.map(drop),
    ] {
        assert!(matches!(&refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    }
    writer.close().await;
    assert_eq!(reader.open_incidents().await.unwrap().len(), 1, "also without a daemon");
}

#[tokio::test]
async fn a_store_written_by_a_newer_selfheal_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.close().await;
    let file = dir.path().join(DATABASE_FILE);
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99, 'later', 1, x'00', 0)",
    )
    .execute(&pool)
    .await
    .unwrap();
    // It would put its own seal there.
    sqlx::query("PRAGMA user_version = 0").execute(&pool).await.unwrap();
    pool.close().await;
    let writing = store::open(dir.path(), Arc::new(Noon)).await.map(drop);
    assert!(matches!(writing, Err(OpenError::Newer { found: 99, .. })), "{writing:?}");
    let reading = store::open_read_only(dir.path()).await.map(drop);
    assert!(matches!(reading, Err(OpenError::Newer { found: 99, .. })), "{reading:?}");
    assert!(file.is_file());
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_named_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a file");
    std::fs::write(&file, "not a directory").unwrap();
    // Not even root can make a directory below a file, nor write to /proc.
    for unwritable in [file.join("data"), Path::new("/proc/self").to_owned()] {
        let refused = store::open(&unwritable, Arc::new(Noon)).await.map(drop);
        let Err(error @ OpenError::Unwritable { .. }) = refused else { panic!("{refused:?}") };
        let message = error.to_string();
        assert!(message.contains(unwritable.to_str().unwrap()), "{message}");
        assert!(message.contains("data_dir"), "{message}");
    }
}

#[tokio::test]
async fn the_journal_cannot_be_rewritten() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.append(at(0), incident_id(1), fix_id(1), &JournalEntry::Kept).await.unwrap();
    store.close().await;
    let file = dir.path().join(DATABASE_FILE);
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    let refused = sqlx::query("UPDATE journal SET final = 0").execute(&pool).await;
    assert!(refused.unwrap_err().to_string().contains("never changed"));
}

/// Copies the files as they are, which is what a machine without power finds.
fn copy_as_found(from: &Path, to: &Path) {
    for name in [DATABASE_FILE.to_owned(), format!("{DATABASE_FILE}-wal")] {
        std::fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

#[tokio::test]
async fn every_record_that_was_returned_survives_a_kill_at_that_moment() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mut returned = vec![];
    for step in 0..40 {
        let entry = JournalEntry::Intent { step };
        returned.push(store.append(at(0), incident_id(1), fix_id(1), &entry).await.unwrap());
        if step % 8 == 0 {
            let found = tempfile::tempdir().unwrap();
            copy_as_found(dir.path(), found.path());
            let after = open(found.path()).await;
            assert_eq!(after.journal(fix_id(1)).await.unwrap(), returned);
        }
    }
}

#[tokio::test]
async fn writers_at_once_lose_nothing_and_readers_do_not_wait() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path()).await);
    let tasks: Vec<_> = (0..8_u128)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for step in 0..10 {
                    let entry = JournalEntry::Intent { step };
                    store.append(at(0), incident_id(n), fix_id(n), &entry).await.unwrap();
                    store.journal(fix_id(n)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut sequences = vec![];
    for n in 0..8 {
        let records = store.journal(fix_id(n)).await.unwrap();
        let entries: Vec<_> = records.iter().map(|record| record.entry.clone()).collect();
        assert_eq!(entries, (0..10).map(|step| JournalEntry::Intent { step }).collect::<Vec<_>>());
        sequences.extend(records.iter().map(|record| record.sequence));
    }
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=80).collect::<Vec<_>>(), "it rises by one");
}

#[tokio::test]
async fn outcomes_are_exported_line_by_line_even_after_a_half_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(EXPORT_FILE);
    let store = open(dir.path()).await;
    store.record_outcome(&outcome(1, 0, true)).await.unwrap();
    store.record_outcome(&outcome(1, 0, true)).await.unwrap(); // recorded again after a crash
    std::fs::write(&path, format!("{}{{\"half", std::fs::read_to_string(&path).unwrap())).unwrap();
    store.record_outcome(&outcome(2, 1, false)).await.unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    insta::assert_snapshot!(format!("{}\n{}", lines[0], lines[2]), @r#"
    {"timestamp":"2025-10-19T17:00:00Z","issue_type":"rate-limit","fix_type":"config.set","original_confidence":90,"result_status":"applied","validation_status":"passed","success":true,"error_count_after":3}
    {"timestamp":"2025-10-19T17:00:01Z","issue_type":"rate-limit","fix_type":"config.set","original_confidence":90,"result_status":"applied","validation_status":"rolled_back_by_person","success":false,"error_count_after":3}
    "#);
}

#[tokio::test]
async fn only_the_owner_can_read_what_is_kept() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("data");
    let store = open(&dir).await;
    store.record_outcome(&outcome(1, 0, true)).await.unwrap();
    let id = store.save_backup(&backup(1, 0, "secret")).await.unwrap();
    let mut open_dirs = vec![dir.clone()];
    let mut seen = 0;
    while let Some(dir) = open_dirs.pop() {
        let mode = std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700, "{}", dir.display());
        for entry in std::fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                open_dirs.push(entry.path());
                continue;
            }
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", entry.path().display());
            seen += 1;
        }
    }
    assert!(seen >= 6, "{id}: database, log, lock, reserve, export, manifest, content");
}

#[tokio::test]
async fn a_target_name_with_sql_in_it_is_only_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let hostile = TargetId::container("x'); DROP TABLE incident; --");
    store.save_incident(&incident(1, &hostile, 0)).await.unwrap();
    store.set_value("'; DROP TABLE value; --", Some(&serde_json::json!(1))).await.unwrap();
    let query = IncidentQuery { target: Some(hostile), ..IncidentQuery::default() };
    assert_eq!(store.incidents(&query).await.unwrap().len(), 1);
    assert_eq!(store.values("'; DROP").await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_outcome_whose_recording_failed_counts_as_a_change_since_it_may_stand() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.close().await;
    let store = selfheal::store::open_read_only(dir.path()).await.unwrap();
    let before = store.outcomes_recorded();
    assert!(store.record_outcome(&outcome(1, 10, true)).await.is_err());
    assert_ne!(store.outcomes_recorded(), before);
}
