//! An engine that is reached through SSH: where it is, and how OpenSSH's client is called for it.
//!
//! The invariant: nothing of an address or a file's name is taken for an option, a pattern or a
//! second word by the client, and it never asks anybody anything. Whom it believes and who it is
//! there is OpenSSH's own business: its settings, agent and known hosts are used as they are, and a
//! host that is not known is never accepted here.

mod place;
mod said;
mod tunnel;
mod words;

use std::fmt;
use std::path::PathBuf;

use url::{Host, Url};

use place::Place;
pub(super) use tunnel::Tunnel;

/// Where an engine listens on its own host, unless the address says otherwise.
const USUAL_SOCKET: &str = "/var/run/docker.sock";

/// A socket of another host, and the way there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// A name, an IP address, or what the client's own settings know by this name.
    pub host: String,
    user: Option<String>,
    port: Option<u16>,
    socket: String,
}

/// Who we are to the host, and whom we take it for, where the client's own settings are not to say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Login {
    key: Option<PathBuf>,
    known_hosts: Option<PathBuf>,
}

impl Ssh {
    /// Understands `ssh://[USER@]HOST[:PORT][/PATH/OF/THE/SOCKET]`.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| "it holds no host that can be read")?;
        if url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err("it must be `ssh://USER@HOST:PORT` and no more: SSH goes by keys");
        }
        let host = match url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => return Err("it names no host"),
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || "._-:".contains(c);
        let is_user = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
        if host.is_empty() || host.starts_with('-') || !host.chars().all(is_host) {
            return Err("it holds no host that can be read");
        }
        let user = Some(url.username()).filter(|user| !user.is_empty());
        if user.is_some_and(|user| user.starts_with('-') || !user.chars().all(is_user)) {
            return Err("it holds no user that can be read");
        }
        let socket = Some(url.path()).filter(|path| !matches!(*path, "" | "/"));
        let socket = socket.unwrap_or(USUAL_SOCKET);
        if !is_forwardable(socket) {
            return Err("a socket's path may hold letters, digits and `/._-` alone");
        }
        let (user, socket) = (user.map(str::to_owned), socket.to_owned());
        Ok(Self { host, user, port: url.port(), socket })
    }

    /// The words that log the client in, so that it waits to be asked for more by its socket.
    ///
    /// What is forwarded by the user's own settings is none of Selfheal's: it would take ports away
    /// from the user, and where they are taken the way would be shut.
    fn words(&self, login: &Login, place: &Place) -> Vec<String> {
        let mut words: Vec<String> = ["ssh", "-F"].map(str::to_owned).into();
        words.extend([place.settings(), "-N".to_owned(), "-T".to_owned()]);
        let own = ["ClearAllForwardings=yes", "ControlMaster=yes"].map(str::to_owned);
        let own = own.into_iter().chain([format!("ControlPath={}", place.control())]);
        for option in own.chain(login.options()) {
            words.extend(["-o".to_owned(), option]);
        }
        words.extend(self.whereto());
        words
    }

    /// The words that have the client at work carry connections from a socket here to the engine's.
    /// All settings are that client's: read here, the user's forwards would be asked for as well.
    fn forward(&self, place: &Place) -> Vec<String> {
        let control = format!("ControlPath={}", place.control());
        let sockets = format!("{}:{}", place.socket(), self.socket);
        let words = ["-F", "none", "-o", &control, "-O", "forward", "-L", &sockets];
        words.into_iter().chain(["--", &self.host]).map(str::to_owned).collect()
    }

    fn whereto(&self) -> Vec<String> {
        let user = self.user.iter().flat_map(|user| ["-l".to_owned(), user.clone()]);
        let port = self.port.iter().flat_map(|port| ["-p".to_owned(), port.to_string()]);
        user.chain(port).chain(["--".to_owned(), self.host.clone()]).collect()
    }

    /// What a person types to be let in once, and to see what the client says.
    fn by_hand(&self, login: &Login) -> String {
        let options = login.options().into_iter().map(|option| format!("-o '{option}'"));
        let words = options.chain(self.whereto());
        format!("ssh {} true", words.collect::<Vec<_>>().join(" "))
    }

    /// Who is to be let in there.
    fn user(&self) -> String {
        self.user.as_ref().map_or_else(|| "the user".to_owned(), |user| format!("`{user}`"))
    }
}

