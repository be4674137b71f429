//! `selfheal doctor` beside what is wrong: a full disk, a channel nobody answers at, another clock.

use std::io::{Read, Write};
use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::access::Site;
use crate::store::SmallDisk;
use crate::support::free_port;

/// The lines about `what`.
fn lines(site: &Site, what: &str) -> Result<Vec<Value>> {
    let (_, out, err) = site.said(&["doctor", "--json"], None)?;
    let all: Vec<Value> = serde_json::from_str(&out).context(err)?;
    Ok(all.into_iter().filter(|line| line["what"] == what).collect())
}

fn only(site: &Site, what: &str) -> Result<Value> {
    let mut found = lines(site, what)?;
    ensure!(found.len() == 1, "{what}: {found:?}");
    found.pop().context("one")
}

#[test]
fn a_full_disk_is_a_failure_and_says_what_to_do() -> Result<()> {
    let site = Site::new("listen = \"127.0.0.1:PORT\"\n")?;
    let space = only(&site, "disk space")?;
    ensure!(space["grade"] != "fail", "{space}");
    let Some(disk) = SmallDisk::mount(32) else { return Ok(()) };
    let settings = site.folder.path().join("selfheal.toml");
    let text = std::fs::read_to_string(&settings)?;
    let here = format!("{}/data", site.folder.path().display());
    std::fs::write(&settings, text.replace(&here, &disk.data_dir().display().to_string()))?;
    let little = only(&site, "disk space")?;
    ensure!(little["grade"] == "warn", "{little}");
    disk.fill();
    let full = only(&site, "disk space")?;
    let (grade, seen) = (&full["grade"], full["seen"].as_str().context("nothing seen")?);
    ensure!(grade == "fail" && seen.starts_with("0 MB free"), "{full}");
    ensure!(full["remedy"].as_str().is_some_and(|remedy| remedy.contains("free some")), "{full}");
    ensure!(site.said(&["doctor"], None)?.0 == 1);
    Ok(())
}

#[test]
fn a_channel_at_which_nobody_answers_is_named() -> Result<()> {
    let closed = free_port()?;
    let site = Site::new(&format!(
        "listen = \"127.0.0.1:PORT\"\n[alerts.email]\nhost = \"127.0.0.1\"\nport = {closed}\n\
         tls = \"none\"\nfrom = \"selfheal@example.org\"\nto = [\"ops@example.org\"]\n"
    ))?;
    let dead = only(&site, "alerts")?;
    let seen = dead["seen"].as_str().context("nothing seen")?;
    ensure!(dead["grade"] == "fail" && seen.starts_with("email: "), "{dead}");
    ensure!(dead["remedy"].as_str().is_some_and(|r| r.contains("selfheal alert test")), "{dead}");
    Ok(())
}

/// Answers as a Docker whose clock stands at `time`, as long as anybody asks.
fn docker_at(time: &'static str) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for mut peer in listener.incoming().flatten() {
            let mut asked = [0; 4096];
            let Ok(length) = peer.read(&mut asked) else { continue };
            let asked = String::from_utf8_lossy(&asked[..length]).into_owned();
            let body = if asked.contains("/info") {
                format!("{{\"SystemTime\": \"{time}\"}}")
            } else {
                "{\"Version\": \"28.0\", \"ApiVersion\": \"1.48\"}".to_owned()
            };
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
            let _ = write!(peer, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    Ok(port)
}

#[test]
fn a_docker_whose_clock_is_another_is_told_of() -> Result<()> {
    let site = Site::new("listen = \"127.0.0.1:PORT\"\n")?;
    ensure!(lines(&site, "Docker's clock")?.is_empty(), "nobody answers");
    let port = docker_at("2026-01-02T03:04:05.123456789Z")?;
    let settings = site.folder.path().join("selfheal.toml");
    let text = std::fs::read_to_string(&settings)?;
    let none = format!("unix://{}/none.sock", site.folder.path().display());
    std::fs::write(&settings, text.replace(&none, &format!("tcp://127.0.0.1:{port}")))?;
    let clock = only(&site, "Docker's clock")?;
    let seen = clock["seen"].as_str().context("nothing seen")?;
    ensure!(clock["grade"] == "warn" && seen.contains(" s behind this machine's"), "{clock}");
    ensure!(clock["remedy"].as_str().is_some_and(|r| r.contains("timedatectl")), "{clock}");
    Ok(())
}
