//! Where Redis is, and how to get there: a server, whichever the Sentinels name, or the one of a
//! cluster that has the streams.
//!
//! All streams lie on one server, also in a cluster: messages of several go there together, in their
//! order. So a cluster needs no client of its own, but somebody who asks its nodes which of them it is.
//! A password is neither shown nor logged.

use std::fmt;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, TlsMode,
};

/// How long it may take to get there.
const CONNECT: Duration = Duration::from_secs(5);
/// What stands between scheme and nodes of a cluster.
const CLUSTER: &str = "+cluster://";
/// So often one node of a cluster may name another.
const MOST_TURNS: usize = 5;

/// Where Redis is.
#[derive(Clone)]
pub struct Address {
    /// The server, or the first Sentinel or node of a cluster.
    first: ConnectionInfo,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Server,
    Sentinels(Sentinels),
    Cluster(Cluster),
}

#[derive(Clone)]
struct Cluster {
    /// What lies on the server that is looked for.
    key: String,
    /// All nodes that are named but the first.
    others: Vec<ConnectionAddr>,
}

#[derive(Clone)]
struct Sentinels {
    /// The name under which they know the server.
    master: String,
    /// All but the first.
    others: Vec<ConnectionAddr>,
    /// User, empty for the one of no name, and password of their own.
    login: Option<(String, String)>,
}

impl Address {
    /// Whether it is that of a cluster, by its scheme.
    pub fn is_cluster(url: &str) -> bool {
        url.contains(CLUSTER)
    }

    /// Of a server: `redis://`, `rediss://` (TLS) or `redis+unix://`, with user, password and
    /// number of the database.
    ///
    /// # Errors
    ///
    /// What is wrong with it, without the address.
    pub fn server(url: &str) -> Result<Self, String> {
        let first = url.into_connection_info().map_err(|error| plain(&error))?;
        Ok(Self { first, kind: Kind::Server })
    }

    /// Of the server that Sentinels know as `master`: `url` and `others` lead to Sentinels; user,
    /// password, database and TLS of `url` are the server's own. `login` is what the Sentinels ask
    /// for, if anything: a user, which may be empty, and a password.
    ///
    /// # Errors
    ///
    /// What is wrong with one of them, without the address.
    pub fn sentinels(
        url: &str,
        master: &str,
        others: &[&str],
        login: Option<(&str, &str)>,
    ) -> Result<Self, String> {
        let first = Self::server(url)?.first;
        let others = others
            .iter()
            .map(|url| Ok(Self::server(url)?.first.addr().clone()))
            .collect::<Result<Vec<_>, String>>()?;
        if matches!(first.addr(), ConnectionAddr::Unix(_)) {
            return Err("a Sentinel is reached by host and port".to_owned());
        }
        let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
        let kind = Kind::Sentinels(Sentinels { master: master.to_owned(), others, login });
        Ok(Self { first, kind })
    }

    /// Of the server that has `key` in a cluster: `redis+cluster://` or `rediss+cluster://` (TLS), with
    /// user and password and any number of nodes, such as `redis+cluster://app:secret@one:7000,two:7000`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, without the address.
    pub fn cluster(url: &str, key: &str) -> Result<Self, String> {
        if !has_hash_tag(key) {
            let what = "in a cluster all streams must lie on one server: put what they have in \
                        common in braces, as in streams.prefix = \"{maestro:streams:automation}\"";
            return Err(what.to_owned());
        }
        let form = || "write a cluster as redis+cluster://user:password@host:port,host:port";
        let (scheme, rest) = url.split_once(CLUSTER).ok_or_else(form)?;
        let (login, hosts) = match rest.rsplit_once('@') {
            Some((login, hosts)) => (format!("{login}@"), hosts),
            None => (String::new(), rest),
        };
        let node = |host: &str| Self::server(&format!("{scheme}://{login}{host}"));
        let nodes = hosts.trim_end_matches('/').split(',').map(|host| Ok(node(host)?.first));
        let mut nodes = nodes.collect::<Result<Vec<_>, String>>()?.into_iter();
        let first = nodes.next().ok_or_else(form)?;
        let others: Vec<_> = nodes.map(|node| node.addr().clone()).collect();
        let is_unix = |addr: &ConnectionAddr| matches!(addr, ConnectionAddr::Unix(_));
        if first.redis_settings().db() != 0 || is_unix(first.addr()) || others.iter().any(is_unix) {
            return Err(form().to_owned());
        }
        Ok(Self { first, kind: Kind::Cluster(Cluster { key: key.to_owned(), others }) })
    }

