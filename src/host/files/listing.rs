//! Which files of a folder look like configuration.
//!
//! Bounded in what it looks at and in what it answers: a data folder of a million files
//! costs as much as one of a thousand.

use std::path::Path;

use selfheal_agents::ports::WorldResult;

use super::{Boundaries, LARGEST_BYTES, resolve, world_error};

/// Folders are read no further than this.
const ENTRIES: usize = 1000;
/// Nobody configures one service by more files.
const FILES: usize = 64;

const ENDINGS: [&str; 13] = [
    "json",
    "jsonc",
    "json5",
    "toml",
    "yaml",
    "yml",
    "ini",
    "conf",
    "cfg",
    "cnf",
    "properties",
    "env",
    "xml",
];
/// Python files are programs; only those named like settings are configuration.
const NAMES: [&str; 3] = [".env", "config.py", "settings.py"];

/// `path` itself if it is a file, else the configuration files directly in it, by name.
pub(super) fn list(path: &str, boundaries: &Boundaries) -> WorldResult<Vec<String>> {
    let resolved = resolve(path, boundaries)?;
    let fault = |error: &std::io::Error| world_error("listing", path, error);
    let meta = std::fs::metadata(&resolved).map_err(|error| fault(&error))?;
    if meta.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    if !meta.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(&resolved).map_err(|error| fault(&error))?;
    let mut files: Vec<String> = entries
        .take(ENTRIES)
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| looks_like_configuration(name))
        .filter(|name| is_small_file(&resolved.join(name)))
        .filter_map(|name| Some(Path::new(path).join(name).to_str()?.to_owned()))
        .collect();
    // Sorted before it is cut, so that two looks at one folder agree.
    files.sort();
    files.truncate(FILES);
    Ok(files)
}

fn looks_like_configuration(name: &str) -> bool {
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str());
    NAMES.contains(&name)
        || ending.is_some_and(|ending| ENDINGS.iter().any(|e| e.eq_ignore_ascii_case(ending)))
}

fn is_small_file(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST_BYTES)
}
