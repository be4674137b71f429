//! Asks Redis (and what speaks like it) whether it answers and would take a write.
//!
//! Invariant: it never writes a key, not even one of its own; that writes would be refused is
//! computed from what the server says of itself. What may be changed is in `change`.

pub(super) mod change;
mod clients;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo,
    RedisConnectionInfo, RedisError,
};
use selfheal_agents::model::{DatabaseEndpoint, RedisFacts, clean};

/// So close to its limit a server without eviction refuses the next client's buffers.
const LARGEST_MARGIN_BYTES: u64 = 64 * 1024;

/// What of the configuration decides about writes and clients.
const SETTINGS: [&str; 5] =
    ["maxmemory", "maxmemory-policy", "maxclients", "save", "stop-writes-on-bgsave-error"];

pub(super) async fn ask(endpoint: &DatabaseEndpoint, limit: Duration) -> RedisFacts {
    let mut facts = RedisFacts::default();
    let outcome = tokio::time::timeout(limit, fill(&mut facts, endpoint, limit)).await;
    // What was answered before the time ran out stays.
    if facts.reachable {
        return facts;
    }
    facts.error = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(word_of(&error, endpoint)),
        Err(_) => Some("timeout".to_owned()),
    };
    facts
}

async fn fill(
    facts: &mut RedisFacts,
    endpoint: &DatabaseEndpoint,
    limit: Duration,
) -> Result<(), RedisError> {
    let start = Instant::now();
    let pong = match connect(endpoint, limit).await {
        Ok(mut connection) => {
            let pong = redis::cmd("PING").query_async::<redis::Value>(&mut connection).await;
            pong.map(|_| Some(connection))
        }
        Err(error) => Err(error),
    };
    let connection = match pong {
        // Still loading, or a user who may do nothing else: it answered.
        Err(error) if matches!(error.code(), Some("LOADING" | "NOPERM" | "MISCONF")) => {
            facts.loading = error.code() == Some("LOADING");
            facts.writes_rejected = error.code() == Some("MISCONF");
            None
        }
        pong => pong?,
    };
    facts.reachable = true;
    facts.latency_ms = Some(super::elapsed_ms(start));
    match connection {
        Some(mut connection) => read_info(facts, &mut connection).await,
        None => Ok(()),
    }
}

async fn connect(
    endpoint: &DatabaseEndpoint,
    limit: Duration,
) -> Result<MultiplexedConnection, RedisError> {
    let (host, port) = (endpoint.host.clone(), endpoint.port);
    let address = if endpoint.tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    };
    let mut login = RedisConnectionInfo::default();
    if let Some(user) = &endpoint.user {
        login = login.set_username(user);
    }
    if let Some(password) = &endpoint.password {
        login = login.set_password(password.expose());
    }
    if let Some(number) = endpoint.database.as_ref().and_then(|name| name.parse().ok()) {
        login = login.set_db(number);
    }
    let info = address.into_connection_info()?.set_redis_settings(login);
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(limit))
        .set_response_timeout(Some(limit));
    Client::open(info)?.get_multiplexed_async_connection_with_config(&config).await
}

async fn read_info(
    facts: &mut RedisFacts,
    connection: &mut MultiplexedConnection,
) -> Result<(), RedisError> {
    let info: String = redis::cmd("INFO").query_async(connection).await?;
    let info = parse_info(&info);
    // Hosted servers and narrow users refuse CONFIG: then what INFO says has to do. Each
    // setting is asked for by its name, since a wider pattern would bring passwords too.
    let mut questions = redis::pipe();
    for name in SETTINGS {
        questions.cmd("CONFIG").arg("GET").arg(name);
    }
    let answers: Vec<BTreeMap<String, String>> =
        questions.query_async(connection).await.unwrap_or_default();
    judge(facts, &info, &answers.into_iter().flatten().collect());
    // Refused to narrow users, too: then nobody is known to be idle.
    let _ = clients::read(facts, connection).await;
    Ok(())
}

/// `key:value` lines; section headers begin with `#`.
fn parse_info(info: &str) -> BTreeMap<&str, &str> {
    info.lines().filter_map(|line| line.trim_end().split_once(':')).collect()
}

/// Of a line such as `db0:keys=5,expires=2,avg_ttl=0`: how many keys expire.
fn expiring(key: &str, of: &str) -> Option<u64> {
    key.strip_prefix("db")?.parse::<u32>().ok()?;
    of.split(',').find_map(|part| part.strip_prefix("expires="))?.parse().ok()
}

