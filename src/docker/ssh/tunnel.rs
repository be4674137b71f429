//! Keeps OpenSSH's client at work: one call carries every connection to an engine.
//!
//! One login serves all, since each costs the far host more than what is asked through it, and a
//! host refuses whoever logs in too often. The client is begun at the first request and again, ever
//! later, whenever it ends. The invariant: it never outlives Selfheal, however that ends. A shell
//! between the two waits for the end of a pipe that only Selfheal holds, and then kills it. What is
//! asked while there is no way fails at once, with what the client said.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

use super::{Login, Ssh, is_forwardable, words};

/// The client tells by itself when it cannot connect; this is for a host that hangs later.
const OPENING_LIMIT: Duration = Duration::from_secs(20);
/// How often is looked whether the way is open.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The first pause before the client is begun again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long the client may take to say why it did not carry a connection on.
const LAST_WORD: Duration = Duration::from_secs(2);
/// What is remembered of what it said, in bytes: a host may say as much as it likes.
const LONGEST_TALK: usize = 4096;

/// A request to stop that goes to all of a service is Selfheal's alone to follow: it still needs the
/// way for what it is about to end. The folder is what a Selfheal that is killed leaves behind.
const GUARD: &str = r#"trap "" TERM HUP; folder=$1; shift; "$@" & exec 2>&-; read -r _
kill -9 "$!"; wait; rm -rf "$folder""#;

/// The way to one engine.
#[derive(Debug)]
pub(in crate::docker) struct Tunnel {
    ssh: Ssh,
    login: Login,
    kept: OnceLock<Kept>,
}

/// What is known of the client that is at work.
#[derive(Debug)]
struct Kept {
    state: watch::Receiver<State>,
    /// What it said since it was begun.
    said: watch::Receiver<String>,
    anew: Arc<Notify>,
    /// Ends with the last who wants the way, and the client with it.
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug, Clone)]
enum State {
    Opening,
    Open(PathBuf),
    Broken(String),
}

impl Tunnel {
    pub(in crate::docker) const fn new(ssh: Ssh, login: Login) -> Self {
        Self { ssh, login, kept: OnceLock::new() }
    }

    fn kept(&self) -> &Kept {
        self.kept.get_or_init(|| {
            let (state, is) = watch::channel(State::Opening);
            let (say, said) = watch::channel(String::new());
            let anew = Arc::<Notify>::default();
            let keeper = Keeper {
                ssh: self.ssh.clone(),
                login: self.login.clone(),
                state,
                say,
                anew: Arc::clone(&anew),
            };
            let task = AbortOnDropHandle::new(tokio::spawn(keeper.run()));
            Kept { state: is, said, anew, _task: task }
        })
    }

    /// Waits until the way is open, or fails with the reason why it is not.
    pub(in crate::docker) async fn opened(&self) -> io::Result<PathBuf> {
        let mut state = self.kept().state.clone();
        let is_known = |state: &State| !matches!(state, State::Opening);
        match state.wait_for(is_known).await.map(|state| state.clone()) {
            Ok(State::Open(socket)) => Ok(socket),
            Ok(State::Broken(why)) => Err(io::Error::other(why)),
            Ok(State::Opening) | Err(_) => Err(io::Error::other("Selfheal is ending")),
        }
    }

    /// A connection that ends at the engine, if it is let in there: that is seen by the first answer.
    pub(in crate::docker) async fn connect(&self) -> io::Result<UnixStream> {
        let socket = self.opened().await?;
        UnixStream::connect(&socket).await.map_err(|error| {
            // Somebody took the socket away, or the client hangs in its end.
            self.kept().anew.notify_one();
            io::Error::other(format!("the way through SSH is lost ({error}); it is begun anew"))
        })
    }

    /// What the client says from now on.
    pub(in crate::docker) fn listen(&self) -> Talk<'_> {
        let mut said = self.kept().said.clone();
        said.mark_unchanged();
        Talk { said, tunnel: self }
    }
}