/// What holds on the whole way: also for the clients that OpenSSH begins for hosts to jump over,
/// which are given this file and none of the options. The first word on anything counts, so the
/// user's own come last.
///
/// A prompt would wait for ever, a connection that is made to be shared would outlive Selfheal, and
/// a lost one is to be noticed within 20 s. A client that went into the background would outlive
/// Selfheal as well; older ones do not know that option, and what the user lets be ignored by a word
/// that does not count here is to be ignored too. `INFO` tells why a connection was not carried on,
/// and no more.
const SETTINGS: &str = "\
IgnoreUnknown *
ForkAfterAuthentication no
BatchMode yes
StrictHostKeyChecking yes
UpdateHostKeys no
ControlMaster no
ControlPersist no
ForwardAgent no
PermitLocalCommand no
ConnectTimeout 8
ServerAliveInterval 5
ServerAliveCountMax 3
LogLevel INFO
Include ~/.ssh/config
Include /etc/ssh/ssh_config
";

impl Login {
    /// With a private key and a file of known hosts of one's own.
    pub fn new(key: Option<PathBuf>, known_hosts: Option<PathBuf>) -> Result<Self, String> {
        for file in [&key, &known_hosts].into_iter().flatten() {
            let text = file.to_str().filter(|text| !text.is_empty());
            let is_plain = |c: char| !c.is_control() && !"\"'%$\\".contains(c);
            if !text.is_some_and(|text| text.chars().all(is_plain)) {
                let file = file.display();
                return Err(format!(
                    "`{file}`: OpenSSH would read more than a name in it; name a path without \
                     quotes, `%`, `$` and `\\`"
                ));
            }
        }
        Ok(Self { key, known_hosts })
    }

    fn options(&self) -> Vec<String> {
        let mut options = vec![];
        if let Some(key) = &self.key {
            // Others of the agent would use up the tries that the host allows.
            options.push(format!("IdentityFile=\"{}\"", key.display()));
            options.push("IdentitiesOnly=yes".to_owned());
        }
        if let Some(file) = &self.known_hosts {
            options.push(format!("UserKnownHostsFile=\"{}\"", file.display()));
        }
        options
    }
}

/// Whether the client takes it for a socket's path and nothing else: a colon would end it, `%` and
/// `$` begin a pattern.
fn is_forwardable(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    path.starts_with('/') && path.chars().all(plain)
}

impl fmt::Display for Ssh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ssh://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        if self.socket == USUAL_SOCKET { Ok(()) } else { f.write_str(&self.socket) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_written_alike() {
        for text in [
            "ssh://nas",
            "ssh://ops@nas.lan",
            "ssh://ops@10.0.0.9:2222",
            "ssh://[fd00::9]:22",
            "ssh://ops@nas/run/user/1000/docker.sock",
        ] {
            assert_eq!(Ssh::parse(text).unwrap().to_string(), text);
        }
        let usual = Ssh::parse("ssh://ops@NAS.lan/var/run/docker.sock").unwrap();
        assert_eq!(usual.to_string(), "ssh://ops@NAS.lan");
    }

    #[test]
    fn nothing_that_the_client_could_take_for_more_than_a_name_is_an_address() {
        for text in [
            "ssh://",
            "ssh://-oProxyCommand=x",
            "ssh://-oProxyCommand@nas",
            "ssh://ops:secret@nas",
            "ssh://nas/a:b",
            "ssh://nas/%h",
            "ssh://nas/${HOME}",
            "ssh://nas?x",
            "ssh://a b",
            "ssh://%6eas",
            "ssh://o%20ps@nas",
            "ssh://nas:99999",
        ] {
            assert!(Ssh::parse(text).is_err(), "{text}");
        }
        for path in ["", "a\"b", "%h/key", "$HOME/key"] {
            assert!(Login::new(Some(path.into()), None).is_err(), "{path}");
        }
    }

    #[test]
    fn the_client_is_called_with_the_host_last_and_asks_nobody() {
        let ssh = Ssh::parse("ssh://ops@nas:2222").unwrap();
        let login = Login::new(Some("/k y".into()), Some("/hosts".into())).unwrap();
        let place = Place::make().unwrap();
        let words = ssh.words(&login, &place);
        assert_eq!(words[words.len() - 6..], ["-l", "ops", "-p", "2222", "--", "nas"]);
        for option in ["ClearAllForwardings=yes", "IdentityFile=\"/k y\""] {
            assert!(words.iter().any(|word| word == option), "{option}: {words:?}");
        }
        let settings = std::fs::read_to_string(place.settings()).unwrap();
        let (own, users) = settings.split_once("Include").unwrap();
        assert!(own.contains("\nBatchMode yes\n") && !users.contains("BatchMode"), "{settings}");
    }
}
