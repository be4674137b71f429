//! A real engine that is restarted under Selfheal, in its own time and killed.
//!
//! The engine of the other stories is everybody's, so this one has its own: the story runs itself once more
//! within `scripts/with-docker`.

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use selfheal_agents::model::Timestamp;
use serde_json::Value;

use super::daemon::UNDER_LOAD;
use super::engine::{self, TEST_LABEL, docker};
use crate::docker::bench::file_system;
use crate::service::Daemon;
use crate::support::{ask, throughout, until};

/// How long anything is waited for.
const LIMIT: Duration = Duration::from_mins(1);
/// Selfheal knows again how everything is so soon after the engine is back.
const CONVERGED: Duration = Duration::from_secs(10);
/// Containers that Docker starts again by itself.
const KEPT: usize = 6;
const FOREVER: [&str; 2] = ["sleep", "100000"];
const IMAGE: &str = "selfheal-restarted:1";
/// Who does the work, within an engine of its own.
const WITHIN: &str = "lab::restarted::within_an_engine_of_its_own";

#[test]
fn an_engine_that_is_restarted_or_killed_is_known_again_and_nothing_is_taken_for_broken()
-> Result<()> {
    if !engine::answers("restarted") {
        return Ok(());
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/with-docker");
    let story = Command::new(script)
        .arg(std::env::current_exe()?)
        .args([WITHIN, "--exact", "--ignored", "--nocapture"])
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&[story.stdout, story.stderr].concat()).into_owned();
    ensure!(story.status.success() && said.contains("1 passed"), "{said}");
    Ok(())
}

/// The engine of this story alone.
struct Dockerd {
    folder: PathBuf,
    words: Vec<String>,
}

impl Dockerd {
    /// The one that `scripts/with-docker` started for whoever asks.
    fn ours() -> Result<Self> {
        let host = std::env::var("DOCKER_HOST").context("run it by scripts/with-docker")?;
        let socket = Path::new(host.trim_start_matches("unix://"));
        let folder = socket.parent().context("a socket has a folder")?.to_owned();
        let mut dockerd = Self { folder, words: vec![] };
        let line = std::fs::read_to_string(format!("/proc/{}/cmdline", dockerd.process()?))?;
        dockerd.words = line.split_terminator('\0').map(str::to_owned).collect();
        ensure!(dockerd.words.first().is_some_and(|word| word.ends_with("dockerd")), "{line}");
        Ok(dockerd)
    }

    fn process(&self) -> Result<u32> {
        let text = std::fs::read_to_string(self.folder.join("docker.pid"))?;
        text.trim().parse().context("the engine's process")
    }

    fn end(&self, signal: &str) -> Result<()> {
        let process = self.process()?;
        let sent = Command::new("kill").args([signal, &process.to_string()]).status()?;
        ensure!(sent.success(), "kill {signal}: {sent}");
        until("the engine ends", LIMIT, || {
            // One that nobody has asked how it ended still counts as running to the next one.
            ensure!(!Path::new(&format!("/proc/{process}")).exists(), "it still runs");
            Ok(())
        })
    }

