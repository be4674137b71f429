//! Damage of every kind: either nothing is lost, or it is found and the newest whole snapshot takes
//! the place. Nothing wrong is ever told.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use selfheal::store::{
    self, DATABASE_FILE, Damage, OpenError, Opened, RESERVE_FILE, Restored, SNAPSHOT_DIR, SqlStore,
    snapshots,
};
use selfheal_agents::model::{
    Incident, JournalEntry, JournalRecord, LogCursor, Observation, Outcome, RuntimeEvent,
    RuntimeEventKind,
};
use selfheal_agents::ports::{
    Delivery, IncidentQuery, Incidents, Journal, Memory, Occasion, Outbox, Outcomes, Store,
    StoreError,
};
use serde_json::json;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Row, SqlSafeStr};

use super::samples::*;

const WAL: &str = "selfheal.db-wal";
const COMMITS: &str = "selfheal.db-commits";

/// All that a store tells.
#[derive(Debug, PartialEq)]
struct Content {
    incidents: Vec<Incident>,
    open: Vec<Incident>,
    journal: Vec<Vec<JournalRecord>>,
    unfinished: usize,
    outcomes: Vec<Outcome>,
    events: Vec<RuntimeEvent>,
    observations: Vec<Observation>,
    cursors: BTreeMap<String, LogCursor>,
    values: Vec<(String, serde_json::Value)>,
    deliveries: Vec<Delivery>,
}

async fn content(store: &SqlStore) -> Content {
    let query = IncidentQuery { limit: 1000, target: Some(web()), ..IncidentQuery::default() };
    let mut journal = vec![];
    for n in 1..=LATER {
        journal.push(store.journal(fix_id(n)).await.unwrap());
    }
    Content {
        incidents: store.incidents(&query).await.unwrap(),
        open: store.open_incidents().await.unwrap(),
        journal,
        unfinished: store.unfinished_fixes().await.unwrap().len(),
        outcomes: store.outcomes(None).await.unwrap(),
        events: store.events(None, at(-99)).await.unwrap(),
        observations: store.observations(&web(), at(-99)).await.unwrap(),
        cursors: store.log_cursors(&["c1".to_owned()]).await.unwrap(),
        values: store.values("").await.unwrap(),
        deliveries: store.due(at(9999), 1000).await.unwrap(),
    }
}

/// How much is in the snapshot, and in the end.
const SOON: u128 = 6;
const LATER: u128 = 9;

async fn live(store: &SqlStore, span: std::ops::RangeInclusive<u128>) {
    for n in span {
        let secs = i64::try_from(n).unwrap();
        store.save_incident(&incident(n, &web(), secs)).await.unwrap();
        store.append(at(secs), incident_id(n), fix_id(n), &planned(n)).await.unwrap();
        if n % 2 == 0 {
            store.append(at(secs), incident_id(n), fix_id(n), &JournalEntry::Kept).await.unwrap();
            store.save_incident(&resolved(n, &web(), secs)).await.unwrap();
        }
        store.record_outcome(&outcome(n, secs, n % 2 == 0)).await.unwrap();
        store.record_events(&[event(&web(), secs, RuntimeEventKind::Start)]).await.unwrap();
        store
            .record_observations(&[observation(&web(), secs, "container.cpu", 0.25)])
            .await
            .unwrap();
        let line = LogCursor { at: at(secs), seen_at: 1 };
        store.set_log_cursors(&[("c1".to_owned(), line)].into()).await.unwrap();
        store.set_value(&format!("delay {n}"), Some(&json!({"seconds": 1234}))).await.unwrap();
        let told = alert(Some(incident_id(n)), "held", secs);
        store.enqueue(&told, &["hook".to_owned()]).await.unwrap();
    }
}

/// A data directory with a snapshot and what was written after it, closed, and both contents.
struct Lived {
    dir: tempfile::TempDir,
    then: Content,
    now: Content,
}

