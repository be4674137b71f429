//! A login that was refused hides neither an outage nor its own repair.

use std::time::Duration;

use selfheal::probes::Probes;
use selfheal_agents::model::{DatabaseEndpoint, Endpoint, Facts, SecretText};
use selfheal_agents::ports::Prober;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Executor};

use super::server::Server;
use super::{LIMIT, SHORT};

/// What the servers are made with, and what our settings say.
const BEFORE: &str = "s3cret pass";
const OURS: &str = "another pass";

fn database(server: &Server, user: Option<&str>) -> DatabaseEndpoint {
    DatabaseEndpoint {
        host: "127.0.0.1".to_owned(),
        port: server.port,
        user: user.map(str::to_owned),
        password: Some(SecretText::new(OURS)),
        database: None,
        tls: false,
    }
}

/// Why it cannot be reached.
fn error(facts: &Facts) -> Option<&str> {
    match facts {
        Facts::Redis(facts) => facts.error.as_deref(),
        other => other.database().unwrap().error.as_deref(),
    }
}

/// Both ways to ask say this within the limit.
async fn says(probes: &Probes, endpoint: &Endpoint, limit: Duration, wanted: Option<&str>) {
    for _ in 0..2 {
        assert_eq!(error(&probes.probe(endpoint, limit).await), wanted);
        assert_eq!(error(&probes.glance(endpoint, limit).await), wanted);
    }
}

/// A server that refuses us hangs, works again, and gets our password.
async fn lives_through(server: Server, endpoint: &Endpoint, repair: impl AsyncFnOnce()) {
    let probes = Probes::new();
    says(&probes, endpoint, LIMIT, Some("auth")).await;
    server.signal("STOP");
    says(&probes, endpoint, SHORT, Some("timeout")).await;
    server.signal("CONT");
    says(&probes, endpoint, LIMIT, Some("auth")).await;

    repair().await;
    // Longer than any pause between two tries.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    says(&probes, endpoint, LIMIT, None).await;
}

#[tokio::test]
async fn a_postgres_that_refuses_us_is_still_seen_to_hang_and_to_be_mended() {
    let Some(server) = Server::postgres(&[]) else { return };
    let endpoint = Endpoint::Postgres(database(&server, Some("postgres")));
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(server.port)
        .username("postgres")
        .password(BEFORE);
    lives_through(server, &endpoint, async || {
        let mut session = PgConnection::connect_with(&options).await.unwrap();
        let mended = format!("ALTER ROLE postgres PASSWORD '{OURS}'");
        session.execute(sqlx::AssertSqlSafe(mended)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_mysql_that_refuses_us_is_still_seen_to_hang_and_to_be_mended() {
    let Some(server) = Server::mariadb(&[]) else { return };
    let endpoint = Endpoint::Mysql(database(&server, Some("root")));
    let options = MySqlConnectOptions::new()
        .host("127.0.0.1")
        .port(server.port)
        .username("root")
        .password(BEFORE);
    lives_through(server, &endpoint, async || {
        let mut session = MySqlConnection::connect_with(&options).await.unwrap();
        let mended = format!("SET PASSWORD = PASSWORD('{OURS}')");
        session.execute(sqlx::AssertSqlSafe(mended)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_refuses_us_is_still_seen_to_hang_and_to_be_mended() {
    let Some(server) = Server::redis(&["--requirepass", BEFORE]) else { return };
    let endpoint = Endpoint::Redis(database(&server, None));
    let port = server.port;
    lives_through(server, &endpoint, async || {
        let client = redis::Client::open(("127.0.0.1", port)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut mended = redis::pipe();
        mended.cmd("AUTH").arg(BEFORE).cmd("CONFIG").arg("SET").arg("requirepass").arg(OURS);
        mended.query_async::<()>(&mut connection).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn who_refuses_us_and_stops_is_down() {
    let Some(server) = Server::redis(&["--requirepass", BEFORE]) else { return };
    let (probes, endpoint) = (Probes::new(), Endpoint::Redis(database(&server, None)));
    says(&probes, &endpoint, LIMIT, Some("auth")).await;
    drop(server);
    says(&probes, &endpoint, LIMIT, Some("refused")).await;
}
