//! Reads and replaces configuration files.
//!
//! Invariant: after a crash at any instant the file holds either the old or the new
//! content, except where its inode must stay (a single-file bind mount): there a failed
//! write is taken back. A symbolic link never leads outside what was declared. It does
//! not know what the content means.

mod listing;

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use rustix::fs::OFlags;
use selfheal_agents::fix_engineer::config_file::sha256;
use selfheal_agents::model::FileContent;
use selfheal_agents::ports::{ConfigFiles, WorldError, WorldResult};

/// A configuration file is small; what is larger is something else.
const LARGEST_BYTES: u64 = 1024 * 1024;
/// A disk that needs longer is not one to change files on.
const LIMIT: Duration = Duration::from_secs(10);

/// The configuration files of the host. Cloning shares its boundaries.
#[derive(Debug, Clone, Default)]
pub struct LocalFiles {
    boundaries: Arc<RwLock<Boundaries>>,
}

/// What the inventory knows of the paths.
#[derive(Debug, Clone, Default)]
struct Boundaries {
    /// Paths that are themselves mounted into a container: their inode must stay.
    in_place: BTreeSet<String>,
    /// Folders and files within which symbolic links may lead.
    roots: BTreeSet<String>,
}

impl LocalFiles {
    /// With no boundaries: links may lead only within the folder of the file itself, and
    /// every file is replaced by a rename.
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`Self::new`], with the paths whose inode must stay.
    pub fn with_in_place(paths: BTreeSet<String>) -> Self {
        let files = Self::new();
        files.set_in_place(paths);
        files
    }

    /// Sets the paths whose inode must stay: the sources of single-file bind mounts. A
    /// rename would leave the container on the old content.
    pub fn set_in_place(&self, paths: BTreeSet<String>) {
        self.boundaries.write().unwrap_or_else(PoisonError::into_inner).in_place = paths;
    }

    /// Sets the declared folders and files (bind mounts, tunables). A path below one of
    /// them may follow links anywhere below the same one, but not out of it.
    pub fn set_roots(&self, paths: BTreeSet<String>) {
        self.boundaries.write().unwrap_or_else(PoisonError::into_inner).roots = paths;
    }

    /// Whether the file is written in place instead of being renamed over.
    pub fn in_place(&self, path: &str) -> bool {
        self.boundaries().in_place.contains(path)
    }

    fn boundaries(&self) -> Boundaries {
        self.boundaries.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl ConfigFiles for LocalFiles {
    async fn read(&self, path: &str) -> WorldResult<FileContent> {
        let boundaries = self.boundaries();
        let path = path.to_owned();
        beside(format!("reading {path}"), move || read(&path, &boundaries)).await
    }

    async fn list(&self, path: &str) -> WorldResult<Vec<String>> {
        let boundaries = self.boundaries();
        let path = path.to_owned();
        beside(format!("listing {path}"), move || listing::list(&path, &boundaries)).await
    }

    async fn replace(
        &self,
        content: &FileContent,
        expected_sha256: Option<&str>,
    ) -> WorldResult<()> {
        let boundaries = self.boundaries();
        let (content, expected) = (content.clone(), expected_sha256.map(str::to_owned));
        beside(format!("writing {}", content.path), move || {
            replace(&content, expected.as_deref(), &boundaries)
        })
        .await
    }
}

/// Runs file work beside the runtime, under the time limit.
async fn beside<T: Send + 'static>(
    what: String,
    work: impl FnOnce() -> WorldResult<T> + Send + 'static,
) -> WorldResult<T> {
    match tokio::time::timeout(LIMIT, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => Err(WorldError::Unreachable { what, why: error.to_string() }),
        Err(_) => Err(WorldError::TimedOut { what, limit: LIMIT }),
    }
}

fn read(path: &str, boundaries: &Boundaries) -> WorldResult<FileContent> {
    let resolved = resolve(path, boundaries)?;
    let (bytes, meta) = read_regular(path, &resolved)?;
    Ok(FileContent {
        path: path.to_owned(),
        sha256: sha256(&bytes),
        bytes,
        mode: meta.permissions().mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        modified_secs: meta.mtime(),
    })
}

/// The path without symbolic links, if none of them leads outside.
fn resolve(path: &str, boundaries: &Boundaries) -> WorldResult<PathBuf> {
    let asked = Path::new(path);
    let refuse =
        |why: &str| WorldError::Refused { what: format!("opening {path}"), why: why.to_owned() };
    if !asked.is_absolute() || asked.components().any(|part| part.as_os_str() == "..") {
        return Err(refuse("a configuration file is named by its whole path, without `..`"));
    }
    let folder = asked.parent().ok_or_else(|| refuse("it is not a file"))?;
    let root = boundaries
        .roots
        .iter()
        .map(Path::new)
        .filter(|root| asked.starts_with(root))
        .max_by_key(|root| root.components().count())
        .unwrap_or(asked);
    // What is declared as a file may be a link only within its folder: whoever writes there
    // could point it anywhere. A folder was put there by whoever declared it.
    let root = if root == asked && !asked.is_dir() { folder } else { root };
    let resolved = match asked.canonicalize() {
        Ok(resolved) => resolved,
        // A file that is gone may be put back, but only where its folder still is and no
        // dangling link stands in its place.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !asked.is_symlink() => folder
            .canonicalize()
            .map_err(|error| world_error("opening", path, &error))?
            .join(asked.file_name().ok_or_else(|| refuse("it is not a file"))?),
        Err(error) => return Err(world_error("opening", path, &error)),
    };
    let root = root.canonicalize().map_err(|error| world_error("opening", path, &error))?;
    if resolved.starts_with(&root) {
        return Ok(resolved);
    }
    Err(WorldError::Denied {
        what: format!("{path} is a symbolic link out of {}", root.display()),
        remedy: "declare the file it leads to instead".to_owned(),
    })
}

