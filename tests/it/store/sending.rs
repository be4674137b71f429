//! A history that is sent to a server: it stands there as it stands here, whatever happens between.

use std::path::Path;
use std::sync::Arc;

use selfheal::store::{
    self, DATABASE_FILE, MoveError, OpenError, Place, PostgresUrl, SendError, Sender, SqlStore,
    move_all,
};
use selfheal_agents::model::JournalEntry;
use selfheal_agents::ports::{Incidents, Journal, Memory, Messages, Outbox, Outcomes, Store};
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};

use super::postgres::{client, database, server};
use super::samples::*;
use crate::probes::server::Server;

const TABLES: [&str; 12] = [
    "incident",
    "incident_target",
    "journal",
    "outcome",
    "event",
    "log_cursor",
    "observation",
    "value",
    "delivery",
    "change",
    "message",
    "job",
];

pub(super) async fn open_sending(url: &PostgresUrl, dir: &Path) -> (Arc<SqlStore>, Sender) {
    let opened = store::open_sending(url, dir, Arc::new(Noon)).await.expect("the store opens");
    let store = Arc::new(opened.store);
    (Arc::clone(&store), Sender::new(url.clone(), store))
}

async fn close(store: Arc<SqlStore>, sender: Sender) {
    drop(sender);
    Arc::into_inner(store).expect("nobody else has it").close().await;
}

/// What a virtual machine is set back to.
fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status();
    assert!(copied.unwrap().success());
}

async fn file(dir: &Path) -> SqliteConnection {
    let file = format!("sqlite://{}", dir.join(DATABASE_FILE).display());
    SqliteConnection::connect(&file).await.unwrap()
}

/// The checksums of all rows, which stand for all that is in them.
pub(crate) async fn here(dir: &Path) -> Vec<(String, Vec<i64>)> {
    let mut file = file(dir).await;
    let mut all = vec![];
    for table in TABLES {
        let query = AssertSqlSafe(format!("SELECT checksum FROM {table} ORDER BY checksum"));
        all.push((table.to_owned(), sqlx::query_scalar(query).fetch_all(&mut file).await.unwrap()));
    }
    all
}

/// The same on the server.
pub(crate) async fn there(server: &Server, name: &str) -> Vec<(String, Vec<i64>)> {
    let mut client = client(server, name).await;
    let mut all = vec![];
    for table in TABLES {
        let query = AssertSqlSafe(format!("SELECT checksum FROM {table} ORDER BY checksum"));
        let rows = sqlx::query_scalar(query).fetch_all(&mut client).await.unwrap();
        all.push((table.to_owned(), rows));
    }
    all
}

/// Something in every table.
async fn fill(store: &SqlStore, n: u128) {
    let secs = i64::try_from(n).unwrap();
    store.save_incident(&incident(n, &web(), secs)).await.unwrap();
    store.append(at(secs), incident_id(n), fix_id(n), &planned(n)).await.unwrap();
    store.append(at(secs), incident_id(n), fix_id(n), &JournalEntry::Kept).await.unwrap();
    store.record_outcome(&outcome(n, secs, true)).await.unwrap();
    store.set_value(&format!("v{n}"), Some(&serde_json::json!({"n": secs}))).await.unwrap();
    let told = alert(Some(incident_id(n)), "held", secs);
    store.enqueue(&told, &["hook".to_owned(), "mail".to_owned()]).await.unwrap();
    let seen = observation(&web(), secs, "container.cpu", 0.25);
    store.record_observations(&[seen]).await.unwrap();
    store.finish_job(&format!("job {n}"), at(secs), &[message("done")]).await.unwrap();
}

