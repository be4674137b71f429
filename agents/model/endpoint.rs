//! How data services and endpoints are reached, and the secrets that takes.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// How a data service or an endpoint is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Endpoint {
    /// PostgreSQL.
    Postgres(DatabaseEndpoint),
    /// MySQL or MariaDB.
    Mysql(DatabaseEndpoint),
    /// Redis.
    Redis(DatabaseEndpoint),
    /// HTTP.
    Http(HttpEndpoint),
    /// TCP: `host:port`.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
}

/// Address and credentials of a data service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseEndpoint {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User, where one is needed.
    pub user: Option<String>,
    /// Password; never shown, never stored.
    #[serde(skip)]
    pub password: Option<SecretText>,
    /// Database name (PostgreSQL, MySQL) or number (Redis).
    pub database: Option<String>,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// What is asked of an HTTP target and what answer is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpEndpoint {
    /// Address with scheme, path and query.
    pub url: String,
    /// Status codes that are right; empty means 200 to 399.
    pub expected_status: Vec<u16>,
    /// A text the body must hold.
    pub body_contains: Option<String>,
    /// Additional request headers.
    pub headers: BTreeMap<String, String>,
}

/// A text that must not reach a log, a page or the store.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    /// The secret itself; only for handing it to the server it belongs to.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How a secret is written where nobody but Selfheal reads: its store and its backups. Whatever
/// else is written leaves secrets out.
pub(crate) mod on_disk {
    /// One text.
    pub(crate) mod text {
        use serde::{Deserialize, Deserializer, Serializer};

        use crate::model::SecretText;

        pub(crate) fn serialize<S: Serializer>(
            text: &SecretText,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(text.expose())
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<SecretText, D::Error> {
            String::deserialize(deserializer).map(SecretText::new)
        }
    }

    /// Texts by name.
    pub(crate) mod texts {
        use std::collections::BTreeMap;

        use serde::{Deserialize, Deserializer, Serializer};

        use crate::model::SecretText;

        type Texts = BTreeMap<String, SecretText>;

        pub(crate) fn serialize<S: Serializer>(
            texts: &Texts,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            serializer.collect_map(texts.iter().map(|(name, text)| (name, text.expose())))
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Texts, D::Error> {
            let plain = BTreeMap::<String, String>::deserialize(deserializer)?;
            Ok(plain.into_iter().map(|(name, text)| (name, SecretText::new(text))).collect())
        }
    }
}
