//! Keeps what Selfheal knows: incidents, the journal, outcomes, backups, memory, alerts.
//!
//! [`SqliteStore`] is one database file in the data directory and, beside it, the vault of
//! backups as plain files, so that a broken database never takes the backups with it. One
//! process at a time writes (a lock file says which); others may read. The one invariant:
//! what a call reported as written survives a `kill -9` and a power cut.
//!
//! It does not decide what to keep or for how long, and it interprets none of the records.

mod error;
mod export;
mod key;
mod lock;
mod open;
mod reserve;
mod sqlite;
mod vault;

pub use error::OpenError;
pub use export::EXPORT_FILE;
pub use key::digest_key;
pub use open::{DATABASE_FILE, Opened, open, open_read_only};
pub use reserve::{RESERVE_BYTES, RESERVE_FILE};
pub use sqlite::SqliteStore;
pub use vault::COPIES_DIR;
