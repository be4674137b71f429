//! Engines through SSH: a real server of OpenSSH on a port of its own, with keys made for the test.
//!
//! What answers behind it here speaks as little of Docker's API as it takes; `lab::engines` heals a
//! real container by the same way.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::access::Site;
use crate::support::{ask, free_port, until};

const LIMIT: Duration = Duration::from_mins(1);
const SERVER: &str = "/usr/sbin/sshd";

/// A server that lets the user in who runs the tests, by one key.
pub(crate) struct Sshd {
    process: Child,
    folder: TempDir,
    port: u16,
}

impl Sshd {
    /// Starts it. `None` where the program is missing, with a word about it; in CI that is a failure.
    pub(crate) fn start() -> Result<Option<Self>> {
        Self::start_with("PasswordAuthentication no\n")
    }

    fn start_with(settings: &str) -> Result<Option<Self>> {
        if !Path::new(SERVER).is_file() {
            ensure!(std::env::var_os("CI").is_none(), "{SERVER} is missing; CI must test it");
            std::io::stderr().write_all(b"SKIPPED: openssh-server is not installed\n")?;
            return Ok(None);
        }
        let (folder, port) = (TempDir::new()?, free_port()?);
        let at = |file: &str| folder.path().join(file);
        for key in ["host", "client", "stranger"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(at(key));
            ensure!(keygen.status()?.success(), "ssh-keygen made no key");
        }
        let known = format!("[127.0.0.1]:{port} {}", std::fs::read_to_string(at("host.pub"))?);
        std::fs::write(at("known_hosts"), known)?;
        let settings = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\n\
             PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\n\
             {settings}",
            at("host").display(),
            at("client.pub").display(),
        );
        std::fs::write(at("sshd_config"), settings)?;
        if user()? == "root" {
            // Where it shuts its unprivileged half in.
            std::fs::create_dir_all("/run/sshd")?;
        }
        let log = std::fs::File::create(at("log"))?;
        let mut command = Command::new(SERVER);
        command.args(["-D", "-e", "-f"]).arg(at("sshd_config")).stdin(Stdio::null());
        let process = command.stdout(Stdio::null()).stderr(log).spawn()?;
        let server = Self { process, folder, port };
        until("the SSH server answers", LIMIT, || {
            Ok(TcpStream::connect(("127.0.0.1", port)).map(drop)?)
        })
        .with_context(|| server.log())?;
        Ok(Some(server))
    }

    /// The settings of an engine that listens at `socket` behind it.
    pub(crate) fn settings(&self, name: &str, socket: &Path) -> Result<String> {
        self.settings_with(name, socket, "client", "known_hosts")
    }

    fn settings_with(&self, name: &str, socket: &Path, key: &str, known: &str) -> Result<String> {
        let at = |file: &str| self.folder.path().join(file).display().to_string();
        Ok(format!(
            "[[docker.engine]]\nname = \"{name}\"\nhost = \"ssh://{}@127.0.0.1:{}{}\"\n\
             identity_file = \"{}\"\nknown_hosts_file = \"{}\"\n",
            user()?,
            self.port,
            socket.display(),
            at(key),
            at(known)
        ))
    }

    /// What a person writes of it into settings of OpenSSH, where it is to be called so.
    fn of_user(&self, name: &str, key: &str) -> String {
        let at = |file: &str| self.folder.path().join(file).display().to_string();
        let (port, key, known) = (self.port, at(key), at("known_hosts"));
        format!(
            "Host {name}\nHostName 127.0.0.1\nPort {port}\nIdentityFile {key}\n\
             IdentitiesOnly yes\nUserKnownHostsFile {known}\n"
        )
    }

    /// The process ids of all that was started to get to it, by their command lines.
    fn clients(&self, program: &str) -> Result<Vec<String>> {
        let mark = format!("IdentityFile=\"{}", self.folder.path().display());
        let mut found = vec![];
        for process in std::fs::read_dir("/proc")?.flatten() {
            let line = std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
            if line.starts_with(program) && line.contains(&mark) {
                found.push(process.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(found)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn user() -> Result<String> {
    let name = Command::new("id").arg("-un").output()?.stdout;
    Ok(String::from_utf8(name)?.trim().to_owned())
}

/// Answers as an engine that holds nothing, as long as anybody asks, where a site's own one is.
fn empty_engine(site: &Site) -> Result<PathBuf> {
    let socket = site.folder.path().join("none.sock");
    let listener = UnixListener::bind(&socket)?;
    std::thread::spawn(move || {
        for mut peer in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut asked = [0; 4096];
                let Ok(length) = peer.read(&mut asked) else { return };
                let asked = String::from_utf8_lossy(&asked[..length]);
                let body = if asked.starts_with("GET /containers/json") {
                    "[]"
                } else {
                    r#"{"Version": "28.0", "ApiVersion": "1.48"}"#
                };
                let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length:";
                let _ = write!(peer, "{head} {}\r\n\r\n{body}", body.len());
            });
        }
    });
    Ok(socket)
}

/// Settings of OpenSSH for whoever runs the site's Selfheal. OpenSSH takes the user's home from the
/// system alone; so a program of its name makes it read a file of the site's instead.
fn settings_of_user(site: &Site, settings: &str) -> Result<()> {
    let (file, bin) = (site.folder.path().join("users"), site.folder.path().join("bin"));
    std::fs::write(&file, settings)?;
    std::fs::create_dir(&bin)?;
    let (ssh, file) = (bin.join("ssh"), file.display());
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = -F ] || set -- -F '{file}' \"$@\"\n\
         [ \"$2\" = none ] || sed -i 's,~/.ssh/config,{file},' \"$2\"\nexec /usr/bin/ssh \"$@\"\n"
    );
    std::fs::write(&ssh, script)?;
    Ok(std::fs::set_permissions(&ssh, Permissions::from_mode(0o755))?)
}

