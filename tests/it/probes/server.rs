//! Starts a real server on a free port and stops it at the end of the test.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::support::{free_port, until};

/// A server's first start on a busy machine.
const START: Duration = Duration::from_mins(1);

/// A running server with its data.
pub(crate) struct Server {
    process: Child,
    pub(crate) port: u16,
    pub(crate) folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Started in a process group of its own: its children go with it.
        let group = format!("-{}", self.process.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.process.wait();
    }
}

impl Server {
    /// Sends a signal to the server's whole process group.
    pub(crate) fn signal(&self, name: &str) {
        let group = format!("-{}", self.process.id());
        let sent = Command::new("kill").args(["-s", name, "--", &group]).status().unwrap();
        assert!(sent.success());
    }

    /// Redis with these settings, answering already.
    pub(crate) fn redis(settings: &[&str]) -> Option<Self> {
        Self::redis_on(free_port().unwrap(), settings)
    }

    /// The same on this port, as one that was there before comes back empty.
    pub(crate) fn redis_on(port: u16, settings: &[&str]) -> Option<Self> {
        let program = program("redis-server")?;
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"])
            .arg(folder.path())
            .args(settings);
        let server = Self::start(&mut command, port, folder);
        until("redis accepts", START, || {
            Ok(std::net::TcpStream::connect(("127.0.0.1", port)).map(drop)?)
        })
        .unwrap();
        Some(server)
    }

    /// PostgreSQL with the superuser `postgres` and these settings, answering already.
    pub(crate) fn postgres(settings: &[&str]) -> Option<Self> {
        Self::postgres_of(settings, |_| {})
    }

    /// The same as a standby: it replays what its `restore_command` brings, which is nothing, and
    /// stays in recovery until it is promoted.
    pub(crate) fn postgres_standby() -> Option<Self> {
        Self::postgres_of(&["restore_command=false"], |data| {
            std::fs::write(data.join("standby.signal"), "").unwrap();
        })
    }

    /// Ends the server at once, as a crash would; its data stays.
    pub(crate) fn stop_postgres(&mut self) {
        self.signal("KILL");
        let _ = self.process.wait();
    }

    /// Starts it again where it was.
    pub(crate) fn start_postgres_again(&mut self) {
        let data = self.folder.path().join("data");
        until("postgres is ready again", START, || {
            // As long as a session of the killed one has not noticed, it refuses to start.
            if self.process.try_wait()?.is_some() {
                let _ = std::fs::remove_file(data.join("postmaster.pid"));
                let again = serve_postgres(&data, self.port, self.folder.path(), &[]);
                self.process = again.context("postgres is not installed")?;
                std::thread::sleep(Duration::from_millis(100));
            }
            is_ready(self)
        })
        .unwrap();
    }

    fn postgres_of(settings: &[&str], prepare: impl FnOnce(&Path)) -> Option<Self> {
        let (initdb, _) = (program("initdb")?, program("postgres")?);
        let folder = tempfile::tempdir().unwrap();
        // The server refuses to run as root, so its own user must get in.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let data = folder.path().join("data");
        std::fs::write(folder.path().join("password"), "s3cret pass").unwrap();
        let made = as_postgres(&initdb)
            .args(["--username=postgres", "--auth=scram-sha-256", "--no-sync", "--pwfile"])
            .arg(folder.path().join("password"))
            .arg("-D")
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        prepare(&data);
        let port = free_port().unwrap();
        let process = serve_postgres(&data, port, folder.path(), settings)?;
        let server = Self { process, port, folder };
        until("postgres is ready", START, || is_ready(&server)).unwrap();
        Some(server)
    }

    /// MariaDB with these settings, answering already. `root` and `app` have the same password.
    pub(crate) fn mariadb(settings: &[&str]) -> Option<Self> {
        let (install, mariadbd) = (program("mariadb-install-db")?, program("mariadbd")?);
        let folder = tempfile::tempdir().unwrap();
        // The server gives up root's rights, and its own user must get in.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let data = format!("--datadir={}", folder.path().join("data").display());
        let common = ["--no-defaults", "--user=nobody", &data];
        let made = Command::new(install)
            .args(common)
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
            // Each server that starts empties its folder for temporary tables, whosever they are.
            .env("TMPDIR", folder.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let users = folder.path().join("users.sql");
        let word = "IDENTIFIED BY 's3cret pass'";
        let lines = [
            format!("CREATE OR REPLACE USER root@'127.0.0.1' {word}"),
            "GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION".to_owned(),
            format!("CREATE USER app@'127.0.0.1' {word}"),
            "CREATE DATABASE shop".to_owned(),
            "GRANT ALL ON shop.* TO app@'127.0.0.1'".to_owned(),
        ];
        std::fs::write(&users, lines.map(|line| line + ";\n").concat()).unwrap();
        let port = free_port().unwrap();
        let mut command = Command::new(mariadbd);
        command
            .args(common)
            .args(["--skip-name-resolve", "--bind-address=127.0.0.1", "--skip-log-bin"])
            .args(["--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0"])
            .arg(format!("--port={port}"))
            .arg(format!("--socket={}", folder.path().join("socket").display()))
            .arg(format!("--init-file={}", users.display()))
            .args(settings)
            .env("TMPDIR", folder.path());
        let server = Self::start(&mut command, port, folder);
        until("mariadb accepts", START, || {
            Ok(std::net::TcpStream::connect(("127.0.0.1", port)).map(drop)?)
        })
        .unwrap();
        Some(server)
    }

    fn start(command: &mut Command, port: u16, folder: TempDir) -> Self {
        Self { process: spawned(command, folder.path()), port, folder }
    }
}

/// The server's process on data that were made before.
fn serve_postgres(data: &Path, port: u16, folder: &Path, settings: &[&str]) -> Option<Child> {
    let mut command = as_postgres(&program("postgres")?);
    command.args(["-p", &port.to_string(), "-D"]).arg(data).arg("-k").arg(folder);
    for setting in [&["fsync=off", "listen_addresses=127.0.0.1"], settings].concat() {
        command.args(["-c", setting]);
    }
    Some(spawned(&mut command, folder))
}

fn spawned(command: &mut Command, folder: &Path) -> Child {
    use std::os::unix::process::CommandExt;
    command
        .process_group(0)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The last line of `postmaster.pid` says what the server does.
fn is_ready(server: &Server) -> Result<()> {
    let path = server.folder.path().join("data/postmaster.pid");
    let state = std::fs::read_to_string(&path).context("read postmaster.pid")?;
    if state.lines().nth(7).is_some_and(|line| matches!(line.trim(), "ready" | "standby")) {
        return Ok(());
    }
    bail!("not ready: {state}")
}

/// The program as a command of an unprivileged user.
fn as_postgres(program: &Path) -> Command {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|meta| {
        use std::os::unix::fs::MetadataExt;
        meta.uid() == 0
    });
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

/// Finds a server's program in the path or where Debian keeps PostgreSQL.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = std::env::split_paths(&path)
        .chain(versions.map(|version| version.path().join("bin")))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{name} is missing; CI must test it");
        let _ = writeln!(std::io::stderr(), "SKIPPED: {name} is not installed");
    }
    found
}
