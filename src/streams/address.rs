//! Where Redis is, and how to get there: a server, or whichever the Sentinels name.
//!
//! A password is neither shown nor logged.

use std::fmt;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, TlsMode,
};

/// How long it may take to get there.
const CONNECT: Duration = Duration::from_secs(5);

/// Where Redis is.
#[derive(Clone)]
pub struct Address {
    /// The server, or the first Sentinel.
    first: ConnectionInfo,
    sentinels: Option<Sentinels>,
}

#[derive(Clone)]
struct Sentinels {
    /// The name under which they know the server.
    master: String,
    /// All but the first.
    others: Vec<ConnectionAddr>,
}

impl Address {
    /// Of a server: `redis://`, `rediss://` (TLS) or `redis+unix://`, with user, password and
    /// number of the database.
    ///
    /// # Errors
    ///
    /// What is wrong with it, without the address.
    pub fn server(url: &str) -> Result<Self, String> {
        let first = url.into_connection_info().map_err(|error| plain(&error))?;
        Ok(Self { first, sentinels: None })
    }

    /// Of the server that Sentinels know as `master`: `url` and `others` lead to Sentinels; user,
    /// password, database and TLS of `url` are the server's own.
    ///
    /// # Errors
    ///
    /// What is wrong with one of them, without the address.
    pub fn sentinels(url: &str, master: &str, others: &[&str]) -> Result<Self, String> {
        let first = Self::server(url)?.first;
        let others = others
            .iter()
            .map(|url| Ok(Self::server(url)?.first.addr().clone()))
            .collect::<Result<Vec<_>, String>>()?;
        if matches!(first.addr(), ConnectionAddr::Unix(_)) {
            return Err("a Sentinel is reached by host and port".to_owned());
        }
        Ok(Self { first, sentinels: Some(Sentinels { master: master.to_owned(), others }) })
    }

    /// Connects; `answers` is how long an answer may take.
    pub(super) async fn connect(
        &self,
        answers: Duration,
    ) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(answers));
        let Some(sentinels) = &self.sentinels else {
            let client = Client::open(self.first.clone())?;
            return client.get_multiplexed_async_connection_with_config(&config).await;
        };
        // Asked each time: after a failover they name another.
        let mut client = self.builder(sentinels)?.build()?;
        client.get_async_connection_with_config(&config).await
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
        match &self.sentinels {
            Some(sentinels) => write!(f, "{} by Sentinel {}", sentinels.master, self.first.addr()),
            None => self.first.addr().fmt(f),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
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
        let sentinels =
            Address::sentinels("redis://:c4n4ry@one:26379", "shop", &["redis://two:26379"]);
        let shown = sentinels.unwrap().to_string();
        assert_eq!(shown, "shop by Sentinel one:26379");
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        for text in ["http://app:c4n4ry@cache", "redis://app:c4n4ry@cache/seven", "nonsense"] {
            let why = Address::server(text).unwrap_err();
            assert!(!why.contains("c4n4ry"), "{why}");
        }
        assert!(Address::sentinels("redis://one", "shop", &["nonsense"]).is_err());
        assert!(Address::sentinels("redis+unix:///run/redis.sock", "shop", &[]).is_err());
    }
}
