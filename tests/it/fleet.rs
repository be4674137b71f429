//! Several daemons that share one PostgreSQL and reach the same targets.
//!
//! What is done to a target is counted at the target: the command that mends it writes down when it
//! began and ended, and for which node. Lists of the daemons prove nothing.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::probes::server::Server;
use crate::store::postgres::{address_text, database, server};
use crate::support::{ask, ask_within, free_port, throughout, until};

const LIMIT: Duration = Duration::from_secs(30);
/// A dead node is replaced within this.
const TAKEN_OVER: Duration = Duration::from_secs(15);

/// What every node has for settings, beside its own name and its targets.
const SETTINGS: &str = "[schedule]\ncron = \"*/5 * * * * *\"\n\
     [healing]\nvalidation_window = \"10s\"\nsafety_stop_after = 100\ncommon_cause_share = 1.0\n\
     [probes]\ninterval = \"1s\"\n\
     [thresholds]\npressure_cpu_percent = 100.0\npressure_load_per_core = 1000.0\nhost_cpu = {}\n\
     host_memory = {}\nhost_swap = {}\nhost_load = {}\nhost_pressure = {}\nhost_disk = {}\n\
     host_inodes = {}\n";

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

const SHOPS: usize = 5;
/// The last one is mended only with a person's word.
const ASKED: usize = SHOPS - 1;

/// The targets: each well as long as a file is there.
struct Shops {
    folder: tempfile::TempDir,
    port: u16,
}

impl Shops {
    fn open() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let shops = Self { port: listener.local_addr()?.port(), folder };
        let program = shops.path("free");
        let script = "#!/bin/sh\ncd \"$1\" && echo \"begin $2 $(date +%s%N)\" >> effects-$3 && \
                      sleep 1 && touch well-$3 && echo \"end $2 $(date +%s%N)\" >> effects-$3\n";
        std::fs::write(&program, script)?;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
        for shop in 0..SHOPS {
            std::fs::write(shops.path(&format!("well-{shop}")), "")?;
        }
        let root = shops.folder.path().to_owned();
        std::thread::spawn(move || {
            for mut peer in listener.incoming().flatten() {
                let root = root.clone();
                std::thread::spawn(move || drop(serve(&mut peer, &root)));
            }
        });
        Ok(shops)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn shatter(&self, shop: usize) -> Result<()> {
        Ok(std::fs::remove_file(self.path(&format!("well-{shop}")))?)
    }

    fn is_well(&self, shop: usize) -> Result<()> {
        ensure!(self.path(&format!("well-{shop}")).exists(), "shop {shop} is not well");
        Ok(())
    }

    /// Who was at work there, from when to when; `None` is not over yet.
    fn effects(&self, shop: usize) -> Vec<(String, u128, Option<u128>)> {
        let text = std::fs::read_to_string(self.path(&format!("effects-{shop}")));
        let mut effects: Vec<(String, u128, Option<u128>)> = vec![];
        for line in text.unwrap_or_default().lines() {
            let mut words = line.split(' ');
            let (Some(word), Some(node), Some(at)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let at = at.parse().unwrap_or_default();
            if word == "begin" {
                effects.push((node.to_owned(), at, None));
            } else if let Some(begun) =
                effects.iter_mut().rev().find(|(who, _, end)| who == node && end.is_none())
            {
                begun.2 = Some(at);
            }
        }
        effects
    }

    /// Nobody began where another had not ended.
    fn had_one_at_a_time(&self) -> Result<()> {
        for shop in 0..SHOPS {
            let effects = self.effects(shop);
            let alone = effects.windows(2).all(|two| two[0].2.is_some_and(|end| end <= two[1].1));
            ensure!(alone, "shop {shop}: {effects:?}");
        }
        Ok(())
    }
}

fn serve(peer: &mut std::net::TcpStream, root: &Path) -> Result<()> {
    let mut head = [0; 2048];
    let read = peer.read(&mut head)?;
    let text = String::from_utf8_lossy(&head[..read]).into_owned();
    let shop = text.split(['/', ' ']).nth(2).context("no path")?.to_owned();
    let is_well = root.join(format!("well-{shop}")).exists();
    let status = if is_well { "200 OK".to_owned() } else { format!("51{shop} Stuck") };
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    Ok(peer.write_all(answer.as_bytes())?)
}

struct Node {
    name: &'static str,
    folder: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.signal("-CONT"));
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Node {
    fn start(name: &'static str, shops: &Shops, store: &str) -> Result<Self> {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        let root = folder.path().display();
        let mut settings = format!(
            "data_dir = \"{root}/data\"\n{SETTINGS}[docker]\nhost = \"unix://{root}/none.sock\"\n\
             [api]\nlisten = \"127.0.0.1:{port}\"\n[store]\nurl = \"{store}\"\n\
             [fleet]\nnode = \"{name}\"\nlease = \"2s\"\n\
             [policy.target.\"http:shop-{ASKED}\"]\nmode = \"approve\"\n"
        );
        let knowledge = folder.path().join("data/knowledge/ours");
        std::fs::create_dir_all(&knowledge)?;
        for shop in 0..SHOPS {
            let at = shops.folder.path().display();
            write!(
                settings,
                "[[target]]\nkind = \"http\"\nname = \"shop-{shop}\"\n\
                 url = \"http://127.0.0.1:{}/{shop}\"\nshared = true\n\
                 [[command]]\nname = \"free-{shop}\"\ntarget = \"http:shop-{shop}\"\n\
                 argv = [\"{at}/free\", \"{at}\", \"{name}\", \"{shop}\"]\n\
                 check = [\"/usr/bin/test\", \"-e\", \"{at}/well-{shop}\"]\ntimeout = \"5s\"\n",
                shops.port
            )?;
            let runbook = RUNBOOK.replace('N', &shop.to_string());
            std::fs::write(knowledge.join(format!("shop-stuck-{shop}.toml")), runbook)?;
        }
        std::fs::write(folder.path().join("selfheal.toml"), settings)?;
        let child = spawn(folder.path())?;
        let node = Self { name, folder, port, child };
        node.is_up()?;
        Ok(node)
    }

    fn again(&mut self) -> Result<()> {
        self.child = spawn(self.folder.path())?;
        self.is_up()
    }

    fn is_up(&self) -> Result<()> {
        until("it answers", LIMIT, || ask("GET", self.port, "/health", "").map(drop))
            .map_err(|error| error.context(self.last_words()))
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status()?;
        ensure!(sent.success(), "kill {signal}: {sent}");
        Ok(())
    }

    fn get(&self, path: &str) -> Result<Value> {
        let answer = ask("GET", self.port, path, "")?;
        ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.body);
        Ok(serde_json::from_str(&answer.body)?)
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        format!("{}:\n{}", self.name, lines[lines.len().saturating_sub(40)..].join("\n"))
    }
}

