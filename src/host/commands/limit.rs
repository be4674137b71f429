//! Keeps the time limit of a command, whatever becomes of the daemon.
//!
//! A daemon that is stopped or killed ends nothing, and in a fleet another node takes over once the
//! limit is over: what still ran then would be a second effect beside its own. So this very program
//! is begun a second time, as the first process of the group that a command gets ([`Keeper`]). It
//! ends the group, with itself, at the limit by the clock that goes on while the machine sleeps
//! ([`keep`]). Once the command has ended it ends alone: what that left running stays.
//!
//! It runs nothing and reads nothing of the command: how that ends, what it says and whose child it
//! is, is as without it. What left the group is out of its reach.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_current_process_group, pidfd_open};
use rustix::time::{ClockId, clock_gettime};
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};

/// What this program is told by that it is to keep a limit; the moment follows.
const KEEP: &str = "__limit";
/// How often the clock is looked at: no timer of the runtime counts the sleep of a machine.
const LOOK: Duration = Duration::from_secs(1);
/// How long it may take until it keeps the limit.
const LONGEST_START: Duration = Duration::from_secs(5);

/// A moment by the time since the machine was started, its sleep counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(Duration);

impl Moment {
    pub(super) fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        // Neither is ever negative.
        let nanos = u32::try_from(now.tv_nsec).unwrap_or_default();
        Self(Duration::new(now.tv_sec.unsigned_abs(), nanos))
    }

    pub(super) fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }

    fn left(self) -> Option<Duration> {
        self.0.checked_sub(Self::now().0).filter(|left| !left.is_zero())
    }

    pub(super) fn is_over(self) -> bool {
        self.left().is_none()
    }
}

/// The process that keeps a limit. Its number is that of the group, and nobody else's until this is
/// dropped, since nobody waits for it before. Dropped, it goes alone.
pub(super) struct Keeper {
    child: Child,
}

impl Keeper {
    /// Begins a group that is ended at that moment, and waits until that is sure.
    pub(super) async fn begin(program: &Path, limit: Moment) -> std::io::Result<Self> {
        let nobody = |why: String| std::io::Error::other(format!("nobody keeps its limit: {why}"));
        let mut child = tokio::process::Command::new(program)
            .args([KEEP, &limit.0.as_nanos().to_string()])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| nobody(error.to_string()))?;
        if let Some(mut said) = child.stdout.take() {
            let sign = tokio::time::timeout(LONGEST_START, said.read_exact(&mut [0])).await;
            sign.map_err(|_| nobody("it gives no sign".to_owned()))?
                .map_err(|error| nobody(error.to_string()))?;
        }
        Ok(Self { child })
    }

    /// The group.
    pub(super) fn group(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()?).ok()?)
    }

    /// Tells it whose end it need not outlast. What is not told costs no more than what was left
    /// running: that goes at the limit then.
    pub(super) fn watch(&mut self, command: &Child) -> std::io::Result<()> {
        let (Some(input), Some(id)) = (self.child.stdin.take(), command.id()) else {
            return Ok(());
        };
        // A few bytes, which an empty pipe always has room for.
        File::from(input.into_owned_fd()?).write_all(id.to_string().as_bytes())
    }
}

/// Keeps a limit, where this program was begun for that; answers whether it was.
pub fn keeps_a_limit() -> bool {
    let mut words = std::env::args_os().skip(1);
    if words.next().as_deref() != Some(OsStr::new(KEEP)) {
        return false;
    }
    let limit = words.next().and_then(|nanos| nanos.to_str()?.parse().ok());
    let limit = Moment(Duration::from_nanos(limit.unwrap_or_default()));
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(keep(limit)),
        // Better no command than one without a limit.
        Err(_) => end_all(),
    }
    true
}

async fn keep(limit: Moment) {
    // A script may signal its own group, and a service manager all that is left: neither lifts the
    // limit of what goes on after that.
    let asked = [
        SignalKind::hangup(),
        SignalKind::interrupt(),
        SignalKind::quit(),
        SignalKind::terminate(),
    ];
    let _heard = asked.map(signal);
    if std::io::stdout().write_all(b".").and_then(|()| std::io::stdout().flush()).is_err() {
        return;
    }
    tokio::select! {
        biased;
        () = over(limit) => end_all(),
        () = ended() => {}
    }
}

async fn over(limit: Moment) {
    while let Some(left) = limit.left() {
        tokio::time::sleep(left.min(LOOK)).await;
    }
}

/// Waits until the command has ended; for ever where it is not known which that is, or the system
/// does not tell.
async fn ended() {
    if !matches!(tokio::task::spawn_blocking(wait_for_the_end).await, Ok(true)) {
        std::future::pending::<()>().await;
    }
}

/// Answers whether it waited.
fn wait_for_the_end() -> bool {
    let told = std::io::read_to_string(std::io::stdin()).ok();
    let Some(id) = told.and_then(|told| Pid::from_raw(told.parse().ok()?)) else { return false };
    let command = match pidfd_open(id, PidfdFlags::empty()) {
        Ok(command) => command,
        Err(error) => return error == Errno::SRCH,
    };
    loop {
        match poll(&mut [PollFd::new(&command, PollFlags::IN)], None) {
            Ok(_) => return true,
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

fn end_all() {
    let _ = kill_current_process_group(Signal::KILL);
}
