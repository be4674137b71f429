use std::time::Duration;

use selfheal::probes::Probes;
use selfheal_agents::model::{
    Backend, ConfigState, DatabaseEndpoint, DatabaseFacts, Endpoint, Facts, SecretText,
    ServerSetting, Session, SettingNow,
};
use selfheal_agents::ports::{Prober, Servers, WorldError};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Executor};

use super::server::Server;
use super::{LIMIT, SHORT};

const PASSWORD: &str = "s3cret pass";

fn endpoint(port: u16, password: &str) -> Endpoint {
    Endpoint::Postgres(DatabaseEndpoint {
        host: "127.0.0.1".to_owned(),
        port,
        user: Some("postgres".to_owned()),
        password: Some(SecretText::new(password)),
        database: None,
        tls: false,
    })
}

async fn ask_with(endpoint: &Endpoint, limit: Duration) -> DatabaseFacts {
    match Probes::new().probe(endpoint, limit).await {
        Facts::Postgres(facts) => facts,
        other => panic!("facts of another kind: {other:?}"),
    }
}

async fn ask(server: &Server) -> DatabaseFacts {
    ask_with(&endpoint(server.port, PASSWORD), LIMIT).await
}

/// A client of the database, as an application would be.
async fn client(server: &Server, user: &str, name: &str) -> PgConnection {
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(server.port)
        .username(user)
        .password(PASSWORD)
        .database("postgres")
        .application_name(name);
    PgConnection::connect_with(&options).await.unwrap()
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
    }
}

#[tokio::test]
async fn a_healthy_postgres_tells_its_connections() {
    let Some(server) = Server::postgres(&["max_connections=17"]) else { return };
    let _client = client(&server, "postgres", "app").await;
    let facts = ask(&server).await;
    assert!(facts.reachable && facts.latency_ms.is_some(), "{facts:?}");
    assert_eq!((facts.error.as_deref(), facts.sqlstate.as_deref()), (None, None));
    // Three are reserved for superusers.
    assert_eq!((facts.connections, facts.max_connections), (Some(1), Some(14)));
    assert_eq!((facts.blocked, facts.in_recovery), (Some(0), false));
    assert!(facts.idle_in_transaction.is_empty() && facts.blockers.is_empty());
}

#[tokio::test]
async fn a_glance_tells_whether_it_answers_and_nothing_more() {
    let Some(server) = Server::postgres(&[]) else { return };
    let probes = Probes::new();
    let Facts::Postgres(facts) = probes.glance(&endpoint(server.port, PASSWORD), LIMIT).await
    else {
        panic!("facts of another kind");
    };
    let latency_ms = facts.latency_ms;
    assert!(latency_ms.is_some(), "{facts:?}");
    let only = DatabaseFacts { reachable: true, latency_ms, ..DatabaseFacts::default() };
    assert_eq!(facts, only);
}

#[tokio::test]
async fn a_standby_is_in_recovery_until_it_is_promoted() {
    let Some(server) = Server::postgres_standby() else { return };
    let facts = ask(&server).await;
    assert!(facts.reachable && facts.in_recovery, "{facts:?}");
    let mut session = client(&server, "postgres", "operator").await;
    session.execute("SELECT pg_promote()").await.unwrap();
    let facts = ask_until(&server, |facts| !facts.in_recovery).await;
    assert!(facts.reachable, "{facts:?}");
}

#[tokio::test]
async fn a_backup_is_told_while_its_program_is_connected() {
    let Some(server) = Server::postgres(&[]) else { return };
    let _other = client(&server, "postgres", "app").await;
    let dump = client(&server, "postgres", "pg_dump").await;
    assert_eq!(ask(&server).await.backups, ["pg_dump"]);
    dump.close().await.unwrap();
    ask_until(&server, |facts| facts.backups.is_empty()).await;
}