async fn lived(close: bool) -> (Lived, Option<SqlStore>) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    live(&store, 1..=SOON).await;
    assert!(store.take_snapshot(Occasion::End).await.unwrap());
    let then = content(&store).await;
    live(&store, SOON + 1..=LATER).await;
    let now = content(&store).await;
    assert_ne!(then, now);
    let open = if close {
        store.close().await;
        None
    } else {
        Some(store)
    };
    (Lived { dir, then, now }, open)
}

impl Lived {
    /// What somebody finds who switches the machine on again, with one file damaged.
    fn found(&self, damaged: &str, content: &[u8]) -> tempfile::TempDir {
        let found = tempfile::tempdir().unwrap();
        let (from, to) = (self.dir.path(), found.path());
        // Filling it at each start takes longer than all else.
        std::fs::hard_link(from.join(RESERVE_FILE), to.join(RESERVE_FILE)).unwrap();
        for name in [DATABASE_FILE, WAL, COMMITS] {
            if from.join(name).exists() {
                std::fs::copy(from.join(name), to.join(name)).unwrap();
            }
        }
        std::fs::create_dir(to.join(SNAPSHOT_DIR)).unwrap();
        for one in snapshots(from).unwrap() {
            let name = one.path.file_name().unwrap();
            std::fs::copy(&one.path, to.join(SNAPSHOT_DIR).join(name)).unwrap();
        }
        std::fs::write(to.join(damaged), content).unwrap();
        found
    }

    /// Answers whether the damage was found. Where it was not, nothing is missing.
    async fn nothing_wrong_is_told(&self, found: &Path, what: &str) -> bool {
        let opened = store::open(found, Arc::new(Noon)).await;
        let Opened { store, damage } = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
        let told = content(&store).await;
        store.check_writable().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        live(&store, LATER + 1..=LATER + 1).await;
        store.close().await;
        let Some(damage) = damage else {
            assert_eq!(told, self.now, "{what}");
            return false;
        };
        assert!(damage.restored.is_some(), "{what}");
        assert!(damage.set_aside.is_some_and(|aside| aside.exists()), "{what}");
        assert_eq!(told, self.then, "{what}");
        true
    }
}

/// The same numbers at each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(sides).unwrap()).unwrap()
    }
}

#[tokio::test]
async fn a_digit_that_became_another_is_found_in_whatever_table_it_stands() {
    let (lived, _) = lived(true).await;
    let whole = std::fs::read(lived.dir.path().join(DATABASE_FILE)).unwrap();
    // In an incident or an alert, the journal, an outcome, an observation, a value.
    for (text, digit) in [
        (&b"it ended with exit code 1"[..], 24),
        (b"429 in the log", 0),
        (b"error_count_after\":3", 19),
        (b"\"value\":0.25", 11),
        (b"{\"seconds\":1234}", 11),
    ] {
        let what = String::from_utf8_lossy(text);
        let mut found_out = 0;
        let starts = whole.windows(text.len()).enumerate().filter(|(_, window)| *window == text);
        for (start, _) in starts {
            let mut damaged = whole.clone();
            assert!(damaged[start + digit].is_ascii_digit(), "{what}");
            damaged[start + digit] ^= 1;
            let found = lived.found(DATABASE_FILE, &damaged);
            found_out += i32::from(lived.nothing_wrong_is_told(found.path(), &what).await);
        }
        // Elsewhere it stood in a row that has since been written anew.
        assert!(found_out > 0, "{what}");
    }
}

/// The check of a whole file is one of some tables, without the file's header, where SQLite meets a
/// view before every table; this list has the same order.
#[tokio::test]
async fn no_view_keeps_the_check_of_a_whole_file_from_its_header() {
    let (lived, _) = lived(true).await;
    let path = lived.dir.path().join(DATABASE_FILE);
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let first = sqlx::query("PRAGMA main.table_list").fetch_one(&pool).await.unwrap();
    assert_eq!(first.get::<String, _>("type"), "table", "{}", first.get::<String, _>("name"));
}

