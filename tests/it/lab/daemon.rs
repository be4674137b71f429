//! The real Selfheal, as its users run it: the program, a settings file, its API.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::mailbox::Mailbox;
use super::relay::{Change, Relay};
use super::stack::Stack;
use crate::support::{Answer, ask_within, free_port, until};

const READY_LIMIT: Duration = Duration::from_secs(30);
const CYCLE_LIMIT: Duration = Duration::from_mins(1);

/// The machine that runs the tests is busy with them: what it says about itself is no incident, and
/// its pressure is no reason to hold.
pub(crate) const UNDER_LOAD: &str = "[thresholds]\npressure_cpu_percent = 100.0\n\
     pressure_load_per_core = 1000.0\nhost_cpu = {}\nhost_memory = {}\nhost_swap = {}\n\
     host_load = {}\nhost_pressure = {}\nhost_disk = {}\nhost_inodes = {}\n";

/// A running daemon that sees one stack alone.
pub(crate) struct Selfheal {
    child: Child,
    ready_in: Duration,
    port: u16,
    folder: PathBuf,
    log: PathBuf,
    relay: Relay,
    mailbox: Mailbox,
}

impl Selfheal {
    /// Starts it over a healthy stack and lets it look once. `more` are further settings.
    pub(crate) fn watch(stack: &Stack, more: &str) -> Result<Self> {
        Self::with_settings(stack, &format!("{SWIFT}{UNDER_LOAD}\n"), more)
    }

    /// The same with the settings that a user has who set none.
    pub(crate) fn by_default(stack: &Stack) -> Result<Self> {
        Self::with_settings(stack, "", "")
    }

    /// The same with further settings, on a machine that is busy with other stacks.
    pub(crate) fn among_others(stack: &Stack, more: &str) -> Result<Self> {
        Self::with_settings(stack, &format!("{UNDER_LOAD}\n"), more)
    }

    fn with_settings(stack: &Stack, settings: &str, more: &str) -> Result<Self> {
        let (relay, mailbox, port) = (Relay::before(stack)?, Mailbox::open()?, free_port()?);
        let folder = stack.folder("selfheal")?;
        let address = mailbox.address();
        let more = format!("{settings}[alerts.webhook]\nurl = \"{address}\"\n{more}");
        write_settings(&folder, &relay, port, &more)?;
        let log = folder.join("log");
        let started = Instant::now();
        std::fs::File::create(&log)?;
        let child = spawn(&folder, &log)?;
        let mut selfheal = Self { child, ready_in: READY_LIMIT, port, folder, log, relay, mailbox };
        let ready = selfheal.wait_until_ready();
        ready.with_context(|| selfheal.last_words())?;
        selfheal.ready_in = started.elapsed();
        stack.wait_until_settled()?;
        selfheal.look()?;
        Ok(selfheal)
    }

    /// Its settings file.
    pub(crate) fn settings(&self) -> PathBuf {
        self.folder.join("selfheal.toml")
    }

    /// Its data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Kills it without a word, as `kill -9` does.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop).context("wait for the killed Selfheal")
    }

    /// Starts it again on the same data.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        self.child = spawn(&self.folder, &self.log)?;
        self.wait_until_ready().with_context(|| self.last_words())
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        until("Selfheal is ready or gone", READY_LIMIT, || {
            let gone = self.child.try_wait()?.is_some();
            if gone { Ok(()) } else { self.get("/health").map(drop) }
        })?;
        ensure!(self.child.try_wait()?.is_none(), "Selfheal ended");
        Ok(())
    }

    /// From its start until it answered.
    pub(crate) const fn ready_in(&self) -> Duration {
        self.ready_in
    }

    /// Its process id.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// One cycle, now.
    pub(crate) fn look(&self) -> Result<Value> {
        let path = "/api/monitoring/trigger-check";
        let answer = ask_within(CYCLE_LIMIT, "POST", self.port, path, "{}")?;
        data(&answer)
    }

    /// Asks its API.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        data(&ask_within(READY_LIMIT, "GET", self.port, path, "")?)
    }

    /// Every incident with its whole record.
    pub(crate) fn incidents(&self) -> Result<Vec<Value>> {
        let list = self.get("/api/incidents")?;
        let summaries = list.as_array().or_else(|| list["incidents"].as_array());
        let ids = summaries.with_context(|| format!("no list of incidents: {list}"))?.iter();
        ids.map(|summary| {
            let id = summary["id"].as_str().context("an incident without an id")?;
            let whole = self.get(&format!("/api/incidents/{id}"))?;
            Ok(whole.get("incident").cloned().unwrap_or(whole))
        })
        .collect()
    }

    /// What it changed at the engine, in order, as the relay saw it.
    pub(crate) fn changes(&self) -> Vec<Change> {
        self.relay.changes()
    }

    /// The alerts it sent.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        self.mailbox.alerts()
    }

    /// The end of its log and what it did, for a failed test.
    pub(crate) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(60)..].join("\n");
        format!("changes: {:?}\nalerts: {:?}\nlog:\n{tail}", self.changes(), self.alerts())
    }
}