#[tokio::test]
async fn the_rights_that_the_settings_name_are_enough_to_see_and_end_who_is_in_the_way() {
    let Some(server) = Server::postgres(&[]) else { return };
    let mut operator = client(&server, "postgres", "operator").await;
    for made in [
        format!("CREATE ROLE watch LOGIN PASSWORD '{PASSWORD}'"),
        format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'"),
        "GRANT pg_monitor, pg_signal_backend TO watch".to_owned(),
    ] {
        operator.execute(sqlx::AssertSqlSafe(made)).await.unwrap();
    }
    let mut holder = client(&server, "app", "orders").await;
    holder.execute("BEGIN").await.unwrap();
    let Endpoint::Postgres(known) = endpoint(server.port, PASSWORD) else { unreachable!() };
    let watch = Endpoint::Postgres(DatabaseEndpoint {
        user: Some("watch".to_owned()),
        database: Some("postgres".to_owned()),
        ..known
    });
    let facts = ask_with(&watch, LIMIT).await;
    let [idle] = facts.idle_in_transaction.as_slice() else { panic!("{facts:?}") };
    assert_eq!((idle.user.as_str(), facts.blocked), ("app", Some(0)), "{facts:?}");
    let session = Session {
        pid: idle.pid,
        backend_start: idle.backend_start,
        address: idle.address.clone(),
        in_transaction: true,
        who: String::new(),
    };
    assert_eq!(Probes::new().terminate_backends(&watch, &[session]).await.unwrap(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_an_answer_and_is_not_shown() {
    let Some(server) = Server::postgres(&[]) else { return };
    let facts = ask_with(&endpoint(server.port, "hunter2-hunter2"), LIMIT).await;
    assert_eq!((facts.reachable, facts.error.as_deref()), (false, Some("auth")));
    assert_eq!(facts.sqlstate.as_deref(), Some("28P01"));
    assert!(!format!("{facts:?}").contains("hunter2"));
}

#[tokio::test]
async fn no_free_connection_is_told_by_its_code() {
    let Some(server) = Server::postgres(&[
        "max_connections=5",
        "superuser_reserved_connections=0",
        "max_wal_senders=0",
    ]) else {
        return;
    };
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(client(&server, "postgres", "app").await);
    }
    let facts = ask(&server).await;
    assert_eq!(facts.error.as_deref(), Some("too_many_connections"), "{facts:?}");
    assert_eq!(facts.sqlstate.as_deref(), Some("53300"));
}

#[tokio::test]
async fn a_postgres_that_hangs_times_out_and_one_that_is_gone_refuses() {
    let Some(server) = Server::postgres(&[]) else { return };
    let asked = endpoint(server.port, PASSWORD);
    server.signal("STOP");
    let facts = ask_with(&asked, SHORT).await;
    assert_eq!((facts.reachable, facts.error.as_deref()), (false, Some("timeout")));
    drop(server);
    let facts = ask_with(&asked, LIMIT).await;
    assert_eq!((facts.reachable, facts.error.as_deref()), (false, Some("refused")));
}

/// One session that holds a row and idles, one that waits for it, one that waits for both.
async fn pile_up(server: &Server) -> (PgConnection, Vec<tokio::task::JoinHandle<bool>>) {
    let mut holder = client(server, "postgres", "holder").await;
    holder.execute("CREATE TABLE jobs (id int)").await.unwrap();
    holder.execute("INSERT INTO jobs VALUES (1)").await.unwrap();
    holder.execute("BEGIN").await.unwrap();
    holder.execute("LOCK TABLE jobs IN ROW EXCLUSIVE MODE").await.unwrap();
    let mut waiting = Vec::new();
    for (number, name) in ["first", "second"].into_iter().enumerate() {
        let mut session = client(server, "postgres", name).await;
        waiting.push(tokio::spawn(async move {
            let lock = "BEGIN; LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE";
            session.execute(lock).await.is_ok()
        }));
        let wanted = u32::try_from(number + 1).unwrap();
        ask_until(server, |facts| facts.blocked == Some(wanted)).await;
    }
    (holder, waiting)
}

fn named<'f>(backends: &'f [Backend], application: &str) -> &'f Backend {
    backends.iter().find(|backend| backend.application == application).unwrap()
}

