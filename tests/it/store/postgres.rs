//! What only a server can show: whose it is, that it may be away, and what others read there.

use std::path::Path;
use std::sync::Arc;

use selfheal::store::{self, OpenError, PostgresUrl, SqlStore};
use selfheal_agents::ports::{Incidents, Journal, Memory, Outcomes, Store, StoreError};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

use super::samples::*;
use crate::probes::server::Server;

/// Of the server's only user; written so that it must be escaped in an address.
const PASSWORD: &str = "s3cret%20pass";

/// A server of its own, where its programs are installed.
pub(crate) fn server() -> Option<Server> {
    Server::postgres(&[])
}

pub(crate) fn address_text(server: &Server, name: &str) -> String {
    address_at(server.port, name)
}

/// The same by another port.
pub(crate) fn address_at(port: u16, name: &str) -> String {
    format!("postgres://postgres:{PASSWORD}@127.0.0.1:{port}/{name}")
}

pub(crate) async fn client(server: &Server, name: &str) -> PgConnection {
    PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(server.port)
        .username("postgres")
        .password("s3cret pass")
        .database(name)
        .connect()
        .await
        .unwrap()
}

/// An empty database whose name begins like `name`.
pub(crate) async fn database(server: &Server, name: &str) -> PostgresUrl {
    let name = &name[..name.len().min(60)];
    let mut client = client(server, "postgres").await;
    // Other rules for texts than byte by byte: nothing may hang on them.
    let made = format!("CREATE DATABASE {name} TEMPLATE template0 LOCALE 'C.UTF-8'");
    sqlx::query(AssertSqlSafe(made)).execute(&mut client).await.unwrap();
    client.close().await.unwrap();
    PostgresUrl::parse(&address_text(server, name)).unwrap()
}

pub(super) async fn open_on(url: &PostgresUrl, dir: &Path) -> SqlStore {
    store::open_postgres(url, dir, Arc::new(Noon)).await.expect("the store opens")
}

