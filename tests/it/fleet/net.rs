//! Networks as of several hosts: each node lives in a network namespace of its own, and two bridges lead
//! from there, to what all share and to what they look after. A link can be taken down for real.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::support::until;

use super::node::LIMIT;

/// One way to what all share, one to what all look after.
const BRIDGES: [&str; 2] = ["f", "s"];

/// The networks; gone with everything in them when it is dropped.
pub(super) struct Net {
    /// Told from those of other tests by the number of this process.
    own: u32,
    /// What keeps each namespace.
    keepers: Vec<Child>,
}

impl Drop for Net {
    fn drop(&mut self) {
        for keeper in &mut self.keepers {
            drop(keeper.kill());
            drop(keeper.wait());
        }
        for bridge in BRIDGES {
            drop(ip(&["link", "del", &self.bridge(bridge)]));
        }
    }
}

impl Net {
    /// Namespaces for so many nodes. `None` where this user may not make any, which is said.
    pub(super) fn of(nodes: usize) -> Result<Option<Self>> {
        let mut net = Self { own: std::process::id(), keepers: vec![] };
        remove_left_over()?;
        if let Err(why) = ip(&["link", "add", &net.bridge("f"), "type", "bridge"]) {
            ensure!(std::env::var_os("CI").is_none(), "CI must test it: {why:#}");
            let mut out = std::io::stderr();
            writeln!(out, "SKIPPED: no links are taken down, only ways are cut: {why:#}")?;
            return Ok(None);
        }
        ip(&["link", "add", &net.bridge("s"), "type", "bridge"])?;
        for (number, bridge) in BRIDGES.into_iter().enumerate() {
            let address = format!("{}/24", net.address(number, 1));
            ip(&["addr", "add", &address, "dev", &net.bridge(bridge)])?;
            ip(&["link", "set", &net.bridge(bridge), "up"])?;
        }
        for node in 0..nodes {
            net.join(node)?;
        }
        Ok(Some(net))
    }

    /// A namespace with a link to each bridge.
    fn join(&mut self, node: usize) -> Result<()> {
        let mut unshare = Command::new("unshare");
        let keeper = unshare.args(["--net", "sleep", "infinity"]).stdin(Stdio::null()).spawn()?;
        let within = keeper.id();
        self.keepers.push(keeper);
        let own = std::fs::read_link("/proc/self/ns/net")?;
        until("the namespace is there", LIMIT, || {
            let its = std::fs::read_link(self.path(node))?;
            ensure!(its != own, "it is this one");
            Ok(())
        })?;
        for (number, bridge) in BRIDGES.into_iter().enumerate() {
            let (near, far) = (self.link(bridge, node), format!("eth{number}"));
            let within = within.to_string();
            ip(&["link", "add", &near, "type", "veth", "peer", "name", &far, "netns", &within])?;
            ip(&["link", "set", &near, "master", &self.bridge(bridge), "up"])?;
            let address = format!("{}/24", self.address(number, 2 + node));
            self.inside(node, &["addr", "add", &address, "dev", &far])?;
            self.inside(node, &["link", "set", &far, "up"])?;
        }
        self.inside(node, &["link", "set", "lo", "up"])
    }

    fn bridge(&self, name: &str) -> String {
        format!("sh{name}{}", self.own)
    }

    fn link(&self, bridge: &str, node: usize) -> String {
        format!("sh{bridge}{node}-{}", self.own)
    }

    /// In the range for tests of networks; of two tests at once each has numbers of its own.
    fn address(&self, bridge: usize, host: usize) -> String {
        format!("198.{}.{}.{host}", 18 + bridge, self.own % 250)
    }

    /// This machine, as the nodes reach what all share.
    pub(super) fn server(&self) -> String {
        self.address(0, 1)
    }

    /// This machine, as the nodes reach what they look after.
    pub(super) fn shops(&self) -> String {
        self.address(1, 1)
    }

    /// A node, by the way that is never cut.
    pub(super) fn node(&self, node: usize) -> String {
        self.address(1, 2 + node)
    }

    /// Where a node's namespace can be entered.
    pub(super) fn path(&self, node: usize) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.keepers[node].id()))
    }

    /// Takes a node's link to what all share down, or up again.
    pub(super) fn set(&self, node: usize, state: &str) -> Result<()> {
        ip(&["link", "set", &self.link("f", node), state])
    }

    fn inside(&self, node: usize, words: &[&str]) -> Result<()> {
        let net = format!("--net={}", self.path(node).display());
        ran(Command::new("nsenter").arg(net).arg("ip").args(words))
    }
}

/// Removes the bridges of tests that were killed: they would take the addresses of another.
fn remove_left_over() -> Result<()> {
    for link in std::fs::read_dir("/sys/class/net")?.flatten() {
        let name = link.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix("shf").or_else(|| name.strip_prefix("shs"));
        let number = process.filter(|number| number.parse::<u32>().is_ok());
        if number.is_some_and(|number| !PathBuf::from(format!("/proc/{number}")).exists()) {
            drop(ip(&["link", "del", &name]));
        }
    }
    Ok(())
}

fn ip(words: &[&str]) -> Result<()> {
    ran(Command::new("ip").args(words))
}

fn ran(command: &mut Command) -> Result<()> {
    let done = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{command:?}: {said}");
    Ok(())
}
