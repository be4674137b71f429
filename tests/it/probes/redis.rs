use selfheal::probes::Probes;
use selfheal_agents::model::{
    DatabaseEndpoint, Endpoint, Facts, RedisClient, RedisFacts, SecretText, ServerSetting,
};
use selfheal_agents::ports::{Prober, Servers, WorldError};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::server::Server;
use super::{LIMIT, SHORT};

fn endpoint(port: u16, password: Option<&str>) -> DatabaseEndpoint {
    DatabaseEndpoint {
        host: "127.0.0.1".to_owned(),
        port,
        user: None,
        password: password.map(SecretText::new),
        database: None,
        tls: false,
    }
}

async fn ask(endpoint: DatabaseEndpoint, limit: std::time::Duration) -> RedisFacts {
    match Probes::new().probe(&Endpoint::Redis(endpoint), limit).await {
        Facts::Redis(facts) => facts,
        other => panic!("facts of another kind: {other:?}"),
    }
}

#[tokio::test]
async fn a_redis_with_room_takes_writes() {
    let Some(server) = Server::redis(&["--maxclients", "50"]) else { return };
    let facts = ask(endpoint(server.port, None), LIMIT).await;
    assert!(facts.reachable && facts.error.is_none(), "{facts:?}");
    assert!(facts.latency_ms.is_some() && facts.used_memory_bytes.is_some(), "{facts:?}");
    assert_eq!((facts.maxmemory_bytes, facts.writes_rejected), (None, false));
    assert_eq!((facts.clients, facts.max_clients), (Some(1), Some(50)));
}

#[tokio::test]
async fn a_redis_full_to_its_limit_without_eviction_rejects_writes() {
    let Some(server) =
        Server::redis(&["--maxmemory", "3mb", "--maxmemory-policy", "noeviction", "--save", ""])
    else {
        return;
    };
    fill(server.port).await;
    let facts = ask(endpoint(server.port, None), LIMIT).await;
    assert!(facts.reachable && facts.writes_rejected, "{facts:?}");
    assert_eq!(facts.maxmemory_bytes, Some(3 * 1024 * 1024));
    assert_eq!(facts.maxmemory_policy.as_deref(), Some("noeviction"));
}

#[tokio::test]
async fn a_redis_with_a_password_wants_the_right_one_and_it_is_not_shown() {
    let Some(server) = Server::redis(&["--requirepass", "open-sesame"]) else { return };
    for wrong in [None, Some("hunter2-hunter2")] {
        let facts = ask(endpoint(server.port, wrong), LIMIT).await;
        assert_eq!((facts.reachable, facts.error.as_deref()), (false, Some("auth")), "{wrong:?}");
    }
    let facts = ask(endpoint(server.port, Some("open-sesame")), LIMIT).await;
    assert!(facts.reachable, "{facts:?}");
}

#[tokio::test]
async fn a_redis_that_refuses_config_still_tells_its_memory() {
    let Some(server) = Server::redis(&[
        "--maxmemory",
        "100mb",
        "--user",
        "default",
        "on",
        "nopass",
        "~*",
        "+@all",
        "-config",
    ]) else {
        return;
    };
    let facts = ask(endpoint(server.port, None), LIMIT).await;
    assert!(facts.reachable, "{facts:?}");
    assert_eq!(facts.maxmemory_bytes, Some(100 * 1024 * 1024), "{facts:?}");
}

#[tokio::test]
async fn a_redis_that_hangs_times_out_and_one_that_is_gone_refuses() {
    let Some(server) = Server::redis(&[]) else { return };
    let port = server.port;
    server.signal("STOP");
    assert_eq!(ask(endpoint(port, None), SHORT).await.error.as_deref(), Some("timeout"));
    drop(server);
    assert_eq!(ask(endpoint(port, None), LIMIT).await.error.as_deref(), Some("refused"));
}

#[tokio::test]
async fn a_redis_whose_save_failed_rejects_writes() {
    let Some(server) = Server::redis(&["--save", "3600 1"]) else { return };
    let client = redis::Client::open(("127.0.0.1", server.port)).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    assert!(!ask(endpoint(server.port, None), LIMIT).await.writes_rejected);
    // A folder that is gone takes no dump.
    std::fs::remove_dir_all(server.folder.path()).unwrap();
    let _: redis::Value = redis::cmd("BGSAVE").query_async(&mut connection).await.unwrap();
    let deadline = std::time::Instant::now() + LIMIT;
    while !ask(endpoint(server.port, None), LIMIT).await.writes_rejected {
        assert!(std::time::Instant::now() < deadline, "the failed save is never told");
    }
    let refused: redis::RedisResult<redis::Value> =
        redis::cmd("SET").arg("key").arg("value").query_async(&mut connection).await;
    assert_eq!(refused.unwrap_err().code(), Some("MISCONF"));
}

#[tokio::test]
async fn a_redis_that_still_loads_its_data_is_reachable_and_loading() {
    // This answers as one does that takes no other command meanwhile.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (peer, _) = listener.accept().await.unwrap();
        let (reader, mut writer) = peer.into_split();
        let mut lines = BufReader::new(reader).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            // Each command is announced by the number of its words.
            if line.starts_with('*') {
                let answer = b"-LOADING Redis is loading the dataset in memory\r\n";
                writer.write_all(answer).await.unwrap();
            }
        }
    });
    let facts = ask(endpoint(port, None), LIMIT).await;
    assert!(facts.reachable && facts.loading, "{facts:?}");
}