fn add(site: &Site, settings: &str) -> Result<()> {
    let mut file =
        std::fs::File::options().append(true).open(site.folder.path().join("selfheal.toml"))?;
    Ok(file.write_all(settings.as_bytes())?)
}

/// What `doctor --json` says of an engine.
fn seen_of(engine: &str, out: &str) -> Option<String> {
    let (lines, begin) = (serde_json::from_str::<Value>(out).ok()?, format!("engine `{engine}`"));
    let mut seen = lines.as_array()?.iter().filter_map(|line| line["seen"].as_str());
    seen.find(|seen| seen.starts_with(&begin)).map(str::to_owned)
}

#[test]
fn doctor_says_what_to_type_where_ssh_does_not_get_through_and_leaves_no_client_behind()
-> Result<()> {
    let Some(server) = Sshd::start()? else { return Ok(()) };
    let site = Site::new("listen = \"127.0.0.1:PORT\"\n")?;
    let socket = empty_engine(&site)?;
    add(&site, &server.settings("good", &socket)?)?;
    add(&site, &server.settings_with("new", &socket, "client", "none")?)?;
    add(&site, &server.settings_with("shut", &socket, "stranger", "known_hosts")?)?;
    add(&site, &server.settings("deep", Path::new("/nowhere/at/all.sock"))?)?;
    let (_, out, err) = site.said(&["doctor", "--json"], None)?;
    for (engine, expected) in [
        ("good", "Docker 28.0"),
        ("new", "its host key is not known here"),
        ("new", "none\"' -l"),
        ("shut", "authorized_keys"),
        ("deep", "no further than to /nowhere/at/all.sock"),
    ] {
        let seen = seen_of(engine, &out).with_context(|| format!("{engine}: {out}{err}"))?;
        ensure!(seen.contains(expected), "{engine}: {seen}");
    }
    until("no client is left", LIMIT, || {
        let left = [server.clients("ssh")?, server.clients("sh\0")?].concat();
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
}

#[test]
fn a_client_that_is_killed_is_begun_anew_and_none_outlives_a_selfheal_that_is_killed() -> Result<()>
{
    let Some(server) = Sshd::start()? else { return Ok(()) };
    let site = Site::new("listen = \"127.0.0.1:PORT\"\n")?;
    let socket = empty_engine(&site)?;
    add(&site, "[[docker.engine]]\nname = \"off\"\nhost = \"unix:///nowhere/at/all.sock\"\n")?;
    add(&site, &server.settings("far", &socket)?)?;
    let daemon = site.run()?;
    until("the engine is seen", LIMIT, || {
        let status = ask("GET", site.port, "/api/monitoring/status", "")?.body;
        ensure!(status.contains("engine `off`") && !status.contains("engine `far`"), "{status}");
        Ok(())
    })?;
    let client = server.clients("ssh\0")?.pop().context("no client is at work")?;
    ensure!(!ways(&site)?.is_empty(), "its socket lies in no folder of its own");
    ensure!(Command::new("kill").args(["-9", &client]).status()?.success());
    until("another is", LIMIT, || {
        let now = server.clients("ssh\0")?;
        ensure!(now.len() == 1 && now[0] != client, "{client}, then {now:?}");
        Ok(())
    })?;
    // Nobody can ask it for anything any more: it is killed.
    drop(daemon);
    until("nothing is left of it", LIMIT, || {
        let left = [server.clients("ssh\0")?, server.clients("sh\0")?, ways(&site)?].concat();
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
}

/// The folders that hold sockets of clients.
fn ways(site: &Site) -> Result<Vec<String>> {
    let all = std::fs::read_dir(site.folder.path())?.flatten();
    let names = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.filter(|name| name.starts_with("selfheal-ssh-")).collect())
}

#[test]
fn forwards_of_the_users_own_neither_shut_the_way_nor_are_they_opened() -> Result<()> {
    let Some(server) = Sshd::start()? else { return Ok(()) };
    let site = Site::new("listen = \"127.0.0.1:PORT\"\n")?;
    let socket = empty_engine(&site)?;
    let (taken, free) = (TcpListener::bind("127.0.0.1:0")?, free_port()?);
    settings_of_user(
        &site,
        &format!(
            "IgnoreUnknown UseKeychain\nUseKeychain yes\nLocalForward {} 127.0.0.1:9\n\
             DynamicForward 127.0.0.1:{free}\n",
            taken.local_addr()?
        ),
    )?;
    add(&site, "[[docker.engine]]\nname = \"off\"\nhost = \"unix:///nowhere/at/all.sock\"\n")?;
    add(&site, &server.settings("far", &socket)?)?;
    let _daemon = site.run()?;
    until("the engine is seen", LIMIT, || {
        let status = ask("GET", site.port, "/api/monitoring/status", "")?.body;
        ensure!(status.contains("engine `off`") && !status.contains("engine `far`"), "{status}");
        Ok(())
    })?;
    ensure!(!server.clients("/usr/bin/ssh\0")?.is_empty(), "no client is at work");
    ensure!(TcpStream::connect(("127.0.0.1", free)).is_err(), "the user's forward is open");
    Ok(())
}

#[test]
fn a_host_to_jump_over_is_let_through_by_keys_and_asked_with_no_password() -> Result<()> {
    let Some(server) = Sshd::start()? else { return Ok(()) };
    let jump = Sshd::start_with("PasswordAuthentication yes\n")?.context("no second server")?;
    let site = Site::new("listen = \"127.0.0.1:PORT\"\n")?;
    let socket = empty_engine(&site)?.display().to_string();
    let hosts = [
        jump.of_user("gate", "client"),
        jump.of_user("wall", "stranger"),
        server.of_user("open", "client") + "ProxyJump gate\n",
        server.of_user("shut", "client") + "ProxyJump wall\n",
    ];
    settings_of_user(&site, &hosts.concat())?;
    for engine in ["open", "shut"] {
        let host = format!("host = \"ssh://{engine}{socket}\"");
        add(&site, &format!("[[docker.engine]]\nname = \"{engine}\"\n{host}\n"))?;
    }
    let (_, out, err) = site.said(&["doctor", "--json"], None)?;
    for (engine, expected) in [("open", "Docker 28.0"), ("shut", "@127.0.0.1: Permission denied")] {
        let seen = seen_of(engine, &out).with_context(|| format!("{engine}: {out}{err}"))?;
        ensure!(seen.contains(expected), "{engine}: {seen}");
    }
    let tried = jump.log();
    ensure!(tried.contains("127.0.0.1") && !tried.contains("Failed password"), "{tried}");
    Ok(())
}
