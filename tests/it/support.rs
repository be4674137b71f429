//! What integration tests share: asking over HTTP as a stranger would, and waiting for a condition.
//!
//! Nothing here knows Selfheal: it sees only what any other program could see.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a request may take before it counts as unanswered.
const REQUEST_LIMIT: Duration = Duration::from_secs(3);

/// A loopback port that nothing listened on a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    Ok(listener.local_addr()?.port())
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Asks a loopback server once, without reuse of connections or redirects.
pub(crate) fn ask(method: &str, port: u16, path: &str, body: &str) -> Result<Answer> {
    ask_within(REQUEST_LIMIT, method, port, path, body)
}

/// The same with a time limit of its own.
pub(crate) fn ask_within(
    limit: Duration,
    method: &str,
    port: u16,
    path: &str,
    body: &str,
) -> Result<Answer> {
    let deadline = Instant::now() + limit;
    let mut peer = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    peer.write_all(head.as_bytes())?;
    peer.write_all(body.as_bytes())?;
    let text = read_to_end(&mut peer, deadline)?;
    let (head, body) = text.split_once("\r\n\r\n").context("the answer has no end of its head")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok(Answer { status: status.context("the answer has no status")?, body: body.to_owned() })
}

fn read_to_end(peer: &mut TcpStream, deadline: Instant) -> Result<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("no complete answer in time");
        }
        peer.set_read_timeout(Some(left))?;
        match peer.read(&mut buffer)? {
            0 => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            n => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}

/// Looks again and again until `look` succeeds, or fails with its last error after `limit`.
pub(crate) fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match look() {
            Ok(seen) => return Ok(seen),
            Err(error) if Instant::now() >= deadline => {
                return Err(error.context(format!("not within {limit:?}: {what}")));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Looks again and again for `span` and fails as soon as `look` does.
pub(crate) fn throughout(
    what: &str,
    span: Duration,
    mut look: impl FnMut() -> Result<()>,
) -> Result<()> {
    let deadline = Instant::now() + span;
    while Instant::now() < deadline {
        look().with_context(|| format!("not all the time: {what}"))?;
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
