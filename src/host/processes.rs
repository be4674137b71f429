//! Processes of this machine that belong to a container, and signals to them behind the
//! engine's back: the engine then tells of an end and of no `kill`, as with a real crash.
//!
//! Its invariant: each process is held by a descriptor of the kernel's and was seen in the
//! container's own group, so that no signal reaches another one that came to have its number.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, test_kill_process};

/// An id shorter than this could stand in the name of another container's group.
const SHORTEST_ID: usize = 12;

/// Why the processes of a container cannot be held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoldError {
    /// No process of that number is the container's: it runs in another machine, or is gone.
    #[error("its processes are not on this machine")]
    Elsewhere,
    /// The kernel does not let us.
    #[error("only root may signal its processes")]
    Denied,
    /// The kernel cannot.
    #[error("the kernel does not hand out its processes: {0}")]
    Kernel(String),
}

impl From<Errno> for HoldError {
    fn from(error: Errno) -> Self {
        match error {
            Errno::SRCH => Self::Elsewhere,
            Errno::PERM | Errno::ACCESS => Self::Denied,
            other => Self::Kernel(other.to_string()),
        }
    }
}

/// The processes of one container at one moment.
#[derive(Debug)]
pub struct HeldProcesses {
    main: Held,
    others: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    number: i32,
    /// The content of its `/proc/…/cgroup`.
    group: String,
    process: OwnedFd,
}

impl HeldProcesses {
    /// Holds the processes of the container with this whole id, whose first process has the
    /// number `main`, and makes sure that they may be signalled.
    pub fn of_container(id: &str, main: u32) -> Result<Self, HoldError> {
        let main = i32::try_from(main).map_err(|_| HoldError::Elsewhere)?;
        if id.len() < SHORTEST_ID {
            return Err(HoldError::Elsewhere);
        }
        let first = hold(main, id)?;
        test_kill_process(Pid::from_raw(main).ok_or(HoldError::Elsewhere)?)?;
        let others = numbers().into_iter().filter(|number| *number != main);
        let others = others.filter_map(|number| hold(number, id).ok()).collect();
        Ok(Self { main: first, others })
    }

    /// Ends the first process, and with it the container, as the kernel does.
    pub fn kill_main(&self) -> Result<(), HoldError> {
        Ok(pidfd_send_signal(&self.main.process, Signal::KILL)?)
    }

    /// Stops all of them: they live on and do nothing.
    pub fn stop(&self) -> Result<(), HoldError> {
        pidfd_send_signal(&self.main.process, Signal::STOP)?;
        self.others.iter().try_for_each(|held| signal_if_there(held, Signal::STOP))
    }

    /// Lets those of them that still live go on; answers whether the first does.
    pub fn go_on(&self) -> Result<bool, HoldError> {
        let others: Result<Vec<()>, HoldError> =
            self.others.iter().map(|held| signal_if_there(held, Signal::CONT)).collect();
        let main = pidfd_send_signal(&self.main.process, Signal::CONT);
        others?;
        match main {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the first process still lives and is stopped.
    pub fn is_stopped(&self) -> bool {
        // Its number may be another's by now.
        group(self.main.number) == self.main.group && state(self.main.number) == Some('T')
    }
}

/// What ended by itself needs no signal.
fn signal_if_there(held: &Held, signal: Signal) -> Result<(), HoldError> {
    match pidfd_send_signal(&held.process, signal) {
        Err(Errno::SRCH) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Holds first and looks then: had the number come to another process in between, the one
/// that is held would be an ended one.
fn hold(number: i32, id: &str) -> Result<Held, HoldError> {
    let pid = Pid::from_raw(number).ok_or(HoldError::Elsewhere)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let group = group(number);
    if belongs(&group, id) {
        Ok(Held { number, group, process })
    } else {
        Err(HoldError::Elsewhere)
    }
}

fn group(number: i32) -> String {
    fs::read_to_string(format!("/proc/{number}/cgroup")).unwrap_or_default()
}

/// Whether this content of `/proc/…/cgroup` names the container, as `/docker/ID` or
/// `docker-ID.scope`.
fn belongs(group: &str, id: &str) -> bool {
    let parts = group.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    parts.flat_map(|path| path.split('/')).any(|part| {
        let part = part.strip_suffix(".scope").unwrap_or(part);
        part == id || part.strip_suffix(id).is_some_and(|before| before.ends_with('-'))
    })
}

fn numbers() -> Vec<i32> {
    let Ok(entries) = fs::read_dir(Path::new("/proc")) else { return vec![] };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}

/// The letter of a process's state; the name before it may hold anything, brackets too.
fn state(number: i32) -> Option<char> {
    let text = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    text.rsplit_once(") ")?.1.chars().next()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    const ID: &str = "c0ffee00c0ffee00";

    #[test]
    fn a_group_is_the_container_s_only_by_its_whole_id() {
        assert!(belongs("9:memory:/docker/c0ffee00c0ffee00\n", ID));
        assert!(belongs("0::/system.slice/docker-c0ffee00c0ffee00.scope\n", ID));
        assert!(belongs("0::/../c0ffee00c0ffee00\n", ID), "seen from another container");
        assert!(!belongs("0::/docker/c0ffee00c0ffee00ff\n", ID));
        assert!(!belongs("0::/docker/ffc0ffee00c0ffee00\n", ID));
        assert!(!belongs("0::/user.slice\n", ID));
        assert!(!belongs("", ID));
    }

    #[test]
    fn a_process_of_nobody_s_container_is_not_held() {
        let own = std::process::id();
        assert_eq!(HeldProcesses::of_container(ID, own).unwrap_err(), HoldError::Elsewhere);
        let short = HeldProcesses::of_container("c0ffee", own);
        assert_eq!(short.unwrap_err(), HoldError::Elsewhere);
    }

    /// A process of our own, held as a container's would be.
    fn sleeper() -> (Child, HeldProcesses) {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let number = i32::try_from(child.id()).unwrap();
        let pid = Pid::from_raw(number).unwrap();
        let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let main = Held { number, group: group(number), process };
        (child, HeldProcesses { main, others: vec![] })
    }

    #[test]
    fn what_is_stopped_goes_on_and_what_ended_needs_nothing() {
        let (mut child, held) = sleeper();
        held.stop().unwrap();
        while !held.is_stopped() {
            std::thread::yield_now();
        }
        assert!(held.go_on().unwrap());
        while held.is_stopped() {
            std::thread::yield_now();
        }
        held.kill_main().unwrap();
        child.wait().unwrap();
        assert!(!held.go_on().unwrap() && !held.is_stopped());
        assert_eq!(held.stop(), Err(HoldError::Elsewhere), "nobody else is signalled");
    }
}
