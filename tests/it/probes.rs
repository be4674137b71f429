//! The probes against real servers: PostgreSQL, Redis, HTTP and TCP on loopback.
//!
//! Each test starts what it asks and stops it again. Where a server's program is missing
//! the test says so loudly; in continuous integration that is a failure.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be built is a failed test")]

mod http;
mod mysql;
mod postgres;
mod redis;
mod refused;
pub(crate) mod server;

use std::time::Duration;

use selfheal::probes::Probes;
use selfheal_agents::model::{Endpoint, Facts, TcpFacts};
use selfheal_agents::ports::Prober;
use tokio::net::TcpListener;

/// Far more than loopback needs, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);
/// Enough to see that a peer hangs.
const SHORT: Duration = Duration::from_millis(300);

async fn tcp(host: &str, port: u16) -> TcpFacts {
    let endpoint = Endpoint::Tcp { host: host.to_owned(), port };
    match Probes::new().probe(&endpoint, LIMIT).await {
        Facts::Tcp(facts) => facts,
        other => panic!("facts of another kind: {other:?}"),
    }
}

#[tokio::test]
async fn a_tcp_endpoint_accepts_refuses_or_has_no_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepted = tcp("127.0.0.1", port).await;
    assert!(accepted.reachable && accepted.latency_ms.is_some(), "{accepted:?}");
    drop(listener);
    assert_eq!(tcp("127.0.0.1", port).await.error.as_deref(), Some("refused"));
    assert_eq!(tcp("no-such-host.invalid", port).await.error.as_deref(), Some("dns"));
}
