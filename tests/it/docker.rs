//! The Docker adapter against a real Docker engine, and against sockets that are none.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod bench;
mod changes;
mod connections;
mod facts;
mod logs;
mod proxied;
mod rehearsal;
mod remake;
mod sockets;
