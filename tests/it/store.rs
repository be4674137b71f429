//! The store: one contract for every implementation, and what only files can show.

#![expect(clippy::unwrap_used, reason = "these are tests: one that cannot go on fails")]

mod contract;
mod damage;
mod full_disk;
pub(crate) use full_disk::SmallDisk;
pub(crate) mod postgres;
mod restoring;
pub(crate) mod samples;
pub(crate) mod sending;
mod snapshots;
mod sqlite;
