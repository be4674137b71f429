//! The daemon as a service manager sees it: one process, signals, exit codes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::alerts::smtp::certificate;
use crate::probes::server::Server;
use crate::support::{ask, free_port, until};

const LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct Daemon {
    pub(crate) child: Child,
    pub(crate) port: u16,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Daemon {
    /// Starts it where there is no Docker, and waits until it answers.
    fn start(folder: &Path) -> Result<Self> {
        Self::start_under(folder, "", &[])
    }

    /// The same with more settings.
    pub(crate) fn start_with(folder: &Path, more: &str) -> Result<Self> {
        Self::start_under(folder, more, &[])
    }

    /// The same with more settings, and more in its environment.
    pub(crate) fn start_under(
        folder: &Path,
        more: &str,
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let port = free_port()?;
        let settings = format!(
            "mode = \"observe\"\ndata_dir = \"{0}/data\"\n[docker]\nhost = \"unix://{0}/none.sock\"\n\
             [api]\nlisten = \"127.0.0.1:{port}\"\n{more}",
            folder.display()
        );
        std::fs::write(folder.join("selfheal.toml"), settings)?;
        let log = std::fs::File::create(folder.join("log"))?;
        let child = Command::new(env!("CARGO_BIN_EXE_selfheal"))
            .args(["run", "--config"])
            .arg(folder.join("selfheal.toml"))
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let daemon = Self { child, port };
        until("it answers", LIMIT, || ask("GET", port, "/health", "").map(drop))?;
        Ok(daemon)
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status()?;
        ensure!(sent.success(), "kill {signal}: {sent}");
        Ok(())
    }
}

#[test]
fn a_start_after_one_that_stood_still_tells_of_it_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("data"))?;
    let note = folder.path().join("data/stood-still");
    std::fs::write(&note, "it stood still for 2m")?;
    let daemon = Daemon::start(folder.path())?;
    until("it is told", LIMIT, || {
        let audit = ask("GET", daemon.port, "/api/audit", "")?.body;
        ensure!(audit.contains("stood_still") && audit.contains("for 2m"), "{audit}");
        let log = std::fs::read_to_string(folder.path().join("log"))?;
        ensure!(log.contains("its runtime: it stood still for 2m"), "{log}");
        ensure!(!note.exists(), "the note is still there");
        Ok(())
    })
}

#[test]
fn one_process_with_one_heap_that_ends_cleanly_when_it_is_asked_to() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut daemon = Daemon::start(folder.path())?;
    let process = Path::new("/proc").join(daemon.child.id().to_string());
    let environment = std::fs::read(process.join("environ"))?;
    for said in [&b"MALLOC_ARENA_MAX=1"[..], b"MALLOC_TRIM_THRESHOLD_=131072"] {
        let is_said = environment.split(|b| *b == 0).any(|v| v == said);
        ensure!(is_said, "the process that was started is not the one with one small heap");
    }
    daemon.signal("-TERM")?;
    let ended = until("it ends", LIMIT, || daemon.child.try_wait()?.context("it still runs"))?;
    ensure!(ended.success(), "it ended with {ended}");
    Ok(())
}

#[test]
fn a_hangup_reads_the_settings_again_and_a_broken_file_changes_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = Daemon::start(folder.path())?;
    let file = folder.path().join("selfheal.toml");
    let sound = std::fs::read_to_string(&file)?;
    let log = || std::fs::read_to_string(folder.path().join("log")).context("read the log");
    let mode = || -> Result<String> {
        let answer = ask("GET", daemon.port, "/api/monitoring/status", "")?;
        let status: serde_json::Value = serde_json::from_str(&answer.body)?;
        Ok(status["data"]["autonomous_mode"].as_str().unwrap_or("none").to_owned())
    };
    let shows = |wanted: &'static str| {
        move || {
            let mode = mode()?;
            ensure!(mode == wanted, "the mode is {mode}");
            Ok(())
        }
    };
    until("the settings are in force", LIMIT, shows("observe"))?;
    std::fs::write(&file, sound.replace("observe", "perhaps"))?;
    daemon.signal("-HUP")?;
    until("the refusal is in the log", LIMIT, || {
        ensure!(log()?.contains("the old ones stay in force"), "nothing is said");
        Ok(())
    })?;
    shows("observe")()?;
    std::fs::write(&file, sound.replace("observe", "approve"))?;
    daemon.signal("-HUP")?;
    until("the new settings are in force", LIMIT, shows("approve"))
}

