//! Alerts: what they say, and that none is lost or sent twice.

#![expect(clippy::unwrap_used, reason = "these are tests: one that cannot go on fails")]

mod chats;
mod delivery;
mod heartbeat;
mod mail;
pub(crate) mod smtp;
mod texts;