#[tokio::test]
async fn who_blocks_whom_is_told_and_ending_the_blocker_frees_the_others() {
    let Some(server) = Server::postgres(&[]) else { return };
    let (mut holder, waiting) = pile_up(&server).await;
    let facts = ask(&server).await;
    let blocker = facts.blockers.first().unwrap();
    assert_eq!((blocker.application.as_str(), blocker.blocks), ("holder", 2), "{facts:?}");
    assert_eq!(named(&facts.blockers, "first").blocks, 1, "{facts:?}");
    let idle = named(&facts.idle_in_transaction, "holder");
    assert_eq!((idle.state.as_str(), idle.user.as_str()), ("idle in transaction", "postgres"));
    assert!(idle.backend_start.is_some());

    let probes = Probes::new();
    let asked = endpoint(server.port, PASSWORD);
    let start = idle.backend_start.unwrap();
    let named = |backend_start| Session {
        pid: idle.pid,
        backend_start,
        address: String::new(),
        in_transaction: true,
        who: String::new(),
    };
    let harmless = [named(None), named(Some(start + chrono::Duration::microseconds(1)))];
    assert_eq!(probes.terminate_backends(&asked, &harmless).await.unwrap(), 0);
    holder.execute("SELECT 1").await.expect("another start time names another session");

    assert_eq!(probes.terminate_backends(&asked, &[named(Some(start))]).await.unwrap(), 1);
    for session in waiting {
        let got_the_lock = tokio::time::timeout(LIMIT, session).await.expect("still blocked");
        assert!(got_the_lock.unwrap());
    }
    let facts = ask_until(&server, |facts| facts.blocked == Some(0)).await;
    assert!(facts.blockers.is_empty(), "{facts:?}");
    assert_eq!(probes.terminate_backends(&asked, &[named(Some(start))]).await.unwrap(), 0);
}

const WAL: ServerSetting = ServerSetting::PostgresMaxWalSize;

fn value_of(facts: &DatabaseFacts, setting: ServerSetting) -> i64 {
    facts.settings.iter().find(|now| now.setting == setting).unwrap().value
}

#[tokio::test]
async fn a_setting_is_changed_while_the_server_runs_and_taken_back_as_it_was() {
    let Some(server) = Server::postgres(&[]) else { return };
    let (probes, asked) = (Probes::new(), endpoint(server.port, PASSWORD));
    let before = ask(&server).await;
    assert_eq!(value_of(&before, WAL), 1024, "{before:?}");
    let absent = SettingNow { value: None, in_force: true };
    assert_eq!(probes.setting(&asked, WAL).await.unwrap(), absent);

    probes.set_setting(&asked, WAL, Some("1536")).await.unwrap();
    let now = SettingNow { value: Some("1536".to_owned()), in_force: true };
    assert_eq!(probes.setting(&asked, WAL).await.unwrap(), now);
    assert_eq!(value_of(&ask(&server).await, WAL), 1536);

    // What a person wrote comes back as it was written.
    let mut operator = client(&server, "postgres", "operator").await;
    operator.execute("ALTER SYSTEM SET max_wal_size = '2GB'").await.unwrap();
    let written = probes.setting(&asked, WAL).await.unwrap();
    assert_eq!((written.value.as_deref(), written.in_force), (Some("2GB"), false));
    probes.set_setting(&asked, WAL, Some("3000")).await.unwrap();
    probes.set_setting(&asked, WAL, written.value.as_deref()).await.unwrap();
    assert_eq!(probes.setting(&asked, WAL).await.unwrap().value, written.value);
    assert_eq!(value_of(&ask(&server).await, WAL), 2048);

    probes.set_setting(&asked, WAL, None).await.unwrap();
    assert_eq!(probes.setting(&asked, WAL).await.unwrap(), absent);
    assert_eq!(value_of(&ask(&server).await, WAL), 1024);
}

#[tokio::test]
async fn a_setting_is_not_written_where_it_would_have_no_effect_or_the_server_recovers() {
    let Some(server) = Server::postgres(&["max_wal_size=2GB"]) else { return };
    let (probes, asked) = (Probes::new(), endpoint(server.port, PASSWORD));
    let refused = probes.set_setting(&asked, WAL, Some("3000")).await.unwrap_err();
    assert!(refused.to_string().contains("command line"), "{refused}");
    assert_eq!(probes.setting(&asked, WAL).await.unwrap().value, None, "nothing was written");
    let refused = probes.set_setting(&asked, WAL, Some("1' --")).await.unwrap_err();
    assert!(matches!(refused, WorldError::Refused { .. }), "{refused}");

    let Some(standby) = Server::postgres_standby() else { return };
    let asked = endpoint(standby.port, PASSWORD);
    for refused in
        [probes.set_setting(&asked, WAL, Some("3000")).await, probes.load_config(&asked).await]
    {
        assert!(refused.unwrap_err().to_string().contains("recovery"));
    }
}

