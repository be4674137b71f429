use std::time::Duration;

use selfheal::probes::Probes;
use selfheal_agents::model::{
    Backend, DatabaseEndpoint, DatabaseFacts, Endpoint, Facts, SecretText, Session,
};
use selfheal_agents::ports::Prober;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{Connection, Executor};

use super::server::Server;
use super::{LIMIT, SHORT};

const PASSWORD: &str = "s3cret pass";

fn endpoint(port: u16, user: &str, password: &str) -> Endpoint {
    Endpoint::Mysql(DatabaseEndpoint {
        host: "127.0.0.1".to_owned(),
        port,
        user: Some(user.to_owned()),
        password: Some(SecretText::new(password)),
        database: None,
        tls: false,
    })
}

async fn ask_with(endpoint: &Endpoint, limit: Duration) -> DatabaseFacts {
    match Probes::new().probe(endpoint, limit).await {
        Facts::Mysql(facts) => facts,
        other => panic!("facts of another kind: {other:?}"),
    }
}

async fn ask(server: &Server) -> DatabaseFacts {
    ask_with(&endpoint(server.port, "root", PASSWORD), LIMIT).await
}

/// A client of the database, as an application would be.
async fn client(server: &Server, user: &str) -> Result<MySqlConnection, sqlx::Error> {
    let options = MySqlConnectOptions::new()
        .host("127.0.0.1")
        .port(server.port)
        .username(user)
        .password(PASSWORD)
        .database("shop");
    MySqlConnection::connect_with(&options).await
}

#[tokio::test]
async fn a_glance_tells_whether_it_answers_and_nothing_more() {
    let Some(server) = Server::mariadb(&[]) else { return };
    let probes = Probes::new();
    let Facts::Mysql(facts) = probes.glance(&endpoint(server.port, "root", PASSWORD), LIMIT).await
    else {
        panic!("facts of another kind");
    };
    let latency_ms = facts.latency_ms;
    assert!(latency_ms.is_some(), "{facts:?}");
    let only = DatabaseFacts { reachable: true, latency_ms, ..DatabaseFacts::default() };
    assert_eq!(facts, only);
}

/// Asks until the answer is as wanted.
async fn ask_until(server: &Server, wanted: impl Fn(&DatabaseFacts) -> bool) -> DatabaseFacts {
    let deadline = std::time::Instant::now() + LIMIT;
    loop {
        let facts = ask(server).await;
        if wanted(&facts) {
            return facts;
        }
        assert!(std::time::Instant::now() < deadline, "never so: {facts:?}");
        // MariaDB looks at its transactions anew only when nobody asked for a tenth of a second.
        tokio::time::sleep(SHORT).await;
    }
}

async fn end(server: &Server, user: &str, backends: &[Backend]) -> u32 {
    let session = |backend: &Backend| Session {
        pid: backend.pid,
        backend_start: None,
        address: backend.address.clone(),
        in_transaction: backend.state == "idle in transaction",
        who: String::new(),
    };
    let sessions: Vec<Session> = backends.iter().map(session).collect();
    let asked = endpoint(server.port, user, PASSWORD);
    Probes::new().terminate_backends(&asked, &sessions).await.unwrap()
}

async fn make_jobs(session: &mut MySqlConnection) {
    session.execute("CREATE TABLE jobs (id int PRIMARY KEY) ENGINE = InnoDB").await.unwrap();
    session.execute("INSERT INTO jobs VALUES (1)").await.unwrap();
}

#[tokio::test]
async fn a_healthy_mysql_tells_its_connections_and_who_does_nothing() {
    let Some(server) = Server::mariadb(&["--max-connections=10"]) else { return };
    let mut first = client(&server, "app").await.unwrap();
    let facts = ask(&server).await;
    assert!(facts.reachable && facts.latency_ms.is_some(), "{facts:?}");
    assert_eq!((facts.connections, facts.max_connections), (Some(1), Some(10)));
    assert_eq!((facts.blocked, facts.error.as_deref()), (Some(0), None));
    assert!(facts.idle.is_empty(), "asked for only where few are left: {facts:?}");

    make_jobs(&mut first).await;
    first.execute("START TRANSACTION").await.unwrap();
    first.execute("SELECT * FROM jobs").await.unwrap();
    let mut held = Vec::new();
    for _ in 0..7 {
        held.push(client(&server, "app").await.unwrap());
    }
    let facts = ask_until(&server, |facts| !facts.idle_in_transaction.is_empty()).await;
    assert_eq!((facts.connections, facts.idle.len()), (Some(8), 7), "{facts:?}");
    let idle = &facts.idle_in_transaction;
    assert_eq!((idle.len(), idle[0].user.as_str()), (1, "app"), "{facts:?}");
    assert!(!idle[0].address.is_empty() && idle[0].pid > 0, "{facts:?}");
}