#[tokio::test]
async fn what_is_written_changed_and_removed_here_is_so_there_in_order() {
    let Some(server) = server() else { return };
    let url = database(&server, "sent").await;
    let dir = tempfile::tempdir().unwrap();
    let (store, mut sender) = open_sending(&url, dir.path()).await;
    fill(&store, 1).await;
    sender.send_all().await.unwrap();
    assert_eq!(there(&server, "sent").await, here(dir.path()).await);
    for n in 2..=150 {
        fill(&store, n).await;
    }
    store.save_incident(&resolved(1, &web(), 1)).await.unwrap();
    store.set_value("v1", None).await.unwrap();
    let due = store.due(at(9999), 1000).await.unwrap();
    store.delivered(due[0].id, at(9)).await.unwrap();
    store.messages_taken(2).await.unwrap();
    assert!(store.unsent().await.unwrap() > 200, "more than goes at once");
    sender.send_all().await.unwrap();
    assert_eq!(store.unsent().await.unwrap(), 0);
    assert_eq!(there(&server, "sent").await, here(dir.path()).await);
    assert!(store.prune(at(500_000_000), std::time::Duration::from_secs(1)).await.unwrap() > 0);
    sender.send_all().await.unwrap();
    let left = there(&server, "sent").await;
    assert_eq!(left, here(dir.path()).await);
    assert!(left.iter().any(|(table, rows)| table == "observation" && rows.is_empty()));

    let reader = store::open_postgres_read_only(&url, dir.path()).await.unwrap();
    assert_eq!(reader.journal(fix_id(2)).await.unwrap(), store.journal(fix_id(2)).await.unwrap());
    assert_eq!(reader.open_incidents().await.unwrap(), store.open_incidents().await.unwrap());
}

#[tokio::test]
async fn while_the_server_is_away_nothing_waits_for_it_and_then_nothing_is_missing() {
    let Some(mut server) = server() else { return };
    let url = database(&server, "away").await;
    let dir = tempfile::tempdir().unwrap();
    let (store, mut sender) = open_sending(&url, dir.path()).await;
    fill(&store, 1).await;
    assert!(!store.is_taken(), "nothing was sent yet");
    sender.send_all().await.unwrap();
    assert!(store.is_taken());
    server.stop_postgres();
    fill(&store, 2).await;
    let away = sender.send_all().await.unwrap_err();
    assert!(matches!(away, SendError::Away(_)), "{away}");
    assert!(!store.is_taken());
    store.check_writable().await.unwrap();
    close(store, sender).await;

    // Also over a start, with the server away.
    let (store, mut sender) = open_sending(&url, dir.path()).await;
    fill(&store, 3).await;
    assert!(sender.send_all().await.is_err());
    server.start_postgres_again();
    sender.send_all().await.unwrap();
    assert_eq!(there(&server, "away").await, here(dir.path()).await);
    assert_eq!(store.unsent().await.unwrap(), 0);
    assert!(store.is_taken());
}

#[tokio::test]
async fn of_too_many_notes_none_is_kept_and_all_is_sent_once_the_server_is_back() {
    let Some(mut server) = server() else { return };
    let url = database(&server, "long_away").await;
    let dir = tempfile::tempdir().unwrap();
    let (store, mut sender) = open_sending(&url, dir.path()).await;
    fill(&store, 1).await;
    sender.send_all().await.unwrap();
    server.stop_postgres();
    fill(&store, 2).await;
    store.set_value("v1", None).await.unwrap();
    let gone = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 100000)
         INSERT INTO outgoing (kept_in, key) SELECT 'value', json_array('gone ' || n) FROM n";
    sqlx::query(gone).execute(&mut file(dir.path()).await).await.unwrap();
    assert!(sender.send_all().await.is_err());
    assert_eq!(store.unsent().await.unwrap(), 0);
    fill(&store, 3).await;
    server.start_postgres_again();
    sender.send_all().await.unwrap();
    assert_eq!(there(&server, "long_away").await, here(dir.path()).await);
}

#[tokio::test]
async fn a_history_of_before_is_sent_as_a_whole_and_again_after_nobody_took_note() {
    let Some(server) = server() else { return };
    let url = database(&server, "whole").await;
    let dir = tempfile::tempdir().unwrap();
    let alone = open(dir.path()).await;
    fill(&alone, 1).await;
    alone.close().await;
    let (store, mut sender) = open_sending(&url, dir.path()).await;
    sender.send_all().await.unwrap();
    assert_eq!(there(&server, "whole").await, here(dir.path()).await);
    close(store, sender).await;

    let alone = open(dir.path()).await;
    fill(&alone, 2).await;
    alone.set_value("v1", None).await.unwrap();
    alone.close().await;
    let (_store, mut sender) = open_sending(&url, dir.path()).await;
    sender.send_all().await.unwrap();
    assert_eq!(there(&server, "whole").await, here(dir.path()).await);
}

