//! What the settings of a fleet must be.

use std::time::Duration;

use super::Check;
use crate::config::settings::Settings;

/// A shorter lease would be lost to any slow answer, a longer one leaves targets alone for long.
const LEASE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(1));

/// Notes every fault.
pub(super) fn faults(settings: &Settings, check: &mut Check<'_>) {
    let fleet = &settings.fleet;
    check.between("fleet.lease", fleet.lease, LEASE.0, LEASE.1);
    if !fleet.is_on() {
        return;
    }
    if fleet.node == "fleet" || !fleet.node.contains(|c: char| c.is_ascii_alphanumeric()) {
        let what =
            "write a name with a letter or a digit in it, such as the host's, and not `fleet`";
        check.wrong("fleet.node", what);
    }
    for (nth, host) in fleet.hosts.iter().enumerate() {
        let is_plain = |c: char| c.is_alphanumeric() || "-_.:".contains(c);
        if host.is_empty() || !host.chars().all(is_plain) {
            let what = "write a name or an address alone, such as `nas.lan`, without port or path";
            check.wrong(&format!("fleet.hosts[{nth}]"), what);
        }
    }
    if settings.store.url.is_empty() && settings.store.url_file.is_none() {
        check.wrong("fleet.node", "nodes meet in a PostgreSQL database: name it in `store.url`");
    }
}
