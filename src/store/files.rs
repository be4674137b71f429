//! Files that only their owner may read and that are on disk when the call returns.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, fchown};
use std::path::Path;
use std::time::{Duration, SystemTime};

use selfheal_agents::fix_engineer::config_file::sha256;
use tempfile::NamedTempFile;

/// Whether the text could come from [`sha256`]; only then it may become a path.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

pub(super) fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Puts `bytes` in the place of `path`: either the old content is there or the new one.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_after(path, bytes, |_, _| Ok(()))
}

/// The same for a file that belongs to whoever owns its directory: what a person writes as root
/// must stay readable for a daemon that is not.
pub(crate) fn replace_as_owner(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_after(path, bytes, give_to_owner_of)
}

/// Gives a file that root made to whoever owns its directory.
pub(crate) fn give_to_owner_of(file: &File, dir: &Path) -> io::Result<()> {
    let (made, owner) = (file.metadata()?, dir.metadata()?);
    if (made.uid(), made.gid()) == (owner.uid(), owner.gid()) || made.uid() != 0 {
        return Ok(());
    }
    fchown(file, Some(owner.uid()), Some(owner.gid()))
}

fn replace_after(
    path: &Path,
    bytes: &[u8],
    prepare: impl FnOnce(&File, &Path) -> io::Result<()>,
) -> io::Result<()> {
    let dir = path.parent().ok_or_else(|| io::Error::other("it has no directory"))?;
    // A temporary file is made for its owner only (0600).
    let mut file = NamedTempFile::new_in(dir)?;
    prepare(file.as_file(), dir)?;
    file.write_all(bytes)?;
    settle(file, path)
}

/// Gives a file that is whole its name, with all that is in it on disk before.
pub(super) fn settle(whole: NamedTempFile, path: &Path) -> io::Result<()> {
    let dir = path.parent().ok_or_else(|| io::Error::other("it has no directory"))?;
    whole.as_file().sync_all()?;
    whole.persist(path).map_err(|refused| refused.error)?;
    sync_dir(dir)
}

/// Stores a content under its checksum; one that is there and right stays as it is.
pub(super) fn write_blob(path: &Path, bytes: &[u8], checksum: &str) -> io::Result<()> {
    if std::fs::read(path).is_ok_and(|there| sha256(&there) == checksum) {
        return Ok(());
    }
    replace(path, bytes)
}

/// The names in a directory that are text.
pub(super) fn names(dir: &Path) -> io::Result<Vec<String>> {
    std::fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.file_name().into_string().unwrap_or_default()))
        .collect()
}

/// Removes every content that is not `needed`, and what interrupted writes left.
pub(super) fn remove_others(dir: &Path, needed: &BTreeSet<String>) -> io::Result<()> {
    for name in names(dir)?.into_iter().filter(|name| !name.is_empty() && !needed.contains(name)) {
        std::fs::remove_file(dir.join(name))?;
    }
    Ok(())
}

/// The same for those that were not written to for `least`; a directory that is not there has none.
pub(super) fn remove_old_others(
    dir: &Path,
    needed: &BTreeSet<String>,
    least: Duration,
) -> io::Result<()> {
    let names = match names(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        names => names?,
    };
    for name in names.into_iter().filter(|name| !name.is_empty() && !needed.contains(name)) {
        let path = dir.join(name);
        // What lies ahead was written before the clock was set back, and is not old.
        let age = SystemTime::now().duration_since(std::fs::metadata(&path)?.modified()?);
        if age.is_ok_and(|age| age >= least) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}
