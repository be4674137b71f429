//! Says whether a program may be run: nobody but its owner may be able to change it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Who else than the owner may write.
const OTHERS_WRITE: u32 = 0o022;
/// Anybody may run it.
const RUNS: u32 = 0o111;
/// In such a folder only the owner of a file may replace it.
const STICKY: u32 = 0o1000;

/// Why this program may not be run, with what to do.
pub fn check_program(program: &str) -> Result<(), String> {
    let path = Path::new(program);
    if !path.is_absolute() {
        return Err(format!("`{program}` is not absolute; write the whole path of the program"));
    }
    // Behind links: it is the file itself that must be nobody else's.
    let real = path.canonicalize().map_err(|error| format!("`{program}`: {error}"))?;
    let known = look(&real)?;
    if !known.is_file() {
        return Err(format!("`{program}` is no program but a folder or a device"));
    }
    if known.mode() & RUNS == 0 {
        return Err(format!("`{program}` cannot be run; type `chmod +x {}`", real.display()));
    }
    if known.mode() & OTHERS_WRITE != 0 {
        return Err(format!(
            "`{program}` can be changed by others than its owner; type `chmod go-w {}`",
            real.display()
        ));
    }
    match real.parent() {
        Some(folder) if is_open_to_others(&look(folder)?) => Err(format!(
            "`{program}` can be replaced by others than its owner; type `chmod go-w {}`",
            folder.display()
        )),
        _ => Ok(()),
    }
}

fn look(path: &Path) -> Result<Metadata, String> {
    path.metadata().map_err(|error| format!("{}: {error}", path.display()))
}

/// A folder of a group is its own affair: some systems give one to those who keep programs.
fn is_open_to_others(folder: &Metadata) -> bool {
    folder.mode() & 0o002 != 0 && folder.mode() & STICKY == 0
}
