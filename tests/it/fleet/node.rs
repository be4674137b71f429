//! A real daemon with its settings, and its way to the server that all of them share.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::clock::{self, MovedClock};
use super::net::Net;
use super::shops::{ASKED, ENGINE, SHOPS, Shops};
use super::way::Way;
use crate::probes::server::Server;
use crate::store::postgres::address_at;
use crate::support::{ask, free_port, until};

/// For how long a node has what several reach without renewing it.
pub(super) const LEASE: Duration = Duration::from_secs(2);
/// How long anything is waited for: also a call of a node that ended in the midst of it, in which no
/// other begins.
pub(super) const LIMIT: Duration = Duration::from_mins(1);
/// What they share.
pub(super) const DATABASE: &str = "fleet";

/// What every node has for settings, beside its own name and its targets.
const SETTINGS: &str = "[schedule]\ncron = \"*/5 * * * * *\"\n\
     [healing]\nvalidation_window = \"10s\"\nsafety_stop_after = 100\ncommon_cause_share = 1.0\n\
     [probes]\ninterval = \"1s\"\n\
     [thresholds]\npressure_cpu_percent = 100.0\npressure_load_per_core = 1000.0\nhost_cpu = {}\n\
     host_memory = {}\nhost_swap = {}\nhost_load = {}\nhost_pressure = {}\nhost_disk = {}\n\
     host_inodes = {}\n";

/// What its settings lie in.
const FILE: &str = "selfheal.toml";

const RUNBOOK: &str = r#"
id = "shop-stuck-N"
title = "The shop is stuck"
category = "hang"
severity = "critical"
technology = "ours"
status = "reproduced"
links = ["https://example.org/handbook#stuck"]
applies = { kinds = ["http"] }
signature = [{ check = "http.status", is = ["51N"] }]
diagnosis = { summary = "{target} is stuck.", base = 95 }
fix = [{ action = "command", with = { command = "free-N" }, why = "it is known to help" }]
"#;

/// One daemon.
pub(super) struct Node {
    pub(super) name: &'static str,
    pub(super) way: Way,
    folder: tempfile::TempDir,
    pub(super) port: u16,
    pub(super) child: Child,
    place: Place,
    /// To its API, where it lives in another network.
    _door: Option<Way>,
}

/// Where a node lives, and what is otherwise there than elsewhere.
#[derive(Clone, Default)]
pub(super) struct Place {
    /// For how long it has what several reach; [`LEASE`] where nothing is said.
    pub(super) lease: Option<Duration>,
    /// The clock that it goes by.
    pub(super) clock: Option<MovedClock>,
    /// The networks, and which of their nodes it is; without them it is in that of the test.
    pub(super) net: Option<(Arc<Net>, usize)>,
}

impl Place {
    fn address(&self, of: impl Fn(&Net, usize) -> String) -> String {
        self.net.as_ref().map_or_else(|| "127.0.0.1".to_owned(), |(net, node)| of(net, *node))
    }
}