#[tokio::test]
async fn a_bit_that_flips_anywhere_loses_nothing_or_is_found() {
    let (lived, _) = lived(true).await;
    let whole = std::fs::read(lived.dir.path().join(DATABASE_FILE)).unwrap();
    let mut dice = Dice(0x5e1f_4ea1);
    let mut found_out = 0;
    // Every byte of the header, and many places elsewhere.
    let places = (0..100).chain((0..300).map(|_| dice.roll(whole.len()))).collect::<Vec<_>>();
    for place in places {
        let mut damaged = whole.clone();
        let bit = dice.roll(8);
        damaged[place] ^= 1 << bit;
        let found = lived.found(DATABASE_FILE, &damaged);
        let what = format!("bit {bit} of byte {place}");
        found_out += usize::from(lived.nothing_wrong_is_told(found.path(), &what).await);
    }
    assert!(found_out > 50, "{found_out}: the places are not all empty");
}

#[tokio::test]
async fn a_database_that_was_cut_off_is_replaced_by_the_snapshot() {
    let (lived, _) = lived(true).await;
    let whole = std::fs::read(lived.dir.path().join(DATABASE_FILE)).unwrap();
    for keep in [0, 1, 50, 4096, 5000, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
        let found = lived.found(DATABASE_FILE, &whole[..keep]);
        let what = format!("cut at {keep}");
        assert!(lived.nothing_wrong_is_told(found.path(), &what).await, "{what}");
    }
}

#[tokio::test]
async fn a_database_that_is_gone_is_replaced_by_the_snapshot_and_wanted_anew_without_anything_of_it()
 {
    let (lived, _) = lived(true).await;
    let found = lived.found(DATABASE_FILE, b"");
    let dir = found.path();
    for left in [&[COMMITS, "snapshots"][..], &["snapshots"]] {
        std::fs::remove_file(dir.join(DATABASE_FILE)).unwrap();
        if !left.contains(&COMMITS) {
            std::fs::remove_file(dir.join(COMMITS)).unwrap();
        }
        let Opened { store, damage } = store::open(dir, Arc::new(Noon)).await.unwrap();
        let damage = damage.expect("it is found");
        assert_eq!(damage.set_aside, None);
        assert!(damage.restored.is_some());
        assert_eq!(content(&store).await, lived.then);
        store.damage_is_told().await.unwrap();
        store.check_writable().await.unwrap();
        store.close().await;
    }
    // Without a snapshot there is nothing to restore, and a person is told all the same.
    std::fs::remove_dir_all(dir.join(SNAPSHOT_DIR)).unwrap();
    std::fs::remove_file(dir.join(DATABASE_FILE)).unwrap();
    let Opened { store, damage } = store::open(dir, Arc::new(Noon)).await.unwrap();
    assert_eq!(damage, Some(Damage { set_aside: None, restored: None }));
    store.damage_is_told().await.unwrap();
    store.close().await;
    for name in [DATABASE_FILE, COMMITS] {
        std::fs::remove_file(dir.join(name)).unwrap();
    }
    assert_eq!(store::open(dir, Arc::new(Noon)).await.unwrap().damage, None, "begun anew");
}

#[tokio::test]
async fn a_log_that_was_cut_off_or_damaged_is_noticed() {
    let (lived, running) = lived(false).await;
    let whole = std::fs::read(lived.dir.path().join(WAL)).unwrap();
    assert!(whole.len() > 20 * 4096, "what was written last is only there");
    let mut dice = Dice(0x5e1f_4ea2);
    let cuts = [0, 31, 5000, whole.len() / 2, whole.len() - 4120, whole.len() - 1];
    for keep in cuts {
        let found = lived.found(WAL, &whole[..keep]);
        let what = format!("cut at {keep}");
        assert!(lived.nothing_wrong_is_told(found.path(), &what).await, "{what}");
    }
    for _ in 0..60 {
        let (place, bit) = (dice.roll(whole.len()), dice.roll(8));
        let mut damaged = whole.clone();
        damaged[place] ^= 1 << bit;
        let found = lived.found(WAL, &damaged);
        let what = format!("bit {bit} of byte {place} of the log");
        lived.nothing_wrong_is_told(found.path(), &what).await;
    }
    // Left alone, it is whole: a kill is no damage.
    let found = lived.found(WAL, &whole);
    assert!(!lived.nothing_wrong_is_told(found.path(), "left alone").await);
    drop(running);
}

