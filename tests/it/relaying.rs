//! Passes HTTP requests on to a Docker engine, one a connection, and asks before each whether it may.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};

/// The longest request head accepted.
const HEAD_LIMIT: usize = 64 * 1024;

/// What becomes of a request.
pub(crate) enum Verdict {
    /// It is passed on, with this for its target.
    Pass(String),
    /// It is answered with status 403, and the engine never hears of it.
    Refuse,
}

/// Relays until the process ends. The judge is given method and target.
pub(crate) fn serve(
    listener: UnixListener,
    engine: PathBuf,
    judge: impl Fn(&str, &str) -> Verdict + Send + Sync + 'static,
) {
    let (judge, engine) = (Arc::new(judge), Arc::new(engine));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (judge, engine) = (Arc::clone(&judge), Arc::clone(&engine));
            // A connection that breaks off is the client's business.
            std::thread::spawn(move || drop(relay(client, &engine, judge.as_ref())));
        }
    });
}

/// One connection, one request: the answer ends the connection.
fn relay(
    mut client: UnixStream,
    engine: &Path,
    judge: &dyn Fn(&str, &str) -> Verdict,
) -> Result<()> {
    let (head, body) = read_head(&mut client)?;
    let mut lines = head.split("\r\n");
    let request = lines.next().context("an empty request")?;
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let Verdict::Pass(target) = judge(method, target) else {
        let refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return Ok(client.write_all(refusal.as_bytes())?);
    };
    let mut passed = format!("{method} {target} HTTP/1.1\r\n");
    for line in lines.filter(|l| !l.to_ascii_lowercase().starts_with("connection:")) {
        passed.push_str(line);
        passed.push_str("\r\n");
    }
    passed.push_str("Connection: close\r\n\r\n");
    let mut engine = UnixStream::connect(engine)?;
    engine.write_all(passed.as_bytes())?;
    engine.write_all(&body)?;
    let (mut to, mut from) = (engine.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || {
        let copied = std::io::copy(&mut from, &mut to);
        // The client went away: a followed log or event stream must end, too.
        drop((copied, to.shutdown(Shutdown::Both)));
    });
    std::io::copy(&mut engine, &mut client)?;
    Ok(client.shutdown(Shutdown::Both)?)
}

/// The head of a request without its last empty line, and what came after it.
fn read_head(client: &mut UnixStream) -> Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = client.read(&mut buffer)?;
        anyhow::ensure!(read > 0 && bytes.len() < HEAD_LIMIT, "no complete request");
        bytes.extend_from_slice(&buffer[..read]);
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes[..end]).into_owned(), body));
        }
    }
}
