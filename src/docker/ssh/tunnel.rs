//! Keeps OpenSSH's client at work: one call carries every connection to an engine.
//!
//! One login serves all, since each costs the far host more than what is asked through it, and a
//! host refuses whoever logs in too often. The client is begun at the first request and again, ever
//! later, whenever it ends. The invariant: it never outlives Selfheal, however that ends. A shell
//! between the two waits for the end of a pipe that only Selfheal holds, and then kills it. What is
//! asked while there is no way fails at once, with what the client said.

use std::io;
use std::path::Path;
use std::pin::pin;
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

use super::said::Said;
use super::{Login, Place, Ssh, words};

/// The client tells by itself when it cannot connect; this is for a host that hangs later.
const OPENING_LIMIT: Duration = Duration::from_secs(20);
/// How often is looked whether the client is let in.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The first pause before the client is begun again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long the client may take to say why it did not carry a connection on.
const LAST_WORD: Duration = Duration::from_secs(2);

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
    said: watch::Receiver<Said>,
    anew: Arc<Notify>,
    /// Ends with the last who wants the way, and the client with it.
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug, Clone)]
enum State {
    Opening,
    Open(String),
    Broken(String),
}

impl Tunnel {
    pub(in crate::docker) const fn new(ssh: Ssh, login: Login) -> Self {
        Self { ssh, login, kept: OnceLock::new() }
    }

    fn kept(&self) -> &Kept {
        self.kept.get_or_init(|| {
            let (state, is) = watch::channel(State::Opening);
            let (say, said) = watch::channel(Said::default());
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
    pub(in crate::docker) async fn opened(&self) -> io::Result<String> {
        let mut state = self.kept().state.clone();
        let is_known = |state: &State| !matches!(state, State::Opening);
        match state.wait_for(is_known).await.map(|state| state.clone()) {
            Ok(State::Open(socket)) => Ok(socket),
            Ok(State::Broken(why)) => Err(io::Error::other(why)),
            Ok(State::Opening) | Err(_) => Err(io::Error::other("Selfheal is ending")),
        }
    }

    /// A connection that ends at the engine, if it is let in there: that is seen by the first answer,
    /// and heard from the client.
    pub(in crate::docker) async fn connect(&self) -> io::Result<(UnixStream, Talk<'_>)> {
        let socket = self.opened().await?;
        let talk = Talk::from_now(self);
        let stream = UnixStream::connect(&socket).await.map_err(|error| {
            // Somebody took the socket away, or the client hangs in its end.
            self.kept().anew.notify_one();
            io::Error::other(format!("the way through SSH is lost ({error}); it is begun anew"))
        })?;
        Ok((stream, talk))
    }
}

/// What the client says while something is asked through it.
pub(in crate::docker) struct Talk<'a> {
    tunnel: &'a Tunnel,
    said: watch::Receiver<Said>,
    /// How much it had said before.
    before: usize,
}

impl<'a> Talk<'a> {
    fn from_now(tunnel: &'a Tunnel) -> Self {
        let mut said = tunnel.kept().said.clone();
        let before = said.borrow_and_update().length();
        Self { tunnel, said, before }
    }

    /// Why a connection broke off, if it was the client's doing.
    pub(in crate::docker) async fn last_word(mut self) -> Option<io::Error> {
        let Tunnel { ssh, login, .. } = self.tunnel;
        let mut state = self.tunnel.kept().state.clone();
        let heard = async {
            tokio::select! {
                heard = self.said.changed() => {
                    heard.ok()?;
                    Some(words::explained(&self.said.borrow().since(self.before), ssh, login))
                }
                broken = state.wait_for(|state| matches!(state, State::Broken(_))) => {
                    match &*broken.ok()? {
                        State::Broken(why) => Some(why.clone()),
                        State::Opening | State::Open(_) => None,
                    }
                }
            }
        };
        tokio::time::timeout(LAST_WORD, heard).await.ok()?.map(io::Error::other)
    }
}

/// Begins the client, again and again.
struct Keeper {
    ssh: Ssh,
    login: Login,
    state: watch::Sender<State>,
    say: watch::Sender<Said>,
    anew: Arc<Notify>,
}

impl Keeper {
    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
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
        let place = Place::make()?;
        let begun = self.say.borrow().length();
        // Dropped, it lets go of the pipe, and the client is killed.
        let mut client = guarded(place.path(), &self.ssh.words(&self.login, &place))?;
        let mut hearing = pin!(self.hear(&mut client));
        let opening = tokio::time::timeout(OPENING_LIMIT, self.open(&place));
        let is_open = tokio::select! {
            () = &mut hearing => false,
            opened = opening => opened.unwrap_or(Ok(false))?,
        };
        if !is_open {
            let said = self.say.borrow().since(begun);
            return Ok(words::explained(&said, &self.ssh, &self.login));
        }
        let open = self.say.borrow().length();
        tracing::info!(engine = %self.ssh, "the way through SSH is open");
        // Who complained of the one before means that one.
        drop(tokio::time::timeout(Duration::ZERO, self.anew.notified()).await);
        self.state.send_replace(State::Open(place.socket()));
        tokio::select! {
            () = hearing => {}
            () = self.anew.notified() => {}
        }
        let said = self.say.borrow().since(open);
        Ok(words::why_it_ended(&said, &self.ssh, &self.login))
    }

    /// Waits until the client is let in, and has it carry connections on then.
    async fn open(&self, place: &Place) -> io::Result<bool> {
        let control = place.control();
        while !Path::new(&control).exists() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let mut order = Command::new("ssh");
        order.args(self.ssh.forward(place)).kill_on_drop(true);
        order.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(order.status().await?.success())
    }

    /// Takes in what the client says, to its end.
    async fn hear(&self, client: &mut Child) {
        let Some(mut pipe) = client.stderr.take() else { return };
        let mut read = [0; 512];
        while let Ok(length @ 1..) = pipe.read(&mut read).await {
            self.say.send_modify(|said| said.add(&read[..length]));
        }
    }
}

fn guarded(folder: &str, words: &[String]) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", GUARD, "sh", folder])
        .args(words)
        // What the client says is looked through for words that are known.
        .env("LC_ALL", "C")
        // Also a command of the user's own that leads there (ProxyCommand) gets no answer from the
        // terminal, but one at once.
        .env("SSH_ASKPASS_REQUIRE", "force")
        .env("SSH_ASKPASS", "false")
        // A Ctrl-C at Selfheal's terminal would end the guard before the client.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
}