/// Takes each request's body and answers 200, until the test ends.
fn receiver(taken: Sender<String>) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for peer in listener.incoming().flatten() {
            let mut peer = peer;
            let Ok(body) = body_of(&mut peer) else { continue };
            drop(
                peer.write_all(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                ),
            );
            drop(taken.send(body));
        }
    });
    Ok(port)
}

fn body_of(peer: &mut TcpStream) -> Result<String> {
    peer.set_read_timeout(Some(LIMIT))?;
    let mut reader = BufReader::new(peer);
    let mut length = 0;
    loop {
        let mut line = String::new();
        ensure!(reader.read_line(&mut line)? > 0, "the request ends in its head");
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(String::from_utf8(body)?)
}

#[test]
fn a_channel_named_at_runtime_is_used_without_a_restart() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = Daemon::start(folder.path())?;
    let file = folder.path().join("selfheal.toml");
    let (taken, arrived) = mpsc::channel();
    let changed = format!(
        "{}[alerts.webhook]\nurl = \"http://127.0.0.1:{}/hook\"\n\
         [thresholds.host_memory]\ncritical = 0.01\n",
        std::fs::read_to_string(&file)?,
        receiver(taken)?
    );
    std::fs::write(&file, changed)?;
    daemon.signal("-HUP")?;
    // Every host uses more memory than that, and no fix is known: a person is told.
    let alert = until("an alert comes to the new channel", LIMIT, || {
        ask("POST", daemon.port, "/api/monitoring/trigger-check", "{}")?;
        let alert = arrived.recv_timeout(Duration::from_millis(500))?;
        let alert: serde_json::Value = serde_json::from_str(&alert)?;
        // That there is no Docker may be told through it first.
        ensure!(alert["event"] != "blind", "{alert}");
        Ok(alert)
    })?;
    ensure!(alert["target"] == "host" && alert["event"] == "held", "{alert}");
    Ok(())
}