#[tokio::test]
async fn a_damaged_snapshot_is_passed_over_and_left_and_without_any_it_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for n in 1..=3 {
        store.save_incident(&incident(n, &web(), 0)).await.unwrap();
        assert!(store.take_snapshot(Occasion::End).await.unwrap());
    }
    store.close().await;
    let kept = snapshots(dir.path()).unwrap();
    for (spoilt, left) in [(0_usize, 3), (1, 2), (2, 1), (3, 0)] {
        if let Some(newest) = spoilt.checked_sub(1_usize) {
            // Not its pages, only a word in a row.
            let mut damaged = std::fs::read(&kept[newest].path).unwrap();
            let word = b"it ended with exit code 1";
            let at = damaged.windows(word.len()).position(|window| window == word).unwrap();
            damaged[at + 24] ^= 1;
            std::fs::write(&kept[newest].path, damaged).unwrap();
        }
        std::fs::write(dir.path().join(DATABASE_FILE), "garbage").unwrap();
        let Opened { store, damage } = store::open(dir.path(), Arc::new(Noon)).await.unwrap();
        let restored = damage.unwrap().restored;
        let expected =
            kept.get(spoilt).map(|one| Restored { snapshot: one.path.clone(), taken_at: at(0) });
        assert_eq!(restored, expected);
        assert_eq!(store.open_incidents().await.unwrap().len(), left);
        store.damage_is_told().await.unwrap();
        store.close().await;
    }
    assert_eq!(snapshots(dir.path()).unwrap(), kept, "they are left where they were");
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_read_now_is_neither_passed_over_nor_forgotten() {
    let (lived, _) = lived(true).await;
    let found = lived.found(DATABASE_FILE, b"garbage");
    let dir = found.path();
    let folder = dir.join(SNAPSHOT_DIR);
    let newer = folder.join("snapshot_9_20251019_170000.db");
    std::fs::create_dir(&newer).unwrap();
    let refused = store::open(dir, Arc::new(Noon)).await.map(|opened| opened.damage);
    let Err(OpenError::Failed { file, .. }) = &refused else { panic!("{refused:?}") };
    assert_eq!(*file, newer);
    std::fs::remove_dir(newer).unwrap();
    // Nor is the folder taken for an empty one.
    let away = dir.join("away");
    std::fs::rename(&folder, &away).unwrap();
    std::fs::write(&folder, "").unwrap();
    let refused = store::open(dir, Arc::new(Noon)).await.map(|opened| opened.damage);
    assert!(matches!(refused, Err(OpenError::Unwritable { .. })), "{refused:?}");
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&away, &folder).unwrap();
    let Opened { store, damage } = store::open(dir, Arc::new(Noon)).await.unwrap();
    assert!(damage.unwrap().restored.is_some());
    assert_eq!(content(&store).await, lived.then);
}

#[tokio::test]
async fn what_was_restored_is_told_at_each_start_until_somebody_has_said_so() {
    let (lived, _) = lived(true).await;
    let found = lived.found(DATABASE_FILE, b"garbage");
    let first = store::open(found.path(), Arc::new(Noon)).await.unwrap();
    let damage = first.damage.expect("it is found");
    first.store.close().await;
    let second = store::open(found.path(), Arc::new(Noon)).await.unwrap();
    assert_eq!(second.damage.as_ref(), Some(&damage), "nobody was told yet");
    second.store.damage_is_told().await.unwrap();
    second.store.close().await;
    assert_eq!(store::open(found.path(), Arc::new(Noon)).await.unwrap().damage, None);
}

#[tokio::test]
async fn a_start_that_is_cut_off_while_it_restores_is_gone_on_with() {
    let (lived, _) = lived(true).await;
    let found = lived.found(DATABASE_FILE, b"garbage");
    let dir = found.path();
    let opened = store::open(dir, Arc::new(Noon)).await.unwrap();
    let damage = opened.damage.unwrap();
    opened.store.close().await;
    // As it is in between: set aside, noted, half a copy made, nothing in place yet.
    for name in [DATABASE_FILE, WAL, COMMITS] {
        let _ = std::fs::remove_file(dir.join(name));
    }
    std::fs::write(dir.join(".restored-x"), "half").unwrap();
    let again = store::open(dir, Arc::new(Noon)).await.unwrap();
    assert_eq!(again.damage, Some(damage));
    assert_eq!(content(&again.store).await, lived.then);
    assert!(!dir.join(".restored-x").exists());
}

