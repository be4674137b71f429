//! The runbooks: those built into the program, and those a person laid over them.
//!
//! Whatever is wrong with a file (unreadable, not text, against the rules), the others
//! work, and the file is named.

pub mod captured;
pub(crate) mod explain;
pub(crate) mod search;
mod watch;
pub(crate) mod words;

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::{fs, iter};

use flate2::read::DeflateDecoder;
use selfheal_agents::error_detector::{BrokenRunbook, Catalogue};
use selfheal_agents::model::Runbook;

pub use selfheal_agents::error_detector::Keep;
pub use watch::{Fingerprint, fingerprint, watch};

/// The largest file that is read, in bytes; the catalogue's own limit is lower.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The built-in runbooks as `build.rs` packs them: name, zero, text, zero, and so on.
static RUNBOOKS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/runbooks"));
/// What programs that were well wrote, packed likewise.
static HEALTHY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/healthy"));

/// The runbooks built into the program, as (`TECHNOLOGY/ID.toml`, text), ordered by name.
pub fn embedded() -> impl Iterator<Item = (String, String)> {
    unpacked(RUNBOOKS)
}

/// The forms of line that healthy programs wrote, as (`PROGRAM.log`, text), ordered by name.
pub fn healthy_logs() -> impl Iterator<Item = (String, String)> {
    unpacked(HEALTHY)
}

fn unpacked(packed: &'static [u8]) -> impl Iterator<Item = (String, String)> {
    // One text after the other: all at once are a megabyte and a half.
    let mut pieces = BufReader::new(DeflateDecoder::new(packed)).split(0);
    let mut next = move || {
        let piece = pieces.next()?.expect("it was packed by our own build");
        Some(String::from_utf8_lossy(&piece).into_owned())
    };
    iter::from_fn(move || Some((next()?, next()?)))
}

/// The catalogue of the built-in runbooks and those under the folder `overlay`, which is
/// laid out like `knowledge/`. A sound file there replaces the built-in one with its id; a
/// broken one takes away its fixes, and is named by its path. Where the folder cannot be
/// listed, no runbook has a fix: any of them may be meant to be replaced.
pub fn load(overlay: Option<&Path>, keep: Keep) -> (Catalogue, Vec<BrokenRunbook>) {
    let mut files = Vec::new();
    let unlisted = overlay.and_then(|folder| collect(folder, &mut files).err());
    let (catalogue, mut broken) = Catalogue::load_over(files, embedded(), keep);
    let Some(unlisted) = unlisted else {
        return (catalogue, broken);
    };
    broken.insert(0, unlisted);
    (catalogue.without_fixes(), broken)
}

/// Tries all rules on the built-in runbooks; they are in force without that.
pub fn broken_built_in() -> Vec<BrokenRunbook> {
    Catalogue::load(embedded()).1
}

/// Whether the program brings a runbook of this technology and id with it.
pub fn is_built_in(runbook: &Runbook) -> bool {
    static NAMES: LazyLock<BTreeSet<String>> =
        LazyLock::new(|| embedded().map(|(name, _)| name).collect());
    NAMES.contains(&format!("{}/{}.toml", runbook.technology, runbook.id))
}

/// A runbook's id is its file's stem; the catalogue holds to that.
fn stem(name: &str) -> String {
    Path::new(name).file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Reads every `FOLDER/*.toml` and `FOLDER/*/*.toml`, in order of their names, as far as the
/// folders can be listed.
fn collect(
    folder: &Path,
    files: &mut Vec<(String, Result<String, String>)>,
) -> Result<(), BrokenRunbook> {
    let mut paths = Vec::new();
    let listed = entries(folder).and_then(|entries| {
        for path in entries {
            if path.is_dir() { paths.extend(self::entries(&path)?) } else { paths.push(path) }
        }
        Ok(())
    });
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    for path in paths {
        let text = read(&path).map_err(|error| format!("it cannot be read: {error}"));
        files.push((path.to_string_lossy().into_owned(), text));
    }
    listed.map_err(|error| BrokenRunbook {
        file: folder.to_string_lossy().into_owned(),
        faults: vec![format!("it cannot be read: {error}; until it can, nothing is mended")],
    })
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> io::Result<String> {
    let size = fs::metadata(path)?.len();
    if size > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("it is larger than {MAX_FILE_BYTES} bytes")));
    }
    fs::read_to_string(path)
}

#[cfg(test)]
mod tests;