/// What the client says while something is asked through it.
pub(in crate::docker) struct Talk<'a> {
    said: watch::Receiver<String>,
    tunnel: &'a Tunnel,
}

impl Talk<'_> {
    /// Why a connection broke off, if it was the client's doing.
    pub(in crate::docker) async fn last_word(mut self) -> Option<io::Error> {
        let heard = tokio::time::timeout(LAST_WORD, self.said.changed()).await;
        heard.ok()?.ok()?;
        let said = self.said.borrow().clone();
        let why = words::explained(&said, &self.tunnel.ssh, &self.tunnel.login);
        Some(io::Error::other(why))
    }
}

/// Begins the client, again and again.
struct Keeper {
    ssh: Ssh,
    login: Login,
    state: watch::Sender<State>,
    say: watch::Sender<String>,
    anew: Arc<Notify>,
}

impl Keeper {
    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            self.say.send_replace(String::new());
            let why = self.once().await.unwrap_or_else(|error| {
                format!("OpenSSH's client cannot be begun: {error}; `ssh` and `sh` are needed here")
            });
            if matches!(*self.state.borrow(), State::Open(_)) {
                pause = FIRST_PAUSE;
            }
            tracing::debug!(engine = %self.ssh, why, "there is no way through SSH");
            self.state.send_replace(State::Broken(why));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            self.state.send_replace(State::Opening);
        }
    }

    /// Begins it and answers why it ended.
    async fn once(&self) -> io::Result<String> {
        let folder = private_folder()?;
        let socket = folder.path().join("docker.sock");
        if !socket.to_str().is_some_and(is_forwardable) {
            let path = socket.display();
            let why = format!("it cannot listen at {path}; set TMPDIR to a plain path");
            return Err(io::Error::other(why));
        }
        // Dropped, it lets go of the pipe, and the client is killed.
        let mut client = guarded(folder.path(), &self.ssh.words(&self.login, &socket))?;
        let opened = async {
            let opening = tokio::time::timeout(OPENING_LIMIT, takes_connections(&socket)).await;
            if opening.is_ok() {
                tracing::info!(engine = %self.ssh, "the way through SSH is open");
                // Who complained of the one before means that one.
                drop(tokio::time::timeout(Duration::ZERO, self.anew.notified()).await);
                self.state.send_replace(State::Open(socket.clone()));
                self.anew.notified().await;
            }
        };
        tokio::select! {
            () = self.hear(&mut client) => {}
            () = opened => {}
        }
        let said = self.say.borrow().clone();
        Ok(words::explained(&said, &self.ssh, &self.login))
    }

    /// Takes in what the client says, to its end.
    async fn hear(&self, client: &mut Child) {
        let Some(mut pipe) = client.stderr.take() else { return };
        let (mut talk, mut read) = (vec![], [0; 512]);
        while let Ok(length @ 1..) = pipe.read(&mut read).await {
            talk.extend_from_slice(&read[..length]);
            let old = talk.len().saturating_sub(LONGEST_TALK);
            talk.drain(..old);
            self.say.send_replace(String::from_utf8_lossy(&talk).into_owned());
        }
    }
}

/// A new folder that nobody else looks into, at a place whose path is short enough for a socket.
fn private_folder() -> io::Result<TempDir> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let place = runtime.filter(|folder| folder.is_dir()).unwrap_or_else(std::env::temp_dir);
    let own_alone = Permissions::from_mode(0o700);
    tempfile::Builder::new().prefix("selfheal-ssh-").permissions(own_alone).tempdir_in(place)
}

fn guarded(folder: &Path, words: &[String]) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", GUARD, "sh"])
        .arg(folder)
        .args(words)
        // What the client says is looked through for words that are known.
        .env("LC_ALL", "C")
        .env("SSH_ASKPASS_REQUIRE", "never")
        // A Ctrl-C at Selfheal's terminal would end the guard before the client.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
}

/// The far end sees a connection that ends at once.
async fn takes_connections(socket: &Path) {
    while UnixStream::connect(socket).await.is_err() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