#[tokio::test]
async fn a_mysql_that_somebody_started_to_get_data_out_of_it_is_in_recovery_and_a_replica_is_not() {
    for (setting, recovers) in [("--innodb-force-recovery=1", true), ("--read-only=1", false)] {
        let Some(server) = Server::mariadb(&[setting]) else { return };
        let facts = ask(&server).await;
        assert!(facts.reachable && facts.connections.is_some(), "{setting}: {facts:?}");
        assert_eq!(facts.in_recovery, recovers, "{setting}: {facts:?}");
    }
}

#[tokio::test]
async fn with_all_taken_the_administrator_gets_in_and_gives_a_place_back() {
    let Some(server) = Server::mariadb(&["--max-connections=10"]) else { return };
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(client(&server, "app").await.unwrap());
    }
    // Who is no administrator is told by the server's number, which is an answer.
    let refused = ask_with(&endpoint(server.port, "app", PASSWORD), LIMIT).await;
    assert_eq!(refused.error.as_deref(), Some("too_many_connections"), "{refused:?}");
    let facts = ask(&server).await;
    assert_eq!((facts.reachable, facts.connections), (true, Some(10)), "{facts:?}");
    assert_eq!(facts.idle.len(), 10, "{facts:?}");

    // Another address names another session.
    let stranger = Backend { address: "10.0.0.9:1".to_owned(), ..facts.idle[0].clone() };
    assert_eq!(end(&server, "root", &[stranger]).await, 0);
    assert_eq!(end(&server, "root", &facts.idle[..2]).await, 2);
    let _gets_in = client(&server, "app").await.unwrap();
    assert_eq!(end(&server, "root", &facts.idle[..2]).await, 0, "they are gone");
}

#[tokio::test]
async fn who_blocks_whom_is_told_and_only_a_sleeping_blocker_is_ended() {
    let Some(server) = Server::mariadb(&["--innodb-lock-wait-timeout=600"]) else { return };
    let mut holder = client(&server, "app").await.unwrap();
    make_jobs(&mut holder).await;
    holder.execute("START TRANSACTION").await.unwrap();
    holder.execute("UPDATE jobs SET id = 1").await.unwrap();
    let mut waiting = Vec::new();
    for number in 1..=2 {
        let mut session = client(&server, "app").await.unwrap();
        waiting.push(tokio::spawn(async move {
            session.execute("UPDATE jobs SET id = 1").await.is_ok()
        }));
        ask_until(&server, |facts| facts.blocked == Some(number)).await;
    }
    let facts = ask(&server).await;
    let (head, others) = facts.blockers.split_first().unwrap();
    assert_eq!((head.state.as_str(), head.blocks), ("idle in transaction", 2), "{facts:?}");
    // The second may wait for the first one, which works: it stays.
    assert_eq!(end(&server, "root", others).await, 0);

    assert_eq!(end(&server, "root", &facts.blockers[..1]).await, 1);
    for session in waiting {
        let got_the_lock = tokio::time::timeout(LIMIT, session).await.expect("still blocked");
        assert!(got_the_lock.unwrap());
    }
    let facts = ask_until(&server, |facts| facts.blocked == Some(0)).await;
    assert!(facts.blockers.is_empty(), "{facts:?}");
}

#[tokio::test]
async fn who_has_ended_his_transaction_since_he_was_chosen_is_left_alone() {
    let Some(server) = Server::mariadb(&[]) else { return };
    let mut holder = client(&server, "app").await.unwrap();
    make_jobs(&mut holder).await;
    holder.execute("START TRANSACTION").await.unwrap();
    holder.execute("UPDATE jobs SET id = 1").await.unwrap();
    let facts = ask_until(&server, |facts| !facts.idle_in_transaction.is_empty()).await;
    holder.execute("COMMIT").await.unwrap();
    assert_eq!(end(&server, "root", &facts.idle_in_transaction).await, 0);
    holder.execute("SELECT 1").await.expect("it is in nobody's way");
    // One that was chosen since it only sleeps needs none.
    let idle = Backend { state: Backend::IDLE.to_owned(), ..facts.idle_in_transaction[0].clone() };
    assert_eq!(end(&server, "root", &[idle]).await, 1);
}

