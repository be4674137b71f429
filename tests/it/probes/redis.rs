use selfheal::probes::Probes;
use selfheal_agents::model::{DatabaseEndpoint, Endpoint, Facts, RedisFacts, SecretText};
use selfheal_agents::ports::Prober;

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
    let client = redis::Client::open(("127.0.0.1", server.port)).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let block = vec![b'x'; 16 * 1024];
    let refused = loop {
        let pushed: redis::RedisResult<i64> =
            redis::cmd("RPUSH").arg("list").arg(&block).query_async(&mut connection).await;
        if let Err(error) = pushed {
            break error;
        }
    };
    assert_eq!(refused.code(), Some("OOM"), "{refused}");
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