fn read_regular(path: &str, resolved: &Path) -> WorldResult<(Vec<u8>, std::fs::Metadata)> {
    let fault = |error: &io::Error| world_error("reading", path, error);
    let refuse = |why: String| WorldError::Refused { what: format!("reading {path}"), why };
    // NOFOLLOW: the path has no link any more, so a link here was put there just now.
    // NONBLOCK: opening a pipe would wait for its writer.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
        .open(resolved)
        .map_err(|error| fault(&error))?;
    let meta = file.metadata().map_err(|error| fault(&error))?;
    if !meta.is_file() {
        return Err(refuse("it is not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed: a file that grows while it is read is noticed too.
    file.take(LARGEST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| fault(&error))?;
    if bytes.len() as u64 > LARGEST_BYTES {
        return Err(refuse(format!(
            "it has {} bytes; a configuration file has at most {LARGEST_BYTES}",
            meta.len().max(LARGEST_BYTES + 1)
        )));
    }
    Ok((bytes, meta))
}

fn replace(
    content: &FileContent,
    expected_sha256: Option<&str>,
    boundaries: &Boundaries,
) -> WorldResult<()> {
    let path = content.path.as_str();
    let resolved = resolve(path, boundaries)?;
    let current = match read_regular(path, &resolved) {
        Ok((bytes, _)) => Some(bytes),
        Err(WorldError::NotFound { .. }) if expected_sha256.is_none() => None,
        Err(error) => return Err(error),
    };
    if let (Some(expected), Some(current)) = (expected_sha256, &current)
        && sha256(current) != expected
    {
        return Err(WorldError::Conflict { what: path.to_owned() });
    }
    let in_place = [path, &resolved.to_string_lossy()]
        .into_iter()
        .any(|name| boundaries.in_place.contains(name));
    let written = match current {
        Some(current) if in_place => write_in_place(&resolved, &current, content),
        Some(current) => match write_beside(&resolved, content) {
            Err(error) if needs_its_inode(&error) => write_in_place(&resolved, &current, content),
            written => written,
        },
        None => write_beside(&resolved, content),
    };
    written.map_err(|error| world_error("writing", path, &error))
}

/// The name is a mount point, or the owner cannot be given away: writing in place keeps
/// both.
fn needs_its_inode(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::PermissionDenied)
}

/// Writes a new file in the same folder and renames it over the old one.
fn write_beside(resolved: &Path, content: &FileContent) -> io::Result<()> {
    let folder = resolved.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::Builder::new().prefix(".selfheal-").tempfile_in(folder)?;
    file.write_all(&content.bytes)?;
    give_to_owner(file.as_file(), content)?;
    file.as_file().sync_all()?;
    file.persist(resolved).map_err(|failed| failed.error)?;
    File::open(folder)?.sync_all()
}

/// Overwrites the file. Nothing is cut off before the new content stands, so that after a
/// failure (a full disk) the old content fits back into the blocks it had.
fn write_in_place(resolved: &Path, old: &[u8], content: &FileContent) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
        .open(resolved)?;
    overwrite(&mut file, &content.bytes).map_err(|error| match overwrite(&mut file, old) {
        Ok(()) => error,
        Err(second) => io::Error::other(format!(
            "{error}; and the old content could not be put back: {second}"
        )),
    })?;
    let meta = file.metadata()?;
    let is_as_before = (meta.uid(), meta.gid(), meta.permissions().mode() & 0o7777)
        == (content.uid, content.gid, content.mode & 0o7777);
    if is_as_before { Ok(()) } else { give_to_owner(&file, content) }
}

fn overwrite(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}

/// Owner first: changing it clears the set-id bits.
fn give_to_owner(file: &File, content: &FileContent) -> io::Result<()> {
    let meta = file.metadata()?;
    if (meta.uid(), meta.gid()) != (content.uid, content.gid) {
        std::os::unix::fs::fchown(file, Some(content.uid), Some(content.gid))?;
    }
    file.set_permissions(std::fs::Permissions::from_mode(content.mode & 0o7777))
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

fn world_error(doing: &str, path: &str, error: &io::Error) -> WorldError {
    match error.kind() {
        io::ErrorKind::NotFound => WorldError::NotFound { what: format!("the file {path}") },
        io::ErrorKind::PermissionDenied => WorldError::Denied {
            what: format!("{doing} {path}"),
            remedy: "let the user Selfheal runs as read and write it".to_owned(),
        },
        _ => WorldError::Refused { what: format!("{doing} {path}"), why: error.to_string() },
    }
}

#[cfg(test)]
mod tests;