/// Where a node finds the others.
pub(super) struct Meeting<'a> {
    pub(super) shops: &'a Shops,
    pub(super) server: &'a Server,
    /// The port of a Redis.
    pub(super) redis: Option<u16>,
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.signal("-CONT"));
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Node {
    pub(super) fn start_at(
        place: Place,
        name: &'static str,
        meeting: &Meeting<'_>,
    ) -> Result<Self> {
        let node = Self::begin(name, meeting, place)?;
        node.is_up()?;
        Ok(node)
    }

    /// One that may have to end again before it answers.
    pub(super) fn begin(name: &'static str, meeting: &Meeting<'_>, place: Place) -> Result<Self> {
        let server = format!("127.0.0.1:{}", meeting.server.port);
        let way = Way::between(&place.address(|net, _| net.server()), &server)?;
        let lives = place.clone();
        Self::of(way, name, place, |folder, port, way| {
            settings(folder, (name, port), way, meeting, &lives)
        })
    }

    /// One with settings of its own, made of its folder, its port and that of its way.
    pub(super) fn of(
        way: Way,
        name: &'static str,
        place: Place,
        settings: impl FnOnce(&Path, u16, u16) -> Result<String>,
    ) -> Result<Self> {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        std::fs::write(folder.path().join(FILE), settings(folder.path(), port, way.port)?)?;
        let child = spawn(folder.path(), &place)?;
        let there = |(net, node): &(Arc<Net>, usize)| format!("{}:{port}", net.node(*node));
        let door = place.net.as_ref().map(|net| Way::between("127.0.0.1", &there(net)));
        let door = door.transpose()?;
        let port = door.as_ref().map_or(port, |door| door.port);
        Ok(Self { name, way, folder, port, child, place, _door: door })
    }

    pub(super) fn again(&mut self) -> Result<()> {
        std::fs::rename(self.folder.path().join("log"), self.folder.path().join("log.before"))?;
        self.child = spawn(self.folder.path(), &self.place)?;
        self.is_up()
    }

    pub(super) fn is_up(&self) -> Result<()> {
        until("it answers", LIMIT, || ask("GET", self.port, "/health", "").map(drop))
            .map_err(|error| error.context(self.last_words()))
    }

    pub(super) fn signal(&self, signal: &str) -> Result<()> {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status()?;
        ensure!(sent.success(), "kill {signal}: {sent}");
        Ok(())
    }

    pub(super) fn get(&self, path: &str) -> Result<Value> {
        let answer = ask("GET", self.port, path, "")?;
        ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.body);
        Ok(serde_json::from_str(&answer.body)?)
    }

    /// The incident for which it has decided to mend a shop, and is about to or at it.
    pub(super) fn has_begun(&self, shop: usize) -> Result<String> {
        let fixing = self.get(&format!("/api/incidents?state=fixing&target=http:shop-{shop}"))?;
        let begun = fixing["incidents"].as_array().and_then(|all| all.first()?["id"].as_str());
        Ok(begun.with_context(|| fixing.to_string())?.to_owned())
    }

    /// Whether what it had begun has come to an end, by its work or by taking it back.
    pub(super) fn has_ended(&self, incident: &str) -> Result<()> {
        let known = self.get(&format!("/api/incidents/{incident}"))?;
        let state = known["state"].as_str().unwrap_or_default();
        ensure!(["resolved", "rolled_back"].contains(&state), "it is {state}: {known}");
        Ok(())
    }

    /// Whether its log says this.
    pub(super) fn has_said(&self, words: &str) -> Result<()> {
        let log = std::fs::read_to_string(self.folder.path().join("log"))?;
        ensure!(log.contains(words), "{}", self.last_words());
        Ok(())
    }

    pub(super) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        format!("{}:\n{}", self.name, lines[lines.len().saturating_sub(40)..].join("\n"))
    }
}

fn settings(
    folder: &Path,
    (name, port): (&str, u16),
    store: u16,
    meeting: &Meeting<'_>,
    place: &Place,
) -> Result<String> {
    let here = place.address(Net::node);
    let (server, at_shops) =
        (place.address(|net, _| net.server()), place.address(|net, _| net.shops()));
    let (root, shops) = (folder.display(), meeting.shops);
    let store = address_at(store, DATABASE).replace("127.0.0.1", &server);
    let mut settings = format!(
        "data_dir = \"{root}/data\"\n{SETTINGS}[docker]\nhost = \"unix://{}\"\n\
         [api]\nlisten = \"{here}:{port}\"\nrequire_token = \"never\"\n\
         # The test asks the whole time, from another network.\n\
         costly_reads_per_minute = 0\n[store]\nurl = \"{store}\"\n\
         [fleet]\nnode = \"{name}\"\nlease = \"{}s\"\n\
         [policy.target.\"http:shop-{ASKED}\"]\nmode = \"approve\"\n",
        shops.path(ENGINE).display(),
        place.lease.unwrap_or(LEASE).as_secs()
    );
    if let Some(redis) = meeting.redis {
        write!(settings, "[streams]\nurl = \"redis://{server}:{redis}\"\n")?;
    }
    let knowledge = folder.join("data/knowledge/ours");
    std::fs::create_dir_all(&knowledge)?;
    for shop in 0..SHOPS {
        let at = shops.folder.path().display();
        write!(
            settings,
            "[[target]]\nkind = \"http\"\nname = \"shop-{shop}\"\n\
             url = \"http://{at_shops}:{}/{shop}\"\nshared = true\n\
             [[command]]\nname = \"free-{shop}\"\ntarget = \"http:shop-{shop}\"\n\
             argv = [\"{at}/free\", \"{at}\", \"{name}\", \"{shop}\"]\n\
             check = [\"/usr/bin/test\", \"-e\", \"{at}/well-{shop}\"]\ntimeout = \"5s\"\n",
            shops.port
        )?;
        let runbook = RUNBOOK.replace('N', &shop.to_string());
        std::fs::write(knowledge.join(format!("shop-stuck-{shop}.toml")), runbook)?;
    }
    Ok(settings)
}

fn spawn(folder: &Path, place: &Place) -> Result<Child> {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log"))?;
    let program = env!("CARGO_BIN_EXE_selfheal");
    let mut daemon = Command::new(if place.net.is_some() { "nsenter" } else { program });
    if let Some((net, node)) = &place.net {
        // It becomes the program, so that signals reach that.
        daemon.arg(format!("--net={}", net.path(*node).display())).arg(program);
    }
    if let Some(clock) = &place.clock {
        daemon.env("LD_PRELOAD", &clock.library).env(clock::VARIABLE, &clock.file);
    }
    Ok(daemon
        .args(["run", "--config"])
        .arg(folder.join(FILE))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?)
}
