//! What the settings of the sign of life must be.

use std::time::Duration;

use super::Check;
use super::alerts::address;
use crate::config::heartbeat::Heartbeat;

/// Notes every fault.
pub(super) fn faults(heartbeat: &Heartbeat, check: &mut Check<'_>) {
    let (least, most) = (Duration::from_secs(5), Duration::from_hours(1));
    check.between("heartbeat.every", heartbeat.every, least, most);
    match (&heartbeat.url, &heartbeat.url_file) {
        (Some(_), Some(_)) => {
            check.wrong("heartbeat.url", "`url` and `url_file` are both given; keep one");
        }
        (Some(url), None) => address("heartbeat.url", url.expose(), check),
        _ => {}
    }
}

/// Notes what is wrong with an address that was read from a file.
pub(super) fn faults_in_files(heartbeat: &Heartbeat, check: &mut Check<'_>) {
    if let (Some(url), Some(_)) = (&heartbeat.url, &heartbeat.url_file) {
        address("heartbeat.url_file", url.expose(), check);
    }
}