/// Everything in less time than a user would want, so that a test takes seconds.
pub(super) const SWIFT: &str = "[schedule]\ncron = \"*/5 * * * * *\"\n\
                     [healing]\nvalidation_window = \"10s\"\n\
                     [probes]\ninterval = \"1s\"\n";

fn write_settings(folder: &Path, relay: &Relay, port: u16, more: &str) -> Result<()> {
    let settings = format!(
        "data_dir = \"{data}\"\n\
         [docker]\nhost = \"{engine}\"\n\
         [api]\nlisten = \"127.0.0.1:{port}\"\n\
         {more}\n",
        data = folder.join("data").display(),
        engine = relay.address(),
    );
    std::fs::write(folder.join("selfheal.toml"), settings).context("write the settings")
}

/// Selfheal without a daemon, command by command, over one stack alone.
pub(crate) struct ByCommand {
    folder: PathBuf,
    relay: Relay,
}

impl ByCommand {
    /// Over a stack that stands long enough to be believed.
    pub(crate) fn over(stack: &Stack) -> Result<Self> {
        let (relay, folder) = (Relay::before(stack)?, stack.folder("selfheal")?);
        write_settings(&folder, &relay, free_port()?, &format!("{SWIFT}{UNDER_LOAD}"))?;
        stack.wait_until_settled()?;
        Ok(Self { folder, relay })
    }

    /// Runs `selfheal` to its end; answers its exit code and its answer, null where it gave none.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<(i32, Value)> {
        let output = Command::new(env!("CARGO_BIN_EXE_selfheal"))
            .args(arguments)
            .args(["--json", "--config"])
            .arg(self.folder.join("selfheal.toml"))
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let answer = match output.stdout.as_slice() {
            [] => Value::Null,
            answer => serde_json::from_slice(answer).with_context(|| said.clone())?,
        };
        Ok((output.status.code().context(said)?, answer))
    }

    /// What it changed at the engine, in order, as the relay saw it.
    pub(crate) fn changes(&self) -> Vec<Change> {
        self.relay.changes()
    }
}

fn spawn(folder: &Path, log: &Path) -> Result<Child> {
    let appended = || std::fs::File::options().append(true).open(log);
    Command::new(env!("CARGO_BIN_EXE_selfheal"))
        .args(["run", "--config"])
        .arg(folder.join("selfheal.toml"))
        .stdin(Stdio::null())
        .stdout(appended()?)
        .stderr(appended()?)
        .spawn()
        .context("start Selfheal")
}

impl Drop for Selfheal {
    fn drop(&mut self) {
        // Killed, not asked: it must bear that at any moment.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The content of an answer, without the contract's wrapping.
fn data(answer: &Answer) -> Result<Value> {
    ensure!(answer.status == 200, "answered {}: {}", answer.status, answer.body);
    let mut body: Value =
        serde_json::from_str(&answer.body).context("an answer that is no JSON")?;
    Ok(if body.get("data").is_some() { body["data"].take() } else { body })
}
