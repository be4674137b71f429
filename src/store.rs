//! Keeps what Selfheal knows: incidents, the journal, outcomes, backups, memory, alerts.
//!
//! [`SqlStore`] is rows in a database and, beside it, the vault of backups as plain files, so that a
//! broken database never takes the backups with it. The database is one file in the data
//! directory, with a few snapshots to go on from, or one on a PostgreSQL server. One process at a
//! time writes (a lock file says which); others may read. The one invariant: what a call reported
//! as written survives a `kill -9` and a power cut.
//!
//! It does not decide what to keep or for how long, and it interprets none of the records.

mod damage;
mod ends;
mod error;
mod examine;
mod export;
mod files;
mod key;
mod lock;
mod moving;
mod notes;
mod open;
mod origin;
mod postgres;
mod reserve;
mod sending;
mod snapshots;
mod sql;
mod sqlite;
mod vault;
mod witness;

pub use damage::{Damage, Restored};
pub use ends::Carried;
pub use error::OpenError;
pub use export::EXPORT_FILE;
pub(crate) use files::{give_to_owner_of, replace_as_owner, sync_dir};
pub use key::digest_key;
pub use moving::{MoveError, Place, move_all};
pub use open::{DATABASE_FILE, Opened, open, open_read_only};
pub use postgres::{PostgresUrl, open_postgres, open_postgres_read_only};
pub(crate) use postgres::{fleet_pool, migrate_fleet};
pub use reserve::{RESERVE_BYTES, RESERVE_FILE};
pub use sending::{SendError, Sender, open_sending};
pub use snapshots::{SNAPSHOT_DIR, Snapshot, snapshots};
pub use sql::SqlStore;
pub use vault::COPIES_DIR;