fn judge(facts: &mut RedisFacts, info: &BTreeMap<&str, &str>, config: &BTreeMap<String, String>) {
    let text = |key: &str| info.get(key).copied().or_else(|| config.get(key).map(String::as_str));
    let number = |key: &str| text(key).and_then(|value| value.parse::<u64>().ok());
    facts.used_memory_bytes = number("used_memory");
    facts.maxmemory_bytes = number("maxmemory").filter(|bytes| *bytes > 0);
    facts.maxmemory_policy = text("maxmemory_policy")
        .or_else(|| config.get("maxmemory-policy").map(String::as_str))
        .map(|policy| clean(policy, 40));
    facts.loading = info.get("loading") == Some(&"1");
    facts.clients = number("connected_clients").and_then(|count| u32::try_from(count).ok());
    facts.max_clients = number("maxclients").and_then(|count| u32::try_from(count).ok());
    facts.expiring_keys = Some(info.iter().filter_map(|(key, of)| expiring(key, of)).sum());
    // Buffers of replication do not count against the limit (`evict.c`).
    let counted = facts
        .used_memory_bytes
        .map(|used| used.saturating_sub(number("mem_not_counted_for_evict").unwrap_or(0)));
    let is_full = facts.evicts() == Some(false)
        && counted.zip(facts.maxmemory_bytes).is_some_and(|(counted, most)| {
            counted.saturating_add((most / 100).min(LARGEST_MARGIN_BYTES)) >= most
        });
    let is = |key: &str, value: &str| config.get(key).is_some_and(|set| set == value);
    // As the server decides: only if it saves at all, and stopping is not switched off.
    let has_stopped = text("rdb_last_bgsave_status") == Some("err")
        && is("stop-writes-on-bgsave-error", "yes")
        && !is("save", "");
    facts.writes_rejected = is_full || has_stopped;
}

fn word_of(error: &RedisError, endpoint: &DatabaseEndpoint) -> String {
    let is_login = error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"));
    if is_login {
        return "auth".to_owned();
    }
    if error.is_timeout() {
        return "timeout".to_owned();
    }
    if error.is_connection_refusal() {
        return "refused".to_owned();
    }
    if error.to_string().contains("failed to lookup address") {
        return "dns".to_owned();
    }
    super::reason(error, endpoint.password.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(info: &str, config: &[(&str, &str)]) -> RedisFacts {
        let mut facts = RedisFacts::default();
        let config =
            config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        judge(&mut facts, &parse_info(info), &config);
        facts
    }

    #[test]
    fn a_failed_save_stops_writes_only_where_the_server_saves_and_stops() {
        let info = "# Persistence\r\nloading:0\r\nrdb_last_bgsave_status:err\r\n";
        let stops = ("stop-writes-on-bgsave-error", "yes");
        assert!(judged(info, &[stops, ("save", "3600 1")]).writes_rejected);
        assert!(!judged(info, &[stops, ("save", "")]).writes_rejected);
        let goes_on = ("stop-writes-on-bgsave-error", "no");
        assert!(!judged(info, &[goes_on, ("save", "3600 1")]).writes_rejected);
        assert!(!judged(info, &[]).writes_rejected);
    }

    #[test]
    fn keys_that_expire_are_counted_over_all_databases() {
        let info = "db_size:7\r\ndb0:keys=5,expires=2,avg_ttl=0\r\ndb11:keys=3,expires=1\r\n";
        assert_eq!(judged(info, &[]).expiring_keys, Some(3));
    }

    #[test]
    fn a_full_server_rejects_writes_only_if_it_may_not_evict() {
        let full =
            |policy| format!("used_memory:1100\r\nmaxmemory:1000\r\nmaxmemory_policy:{policy}\r\n");
        assert!(judged(&full("noeviction"), &[]).writes_rejected);
        assert!(!judged(&full("allkeys-lru"), &[]).writes_rejected);
        assert!(judged(&full("volatile-lru"), &[]).writes_rejected, "no key expires");
        let some_expire = full("volatile-lru") + "db0:keys=5,expires=2\r\n";
        assert!(!judged(&some_expire, &[]).writes_rejected);
        let unlimited = "used_memory:1100\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n";
        assert!(!judged(unlimited, &[]).writes_rejected);
        assert_eq!(judged(unlimited, &[]).maxmemory_bytes, None);
    }
}