#[tokio::test]
async fn a_real_redis_is_loading_until_its_data_is_loaded() {
    let slowly = ["--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024"];
    let settings = ["--enable-debug-command", "yes", "--rdbcompression", "no", "--save", ""];
    let Some(server) = Server::redis(&[&slowly[..], &settings].concat()) else { return };
    let client = redis::Client::open(("127.0.0.1", server.port)).unwrap();
    let forever = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let mut connection =
        client.get_multiplexed_async_connection_with_config(&forever).await.unwrap();
    let mut debug = redis::cmd("DEBUG");
    let made: redis::RedisResult<redis::Value> =
        debug.arg("POPULATE").arg(8000).query_async(&mut connection).await;
    made.unwrap();
    assert!(!ask(endpoint(server.port, None), LIMIT).await.loading);
    let reload = tokio::spawn(async move {
        redis::cmd("DEBUG").arg("RELOAD").query_async::<redis::Value>(&mut connection).await
    });
    let deadline = std::time::Instant::now() + LIMIT;
    loop {
        let facts = ask(endpoint(server.port, None), LIMIT).await;
        assert!(facts.reachable, "{facts:?}");
        if facts.loading {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "that it loads is never told");
    }
    reload.await.unwrap().unwrap();
    assert!(!ask(endpoint(server.port, None), LIMIT).await.loading);
}

/// Writes until the server refuses for want of memory.
async fn fill(port: u16) {
    let client = redis::Client::open(("127.0.0.1", port)).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let refused = loop {
        if let Err(error) = push(&mut connection).await {
            break error;
        }
    };
    assert_eq!(refused.code(), Some("OOM"), "{refused}");
}

async fn push(connection: &mut redis::aio::MultiplexedConnection) -> redis::RedisResult<i64> {
    let block = vec![b'x'; 16 * 1024];
    redis::cmd("RPUSH").arg("list").arg(&block).query_async(connection).await
}

#[tokio::test]
async fn a_full_redis_takes_writes_once_it_has_more_room_and_gets_its_limit_back() {
    let Some(server) = Server::redis(&["--maxmemory", "3mb", "--save", ""]) else { return };
    fill(server.port).await;
    let (probes, endpoint) = (Probes::new(), Endpoint::Redis(endpoint(server.port, None)));
    let memory = ServerSetting::RedisMaxmemory;
    let before = probes.setting(&endpoint, memory).await.unwrap();
    assert_eq!(before.value.as_deref(), Some("3145728"));
    probes.set_setting(&endpoint, memory, Some("4194304")).await.unwrap();
    let client = redis::Client::open(("127.0.0.1", server.port)).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let length = push(&mut connection).await.unwrap();
    probes.set_setting(&endpoint, memory, before.value.as_deref()).await.unwrap();
    assert_eq!(probes.setting(&endpoint, memory).await.unwrap(), before);
    let kept: i64 = redis::cmd("LLEN").arg("list").query_async(&mut connection).await.unwrap();
    assert_eq!(kept, length, "nothing was dropped");
}

#[tokio::test]
async fn the_eviction_policy_is_changed_and_put_back_and_nonsense_is_refused() {
    let Some(server) = Server::redis(&["--maxmemory", "3mb", "--save", ""]) else { return };
    let (probes, endpoint) = (Probes::new(), Endpoint::Redis(endpoint(server.port, None)));
    let policy = ServerSetting::RedisMaxmemoryPolicy;
    for value in ["volatile-ttl", "noeviction"] {
        probes.set_setting(&endpoint, policy, Some(value)).await.unwrap();
        assert_eq!(probes.setting(&endpoint, policy).await.unwrap().value.as_deref(), Some(value));
    }
    let refused = probes.set_setting(&endpoint, policy, Some("whatever")).await;
    assert!(matches!(refused, Err(WorldError::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn only_the_idle_clients_that_were_named_are_ended() {
    let Some(server) = Server::redis(&["--maxclients", "4"]) else { return };
    let client = redis::Client::open(("127.0.0.1", server.port)).unwrap();
    let mut idle = client.get_multiplexed_async_connection().await.unwrap();
    let mut kept = client.get_multiplexed_async_connection().await.unwrap();
    let _listener = client.get_async_pubsub().await.unwrap().subscribe("news").await;
    let id: u64 = redis::cmd("CLIENT").arg("ID").query_async(&mut idle).await.unwrap();
    let seen = ask(endpoint(server.port, None), LIMIT).await;
    let named: Vec<RedisClient> =
        seen.idle_clients.iter().filter(|c| c.id == id).cloned().collect();
    assert_eq!(named.len(), 1, "{seen:?}");
    let (probes, endpoint) = (Probes::new(), Endpoint::Redis(endpoint(server.port, None)));
    let elsewhere = RedisClient { address: "127.0.0.1:1".to_owned(), ..named[0].clone() };
    assert_eq!(probes.kill_clients(&endpoint, &[elsewhere]).await.unwrap(), 0);
    assert_eq!(probes.kill_clients(&endpoint, &named).await.unwrap(), 1);
    assert_eq!(probes.kill_clients(&endpoint, &named).await.unwrap(), 0, "gone is no error");
    let pong = redis::cmd("PING").query_async::<redis::Value>(&mut kept).await;
    assert!(pong.is_ok(), "{pong:?}");
    let gone = redis::cmd("PING").query_async::<redis::Value>(&mut idle).await;
    assert!(gone.is_err(), "{gone:?}");
}