#[tokio::test]
async fn rows_that_go_bad_while_it_runs_are_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.save_incident(&incident(1, &web(), 0)).await.unwrap();
    store.set_value("delay", Some(&json!(1))).await.unwrap();
    let database = format!("sqlite://{}", dir.path().join(DATABASE_FILE).display());
    let pool = sqlx::SqlitePool::connect(&database).await.unwrap();
    for change in ["UPDATE value SET document = '2'", "UPDATE incident SET severity = 'info'"] {
        sqlx::query(change).execute(&pool).await.unwrap();
    }
    pool.close().await;
    let value = store.value("delay").await;
    assert!(matches!(value, Err(StoreError::Corrupt(_))), "{value:?}");
    let open = store.open_incidents().await;
    assert!(matches!(open, Err(StoreError::Corrupt(_))), "{open:?}");
    let taken = store.take_snapshot(Occasion::End).await;
    assert!(matches!(taken, Err(StoreError::Corrupt(_))), "{taken:?}");
    assert_eq!(snapshots(dir.path()).unwrap(), [], "what is damaged is no snapshot");
}

/// A database of before rows had checksums, with a fix under way and a value.
pub(super) async fn of_before(path: &Path) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let first = include_str!("../../../src/store/sqlite/migrations/0001_first.sql");
    let second = include_str!("../../../src/store/sqlite/migrations/0002_change.sql");
    let steps = [(1, "first", first), (2, "change", second)].map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(steps.to_vec()).run(&pool).await.unwrap();
    let record = JournalRecord {
        sequence: 0,
        at: at(0),
        fix: fix_id(1),
        incident: incident_id(1),
        entry: planned(1),
    };
    sqlx::query(
        "INSERT INTO journal (at, fix, incident, final, entry) VALUES ('t', $1, 'i', 0, $2)",
    )
    .bind(fix_id(1).to_string())
    .bind(serde_json::to_string(&record).unwrap())
    .execute(&pool)
    .await
    .unwrap();
    sqlx::query("INSERT INTO value (name, document) VALUES ('delay', '1')")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
}

#[tokio::test]
async fn an_older_database_put_back_beside_the_count_of_a_newer_one_is_sound() {
    let (lived, _) = lived(true).await;
    let database = lived.dir.path().join(DATABASE_FILE);
    std::fs::remove_file(&database).unwrap();
    of_before(&database).await;
    assert!(lived.dir.path().join(COMMITS).exists());
    // The second time nothing was written in between, nor was the count noted anew.
    for _ in 0..2 {
        let Opened { store, damage } = store::open(lived.dir.path(), Arc::new(Noon)).await.unwrap();
        assert_eq!(damage, None);
        assert_eq!(store.value("delay").await.unwrap(), Some(json!(1)));
        store.close().await;
    }
}

#[tokio::test]
async fn rows_from_before_there_were_checksums_are_kept_and_get_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE_FILE);
    of_before(&path).await;

    let store = open(dir.path()).await;
    assert_eq!(store.value("delay").await.unwrap(), Some(json!(1)));
    assert_eq!(store.journal(fix_id(1)).await.unwrap()[0].entry, planned(1));
    store.close().await;
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let without = "SELECT (SELECT COUNT(*) FROM journal WHERE checksum IS NULL)
                        + (SELECT COUNT(*) FROM value WHERE checksum IS NULL)";
    assert_eq!(sqlx::query(without).fetch_one(&pool).await.unwrap().get::<i64, _>(0), 0);
    sqlx::query("UPDATE value SET document = '2'").execute(&pool).await.unwrap();
    pool.close().await;
    let opened = store::open(dir.path(), Arc::new(Noon)).await.unwrap();
    assert!(opened.damage.is_some(), "and from now on they are verified");
}
