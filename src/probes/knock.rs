//! Whether a server that refused our login still answers, without another try of that login.
//!
//! Invariant: nothing of the login is said, and no connection ends in a way that a server counts
//! against us or takes for a failed handshake of its clients.

use std::io;
use std::time::Duration;

use selfheal_agents::model::{DatabaseEndpoint, DatabaseFacts, Endpoint, RedisFacts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Extent, certificate, mysql, redis};

/// Asks PostgreSQL whether it would encrypt; one byte says so (its manual, "Message Formats").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// An account that nobody has.
const NOBODY: &str = "selfheal-knocks";

/// Asks for the server's first word; silence until `limit` and whatever else is wrong are `false`.
pub(super) async fn is_answered(endpoint: &Endpoint, limit: Duration) -> bool {
    match endpoint {
        Endpoint::Postgres(endpoint) => {
            matches!(tokio::time::timeout(limit, postgres(endpoint)).await, Ok(Ok(())))
        }
        Endpoint::Mysql(endpoint) => mysql(endpoint, limit).await,
        Endpoint::Redis(endpoint) => redis(endpoint, limit).await,
        // They have no login to refuse.
        Endpoint::Http(_) | Endpoint::Tcp { .. } => false,
    }
}

async fn postgres(endpoint: &DatabaseEndpoint) -> io::Result<()> {
    let mut stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
    stream.write_all(&SSL_REQUEST).await?;
    match stream.read_u8().await? {
        b'S' => certificate::shake_hands(&endpoint.host, stream).await,
        b'N' => {}
        // It says an error in words of its own.
        _ => return Err(io::ErrorKind::InvalidData.into()),
    }
    Ok(())
}

/// MySQL greets, but who goes away after the greeting is counted, and after a hundred such times it
/// locks out our whole host (`max_connect_errors`). A login that is refused to its end is not.
async fn mysql(endpoint: &DatabaseEndpoint, limit: Duration) -> bool {
    let nobody = DatabaseEndpoint { user: Some(NOBODY.to_owned()), ..without_login(endpoint) };
    let DatabaseFacts { reachable, error, .. } = mysql::ask(&nobody, limit, Extent::Answer).await;
    reachable || error.as_deref() == Some("auth")
}

async fn redis(endpoint: &DatabaseEndpoint, limit: Duration) -> bool {
    let RedisFacts { reachable, error, .. } = redis::ask(&without_login(endpoint), limit).await;
    reachable || error.as_deref() == Some("auth")
}

fn without_login(endpoint: &DatabaseEndpoint) -> DatabaseEndpoint {
    DatabaseEndpoint { user: None, password: None, database: None, ..endpoint.clone() }
}
