//! The way from a node to the server: it can be slow, and be cut without either of them being told.
//!
//! What was on its way when it was cut arrives when it is healed, as late as that may be.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;

/// How often is looked whether it is healed.
const LOOK: Duration = Duration::from_millis(20);

/// One way.
pub(super) struct Way {
    pub(super) port: u16,
    now: Arc<Now>,
}

#[derive(Default)]
struct Now {
    is_cut: AtomicBool,
    takes_ms: AtomicU64,
}

impl Way {
    /// To this port of this machine, until the process ends.
    pub(super) fn to(server: u16) -> Result<Self> {
        Self::between("127.0.0.1", &format!("127.0.0.1:{server}"))
    }

    /// From this address of this machine to that place.
    pub(super) fn between(here: &str, server: &str) -> Result<Self> {
        let (listener, server) = (TcpListener::bind((here, 0))?, server.to_owned());
        let way = Self { port: listener.local_addr()?.port(), now: Arc::default() };
        let now = Arc::clone(&way.now);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let (now, server) = (Arc::clone(&now), server.clone());
                std::thread::spawn(move || {
                    now.pass();
                    // Nobody there: whoever came is sent away, as from a closed port.
                    let Ok(far) = TcpStream::connect(server) else { return };
                    let (Ok(here), Ok(there)) = (near.try_clone(), far.try_clone()) else { return };
                    let back = Arc::clone(&now);
                    std::thread::spawn(move || drop(back.carry(there, here)));
                    drop(now.carry(near, far));
                });
            }
        });
        Ok(way)
    }

    /// From now on each piece takes so long.
    pub(super) fn takes(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.now.takes_ms.store(millis, Ordering::SeqCst);
    }

    /// Nothing arrives any more, and nobody is told.
    pub(super) fn cut(&self) {
        self.now.is_cut.store(true, Ordering::SeqCst);
    }

    /// It is as new; what was on it arrives.
    pub(super) fn heal(&self) {
        self.takes(Duration::ZERO);
        self.now.is_cut.store(false, Ordering::SeqCst);
    }
}

impl Now {
    fn pass(&self) {
        std::thread::sleep(Duration::from_millis(self.takes_ms.load(Ordering::SeqCst)));
        while self.is_cut.load(Ordering::SeqCst) {
            std::thread::sleep(LOOK);
        }
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream) -> Result<()> {
        let mut piece = [0; 16 * 1024];
        loop {
            let read = from.read(&mut piece).unwrap_or_default();
            self.pass();
            if read == 0 || to.write_all(&piece[..read]).is_err() {
                // The other direction ends with it.
                drop(to.shutdown(Shutdown::Both));
                return Ok(from.shutdown(Shutdown::Both)?);
            }
        }
    }
}
