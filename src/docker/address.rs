//! Where Docker listens: the settings and the connection understand the same addresses.

use std::path::PathBuf;

use hyper::Uri;
use selfheal_agents::model::clean;

use super::ssh::Ssh;

/// Docker's port where an address names none.
const DEFAULT_PORT: u16 = 2375;
/// And where it speaks TLS.
const ENCRYPTED_PORT: u16 = 2376;

/// Where Docker listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// Host and port, without encryption.
    Tcp {
        /// A name or an IP address.
        host: String,
        /// The port.
        port: u16,
    },
    /// A socket of another host, through SSH.
    Ssh(Ssh),
}

/// Why a text is no address of a Docker engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no address of a Docker engine that can be asked: {why}; write \
     `unix:///var/run/docker.sock`, `tcp://HOST:{DEFAULT_PORT}` or, under `[[docker.engine]]`, \
     `ssh://USER@HOST`"
)]
pub struct InvalidAddress {
    text: String,
    why: &'static str,
}

impl Address {
    /// Understands `unix:///path`, a bare `/path`, `tcp://host:port`, `http://host:port` and
    /// `ssh://user@host:port`.
    pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
        let refuse = |why| InvalidAddress { text: clean(text, 120), why };
        let text = text.trim();
        let path = text.strip_prefix("unix://").unwrap_or(text);
        if path.starts_with('/') && path.len() > 1 {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        if text.starts_with("unix:") {
            return Err(refuse("it has no absolute path of a socket"));
        }
        if text.starts_with("https://") {
            return Err(refuse("encrypted connections are not available"));
        }
        if text.starts_with("ssh://") {
            return Ssh::parse(text).map(Self::Ssh).map_err(refuse);
        }
        let Some(rest) = text.strip_prefix("tcp://").or_else(|| text.strip_prefix("http://"))
        else {
            return Err(refuse("it is neither a socket nor an address by TCP or SSH"));
        };
        Self::tcp(rest, DEFAULT_PORT, refuse)
    }

    /// As [`Self::parse`] of the engine of this host, which SSH does not lead to: what belongs to it
    /// is looked for here.
    pub fn parse_own(text: &str) -> Result<Self, InvalidAddress> {
        match Self::parse(text)? {
            Self::Ssh(_) => Err(InvalidAddress {
                text: clean(text, 120),
                why: "SSH leads to another host, whose files, processes and addresses are not \
                      here; name it under `[[docker.engine]]`",
            }),
            address => Ok(address),
        }
    }
}

impl Address {
    /// As [`Self::parse`] of an engine that speaks TLS, which `https://` may say as well.
    pub fn parse_encrypted(text: &str) -> Result<Self, InvalidAddress> {
        let rest =
            text.trim().strip_prefix("https://").or_else(|| text.trim().strip_prefix("tcp://"));
        let refuse = |why| InvalidAddress { text: clean(text, 120), why };
        let rest = rest.ok_or_else(|| refuse("only `tcp://` and `https://` can be encrypted"))?;
        Self::tcp(rest, ENCRYPTED_PORT, refuse)
    }

    /// `HOST:PORT`.
    fn tcp(
        rest: &str,
        usual_port: u16,
        refuse: impl Fn(&'static str) -> InvalidAddress,
    ) -> Result<Self, InvalidAddress> {
        let authority = rest.trim_end_matches('/');
        let parsed: Uri = format!("http://{authority}/")
            .parse()
            .map_err(|_| refuse("it holds no host that can be read"))?;
        let host = parsed.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| refuse("it names no host"))?.to_owned();
        if parsed.path() != "/" {
            return Err(refuse("it must end after the port"));
        }
        Ok(Self::Tcp { host, port: parsed.port_u16().unwrap_or(usual_port) })
    }
}

impl Address {
    /// The host, where that is another machine. What leads to a loopback address may end anywhere,
    /// and what SSH calls a host, or reaches by a jump over another, nobody else need know.
    pub fn far_host(&self) -> Option<&str> {
        match self {
            Self::Unix(_) | Self::Ssh(_) => None,
            Self::Tcp { host, .. } => {
                Some(host.trim_matches(['[', ']'])).filter(|host| !is_this_machine(host))
            }
        }
    }
}

/// Whether what a host is called leads to this machine.
pub fn is_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let named = ["localhost", "ip6-localhost", "ip6-loopback"];
    let is_own = |ip: std::net::IpAddr| ip.to_canonical().is_loopback() || ip.is_unspecified();
    named.iter().any(|name| host.eq_ignore_ascii_case(name))
        || host.starts_with('/')
        || host.parse().is_ok_and(is_own)
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Ssh(ssh) => ssh.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_and_plain_addresses_are_understood() {
        let unix = |path: &str| Address::Unix(PathBuf::from(path));
        let tcp = |host: &str, port| Address::Tcp { host: host.to_owned(), port };
        for (text, address) in [
            ("unix:///var/run/docker.sock", unix("/var/run/docker.sock")),
            ("/run/d.sock", unix("/run/d.sock")),
            ("tcp://10.0.0.1:2376", tcp("10.0.0.1", 2376)),
            ("http://docker.lan/", tcp("docker.lan", 2375)),
            ("tcp://[::1]:99", tcp("[::1]", 99)),
        ] {
            assert_eq!(Address::parse(text).unwrap(), address, "{text}");
        }
    }

    #[test]
    fn an_engine_behind_a_loopback_address_is_on_no_host_that_is_known() {
        for (text, host) in [
            ("tcp://nas.lan:2376", Some("nas.lan")),
            ("tcp://[fd00::9]:2376", Some("fd00::9")),
            ("ssh://ops@nas", None),
            ("tcp://localhost.:2375", None),
            ("tcp://[::ffff:127.0.0.1]:2375", None),
            ("tcp://localhost:2375", None),
            ("unix:///run/nas.sock", None),
        ] {
            assert_eq!(Address::parse(text).unwrap().far_host(), host, "{text}");
        }
    }

    #[test]
    fn other_addresses_are_refused_with_an_example() {
        for text in [
            "",
            "ssh://",
            "https://host:2376",
            "unix://",
            "unix:///",
            "unix://relative.sock",
            "tcp://",
            "tcp://h:1/path",
            "host",
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains("unix:///var/run/docker.sock"), "{text}: {error}");
        }
        assert!(matches!(Address::parse("ssh://ops@nas"), Ok(Address::Ssh(_))));
        let own = Address::parse_own("ssh://ops@nas").unwrap_err().to_string();
        assert!(own.contains("name it under `[[docker.engine]]`"), "{own}");
    }
}