#[tokio::test]
async fn it_is_there_again_for_the_next_start_and_for_readers_who_may_not_write() {
    let Some(server) = server() else { return };
    let url = database(&server, "again").await;
    let dir = tempfile::tempdir().unwrap();
    let missing = store::open_postgres_read_only(&url, dir.path()).await.map(drop);
    assert!(matches!(missing, Err(OpenError::NothingThere { .. })), "{missing:?}");
    let first = open_on(&url, dir.path()).await;
    first.save_incident(&incident(1, &web(), 0)).await.unwrap();
    let second = store::open_postgres(&url, dir.path(), Arc::new(Noon)).await.map(drop);
    assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
    first.close().await;
    open_on(&url, dir.path()).await.close().await;

    let reader = store::open_postgres_read_only(&url, dir.path()).await.unwrap();
    assert_eq!(reader.open_incidents().await.unwrap(), [incident(1, &web(), 0)]);
    for refused in
        [reader.save_incident(&incident(2, &web(), 0)).await, reader.check_writable().await]
    {
        assert!(matches!(&refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn starts_at_once_make_one_schema() {
    let Some(server) = server() else { return };
    let url = database(&server, "at_once").await;
    let starts = (0..4).map(|_| async {
        let dir = tempfile::tempdir().unwrap();
        open_on(&url, dir.path()).await.set_value("x", None).await.unwrap();
    });
    futures_util::future::join_all(starts).await;
}

#[tokio::test]
async fn a_database_that_a_newer_selfheal_wrote_is_refused_and_left_alone() {
    let Some(server) = server() else { return };
    let url = database(&server, "newer").await;
    let dir = tempfile::tempdir().unwrap();
    open_on(&url, dir.path()).await.close().await;
    let mut client = client(&server, "newer").await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99, 'later', true, '', 0)",
    )
    .execute(&mut client)
    .await
    .unwrap();
    let writing = store::open_postgres(&url, dir.path(), Arc::new(Noon)).await.map(drop);
    assert!(matches!(writing, Err(OpenError::ServerNewer { found: 99, .. })), "{writing:?}");
    let reading = store::open_postgres_read_only(&url, dir.path()).await.map(drop);
    assert!(matches!(reading, Err(OpenError::ServerNewer { found: 99, .. })), "{reading:?}");
}

#[tokio::test]
async fn no_error_has_the_password_in_it() {
    let Some(mut server) = server() else { return };
    let dir = tempfile::tempdir().unwrap();
    let url = database(&server, "away").await;
    let store = open_on(&url, dir.path()).await;
    server.stop_postgres();
    let wrong = format!("postgres://postgres:wr0ng@127.0.0.1:{}/away", server.port);
    let wrong = PostgresUrl::parse(&wrong).unwrap();
    let away = store::open_postgres_read_only(&wrong, dir.path()).await.map(drop).unwrap_err();
    let lost = store.set_value("x", None).await.unwrap_err();
    server.start_postgres_again();
    let refused = store::open_postgres_read_only(&wrong, dir.path()).await.map(drop).unwrap_err();
    for text in [format!("{away} {away:?}"), format!("{lost}"), format!("{refused} {refused:?}")] {
        assert!(text.contains("postgres@127.0.0.1"), "{text}");
        assert!(!text.contains("wr0ng") && !text.contains("s3cret"), "{text}");
    }
    assert!(refused.to_string().contains("password authentication failed"), "{refused}");
    store.set_value("x", None).await.unwrap();
}

#[tokio::test]
async fn a_journal_record_on_a_server_cannot_be_rewritten_and_a_changed_row_is_not_believed() {
    let Some(server) = server() else { return };
    let url = database(&server, "changed").await;
    let dir = tempfile::tempdir().unwrap();
    let store = open_on(&url, dir.path()).await;
    store.append(at(0), incident_id(1), fix_id(1), &planned(1)).await.unwrap();
    store.save_incident(&incident(1, &web(), 0)).await.unwrap();
    let mut client = client(&server, "changed").await;
    let rewritten = sqlx::query("UPDATE journal SET final = 1").execute(&mut client).await;
    assert!(rewritten.unwrap_err().to_string().contains("never changed"));
    sqlx::query("UPDATE incident SET severity = 'info'").execute(&mut client).await.unwrap();
    let changed = store.incident(incident_id(1)).await;
    assert!(matches!(changed, Err(StoreError::Corrupt(_))), "{changed:?}");
}

/// `repair_id`, `orchestrator_id`, `error_type`, `status`, `confidence_score`, `execution_time`.
type Repair = (String, String, String, String, f64, Option<f64>);

const REPAIRS: &str = "SELECT repair_id, orchestrator_id, error_type, status, confidence_score,
    execution_time FROM repair_history ORDER BY created_at DESC";

fn repairs() -> Vec<Repair> {
    let of = |n: u128, status: &str, secs: Option<f64>| {
        let id = fix_id(n).to_string();
        (id, "selfheal".to_owned(), "rate-limit".to_owned(), status.to_owned(), 0.92, secs)
    };
    vec![of(2, "failed", None), of(1, "success", Some(1.1 * 1.1))]
}

async fn record_two(store: &SqlStore) {
    store.record_outcome(&outcome(1, 10, true)).await.unwrap();
    let mut failed = outcome(2, 20, false);
    failed.time_to_repair_secs = None;
    store.record_outcome(&failed).await.unwrap();
}

#[tokio::test]
async fn whoever_reads_repair_history_on_a_server_finds_a_row_for_each_fix() {
    let Some(server) = server() else { return };
    let url = database(&server, "history").await;
    let dir = tempfile::tempdir().unwrap();
    record_two(&open_on(&url, dir.path()).await).await;
    let mut client = client(&server, "history").await;
    let rows: Vec<Repair> = sqlx::query_as(REPAIRS).fetch_all(&mut client).await.unwrap();
    assert_eq!(rows, repairs());
    let newest = "SELECT extract(epoch FROM MAX(created_at))::bigint FROM repair_history";
    let newest: i64 = sqlx::query_scalar(newest).fetch_one(&mut client).await.unwrap();
    assert_eq!(newest, at(20).timestamp());
}

#[tokio::test]
async fn whoever_reads_repair_history_in_the_file_finds_a_row_for_each_fix() {
    let dir = tempfile::tempdir().unwrap();
    record_two(&open(dir.path()).await).await;
    let file = format!("sqlite://{}", dir.path().join(store::DATABASE_FILE).display());
    let pool = sqlx::SqlitePool::connect(&file).await.unwrap();
    let rows: Vec<Repair> = sqlx::query_as(REPAIRS).fetch_all(&pool).await.unwrap();
    assert_eq!(rows, repairs());
    let newest = sqlx::query("SELECT MAX(created_at) FROM repair_history").fetch_one(&pool).await;
    assert_eq!(newest.unwrap().get::<String, _>(0), "2025-10-19T17:00:20.000000Z");
}