#[tokio::test]
async fn an_empty_directory_goes_on_with_what_is_there_and_whoever_had_it_sends_no_more() {
    let Some(server) = server() else { return };
    let url = database(&server, "taken").await;
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (old, mut old_sender) = open_sending(&url, first.path()).await;
    fill(&old, 1).await;
    old_sender.send_all().await.unwrap();
    let held = store::open_sending(&url, second.path(), Arc::new(Noon)).await.map(drop);
    let held = held.unwrap_err().to_string();
    assert!(held.contains("another selfheal sends its history there now"), "{held}");
    // It ends; the server hears of that a moment later.
    drop(old_sender);
    let mut client = client(&server, "taken").await;
    let locks = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory'";
    while sqlx::query_scalar::<_, i64>(locks).fetch_one(&mut client).await.unwrap() > 0 {
        tokio::task::yield_now().await;
    }
    let (new, mut new_sender) = open_sending(&url, second.path()).await;
    assert_eq!(here(second.path()).await, here(first.path()).await);
    fill(&new, 2).await;
    new_sender.send_all().await.unwrap();
    assert_eq!(there(&server, "taken").await, here(second.path()).await);

    fill(&old, 3).await;
    let mut old_sender = Sender::new(url.clone(), old);
    let refused = old_sender.send_all().await.unwrap_err();
    assert!(matches!(refused, SendError::Taken { .. }), "{refused}");
    let third = tempfile::tempdir().unwrap();
    let alone = open(third.path()).await;
    fill(&alone, 4).await;
    alone.close().await;
    let (_other, mut other) = open_sending(&url, third.path()).await;
    let refused = other.send_all().await.unwrap_err();
    assert!(matches!(refused, SendError::Taken { .. }), "{refused}");
    assert_eq!(there(&server, "taken").await, here(second.path()).await);
}

#[tokio::test]
async fn of_two_copies_of_one_data_directory_one_sends_and_the_other_says_so() {
    let Some(server) = server() else { return };
    let url = database(&server, "copied").await;
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, mut sender) = open_sending(&url, first.path()).await;
    fill(&store, 1).await;
    sender.send_all().await.unwrap();
    close(store, sender).await;
    copy(first.path(), second.path());
    let (one, mut one_sender) = open_sending(&url, first.path()).await;
    fill(&one, 2).await;
    one_sender.send_all().await.unwrap();
    let (other, mut other_sender) = open_sending(&url, second.path()).await;
    fill(&other, 3).await;
    let held = other_sender.send_all().await.unwrap_err();
    assert!(held.to_string().contains("another session of this history"), "{held}");
    assert_eq!(there(&server, "copied").await, here(first.path()).await);
}