#[tokio::test]
async fn who_was_ended_is_gone_with_all_it_did_when_that_is_told() {
    let Some(server) = Server::mariadb(&[]) else { return };
    let mut holder = client(&server, "app").await.unwrap();
    make_jobs(&mut holder).await;
    holder.execute("START TRANSACTION").await.unwrap();
    // So much takes a while to take back.
    holder.execute("INSERT INTO jobs SELECT seq FROM seq_2_to_300000").await.unwrap();
    let facts = ask_until(&server, |facts| !facts.idle_in_transaction.is_empty()).await;
    assert_eq!(end(&server, "root", &facts.idle_in_transaction).await, 1);

    let mut root = client(&server, "root").await.unwrap();
    let pid = facts.idle_in_transaction[0].pid;
    let there = "SELECT count(*) FROM information_schema.processlist WHERE id = ?";
    let (there,): (i64,) = sqlx::query_as(there).bind(pid).fetch_one(&mut root).await.unwrap();
    assert_eq!(there, 0);
}

#[tokio::test]
async fn who_was_killed_before_and_still_takes_back_what_it_did_is_waited_for() {
    let Some(server) = Server::mariadb(&[]) else { return };
    let mut holder = client(&server, "app").await.unwrap();
    make_jobs(&mut holder).await;
    holder.execute("START TRANSACTION").await.unwrap();
    holder.execute("INSERT INTO jobs SELECT seq FROM seq_2_to_300000").await.unwrap();
    let facts = ask_until(&server, |facts| !facts.idle_in_transaction.is_empty()).await;
    let idle = &facts.idle_in_transaction;
    let mut root = client(&server, "root").await.unwrap();
    let kill = format!("KILL CONNECTION {}", idle[0].pid);
    root.execute(sqlx::AssertSqlSafe(kill)).await.unwrap();
    let there = "SELECT count(*) FROM information_schema.processlist WHERE id = ?";
    let is_there = || sqlx::query_as::<_, (i64,)>(there).bind(idle[0].pid);
    // Else there is nothing to wait for.
    assert_eq!(is_there().fetch_one(&mut root).await.unwrap(), (1,));

    assert_eq!(end(&server, "root", idle).await, 0);
    assert_eq!(is_there().fetch_one(&mut root).await.unwrap(), (0,));
}

#[tokio::test]
async fn the_rights_that_the_settings_name_are_enough_to_see_and_end_who_is_in_the_way() {
    let Some(server) = Server::mariadb(&[]) else { return };
    let mut root = client(&server, "root").await.unwrap();
    let user = format!("CREATE USER watch@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'");
    root.execute(sqlx::AssertSqlSafe(user)).await.unwrap();
    let rights = "GRANT PROCESS, CONNECTION ADMIN ON *.* TO watch@'127.0.0.1'";
    root.execute(rights).await.unwrap();
    let mut holder = client(&server, "app").await.unwrap();
    make_jobs(&mut holder).await;
    holder.execute("START TRANSACTION").await.unwrap();
    holder.execute("UPDATE jobs SET id = 1").await.unwrap();
    let seen = ask_until(&server, |facts| !facts.idle_in_transaction.is_empty()).await;
    let facts = ask_with(&endpoint(server.port, "watch", PASSWORD), LIMIT).await;
    assert_eq!(facts.blocked, Some(0), "{facts:?}");
    let holds = |facts: &DatabaseFacts| {
        facts.idle_in_transaction.iter().any(|idle| idle.pid == seen.idle_in_transaction[0].pid)
    };
    assert!(holds(&facts), "{facts:?}");
    assert_eq!(end(&server, "watch", &facts.idle_in_transaction).await, 1);
}

#[tokio::test]
async fn who_may_see_only_himself_learns_that_it_answers() {
    let Some(server) = Server::mariadb(&[]) else { return };
    let himself = endpoint(server.port, "app", PASSWORD);
    let deadline = std::time::Instant::now() + LIMIT;
    loop {
        let facts = ask_with(&himself, LIMIT).await;
        assert!(facts.reachable && facts.error.is_none() && facts.blocked.is_none(), "{facts:?}");
        // The connection of whoever asked before him may not be gone yet.
        if facts.connections == Some(0) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{facts:?}");
        tokio::time::sleep(SHORT).await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_an_answer_and_is_not_shown() {
    let Some(server) = Server::mariadb(&[]) else { return };
    let facts = ask_with(&endpoint(server.port, "root", "hunter2-hunter2"), LIMIT).await;
    assert_eq!((facts.reachable, facts.error.as_deref()), (false, Some("auth")));
    assert!(!format!("{facts:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_mysql_that_hangs_times_out_and_one_that_is_gone_refuses() {
    let Some(server) = Server::mariadb(&[]) else { return };
    let asked = endpoint(server.port, "root", PASSWORD);
    server.signal("STOP");
    let facts = ask_with(&asked, SHORT).await;
    assert_eq!((facts.reachable, facts.error.as_deref()), (false, Some("timeout")));
    drop(server);
    let facts = ask_with(&asked, LIMIT).await;
    assert_eq!((facts.reachable, facts.error.as_deref()), (false, Some("refused")));
}
