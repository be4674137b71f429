//! Why a store could not be opened. Every message says what to do.

use std::io::ErrorKind;
use std::path::PathBuf;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another instance writes there.
    #[error(
        "the data directory {dir} is in use by another selfheal{}; \
         stop that one, or give this one a `data_dir` of its own",
        pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
    )]
    InUse {
        /// The data directory.
        dir: PathBuf,
        /// The other process, where its lock file says so.
        pid: Option<u32>,
    },
    /// The directory cannot be made or written.
    #[error("the data directory {dir} cannot be written: {why}; {}", remedy(why.kind()))]
    Unwritable {
        /// The data directory.
        dir: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// There is nothing to read.
    #[error("there is no store in {dir} yet; it comes with the first `selfheal run`")]
    Missing {
        /// The data directory.
        dir: PathBuf,
    },
    /// A newer Selfheal wrote it.
    #[error(
        "the store {file} was written by a newer selfheal (schema {found}, this one knows \
         {known}); install that version again, or set another `data_dir`"
    )]
    Newer {
        /// The database file.
        file: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// An older Selfheal wrote it and it is opened for reading only.
    #[error(
        "the store {file} was written by an older selfheal (schema {found}, this one needs \
         {known}); start `selfheal run` once to bring it up to date"
    )]
    Older {
        /// The database file.
        file: PathBuf,
        /// Its schema.
        found: i64,
        /// The schema needed.
        known: i64,
    },
    /// It is damaged and is opened for reading only.
    #[error(
        "the store {file} is damaged; `selfheal run` sets it aside and restores the newest \
         snapshot, or starts a new one"
    )]
    Damaged {
        /// The database file.
        file: PathBuf,
    },
    /// A server cannot be reached, or refuses.
    #[error(
        "the store {server} cannot be opened: {why}; look at `store.url`, and whether the server \
         runs and lets this user in"
    )]
    Server {
        /// The server, without a password.
        server: String,
        /// What it or the driver said.
        why: String,
    },
    /// A newer Selfheal wrote to the server.
    #[error(
        "the store {server} was written by a newer selfheal (schema {found}, this one knows \
         {known}); install that version again, or name another database in `store.url`"
    )]
    ServerNewer {
        /// The server, without a password.
        server: String,
        /// Its schema.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// There is nothing to read on the server.
    #[error("there is no store in {server} yet; it comes with the first `selfheal run`")]
    NothingThere {
        /// The server, without a password.
        server: String,
    },
    /// Anything else.
    #[error("the store {file} cannot be opened: {why}")]
    Failed {
        /// The database file.
        file: PathBuf,
        /// What the database said.
        why: String,
    },
}

impl OpenError {
    /// Whether it stays so until the settings are changed.
    pub fn is_of_settings(&self) -> bool {
        let Self::Unwritable { why, .. } = self else { return false };
        matches!(why.kind(), ErrorKind::NotADirectory | ErrorKind::AlreadyExists)
    }
}

/// What helps when the data directory cannot be written.
const fn remedy(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound
        | ErrorKind::NotADirectory
        | ErrorKind::AlreadyExists
        | ErrorKind::ReadOnlyFilesystem => "set another `data_dir`",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "free some space, or set another `data_dir`"
        }
        _ => {
            "make it writable for the user that runs selfheal (`chown`, `chmod u+rwx`), or set \
             another `data_dir`"
        }
    }
}