fn spawn(folder: &Path) -> Result<Child> {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log"))?;
    Ok(Command::new(env!("CARGO_BIN_EXE_selfheal"))
        .args(["run", "--config"])
        .arg(folder.join("selfheal.toml"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?)
}

/// Which node looks after a shop, as one of them says.
fn owner(asked: &Node, shop: usize) -> Result<String> {
    let fleet = asked.get("/api/fleet")?;
    let place = format!("/{shop}");
    let has_it = |node: &&Value| {
        let leases = node["leases"].as_array();
        let holds = |held: &Value| held["target"].as_str().is_some_and(|t| t.ends_with(&place));
        node["is_silent"] == false && leases.is_some_and(|leases| leases.iter().any(holds))
    };
    let nodes = fleet["nodes"].as_array().context("no nodes")?;
    let owner = nodes.iter().find(has_it).and_then(|node| node["name"].as_str());
    Ok(owner.with_context(|| format!("nobody has shop {shop}: {fleet}"))?.to_owned())
}

struct Fleet {
    shops: Shops,
    nodes: Vec<Node>,
    server: Server,
}

impl Fleet {
    fn begin() -> Result<Option<Self>> {
        let Some(server) = server() else { return Ok(None) };
        Runtime::new()?.block_on(database(&server, "fleet"));
        let (shops, store) = (Shops::open()?, address_text(&server, "fleet"));
        let nodes = ["one", "two", "three"].map(|name| Node::start(name, &shops, &store));
        let nodes = nodes.into_iter().collect::<Result<Vec<_>>>()?;
        let fleet = Self { shops, nodes, server };
        fleet.wait("all are there, and every shop is looked after", || {
            let seen = fleet.nodes[2].get("/api/fleet")?;
            ensure!(seen["nodes"].as_array().map(Vec::len) == Some(3), "{seen}");
            (0..SHOPS).try_for_each(|shop| owner(&fleet.nodes[2], shop).map(drop))
        })?;
        Ok(Some(fleet))
    }

    fn wait<T>(&self, what: &str, look: impl FnMut() -> Result<T>) -> Result<T> {
        until(what, LIMIT, look).map_err(|error| {
            let words: Vec<String> = self.nodes.iter().map(Node::last_words).collect();
            error.context(words.join("\n"))
        })
    }

    fn node(&self, name: &str) -> &Node {
        self.nodes.iter().find(|node| node.name == name).expect("one of ours")
    }

    fn other_than(&self, name: &str) -> &Node {
        self.nodes.iter().find(|node| node.name != name).expect("there are three")
    }

    /// One that is stopped in the middle wakes up while another is at work.
    fn is_stopped_and_wakes(&self, shop: usize) -> Result<()> {
        let name = owner(&self.nodes[0], shop)?;
        let node = self.node(&name);
        self.shops.shatter(shop)?;
        std::thread::sleep(Duration::from_millis(300));
        node.signal("-STOP")?;
        self.wait("another is at work", || {
            let effects = self.shops.effects(shop);
            ensure!(effects.iter().any(|(who, ..)| *who != name), "{effects:?}");
            Ok(())
        })?;
        node.signal("-CONT")?;
        self.wait("it is well again", || self.shops.is_well(shop))
    }

    fn is_killed(&mut self, shop: usize) -> Result<()> {
        let name = owner(&self.nodes[0], shop)?;
        let nth = self.nodes.iter().position(|node| node.name == name).context("ours")?;
        self.nodes[nth].child.kill()?;
        self.nodes[nth].child.wait()?;
        self.shops.shatter(shop)?;
        until("another mends it soon", TAKEN_OVER, || {
            ensure!(!self.shops.effects(shop).is_empty(), "nobody is at work");
            Ok(())
        })?;
        self.wait("it is well again", || self.shops.is_well(shop))?;
        self.nodes[nth].again()
    }

    fn is_left_alone_without_the_server(&mut self, shop: usize) -> Result<()> {
        self.server.stop_postgres();
        self.shops.shatter(shop)?;
        throughout("nobody touches it", Duration::from_secs(4), || {
            let effects = self.shops.effects(shop);
            ensure!(effects.is_empty(), "{effects:?}");
            Ok(())
        })?;
        self.server.start_postgres_again();
        self.wait("it is well again", || self.shops.is_well(shop))
    }

    /// Approved on a node that does not look after it.
    fn is_decided_elsewhere(&self, shop: usize) -> Result<()> {
        self.shops.shatter(shop)?;
        let target = format!("http:shop-{shop}");
        let (owner, incident) = self.wait("it waits for a person", || {
            let owner = owner(&self.nodes[0], shop)?;
            let seen = self.nodes[0].get("/api/fleet")?;
            let nodes = seen["nodes"].as_array().context("nodes")?;
            let node = nodes.iter().find(|node| node["name"] == owner.as_str()).context("owner")?;
            let waits = |one: &&Value| one["target"] == target.as_str() && one["state"] == "held";
            let open = node["incidents"].as_array().and_then(|all| all.iter().find(waits));
            let id = open.and_then(|one| one["id"].as_str()).with_context(|| seen.to_string())?;
            Ok((owner, id.to_owned()))
        })?;
        let asked = self.other_than(&owner);
        let path = format!("/api/incidents/{incident}/approve");
        let answer = ask_within(LIMIT, "POST", asked.port, &path, "")?;
        ensure!(answer.status == 200 && answer.body.contains(&owner), "{answer:?}");
        self.wait("it is well again", || self.shops.is_well(shop))?;
        ensure!(self.shops.effects(shop)[0].0 == owner, "{:?}", self.shops.effects(shop));
        let audit = self.node(&owner).get("/api/audit?limit=100")?.to_string();
        let named = format!("at {}", asked.name);
        ensure!(audit.contains("\"via\":\"fleet\"") && audit.contains(&named), "{audit}");
        Ok(())
    }
}

#[test]
fn what_several_nodes_reach_is_mended_by_one_whoever_hangs_dies_or_is_cut_off() -> Result<()> {
    let Some(mut fleet) = Fleet::begin()? else { return Ok(()) };
    fleet.shops.shatter(0)?;
    fleet.wait("it is well again", || fleet.shops.is_well(0))?;
    ensure!(fleet.shops.effects(0).len() == 1, "{:?}", fleet.shops.effects(0));
    fleet.is_stopped_and_wakes(1)?;
    fleet.is_killed(2)?;
    fleet.is_left_alone_without_the_server(3)?;
    fleet.is_decided_elsewhere(ASKED)?;
    fleet.wait("what one learnt is known to all", || {
        let mut learning = 0;
        for node in &fleet.nodes {
            let figures = ask("GET", node.port, "/metrics", "")?.body;
            let learnt = figures.lines().find(|line| line.starts_with("selfheal_fleet_outcomes "));
            let learnt = learnt.and_then(|line| line.split(' ').next_back()?.parse::<f64>().ok());
            let all: usize = (0..SHOPS).map(|shop| fleet.shops.effects(shop).len()).sum();
            learning += usize::from(learnt.is_some_and(|learnt| learnt >= 1.0));
            ensure!(learnt.is_some_and(|learnt| learnt <= all as f64), "{}: {all}", node.name);
        }
        // One of them may have done all of it.
        ensure!(learning >= 2, "{learning} of {} learnt of others", fleet.nodes.len());
        Ok(())
    })?;
    fleet.shops.had_one_at_a_time()
}
