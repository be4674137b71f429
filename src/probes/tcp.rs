//! Whether a TCP endpoint accepts.

use std::time::{Duration, Instant};

use selfheal_agents::model::TcpFacts;
use tokio::net::TcpStream;

pub(super) async fn ask(host: &str, port: u16, limit: Duration) -> TcpFacts {
    let start = Instant::now();
    let error = match tokio::time::timeout(limit, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => {
            let latency_ms = Some(super::elapsed_ms(start));
            return TcpFacts { reachable: true, error: None, latency_ms };
        }
        Ok(Err(error)) => {
            super::word_of(&error).map_or_else(|| super::reason(&error, None), str::to_owned)
        }
        Err(_) => "timeout".to_owned(),
    };
    TcpFacts { reachable: false, error: Some(error), latency_ms: None }
}