/// Makes a database of this name as another one is, in the place of what bears the name.
async fn set_back(server: &Server, name: &str, to: &str) {
    let mut client = client(server, "postgres").await;
    let gone = AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
    sqlx::query(gone).execute(&mut client).await.unwrap();
    // Sessions that ended there are gone a moment later.
    let made = format!("CREATE DATABASE {name} TEMPLATE {to}");
    while sqlx::query(AssertSqlSafe(made.clone())).execute(&mut client).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_row_that_the_server_refuses_is_told_as_such() {
    let Some(server) = server() else { return };
    let url = database(&server, "strict").await;
    let dir = tempfile::tempdir().unwrap();
    let (store, mut sender) = open_sending(&url, dir.path()).await;
    sender.send_all().await.unwrap();
    let mut client = client(&server, "strict").await;
    let strict = "ALTER TABLE value ADD CHECK (name <> 'v1')";
    sqlx::query(strict).execute(&mut client).await.unwrap();
    fill(&store, 1).await;
    let refused = sender.send_all().await.unwrap_err();
    assert!(matches!(refused, SendError::Refused { .. }), "{refused}");
}

#[tokio::test]
async fn a_server_that_was_set_back_gets_again_what_it_had() {
    let Some(server) = server() else { return };
    let url = database(&server, "failed_over").await;
    let dir = tempfile::tempdir().unwrap();
    let (store, mut sender) = open_sending(&url, dir.path()).await;
    fill(&store, 1).await;
    sender.send_all().await.unwrap();
    drop(sender);
    set_back(&server, "saved", "failed_over").await;
    let mut sender = Sender::new(url.clone(), Arc::clone(&store));
    fill(&store, 2).await;
    sender.send_all().await.unwrap();
    set_back(&server, "failed_over", "saved").await;
    fill(&store, 3).await;
    // The session is cut off; the next one sees what is there.
    assert!(sender.send_all().await.is_err());
    sender.send_all().await.unwrap();
    assert_eq!(there(&server, "failed_over").await, here(dir.path()).await);
}

#[tokio::test]
async fn what_was_sent_elsewhere_meanwhile_is_not_missing_where_it_is_sent_again() {
    let Some(server) = server() else { return };
    let (url, other) = (database(&server, "a").await, database(&server, "b").await);
    let dir = tempfile::tempdir().unwrap();
    for (n, url) in (1..).zip([&url, &other, &url]) {
        let (store, mut sender) = open_sending(url, dir.path()).await;
        fill(&store, n).await;
        sender.send_all().await.unwrap();
        fill(&store, n + 10).await;
        sender.send_all().await.unwrap();
        close(store, sender).await;
    }
    assert_eq!(there(&server, "a").await, here(dir.path()).await);
}

#[tokio::test]
async fn a_data_directory_that_was_set_back_does_not_take_away_what_is_there() {
    let Some(server) = server() else { return };
    let url = database(&server, "newer_there").await;
    let (dir, back) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, mut sender) = open_sending(&url, dir.path()).await;
    fill(&store, 1).await;
    sender.send_all().await.unwrap();
    close(store, sender).await;
    copy(dir.path(), back.path());
    let (store, mut sender) = open_sending(&url, dir.path()).await;
    fill(&store, 2).await;
    sender.send_all().await.unwrap();
    close(store, sender).await;
    let (_store, mut sender) = open_sending(&url, back.path()).await;
    let refused = sender.send_all().await.unwrap_err();
    assert!(matches!(refused, SendError::SetBack { .. }), "{refused}");
    assert_eq!(there(&server, "newer_there").await, here(dir.path()).await);
}

#[tokio::test]
async fn an_empty_directory_does_not_begin_anew_while_the_server_is_away() {
    let Some(mut server) = server() else { return };
    let url = database(&server, "first").await;
    server.stop_postgres();
    let dir = tempfile::tempdir().unwrap();
    let refused = store::open_sending(&url, dir.path(), Arc::new(Noon)).await.map(drop);
    assert!(matches!(refused, Err(OpenError::Server { .. })), "{refused:?}");
}

#[tokio::test]
async fn what_a_snapshot_lacks_comes_back_from_the_server() {
    let Some(server) = server() else { return };
    let url = database(&server, "restored").await;
    let dir = tempfile::tempdir().unwrap();
    let (store, mut sender) = open_sending(&url, dir.path()).await;
    fill(&store, 1).await;
    store.take_snapshot(selfheal_agents::ports::Occasion::End).await.unwrap();
    fill(&store, 2).await;
    sender.send_all().await.unwrap();
    close(store, sender).await;
    let all = here(dir.path()).await;
    std::fs::write(dir.path().join(DATABASE_FILE), "garbage").unwrap();
    let opened = store::open_sending(&url, dir.path(), Arc::new(Noon)).await.unwrap();
    assert!(opened.damage.unwrap().restored.is_some());
    assert_eq!(here(dir.path()).await, all);
    let mut sender = Sender::new(url, Arc::new(opened.store));
    sender.send_all().await.unwrap();
    assert_eq!(there(&server, "restored").await, all);
}

#[tokio::test]
async fn what_was_removed_since_a_snapshot_does_not_come_back() {
    let Some(server) = server() else { return };
    let url = database(&server, "removed").await;
    let dir = tempfile::tempdir().unwrap();
    let (store, mut sender) = open_sending(&url, dir.path()).await;
    fill(&store, 1).await;
    sender.send_all().await.unwrap();
    store.take_snapshot(selfheal_agents::ports::Occasion::End).await.unwrap();
    store.set_value("v1", None).await.unwrap();
    fill(&store, 2).await;
    sender.send_all().await.unwrap();
    close(store, sender).await;
    let all = here(dir.path()).await;
    std::fs::write(dir.path().join(DATABASE_FILE), "garbage").unwrap();
    let (_store, mut sender) = open_sending(&url, dir.path()).await;
    assert_eq!(here(dir.path()).await, all);
    sender.send_all().await.unwrap();
    assert_eq!(there(&server, "removed").await, all);
}

