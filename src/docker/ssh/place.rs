//! A folder with what OpenSSH's client needs of files here.
//!
//! The invariants: nobody else looks into it, its path is short enough for a socket and is taken by
//! the client for a path alone. It goes with whoever made it; where that was killed, the guard of
//! the client takes it away.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;

use super::{SETTINGS, is_forwardable};

#[derive(Debug)]
pub(super) struct Place {
    /// The path as text.
    path: String,
    /// Takes the folder away in the end.
    _folder: TempDir,
}

impl Place {
    pub(super) fn make() -> io::Result<Self> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let above = runtime.filter(|folder| folder.is_dir()).unwrap_or_else(std::env::temp_dir);
        let own_alone = Permissions::from_mode(0o700);
        let mut builder = tempfile::Builder::new();
        let folder = builder.prefix("selfheal-ssh-").permissions(own_alone).tempdir_in(above)?;
        let path = folder.path().display().to_string();
        if !is_forwardable(&path) {
            let why = format!("it cannot listen in {path}; set TMPDIR to a plain path");
            return Err(io::Error::other(why));
        }
        let place = Self { path, _folder: folder };
        std::fs::write(place.settings(), SETTINGS)?;
        Ok(place)
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// What is asked of the engine goes in here.
    pub(super) fn socket(&self) -> String {
        format!("{}/docker.sock", self.path)
    }

    /// Where the client takes orders. It is there once the client is let in.
    pub(super) fn control(&self) -> String {
        format!("{}/control", self.path)
    }

    /// The settings of the client, and of those for hosts on the way.
    pub(super) fn settings(&self) -> String {
        format!("{}/ssh_config", self.path)
    }
}