    /// Connects; `answers` is how long an answer may take.
    pub(super) async fn connect(
        &self,
        answers: Duration,
    ) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(answers));
        // Sentinels and clusters are asked each time: after a failover they name another.
        match &self.kind {
            Kind::Server => self.open(self.first.addr(), &config).await,
            Kind::Sentinels(sentinels) => {
                let mut client = self.builder(sentinels)?.build()?;
                client.get_async_connection_with_config(&config).await
            }
            Kind::Cluster(cluster) => self.open_in(cluster, &config).await,
        }
    }

    async fn open(
        &self,
        at: &ConnectionAddr,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, RedisError> {
        let client = Client::open(self.first.clone().set_addr(at.clone()))?;
        client.get_multiplexed_async_connection_with_config(config).await
    }

    /// Asks one node after the other, until one leads to where the streams are.
    async fn open_in(
        &self,
        cluster: &Cluster,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, RedisError> {
        let mut found = self.follow(self.first.addr(), cluster, config).await;
        for node in &cluster.others {
            if found.is_err() {
                found = self.follow(node, cluster, config).await;
            }
        }
        found
    }

    async fn follow(
        &self,
        node: &ConnectionAddr,
        cluster: &Cluster,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, RedisError> {
        let mut at = node.clone();
        for _ in 0..MOST_TURNS {
            let mut connection = self.open(&at, config).await?;
            let asked = redis::cmd("XLEN").arg(&cluster.key).query_async(&mut connection).await;
            let Err(error) = asked.map(|_: u64| ()) else { return Ok(connection) };
            let Some(next) = error.redirect_node().and_then(|(node, _)| beside(&at, node)) else {
                return Err(error);
            };
            at = next;
        }
        let why = "the nodes of the cluster send from one to the other";
        Err((ErrorKind::ClusterConnectionNotFound, why).into())
    }

    /// Whether it answers and lets this program in.
    ///
    /// # Errors
    ///
    /// Why not, without a password.
    pub async fn ping(&self) -> Result<(), String> {
        let asked = async {
            let mut connection = self.connect(CONNECT).await?;
            redis::cmd("PING").query_async::<()>(&mut connection).await
        };
        match tokio::time::timeout(2 * CONNECT, asked).await {
            Ok(answer) => answer.map_err(|error| plain(&error)),
            Err(_) => Err(format!("no answer within {} s", 2 * CONNECT.as_secs())),
        }
    }

    fn builder(&self, sentinels: &Sentinels) -> Result<SentinelClientBuilder, RedisError> {
        let all = std::iter::once(self.first.addr()).chain(&sentinels.others).cloned();
        let login: &RedisConnectionInfo = self.first.redis_settings();
        let mut builder =
            SentinelClientBuilder::new(all, &sentinels.master, SentinelServerType::Master)?
                .set_client_to_redis_db(login.db());
        if let Some(user) = login.username() {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = login.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some((user, password)) = &sentinels.login {
            builder = builder.set_client_to_sentinel_password(password);
            if !user.is_empty() {
                builder = builder.set_client_to_sentinel_username(user);
            }
        }
        if matches!(self.first.addr(), ConnectionAddr::TcpTls { .. }) {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_tls_mode(TlsMode::Secure);
        }
        Ok(builder)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Server => self.first.addr().fmt(f),
            Kind::Sentinels(by) => write!(f, "{} by Sentinel {}", by.master, self.first.addr()),
            Kind::Cluster(_) => write!(f, "the cluster of {}", self.first.addr()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Whether everything whose name begins so lies on one server of a cluster: it counts what is in the
/// first braces, where there is anything.
fn has_hash_tag(key: &str) -> bool {
    let inside = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    inside.is_some_and(|(inside, _)| !inside.is_empty())
}

/// Where a node is that another names; without a host it is on the same one.
fn beside(here: &ConnectionAddr, named: &str) -> Option<ConnectionAddr> {
    let (host, port) = named.rsplit_once(':')?;
    let host = |own: &String| if host.is_empty() { own.clone() } else { host.to_owned() };
    let port = port.parse().ok()?;
    match here {
        ConnectionAddr::Tcp(own, _) => Some(ConnectionAddr::Tcp(host(own), port)),
        ConnectionAddr::TcpTls { host: own, insecure, tls_params, .. } => {
            let (insecure, tls_params) = (*insecure, tls_params.clone());
            Some(ConnectionAddr::TcpTls { host: host(own), port, insecure, tls_params })
        }
        _ => None,
    }
}

/// An error of Redis in words.
pub(super) fn plain(error: &RedisError) -> String {
    selfheal_agents::model::clean(&error.to_string(), 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let server = Address::server("rediss://app:c4n4ry@cache:6380/2").unwrap();
        assert_eq!(format!("{server} {server:?}"), "cache:6380 cache:6380");
        let sentinels = Address::sentinels(
            "redis://:c4n4ry@one",
            "shop",
            &["redis://two"],
            Some(("", "c4n4ry")),
        );
        let sentinels = sentinels.unwrap();
        let expected = "shop by Sentinel one:6379";
        assert_eq!(format!("{sentinels} {sentinels:?}"), format!("{expected} {expected}"));
    }

    #[test]
    fn a_cluster_is_asked_at_any_of_its_nodes_for_streams_that_lie_together() {
        let key = "{shop}:streams:jobs";
        let url = "rediss+cluster://app:c4n,4ry@one:7000,two:7001/";
        let cluster = Address::cluster(url, key).unwrap();
        assert_eq!(cluster.to_string(), "the cluster of one:7000");
        let Kind::Cluster(Cluster { others, .. }) = &cluster.kind else { panic!("{cluster}") };
        assert_eq!(others[0].to_string(), "two:7001");
        let next = |named| beside(&others[0], named).map(|at| at.to_string());
        assert_eq!(next(":7002").as_deref(), Some("two:7002"));
        assert_eq!(next("10.0.0.9:7000").as_deref(), Some("10.0.0.9:7000"));
        for (url, key) in [
            (url, "shop:streams:jobs"),
            (url, "{}shop:streams:jobs"),
            ("redis+cluster://app:c4n4ry@one:7000/3", key),
            ("redis+cluster://app:c4n4ry@one:7000,,", key),
            ("http+cluster://app:c4n4ry@one:7000", key),
        ] {
            let why = Address::cluster(url, key).map(|_| ()).unwrap_err();
            assert!(!why.contains("c4n4ry"), "{why}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        for text in ["http://app:c4n4ry@cache", "redis://app:c4n4ry@cache/seven", "nonsense"] {
            let why = Address::server(text).unwrap_err();
            assert!(!why.contains("c4n4ry"), "{why}");
        }
        assert!(Address::sentinels("redis://one", "shop", &["nonsense"], None).is_err());
        assert!(Address::sentinels("redis+unix:///run/redis.sock", "shop", &[], None).is_err());
    }
}