#[tokio::test]
async fn a_server_that_lags_behind_a_snapshot_does_not_overwrite_it() {
    let Some(server) = server() else { return };
    let url = database(&server, "lagging").await;
    let dir = tempfile::tempdir().unwrap();
    let (store, mut sender) = open_sending(&url, dir.path()).await;
    fill(&store, 1).await;
    sender.send_all().await.unwrap();
    store.save_incident(&resolved(1, &web(), 1)).await.unwrap();
    store.set_value("v1", None).await.unwrap();
    store.take_snapshot(selfheal_agents::ports::Occasion::End).await.unwrap();
    let all = here(dir.path()).await;
    close(store, sender).await;
    std::fs::write(dir.path().join(DATABASE_FILE), "garbage").unwrap();
    let (_store, mut sender) = open_sending(&url, dir.path()).await;
    assert_eq!(here(dir.path()).await, all);
    sender.send_all().await.unwrap();
    assert_eq!(there(&server, "lagging").await, all);
}

#[tokio::test]
async fn a_history_is_moved_there_and_back_as_a_whole_and_over_nothing() {
    let Some(server) = server() else { return };
    let url = database(&server, "moved").await;
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(source.path()).await;
    for n in 1..=120 {
        fill(&store, n).await;
    }
    let (from, to) = (Place::Sqlite(source.path().to_owned()), Place::Postgres(url.clone()));
    let back = Place::Sqlite(target.path().to_owned());
    let held = move_all(&from, &to, Arc::new(Noon)).await.unwrap_err();
    assert!(matches!(held, MoveError::Open(OpenError::InUse { .. })), "{held}");
    store.close().await;
    let moved = move_all(&from, &to, Arc::new(Noon)).await.unwrap();
    let rows = |table: &str| moved.iter().find(|of| of.table == table).unwrap().rows;
    assert_eq!((rows("journal"), rows("delivery"), rows("change")), (240, 240, 0));
    assert_eq!(there(&server, "moved").await, here(source.path()).await);
    let again = move_all(&from, &to, Arc::new(Noon)).await.unwrap_err();
    assert!(matches!(again, MoveError::NotEmpty(_)), "{again}");
    assert_eq!(move_all(&to, &back, Arc::new(Noon)).await.unwrap(), moved);
    assert_eq!(here(target.path()).await, here(source.path()).await);
    // What the database numbers goes on where it was.
    let store = open(target.path()).await;
    let next = store.append(at(0), incident_id(1), fix_id(1), &JournalEntry::Kept).await.unwrap();
    assert_eq!(next.sequence, 241);
    // Both know that they belong together.
    let (_store, mut sender) = open_sending(&url, source.path()).await;
    sender.send_all().await.unwrap();
}

#[tokio::test]
async fn a_damaged_row_is_not_moved_as_if_it_were_whole() {
    let Some(server) = server() else { return };
    let url = database(&server, "unsound").await;
    let dir = tempfile::tempdir().unwrap();
    let store = super::postgres::open_on(&url, dir.path()).await;
    fill(&store, 1).await;
    let mut client = client(&server, "unsound").await;
    sqlx::query("UPDATE value SET document = '2'").execute(&mut client).await.unwrap();
    let target = tempfile::tempdir().unwrap();
    let (from, to) = (Place::Postgres(url), Place::Sqlite(target.path().to_owned()));
    let refused = move_all(&from, &to, Arc::new(Noon)).await.unwrap_err();
    assert!(refused.to_string().contains("`value` is not as it was written"), "{refused}");
    let mut file = file(target.path()).await;
    let left = sqlx::query("SELECT COUNT(*) FROM incident").fetch_one(&mut file).await.unwrap();
    assert_eq!(left.get::<i64, _>(0), 0);
}

