//! By which names and addresses hosts are called: this one by others, others by what runs here.

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
/// How long all that is new is looked up at once, ...
const BUDGET: Duration = Duration::from_secs(4);
/// ... so many names at the same time.
const AT_ONCE: usize = 16;
/// How networks within a host are called: their addresses lead to no host but this one, and every host
/// has the same.
const INNER: [&str; 14] = [
    "docker",
    "veth",
    "virbr",
    "cni",
    "flannel",
    "podman",
    "lo",
    "lxdbr",
    "lxcbr",
    "vboxnet",
    "vmnet",
    "kube-",
    "cali",
    "nodelocaldns",
];

/// What is known of names.
#[derive(Default)]
pub(super) struct Names {
    looked_at: Option<Instant>,
    /// This host's, by which others reach it.
    own: BTreeSet<String>,
    /// The same as the settings say.
    configured: BTreeSet<String>,
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
        self.configured = configured.iter().map(|name| name.to_lowercase()).collect();
        self.own.union(&self.configured).cloned().collect()
    }

    fn look(&mut self, is_contained: bool) {
        self.looked_at = Some(Instant::now());
        let networks = Networks::new_with_refreshed_list().ok();
        let mut all: Vec<(String, IpAddr)> = vec![];
        for (name, network) in networks.iter().flat_map(|all| all.iter()) {
            let name = name.to_string_lossy().into_owned();
            let addresses = network.ip_networks().iter().map(|ip| ip.addr.to_canonical());
            all.extend(addresses.map(|ip| (name.clone(), ip)));
        }
        self.addresses = all.iter().map(|(_, ip)| *ip).collect();
        self.own.clear();
        if is_contained {
            // These are the container's, which nothing else is reached by.
            return;
        }
        let outer = all.iter().filter(|(name, ip)| !is_inner(name) && !is_near(*ip));
        self.own.extend(outer.map(|(_, ip)| ip.to_string()));
        self.own.extend(System::host_name().ok().map(|name| name.to_lowercase()));
    }

    /// Whether that is this host.
    pub(super) fn is_own(&self, host: &str) -> bool {
        let leads_here = |ip: &IpAddr| self.addresses.contains(ip);
        is_this_machine(host)
            || self.own.contains(host)
            || self.configured.contains(host)
            || host.parse().is_ok_and(|ip| leads_here(&ip))
            || self.addresses(host).any(|ip| leads_here(&ip))
    }

    /// Where a name led when it was looked up.
    pub(super) fn addresses(&self, host: &str) -> impl Iterator<Item = IpAddr> {
        self.others.get(host).into_iter().flat_map(|(_, found)| found.iter().copied())
    }

    /// Looks up those of which nothing is known, or nothing new; forgets all others. What it has no
    /// time for is looked up the next time, and where nobody answers the last answer stands.
    pub(super) async fn look_up(&mut self, hosts: &BTreeSet<&str>) {
        self.others.retain(|host, _| hosts.contains(host.as_str()));
        let is_new = |host: &str| {
            self.others.get(host).is_none_or(|(at, _)| at.elapsed() >= BELIEVED)
                && host.parse::<IpAddr>().is_err()
        };
        let new = hosts.iter().filter(|host| is_new(host)).map(|host| (*host).to_owned());
        let new: Vec<String> = new.collect();
        if new.is_empty() {
            return;
        }
        let looked_up = stream::iter(new).map(|host| async {
            let found = tokio::time::timeout(LIMIT, tokio::net::lookup_host((&*host, 0))).await;
            let found = found.ok().and_then(Result::ok).into_iter().flatten();
            let addresses: Vec<IpAddr> = found.map(|at| at.ip().to_canonical()).collect();
            (host, addresses)
        });
        let in_time = looked_up.buffer_unordered(AT_ONCE);
        let in_time = in_time.take_until(Box::pin(tokio::time::sleep(BUDGET)));
        for (host, addresses) in in_time.collect::<Vec<_>>().await {
            let known = self.others.entry(host).or_insert_with(|| (Instant::now(), vec![]));
            known.0 = Instant::now();
            if !addresses.is_empty() {
                known.1 = addresses;
            }
        }
    }
}

/// Whether that is a network within this host. A bridge of Docker's is called `br-` with twelve digits,
/// one that leads outside `br-lan` or the like.
fn is_inner(name: &str) -> bool {
    let is_id = |id: &str| id.len() == 12 && id.chars().all(|c| c.is_ascii_hexdigit());
    INNER.iter().any(|inner| name.starts_with(inner)) || name.strip_prefix("br-").is_some_and(is_id)
}

/// Whether an address leads to nobody else.
fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_within_the_host_are_told_from_those_that_lead_outside() {
        for inner in ["docker0", "br-0123456789ab", "veth12", "lo"] {
            assert!(is_inner(inner), "{inner}");
        }
        for outer in ["eth0", "br-lan", "br0", "wlan0", "enp3s0", "tailscale0"] {
            assert!(!is_inner(outer), "{outer}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_here_is_this_host_and_the_last_answer_stands() {
        let mut names = Names::default();
        let own = names.own(&["NAS.lan".to_owned()], true);
        assert_eq!(own, BTreeSet::from(["nas.lan".to_owned()]));
        names.look_up(&BTreeSet::from(["localhost", "no-such-host.invalid"])).await;
        assert!(names.is_own("localhost") && names.is_own("nas.lan"));
        assert!(!names.is_own("no-such-host.invalid") && !names.is_own("192.0.2.7"));
        let known = vec!["192.0.2.9".parse().unwrap()];
        let long_ago = Instant::now().checked_sub(2 * BELIEVED).unwrap();
        names.others.insert("no-such-host.invalid".to_owned(), (long_ago, known.clone()));
        names.look_up(&BTreeSet::from(["no-such-host.invalid"])).await;
        assert_eq!(names.addresses("no-such-host.invalid").collect::<Vec<_>>(), known);
    }
}