#[tokio::test]
async fn what_was_chosen_for_a_role_or_a_database_is_told() {
    let Some(server) = Server::postgres(&[]) else { return };
    let idle = ServerSetting::PostgresIdleInTransactionTimeout;
    let overruled = |facts: &DatabaseFacts, setting| {
        let now = facts.settings.iter().find(|now| now.setting == setting).unwrap();
        now.overruled_for.clone()
    };
    let before = ask(&server).await;
    assert_eq!((overruled(&before, idle), overruled(&before, WAL)), (None, None));

    let mut operator = client(&server, "postgres", "operator").await;
    let mut run = async |sql: &'static str| operator.execute(sql).await.unwrap();
    run("CREATE ROLE \"night clerk\"").await;
    run("ALTER ROLE \"night clerk\" SET idle_in_transaction_session_timeout = '5min'").await;
    let facts = ask(&server).await;
    assert_eq!(overruled(&facts, idle).as_deref(), Some("role \"night clerk\""));
    assert_eq!(overruled(&facts, WAL), None, "that is another setting");

    run("ALTER ROLE \"night clerk\" RESET ALL").await;
    run("ALTER ROLE \"night clerk\" IN DATABASE postgres SET idle_in_transaction_session_timeout = 1").await;
    let facts = ask(&server).await;
    let whom = "role \"night clerk\" in database postgres";
    assert_eq!(overruled(&facts, idle).as_deref(), Some(whom));

    run("ALTER ROLE \"night clerk\" IN DATABASE postgres RESET ALL").await;
    run("ALTER DATABASE postgres SET Idle_In_Transaction_Session_Timeout = 0").await;
    assert_eq!(overruled(&ask(&server).await, idle).as_deref(), Some("database postgres"));

    run("ALTER DATABASE postgres RESET ALL").await;
    run("ALTER ROLE ALL SET idle_in_transaction_session_timeout = 0").await;
    assert_eq!(overruled(&ask(&server).await, idle).as_deref(), Some("all roles"));
}

#[tokio::test]
async fn rules_that_were_written_are_told_and_loaded() {
    let Some(server) = Server::postgres(&[]) else { return };
    let (probes, asked) = (Probes::new(), endpoint(server.port, PASSWORD));
    let rules = server.folder.path().join("data/pg_hba.conf");
    let written = |text: &str| {
        let all = std::fs::read_to_string(&rules).unwrap();
        std::fs::write(&rules, format!("{all}\n{text}\n")).unwrap();
        // The server looks at whole seconds.
        let later = std::time::SystemTime::now() + Duration::from_secs(5);
        std::fs::File::options().append(true).open(&rules).unwrap().set_modified(later).unwrap();
    };
    assert_eq!(ask(&server).await.config, Some(ConfigState::Loaded));
    let before = probes.config_loaded_at(&asked).await.unwrap();
    written("host all stranger 127.0.0.1/32 scram-sha-256");
    assert_eq!(ask(&server).await.config, Some(ConfigState::RulesWaiting));
    probes.load_config(&asked).await.unwrap();
    let loaded = probes.config_loaded_at(&asked).await.unwrap();
    assert!(loaded > before);

    written("host all nobody here nonsense");
    assert_eq!(ask(&server).await.config, Some(ConfigState::Faulty));
    let refused = probes.load_config(&asked).await.unwrap_err();
    assert!(matches!(refused, WorldError::Refused { .. }), "{refused}");
    assert_eq!(probes.config_loaded_at(&asked).await.unwrap(), loaded);
}

#[tokio::test]
async fn who_is_no_superuser_sees_no_files_and_leaves_no_error_in_the_log() {
    let Some(server) = Server::postgres(&["logging_collector=on", "log_directory=log"]) else {
        return;
    };
    let mut operator = client(&server, "postgres", "operator").await;
    let made = format!("CREATE ROLE clerk LOGIN PASSWORD '{PASSWORD}'");
    operator.execute(sqlx::AssertSqlSafe(made)).await.unwrap();
    let Endpoint::Postgres(superuser) = endpoint(server.port, PASSWORD) else { return };
    let clerk = DatabaseEndpoint {
        user: Some("clerk".to_owned()),
        database: Some("postgres".to_owned()),
        ..superuser
    };
    let facts = ask_with(&Endpoint::Postgres(clerk), LIMIT).await;
    assert_eq!((facts.reachable, facts.config), (true, None), "{facts:?}");
    assert_eq!(value_of(&facts, WAL), 1024);
    let log = std::fs::read_dir(server.folder.path().join("data/log")).unwrap();
    let said: String =
        log.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    assert!(!said.contains("ERROR"), "{said}");
}