#[tokio::test]
async fn a_copy_is_kept_of_what_an_older_version_left() {
    let dir = tempfile::tempdir().unwrap();
    super::restoring::of_before(&dir.path().join(DATABASE_FILE)).await;
    // One that was cut off is no copy, and does not stay.
    let half = dir.path().join(".older-half");
    std::fs::write(&half, "half").unwrap();
    open(dir.path()).await.close().await;
    assert!(!half.exists());
    let copy = dir.path().join(format!("{DATABASE_FILE}.schema-2"));
    let mut kept =
        SqliteConnection::connect(&format!("sqlite://{}", copy.display())).await.unwrap();
    let schema = sqlx::query_scalar::<_, i64>("SELECT MAX(version) FROM _sqlx_migrations");
    assert_eq!(schema.fetch_one(&mut kept).await.unwrap(), 2);
    let values = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM value");
    assert_eq!(values.fetch_one(&mut kept).await.unwrap(), 1);
    kept.close().await.unwrap();

    // Put back as deploy/systemd/README.md says, it is whole.
    let store = open(dir.path()).await;
    fill(&store, 1).await;
    store.close().await;
    let newer = dir.path().join("newer");
    std::fs::create_dir(&newer).unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        if name == DATABASE_FILE || name.starts_with(&format!("{DATABASE_FILE}-")) {
            std::fs::rename(dir.path().join(&name), newer.join(&name)).unwrap();
        }
    }
    std::fs::copy(&copy, dir.path().join(DATABASE_FILE)).unwrap();
    let opened = store::open(dir.path(), Arc::new(Noon)).await.unwrap();
    assert!(opened.damage.is_none(), "{:?}", opened.damage);
    assert!(opened.store.open_incidents().await.unwrap().is_empty());
}

fn selfheal(dir: &Path, arguments: &[&str]) -> std::process::Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_selfheal"))
        .current_dir(dir)
        .args(["--config", "selfheal.toml"])
        .args(arguments)
        .env_clear()
        .output()
        .unwrap()
}

#[tokio::test]
async fn the_command_line_moves_a_history_and_reads_it_where_no_file_is() {
    let Some(server) = server() else { return };
    database(&server, "typed").await;
    let dir = tempfile::tempdir().unwrap();
    let url = super::postgres::address_text(&server, "typed");
    std::fs::write(dir.path().join("url"), url).unwrap();
    let settings = format!(
        "data_dir = \"data\"\n[docker]\nhost = \"unix://{0}/none.sock\"\n[store]\n\
         url_file = \"{0}/url\"\n[api]\nlisten = \"127.0.0.1:{1}\"\n",
        dir.path().display(),
        crate::support::free_port().unwrap()
    );
    std::fs::write(dir.path().join("selfheal.toml"), settings).unwrap();
    let run = |arguments: &[&str]| selfheal(dir.path(), arguments);
    let missing = run(&["store", "migrate"]);
    assert_eq!(missing.status.code(), Some(2), "{missing:?}");

    let data = dir.path().join("data");
    let store = open(&data).await;
    fill(&store, 1).await;
    let held = run(&["store", "migrate"]);
    assert_eq!(held.status.code(), Some(1), "{held:?}");
    store.close().await;
    let moved = run(&["store", "migrate", "--json"]);
    assert!(moved.status.success(), "{moved:?}");
    let told: serde_json::Value = serde_json::from_slice(&moved.stdout).unwrap();
    let journal = told["tables"].as_array().unwrap().iter().find(|of| of["table"] == "journal");
    assert_eq!(journal.unwrap()["rows"], 2, "{told}");
    let again = run(&["store", "migrate"]);
    assert_eq!(again.status.code(), Some(2), "{again:?}");
    let doctor = run(&["doctor"]);
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.contains("answers; 0 changed rows"), "{doctor}");
    assert!(doctor.contains("PostgreSQL's clock") && doctor.contains("it agrees"), "{doctor}");

    let mut client = client(&server, "typed").await;
    sqlx::query("UPDATE origin SET name = 'other'").execute(&mut client).await.unwrap();
    let foreign = run(&["doctor"]);
    let foreign = String::from_utf8_lossy(&foreign.stdout).into_owned();
    assert!(foreign.contains("the history of another data directory"), "{foreign}");

    std::fs::remove_dir_all(&data).unwrap();
    let incidents = run(&["incidents", "--json"]);
    let listed = String::from_utf8_lossy(&incidents.stdout).into_owned();
    assert!(listed.contains(&incident_id(1).to_string()), "{incidents:?}");
    let shown = run(&["config", "show"]);
    for output in [missing, held, moved, again, incidents, shown] {
        assert!(!format!("{output:?}").contains("s3cret"), "{output:?}");
    }
    assert!(!doctor.contains("s3cret"), "{doctor}");
}
