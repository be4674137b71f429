//! What goes on until Ctrl-C: `incidents --follow` and `status --watch`, beside a real daemon.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, ChildStdout, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::access::Site;
use crate::support::{free_port, until};

const LIMIT: Duration = Duration::from_secs(30);

/// A command that goes on, and the lines that it writes.
struct Going {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

impl Drop for Going {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn lines(of: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        BufReader::new(of).lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
    });
    told
}

impl Going {
    fn start(site: &Site, arguments: &[&str]) -> Result<Self> {
        Self::start_with(site, arguments, None)
    }

    fn start_with(site: &Site, arguments: &[&str], token: Option<&str>) -> Result<Self> {
        let mut command = site.command(arguments, token);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let out: ChildStdout = child.stdout.take().context("no output")?;
        let err: ChildStderr = child.stderr.take().context("no errors")?;
        Ok(Self { child, out: lines(out), err: lines(err) })
    }

    /// The next line with that in it.
    fn line(&self, wanted: &str) -> Result<String> {
        loop {
            let line = self.out.recv_timeout(LIMIT).with_context(|| format!("no `{wanted}`"))?;
            if line.contains(wanted) {
                return Ok(line);
            }
        }
    }
}

#[test]
fn a_dismissal_with_its_reason_is_followed_watched_shown_and_written_down() -> Result<()> {
    let closed = free_port()?;
    let target = format!(
        "listen = \"127.0.0.1:PORT\"\n[[target]]\nkind = \"http\"\nname = \"shop\"\n\
         url = \"http://127.0.0.1:{closed}/\"\n\
         # On a busy machine nothing but an exit would be believed.\n\
         [thresholds]\npressure_cpu_percent = 100\npressure_load_per_core = 1000\n"
    );
    let site = Site::new(&target)?;
    let daemon = site.run()?;
    let of_the_shop = || -> Result<Value> {
        let (_, out, err) = site.said(&["incidents", "--target", "http:shop", "--json"], None)?;
        let list: Value = serde_json::from_str(&out).context(err)?;
        let incident = list["incidents"][0].clone();
        ensure!(incident["state"] == "held", "{incident}");
        Ok(incident)
    };
    let incident = until("the shop waits for a person", LIMIT, of_the_shop)?;
    let id = incident["id"].as_str().context("no id")?;

    let following = Going::start(&site, &["incidents", "--follow", "--json"])?;
    let first: Value = serde_json::from_str(&following.line("http:shop")?)?;
    ensure!(first["incident"]["id"] == id, "{first}");
    let told = Going::start(&site, &["incidents", "-f", "--target", "http:shop"])?;
    told.line("held        http:shop: ")?;
    let watching = Going::start(&site, &["status", "--watch"])?;
    watching.line("http:shop")?;

    let why = ["dismiss", id, "--reason", "it is meant to be off"];
    let (code, _, err) = site.said(&why, None)?;
    ensure!(code == 0, "{err}");
    told.line("resolved    http:shop: dismissed: it is meant to be off")?;
    let event: Value = serde_json::from_str(&following.line("dismissed: it is meant")?)?;
    ensure!(event["incident"]["state"] == "resolved" && event["at"].is_string(), "{event}");
    watching.line("not well, 0 incidents open")?;
    let (_, out, _) = site.said(&["incidents", id], None)?;
    ensure!(out.contains("dismissed: it is meant to be off"), "{out}");
    let (_, out, _) = site.said(&["audit", "export"], None)?;
    ensure!(out.contains("reason=it is meant to be off"), "{out}");

    drop(daemon);
    let note = told.err.recv_timeout(LIMIT)?;
    ensure!(note.contains("went away; it is tried again"), "{note}");
    Ok(())
}

/// A stream of events that is held open and never read.
fn open_stream(port: u16) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut status = [0; 15];
    stream.read_exact(&mut status)?;
    ensure!(status.ends_with(b"200 OK"), "{}", String::from_utf8_lossy(&status));
    Ok(stream)
}

#[test]
fn who_follows_is_told_that_there_is_no_room_and_that_there_is_again() -> Result<()> {
    let site = Site::new("listen = \"127.0.0.1:PORT\"\n")?;
    let _daemon = site.run()?;
    let all: Vec<TcpStream> = (0..64).map(|_| open_stream(site.port)).collect::<Result<_>>()?;
    let following = Going::start(&site, &["incidents", "--follow"])?;
    let note = following.err.recv_timeout(LIMIT)?;
    ensure!(note.contains("64 event streams are open already"), "{note}");
    drop(all);
    let note = following.err.recv_timeout(LIMIT)?;
    ensure!(note.contains("answers again"), "{note}");
    Ok(())
}

#[test]
fn who_watches_is_told_once_why_nothing_comes_and_when_it_does_again() -> Result<()> {
    let site = Site::new("listen = \"127.0.0.1:PORT\"\nrequire_token = \"always\"\n")?;
    let token = site.token("anna", "viewer")?;
    let _daemon = site.run()?;
    let watching = Going::start_with(&site, &["status", "--watch"], Some(&token))?;
    watching.line("mode")?;
    let tokens = site.folder.path().join("data/tokens.json");
    let known = std::fs::read(&tokens)?;
    ensure!(site.said(&["token", "revoke", "anna"], None)?.0 == 0);
    let note = watching.err.recv_timeout(LIMIT)?;
    ensure!(note.contains("refuses this token"), "{note}");
    std::fs::write(&tokens, known)?;
    let next = || watching.err.recv_timeout(LIMIT);
    let mut note = next()?;
    if note.contains("next:") {
        note = next()?;
    }
    ensure!(note.contains("answers again"), "{note}");
    Ok(())
}
