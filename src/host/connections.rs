//! TCP connections of a container, read from `/proc/PID/net` of its first process.
//!
//! Invariant: it never tells of another process than the one asked for: the process has to be
//! in the container's own control group, or nothing is told. Bounded in what it reads. Where
//! Selfheal may not look (another user, another process namespace) that is an error, and
//! nobody's need is learnt from it.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use selfheal_agents::model::Connection;
use selfheal_agents::ports::{WorldError, WorldResult};

/// About 7,000 sockets; who has more is not worth the time.
const MOST_BYTES: u64 = 1024 * 1024;
/// States of a socket (`include/net/tcp_states.h` of Linux).
const ESTABLISHED: &str = "01";
const SYN_SENT: &str = "02";
const LISTEN: &str = "0A";

/// The connections that processes in the network of `pid` opened to others.
pub(super) fn opened_by(pid: u32, container_id: &str) -> WorldResult<Vec<Connection>> {
    let groups = read(pid, "cgroup")?;
    if container_id.is_empty() || !groups.contains(container_id) {
        return Err(WorldError::NotFound {
            what: format!("process {pid} of container {container_id} as seen from here"),
        });
    }
    let v4 = read(pid, "net/tcp")?;
    // A kernel without IPv6 has no such file.
    let v6 = match read(pid, "net/tcp6") {
        Err(WorldError::NotFound { .. }) => String::new(),
        text => text?,
    };
    Ok(outgoing(&[&v4, &v6]))
}

fn read(pid: u32, name: &str) -> WorldResult<String> {
    let path = format!("/proc/{pid}/{name}");
    let mut text = String::new();
    std::fs::File::open(&path)
        .and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text))
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => WorldError::NotFound { what: path.clone() },
            ErrorKind::PermissionDenied => WorldError::Denied {
                what: format!("reading {path}"),
                remedy:
                    "run Selfheal as root and with the host's processes in sight, or do without"
                        .to_owned(),
            },
            _ => WorldError::Unreachable { what: path.clone(), why: error.to_string() },
        })?;
    Ok(text)
}

/// What goes out: whose own port is one that is listened on came in. proc_net_tcp
/// (`Documentation/networking/proc_net_tcp.rst` of Linux) says what the columns are.
fn outgoing(tables: &[&str]) -> Vec<Connection> {
    let rows = || {
        tables.iter().flat_map(|table| table.lines().skip(1)).filter_map(|line| {
            let mut columns = line.split_whitespace().skip(1);
            let (local, remote) = (address(columns.next()?)?, address(columns.next()?)?);
            Some((local, remote, columns.next()?))
        })
    };
    let listening: BTreeSet<u16> =
        rows().filter(|(_, _, state)| *state == LISTEN).map(|(local, _, _)| local.port()).collect();
    let opened: BTreeSet<(SocketAddr, bool)> = rows()
        .filter(|(local, _, state)| {
            matches!(*state, ESTABLISHED | SYN_SENT) && !listening.contains(&local.port())
        })
        .filter(|(_, remote, _)| !remote.ip().is_loopback())
        .map(|(_, remote, state)| (remote, state == ESTABLISHED))
        .collect();
    opened.into_iter().map(|(to, established)| Connection { to, established }).collect()
}

/// `0100007F:1F90`: each 32 bits in the byte order of the machine, the port as it is read.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for part in 0..4 {
                bytes[part * 4..part * 4 + 4].copy_from_slice(&word(part * 8)?);
            }
            // An IPv4 peer of an IPv6 socket is written as one of IPv6.
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    const V4: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 020011AC:1F90 050011AC:C001 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
   2: 020011AC:D002 030011AC:1538 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 20 4 30 10 -1
   3: 020011AC:D003 040011AC:18EB 02 00000001:00000000 01:00000064 00000000     0        0 4 1 0 20 4 30 10 -1
   4: 0100007F:D004 0100007F:1F91 01 00000000:00000000 00:00000000 00000000     0        0 5 1 0 20 4 30 10 -1
   5: 020011AC:D005 060011AC:1538 06 00000000:00000000 00:00000000 00000000     0        0 6 1 0 20 4 30 10 -1
  broken line
";
    const V6: &str = "\
  sl  local_address                         remote_address                        st
   0: 0000000000000000FFFF0000020011AC:D006 0000000000000000FFFF0000070011AC:1538 01
   1: 000000000000000000000000FE800000:D007 B80D01200000000000000000010000FF:0050 01
";

    #[test]
    fn only_what_goes_out_to_others_is_told() {
        let told: Vec<String> = outgoing(&[V4, V6])
            .into_iter()
            .map(|c| format!("{} {}", c.to, if c.established { "open" } else { "waits" }))
            .collect();
        assert_eq!(
            told,
            [
                "172.17.0.3:5432 open",
                "172.17.0.4:6379 waits",
                "172.17.0.7:5432 open",
                "[2001:db8::ff00:1]:80 open",
            ]
        );
    }

    #[test]
    fn a_process_that_is_not_the_containers_own_is_never_told_of() {
        let other = opened_by(std::process::id(), "0123456789abcdef");
        assert!(matches!(other, Err(WorldError::NotFound { .. })), "{other:?}");
        assert!(opened_by(std::process::id(), "").is_err());
    }
}
