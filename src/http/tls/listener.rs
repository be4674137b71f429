//! Accepts connections and shakes hands, many at a time.
//!
//! The invariant: who is slow at the handshake, or never ends it, holds up nobody else, however many
//! connections they open. It does not look at what is said over the connection.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::serve::Listener;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::access::network;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes under way at most; who comes then waits until one is over.
const AT_ONCE: usize = 256;
/// Those of one peer: what it opens beyond is closed at once.
const OF_ONE_PEER: usize = 32;

type Shaken = Option<(TlsStream<TcpStream>, SocketAddr)>;

/// Hands out connections that are encrypted.
pub(in crate::http) struct TlsListener {
    tcp: TcpListener,
    config: watch::Receiver<Arc<ServerConfig>>,
    shaking: JoinSet<Shaken>,
    peers: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place among the handshakes of one peer, given back when it is dropped.
struct Place {
    of: IpAddr,
    peers: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Place {
    fn take(peers: &Arc<Mutex<HashMap<IpAddr, usize>>>, of: IpAddr) -> Option<Self> {
        let mut counts = peers.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(of).or_default();
        if *count >= OF_ONE_PEER {
            return None;
        }
        *count += 1;
        Some(Self { of, peers: Arc::clone(peers) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.of);
            }
        }
    }
}

impl TlsListener {
    pub(super) fn new(tcp: TcpListener, config: watch::Receiver<Arc<ServerConfig>>) -> Self {
        Self { tcp, config, shaking: JoinSet::new(), peers: Arc::default() }
    }

    fn shake(&mut self, stream: TcpStream, peer: SocketAddr) {
        let Some(place) = Place::take(&self.peers, network(peer.ip())) else {
            return tracing::debug!(%peer, "{peer} has too many handshakes under way");
        };
        let acceptor = TlsAcceptor::from(Arc::clone(&self.config.borrow()));
        self.shaking.spawn(async move {
            let _place = place;
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => Some((stream, peer)),
                Ok(Err(error)) => {
                    tracing::debug!(%peer, %error, "no handshake with {peer}: {error}");
                    None
                }
                Err(_) => None,
            }
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    // Safe to cancel: what is under way stays in the set.
    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let has_room = self.shaking.len() < AT_ONCE;
            tokio::select! {
                (stream, peer) = Listener::accept(&mut self.tcp), if has_room => {
                    self.shake(stream, peer);
                }
                Some(done) = self.shaking.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
