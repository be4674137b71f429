//! By which names and addresses hosts are called: this one by others, others by what runs here.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use sysinfo::{Networks, System};

use crate::docker::is_this_machine;

/// How long what was found out is believed.
const BELIEVED: Duration = Duration::from_mins(1);
/// How long a name is looked up.
const LIMIT: Duration = Duration::from_secs(2);
/// Networks that Docker and its like make: their addresses lead to no host but this one, and every
/// host has the same.
const INNER: [&str; 8] = ["docker", "br-", "veth", "virbr", "cni", "flannel", "podman", "lo"];

/// What is known of names.
#[derive(Default)]
pub(super) struct Names {
    looked_at: Option<Instant>,
    /// This host's, by which others reach it.
    own: BTreeSet<String>,
    /// Every address of this host, inner ones too.
    addresses: BTreeSet<IpAddr>,
    /// Of other names, when they were looked up.
    others: BTreeMap<String, (Instant, Vec<IpAddr>)>,
}

impl Names {
    /// How others call this host.
    pub(super) fn own(&mut self, configured: &[String], is_contained: bool) -> BTreeSet<String> {
        if self.looked_at.is_none_or(|at| at.elapsed() > BELIEVED) {
            self.look(is_contained);
        }
        self.own.iter().cloned().chain(configured.iter().map(|name| name.to_lowercase())).collect()
    }

    fn look(&mut self, is_contained: bool) {
        self.looked_at = Some(Instant::now());
        let networks = Networks::new_with_refreshed_list().ok();
        let all = networks.iter().flat_map(|all| all.iter()).flat_map(|(name, network)| {
            let name = name.to_string_lossy();
            network.ip_networks().iter().map(move |ip| (name.clone(), ip.addr.to_canonical()))
        });
        let all: Vec<(Cow<'_, str>, IpAddr)> = all.collect();
        self.addresses = all.iter().map(|(_, ip)| *ip).collect();
        self.own.clear();
        if is_contained {
            // These are the container's, which nothing else is reached by.
            return;
        }
        let is_outer = |(name, ip): &&(Cow<'_, str>, IpAddr)| {
            !INNER.iter().any(|inner| name.starts_with(inner)) && !is_near(*ip)
        };
        self.own.extend(all.iter().filter(is_outer).map(|(_, ip)| ip.to_string()));
        self.own.extend(System::host_name().ok().map(|name| name.to_lowercase()));
    }

    /// Whether that is this host.
    pub(super) fn is_own(&self, host: &str) -> bool {
        let leads_here = |ip: &IpAddr| self.addresses.contains(ip);
        is_this_machine(host)
            || self.own.contains(host)
            || host.parse().is_ok_and(|ip| leads_here(&ip))
            || self.addresses(host).any(|ip| leads_here(&ip))
    }

    /// Where a name led when it was looked up.
    pub(super) fn addresses(&self, host: &str) -> impl Iterator<Item = IpAddr> {
        self.others.get(host).into_iter().flat_map(|(_, found)| found.iter().copied())
    }

    /// Looks up those of which nothing is known, or nothing new; forgets all others.
    pub(super) async fn look_up(&mut self, hosts: impl Iterator<Item = &str>, at_once: usize) {
        let hosts: BTreeSet<&str> = hosts.collect();
        self.others
            .retain(|host, (at, _)| hosts.contains(host.as_str()) && at.elapsed() < BELIEVED);
        let unknown = hosts.into_iter().filter(|host| !self.others.contains_key(*host));
        let unknown: Vec<String> =
            unknown.filter(|host| host.parse::<IpAddr>().is_err()).map(str::to_owned).collect();
        let looked_up = stream::iter(unknown).map(|host| async {
            let found = tokio::time::timeout(LIMIT, tokio::net::lookup_host((&*host, 0))).await;
            let found = found.ok().and_then(Result::ok).into_iter().flatten();
            let addresses = found.map(|at| at.ip().to_canonical()).collect();
            (host, (Instant::now(), addresses))
        });
        self.others.extend(looked_up.buffer_unordered(at_once).collect::<Vec<_>>().await);
    }
}

/// Whether an address leads to nobody else.
fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified(),
    }
}
