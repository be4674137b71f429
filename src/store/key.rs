//! The key of the digests in the change log: a file beside the database, never in it, so that
//! a copy of the database alone gives nobody anything to try guesses on.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

const KEY_FILE: &str = "digest.key";
const BYTES: usize = 32;

/// The key of this data directory; made at the first call. One that cannot be used (cut off)
/// is replaced: everything then counts as seen for the first time.
pub fn digest_key(data_dir: &Path) -> io::Result<[u8; BYTES]> {
    let path = data_dir.join(KEY_FILE);
    match read(&path) {
        Ok(key) => return Ok(key),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {}
        Err(error) => return Err(error),
    }
    let key = read(Path::new("/dev/urandom"))?;
    let mut file = tempfile::Builder::new().prefix(".digest-").tempfile_in(data_dir)?;
    file.write_all(&key)?;
    file.as_file().sync_all()?;
    // The temporary file is its owner's alone, and stays so.
    file.persist(&path).map_err(|failed| failed.error)?;
    Ok(key)
}

fn read(path: &Path) -> io::Result<[u8; BYTES]> {
    let mut key = [0; BYTES];
    File::open(path)?.read_exact(&mut key)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_replaced_when_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let first = digest_key(dir.path()).unwrap();
        assert_eq!(digest_key(dir.path()).unwrap(), first);
        assert_ne!(first, [0; BYTES]);
        let path = dir.path().join(KEY_FILE);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "short").unwrap();
        let second = digest_key(dir.path()).unwrap();
        assert_ne!(second, first);
        assert_eq!(digest_key(dir.path()).unwrap(), second);
    }
}
