//! Tells the service manager that started this program how it stands: ready, alive, ending.
//!
//! The words of `sd_notify(3)`, one datagram each, to the socket that the environment names; without
//! one nothing is told. It says that it is alive only while the coordinator's loops turn: a thread
//! that sends a sign of life beside a cycle that hangs would be worth nothing. Nothing waits for it,
//! and nothing fails when it does not listen.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

/// How often within the watchdog's time a sign of life is given: one that is left out is no end.
const SIGNS: u32 = 3;

/// Whoever started this program and wants to hear of it.
#[derive(Debug, Default)]
pub(super) struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How long it bears silence.
    patience: Option<Duration>,
}

impl ServiceManager {
    /// As the environment names it.
    pub(super) fn of_environment() -> Self {
        Self::of(|name| std::env::var(name).ok(), std::process::id())
    }

    fn of(variable: impl Fn(&str) -> Option<String>, own_id: u32) -> Self {
        let Some(name) = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self::default();
        };
        // What an ancestor inherited is not meant for this process.
        let is_meant = variable("WATCHDOG_PID").is_none_or(|id| id == own_id.to_string());
        let micros = variable("WATCHDOG_USEC").filter(|_| is_meant);
        let patience = micros.and_then(|micros| micros.parse().ok()).map(Duration::from_micros);
        match connect(&name) {
            Ok(socket) => {
                let patience = patience.filter(|patience| !patience.is_zero());
                Self { socket: Some(socket), patience }
            }
            Err(error) => {
                tracing::warn!("the service manager at {name} is not told anything: {error}");
                Self::default()
            }
        }
    }

    /// All is started.
    pub(super) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// It was asked to end, and begins to.
    pub(super) fn ending(&self) {
        self.tell("STOPPING=1\nSTATUS=ending: no new fix is begun");
    }

    /// Gives signs of life while nothing hangs; to somebody who waits for none, none. Never ends.
    pub(super) async fn keep_informed(&self, hang: impl Fn() -> Option<String>) {
        let Some(patience) = self.patience else { return std::future::pending().await };
        let mut turns = tokio::time::interval(patience / SIGNS);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            match hang() {
                None => self.tell("WATCHDOG=1"),
                Some(what) => {
                    tracing::error!(
                        "{what}; unless it goes on, the service manager starts it anew"
                    );
                }
            }
        }
    }

    fn tell(&self, words: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(words.as_bytes(), address) {
            tracing::debug!(%error, "the service manager did not hear: {error}");
        }
    }
}

/// A name that begins with `@` is in the abstract namespace, any other is a path.
fn connect(name: &str) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(manager: &UnixDatagram) -> Option<String> {
        manager.set_nonblocking(true).unwrap();
        let mut buffer = [0; 200];
        let length = manager.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    /// A manager that bears three seconds of silence of the process 7.
    fn manager(folder: &std::path::Path, own_id: u32) -> (UnixDatagram, ServiceManager) {
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let variable = |name: &str| match name {
            "NOTIFY_SOCKET" => Some(path.to_str().unwrap().to_owned()),
            "WATCHDOG_USEC" => Some("3000000".to_owned()),
            "WATCHDOG_PID" => Some("7".to_owned()),
            _ => None,
        };
        (socket, ServiceManager::of(variable, own_id))
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_alive_only_while_nothing_hangs() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, us) = manager(folder.path(), 7);
        let hangs = std::cell::Cell::new(false);
        let hang = || hangs.get().then(|| "a cycle does not end".to_owned());
        let some_signs = Duration::from_millis(2_500);
        let informed = us.keep_informed(hang);
        tokio::pin!(informed);
        assert!(tokio::time::timeout(some_signs, &mut informed).await.is_err());
        let signs = std::iter::from_fn(|| told(&socket)).collect::<Vec<_>>();
        assert_eq!(signs, ["WATCHDOG=1"; 3], "at once, and three within its patience");
        hangs.set(true);
        assert!(tokio::time::timeout(some_signs, &mut informed).await.is_err());
        assert_eq!(told(&socket), None);
        hangs.set(false);
        assert!(tokio::time::timeout(some_signs, &mut informed).await.is_err());
        assert_eq!(told(&socket).as_deref(), Some("WATCHDOG=1"), "it goes on");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watchdog_that_waits_for_another_process_gets_no_sign_of_this_one() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, us) = manager(folder.path(), 8);
        let informed = us.keep_informed(|| None);
        assert!(tokio::time::timeout(Duration::from_mins(1), informed).await.is_err());
        us.ready("well");
        assert_eq!(told(&socket).as_deref(), Some("READY=1\nSTATUS=well"));
        assert_eq!(told(&socket), None);
    }

    #[test]
    fn without_a_service_manager_nothing_is_told() {
        let us = ServiceManager::of(|_| None, 7);
        us.ready("well");
        assert!(us.socket.is_none() && us.patience.is_none());
    }
}