#[test]
fn a_sign_of_life_is_given_from_the_start_on_and_shown() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (taken, arrived) = mpsc::channel();
    let url = format!("http://127.0.0.1:{}/ping/c4n4ry", receiver(taken)?);
    let daemon = Daemon::start_with(folder.path(), &format!("[heartbeat]\nurl = \"{url}\"\n"))?;
    arrived.recv_timeout(LIMIT).context("no sign of life came")?;
    until("it is shown", LIMIT, || {
        let health = ask("GET", daemon.port, "/health", "")?.body;
        ensure!(health.contains(r#""heartbeat":"arrives""#), "{health}");
        let figures = ask("GET", daemon.port, "/metrics", "")?.body;
        ensure!(figures.contains("selfheal_heartbeat_arrives 1.0"), "{figures}");
        Ok(())
    })?;
    let log = std::fs::read_to_string(folder.path().join("log"))?;
    ensure!(!log.contains("c4n4ry"), "the address is a secret: {log}");
    Ok(())
}

#[test]
fn jobs_come_in_and_answers_go_out_by_redis() -> Result<()> {
    let Some(server) = Server::redis(&[]) else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let streams = format!("[streams]\nurl = \"redis://127.0.0.1:{}\"\n", server.port);
    let daemon = Daemon::start_with(folder.path(), &streams)?;
    let mut redis = redis::Client::open(("127.0.0.1", server.port))?.get_connection()?;
    let fields = ["job_id", "j1", "type", "trigger_check", "payload", r#"{"dry_run": true}"#];
    let jobs = "maestro:streams:automation:jobs";
    let () = redis::cmd("XADD").arg(jobs).arg("*").arg(&fields).query(&mut redis)?;
    let answer = until("it answers the job", LIMIT, || {
        let results = ["maestro:streams:automation:results", "-", "+"];
        let found: redis::streams::StreamRangeReply =
            redis::cmd("XRANGE").arg(&results).query(&mut redis)?;
        found.ids.into_iter().next().context("no answer yet")
    })?;
    ensure!(answer.get::<String>("job_id").as_deref() == Some("j1"), "{answer:?}");
    ensure!(answer.get::<String>("status").as_deref() == Some("success"), "{answer:?}");
    // What it found where there is no Docker is told as well, since it is the real program.
    let result = answer.get::<String>("result").unwrap_or_default();
    ensure!(result.contains("containers cannot be seen"), "{result}");
    let figures = ask("GET", daemon.port, "/metrics", "")?.body;
    ensure!(figures.contains("selfheal_stream_jobs_total{result=\"done\"} 1"), "{figures}");
    ensure!(figures.contains("selfheal_streams_connected 1.0"), "{figures}");
    Ok(())
}

#[test]
fn secrets_come_from_the_folder_that_systemd_lends_the_service() -> Result<()> {
    let Some(server) = Server::redis(&["--requirepass", "s3cret"]) else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let (taken, arrived) = mpsc::channel();
    let credentials = folder.path().join("credentials");
    std::fs::create_dir(&credentials)?;
    let redis = format!("redis://:s3cret@127.0.0.1:{}", server.port);
    std::fs::write(credentials.join("redis"), redis)?;
    let heartbeat = format!("http://127.0.0.1:{}/ping/c4n4ry", receiver(taken)?);
    std::fs::write(credentials.join("heartbeat"), heartbeat)?;
    let settings = "[streams]\nurl_file = \"${CREDENTIALS_DIRECTORY}/redis\"\n\
                    [heartbeat]\nurl_file = \"${CREDENTIALS_DIRECTORY}/heartbeat\"\n";
    let lent = [("CREDENTIALS_DIRECTORY", credentials.to_str().context("a path")?)];
    let daemon = Daemon::start_under(folder.path(), settings, &lent)?;
    arrived.recv_timeout(LIMIT).context("no sign of life came")?;
    until("it is let in by Redis", LIMIT, || {
        let figures = ask("GET", daemon.port, "/metrics", "")?.body;
        ensure!(figures.contains("selfheal_streams_connected 1.0"), "{figures}");
        Ok(())
    })
}

#[test]
fn redis_with_tls_is_reached_by_whom_it_can_prove_itself_to() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (certificate, key) = certificate(folder.path());
    let port = free_port()?.to_string();
    let (certificate, key) = (certificate.to_string_lossy(), key.to_string_lossy());
    let settings = ["--tls-port", &port, "--tls-cert-file", &certificate, "--tls-key-file", &key];
    let own = ["--tls-ca-cert-file", &certificate, "--tls-auth-clients", "no"];
    let Some(_server) = Server::redis(&[&settings[..], &own].concat()) else { return Ok(()) };
    let streams = format!("[streams]\nurl = \"rediss://localhost:{port}\"\n");
    let connected = |daemon: &Daemon, wanted: &str| {
        until(wanted, LIMIT, || {
            let figures = ask("GET", daemon.port, "/metrics", "")?.body;
            ensure!(figures.contains(wanted), "{figures}");
            Ok(())
        })
    };
    let trusting = [("SSL_CERT_FILE", certificate.as_ref())];
    let daemon = Daemon::start_under(folder.path(), &streams, &trusting)?;
    connected(&daemon, "selfheal_streams_connected 1.0")?;
    drop(daemon);
    let daemon = Daemon::start_with(folder.path(), &streams)?;
    let log = || std::fs::read_to_string(folder.path().join("log")).context("read the log");
    until("it says why", LIMIT, || {
        let log = log()?;
        ensure!(log.contains("messages wait for Redis") && log.contains("certificate"), "{log}");
        Ok(())
    })?;
    connected(&daemon, "selfheal_streams_connected 0.0")
}

#[test]
fn a_service_manager_hears_that_it_is_ready_alive_and_ending() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path)?;
    manager.set_read_timeout(Some(LIMIT))?;
    let said = || -> Result<String> {
        let mut buffer = [0; 500];
        let length = manager.recv(&mut buffer).context("it says nothing")?;
        Ok(String::from_utf8(buffer[..length].to_vec())?)
    };
    let environment =
        [("NOTIFY_SOCKET", path.to_str().context("a path")?), ("WATCHDOG_USEC", "600000")];
    let daemon = Daemon::start_under(folder.path(), "", &environment)?;
    let ready = said()?;
    ensure!(ready.starts_with("READY=1\n"), "the first word is {ready}");
    ensure!(ready.contains(&format!(":{}/", daemon.port)), "{ready}");
    for _ in 0..5 {
        let sign = said()?;
        ensure!(sign == "WATCHDOG=1", "no sign of life but {sign}");
    }
    daemon.signal("-TERM")?;
    until("it says that it ends", LIMIT, || {
        let last = said()?;
        ensure!(last.starts_with("STOPPING=1\n"), "it says {last}");
        Ok(())
    })
}