    fn start(&self) -> Result<()> {
        let log = std::fs::File::options().append(true).open(self.folder.join("dockerd.log"))?;
        // A child of the first process there, which asks each how it ended.
        Command::new("sh")
            .args(["-c", r#""$@" &"#, "sh"])
            .args(&self.words)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()?;
        until("the engine answers", LIMIT, || docker(&["version"]).map(drop))
    }
}

/// An image of statically linked programs.
fn import() -> Result<()> {
    let mut import =
        Command::new("docker").args(["import", "-", IMAGE]).stdin(Stdio::piped()).spawn()?;
    import.stdin.take().context("its input")?.write_all(&file_system())?;
    ensure!(import.wait()?.success(), "docker import");
    Ok(())
}

fn run(name: &str, policy: &str, command: &[&str]) -> Result<()> {
    let names = ["--name", name, "--restart", policy, "--label", TEST_LABEL];
    let kind = ["--network", "none", "--stop-signal", "KILL", "--env", "PATH=/bin", IMAGE];
    docker(&[&["run", "--detach"], &names[..], &kind, command].concat()).map(drop)
}

/// How each container is, and what cannot be seen.
fn seen(daemon: &Daemon) -> Result<(Vec<(String, String)>, String)> {
    let get = |path| -> Result<Value> {
        Ok(serde_json::from_str(&ask("GET", daemon.port, path, "")?.body)?)
    };
    let (targets, status) = (get("/api/targets")?, get("/api/monitoring/status")?);
    let all = targets["targets"].as_array().context("targets")?.iter();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = all.map(|target| (word(&target["id"]), word(&target["verdict"])));
    let containers = all.filter(|(id, _)| id.starts_with("container:")).collect();
    Ok((containers, status["data"]["blind"].to_string()))
}

/// Every container that Docker keeps is seen and well.
fn is_known(daemon: &Daemon) -> Result<()> {
    let (containers, blind) = seen(daemon)?;
    let is_well = |nth: &usize| {
        let id = format!("container:kept-{nth}");
        containers.iter().any(|(known, verdict)| *known == id && verdict == "ok")
    };
    ensure!(blind == "[]" && (0..KEPT).all(|nth| is_well(&nth)), "{blind}: {containers:?}");
    Ok(())
}

/// Whether there is an incident of a target whose name begins so.
fn is_told_of(daemon: &Daemon, target: &str) -> Result<bool> {
    Ok(ask("GET", daemon.port, "/api/incidents?limit=100", "")?.body.contains(target))
}

fn none_of_kept(daemon: &Daemon) -> Result<()> {
    ensure!(!is_told_of(daemon, "container:kept")?, "one is taken for broken");
    Ok(())
}

/// Ends and starts the engine; tells for how long Selfheal did not know how all is.
fn restarts(dockerd: &Dockerd, daemon: &Daemon, signal: &str) -> Result<Duration> {
    dockerd.end(signal)?;
    until("the engine is missed", LIMIT, || {
        let (_, blind) = seen(daemon)?;
        ensure!(blind != "[]", "all is seen");
        Ok(())
    })?;
    throughout("nothing is taken for broken", Duration::from_secs(6), || none_of_kept(daemon))?;
    dockerd.start()?;
    let back = Instant::now();
    until("all is known again", CONVERGED, || is_known(daemon))?;
    none_of_kept(daemon)?;
    Ok(back.elapsed())
}

#[test]
#[ignore = "the story above runs it within an engine of its own"]
#[expect(clippy::print_stdout, reason = "how long it took")]
fn within_an_engine_of_its_own() -> Result<()> {
    let dockerd = Dockerd::ours()?;
    import()?;
    for nth in 0..KEPT {
        run(&format!("kept-{nth}"), "unless-stopped", &FOREVER)?;
    }
    run("plain", "no", &FOREVER)?;
    let folder = tempfile::tempdir()?;
    symlink(dockerd.folder.join("docker.sock"), folder.path().join("none.sock"))?;
    let settings = format!("[schedule]\ncron = \"*/5 * * * * *\"\n{UNDER_LOAD}");
    let daemon = Daemon::start_under(folder.path(), &settings, &[("SELFHEAL__MODE", "auto")])?;
    let words = |error: anyhow::Error| {
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        error.context(log)
    };
    until("all is known", LIMIT, || is_known(&daemon)).map_err(words)?;
    for signal in ["-TERM", "-KILL"] {
        let took = restarts(&dockerd, &daemon, signal).map_err(words)?;
        println!("known again {took:?} after {signal}");
    }
    // What its owner did not ask to be started again is not, here as in Docker.
    let (containers, _) = seen(&daemon)?;
    let plain = docker(&["inspect", "--format", "{{.State.Status}}", "plain"])?;
    ensure!(
        plain == "exited" && !is_told_of(&daemon, "container:plain")?,
        "{plain} {containers:?}"
    );
    // It heals as before.
    run("fails", "no", &["sh", "-c", "sleep 12; exit 3"])?;
    until("what fails is started again", LIMIT, || {
        let times = docker(&["inspect", "--format", "{{.State.StartedAt}} {{.Created}}", "fails"])?;
        let (started, created) = times.split_once(' ').context("two times")?;
        let (started, created) = (started.parse::<Timestamp>()?, created.parse::<Timestamp>()?);
        ensure!((started - created).num_seconds() > 10, "{times}");
        ensure!(is_told_of(&daemon, "container:fails")?, "who started it?");
        Ok(())
    })
    .map_err(words)
}
