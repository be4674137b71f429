//! Where a line about the host or about the Docker engine really comes from.
//!
//! The kernel and systemd write no container's log: what stands there of them was passed on by
//! a program that reads the host's log, in a form that names who wrote it, or it was quoted,
//! perhaps on a stranger's wish. Only the first counts. Likewise only a program that works
//! with the Docker engine is told something by it. Where it is not sure, it does not count.

use std::sync::LazyLock;

use regex::Regex;

use super::catalogue::Match;
use crate::model::{ContainerFacts, Side, TargetKind};

/// How a line begins that the kernel or a service of the host wrote, as dmesg, the journal,
/// syslog and the audit system pass it on: at most a priority, a time and a host before.
static PASSED_ON: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^(?:<\d{1,3}>(?:1 )?)?",
        r"(?:(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*) \S{1,64} )?",
        r"(?:(?:kernel|systemd(?:-\w{1,20})?|auditd?|rsyslogd|mdadm|smartd)(?:\[\d{1,8}\])?: ",
        r"|\[ *\d{1,9}\.\d{1,9}\] |\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\] ",
        r"|type=[A-Z_]{1,24} msg=audit\(|\d{1,3},\d{1,12},\d{1,15},[-+c](?:,[^;]{0,80})?;)",
    ))
    .expect("the pattern is constant and tested")
});
/// The same in JSON, as collectors write what the journal or syslog gave them.
static FIELD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r#"(?i)^\{.*"(?:syslog_identifier|_transport|_comm|appname|app_name|ident|identifier|program|programname)""#,
        r#"\s*:\s*"(?:kernel|systemd(?:-\w{1,20})?|auditd?)""#,
    ))
    .expect("the pattern is constant and tested")
});

/// Folders and devices of the host from which its log is read.
const LOGS_OF_THE_HOST: [&str; 7] =
    ["/var/log", "/run/log", "/run/systemd", "/dev/kmsg", "/proc/kmsg", "/dev/log", "/run/journal"];
/// Ports on which syslog is received.
const SYSLOG_PORTS: [u16; 3] = [514, 601, 6514];
/// Where the Docker engine listens.
const ENGINE: [&str; 3] = ["/var/run/docker.sock", "/run/docker.sock", "/run/containerd"];

/// Whether what `line` says in the words of `found` was told by those it speaks of.
pub(super) fn is_first_hand(line: &str, found: &Match<'_>, of: Option<&ContainerFacts>) -> bool {
    let applies = &found.runbook.applies;
    if applies.kinds.first() == Some(&TargetKind::Host) {
        return of.is_some_and(hears_the_host) && is_passed_on(line);
    }
    let of_engine = found.runbook.technology == "docker" && applies.kinds.is_empty();
    !of_engine || found.side() == Side::Client || of.is_some_and(works_with_the_engine)
}

/// Whether a line has the form in which the host's log is passed on.
fn is_passed_on(line: &str) -> bool {
    PASSED_ON.is_match(line) || FIELD.is_match(line)
}

fn hears_the_host(facts: &ContainerFacts) -> bool {
    let is_log = |source: &str| {
        source == "/"
            || source == "/var"
            || LOGS_OF_THE_HOST.iter().any(|log| source.starts_with(log))
    };
    facts.mounts.iter().any(|mount| mount.bind && is_log(&mount.source))
        || facts.exposed_ports.iter().any(|port| SYSLOG_PORTS.contains(port))
}

fn works_with_the_engine(facts: &ContainerFacts) -> bool {
    let is_engine = |source: &str| ENGINE.iter().any(|path| source.starts_with(path));
    facts.mounts.iter().any(|mount| mount.bind && is_engine(&mount.source))
        || facts.environment.contains_key("DOCKER_HOST")
        || facts.image.contains("docker")
        || facts.image.contains("dind")
        || hears_the_host(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_wrote_is_known_by_how_its_line_begins() {
        for line in [
            "kernel: Out of memory: Killed process 812",
            "[13693.265491] Out of memory: Killed process 812",
            "[    3.1] Out of memory",
            "<3>[   12.401] Out of memory",
            "[Sat Nov 21 04:31:02 2026] Out of memory",
            "Nov 21 04:31:02 nas kernel: [12.4] Out of memory",
            "Nov  1 04:31:02 nas systemd[1]: app.service: Failed with result 'exit-code'.",
            "2026-11-21T04:31:02.123456+00:00 nas systemd-journald[312]: Journal started",
            "<4>1 2026-11-21T04:31:02Z nas kernel: Out of memory",
            "type=AVC msg=audit(1795246483.268:412): avc:  denied",
            "3,1204,12345678,-;Out of memory: Killed process 812",
            r#"{"MESSAGE":"Out of memory","SYSLOG_IDENTIFIER":"kernel"}"#,
            r#"{"appname":"systemd","message":"x.service: Failed"}"#,
        ] {
            assert!(is_passed_on(line), "{line}");
        }
    }

    #[test]
    fn what_a_program_quotes_is_not_the_hosts() {
        for line in [
            "Out of memory: Killed process 812 (postgres)",
            "ERROR ticket 12: kernel: Out of memory: Killed process 812",
            "user wrote: [13693.265491] Out of memory",
            "2026-11-21 04:31:02 INFO subject=kernel: Out of memory",
            "fails.service: Main process exited, code=exited, status=3/NOTIMPLEMENTED",
            r#"{"msg":"the \"program\": \"kernel\" says out of memory"}"#,
            r#"say {"program":"kernel"}"#,
            "",
        ] {
            assert!(!is_passed_on(line), "{line}");
        }
    }
}
