//! Reads and turns one number in a configuration file, keeping comments and layout.
//!
//! Invariant: of the whole file only the number's own characters change; a file that is
//! not understood, or a key that could mean two places, is refused with the line. Every
//! format is one function that walks a text and reports to a [`Search`] what it meets
//! under the key; only this module reads values and writes bytes.

mod dotenv;
mod ini;
mod json;
mod nginx;
mod plain;
mod python;
mod search;
mod toml_file;
mod yaml;

use std::ops::Range;

use sha2::{Digest, Sha256};

use search::{Fault, Found, Kind, Search};

/// Why a file could not be read or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The ending of the file's name names no known format.
    #[error("the format of {0} is not known")]
    UnknownFormat(String),
    /// The file is not what its name says.
    #[error("it cannot be read as {format}: {why}")]
    Unreadable {
        /// The format.
        format: &'static str,
        /// Why, with the line.
        why: String,
    },
    /// The key is not there, not a number, or there more than once.
    #[error("the key `{key}` {why}")]
    Key {
        /// The key.
        key: String,
        /// What is wrong with it, with the line.
        why: String,
    },
}

/// A known format: how it is called and how it is walked.
#[derive(Debug, Clone, Copy)]
struct Format {
    name: &'static str,
    /// Reports to the search whatever stands under its key.
    walk: fn(&str, &mut Search<'_>) -> Result<(), Fault>,
    /// Reads a number as this format spells it.
    read: fn(&str) -> Option<f64>,
    /// The whole document as a value, where another parser can give one.
    document: fn(&str) -> Option<serde_json::Value>,
}

/// The format that the file's name promises.
fn format_of(path: &str) -> Option<Format> {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let own = |name, walk, read| Format { name, walk, read, document: |_| None };
    if name == ".env" || name.starts_with(".env.") {
        return Some(own("an .env file", dotenv::walk, plain::parse));
    }
    Some(match ending {
        "json" | "jsonc" => Format {
            document: |text| serde_json::from_str(text).ok(),
            ..own("JSON", json::walk, plain::parse)
        },
        "toml" => Format {
            document: |text| toml::from_str(text).ok(),
            ..own("TOML", toml_file::walk, plain::parse_grouped)
        },
        "yaml" | "yml" => own("YAML", yaml::walk, plain::parse),
        "ini" | "cfg" => own("INI", ini::walk, plain::parse),
        "conf" | "cnf" | "properties" => own("key and value lines", walk_conf, plain::parse),
        "env" => own("an .env file", dotenv::walk, plain::parse),
        "py" => own("Python constants", python::walk, plain::parse_grouped),
        _ => return None,
    })
}

/// `.conf` is what nginx reads as well as plain lines.
fn walk_conf(text: &str, search: &mut Search<'_>) -> Result<(), Fault> {
    if nginx::is_like(text) { nginx::walk(text, search) } else { ini::walk_conf(text, search) }
}

/// The number that `key` has in the file.
pub fn number(path: &str, content: &[u8], key: &str) -> Result<f64, EditError> {
    let format = known_format(path)?;
    let (text, _) = decode(format, content)?;
    locate(format, text, key).map(|(_, value)| value)
}

/// The file's content with the number replaced, everything else untouched to the byte.
pub fn set_number(path: &str, content: &[u8], key: &str, to: f64) -> Result<Vec<u8>, EditError> {
    let format = known_format(path)?;
    let (text, offset) = decode(format, content)?;
    let refuse = |why: String| EditError::Key { key: key.to_owned(), why };
    if !to.is_finite() {
        return Err(refuse(format!("cannot be set to {to}: it is not a number a file can hold")));
    }
    let (span, _) = locate(format, text, key)?;
    let written = plain::write(&text[span.clone()], to);
    let changed = [&text[..span.start], &written, &text[span.end..]].concat();
    // A value that its own format reads differently must never reach the disk.
    let is_proven = locate(format, &changed, key)
        .is_ok_and(|(again, value)| again.start == span.start && value.to_bits() == to.to_bits())
        && only_one_value_differs(format, text, &changed);
    if !is_proven {
        return Err(refuse(format!(
            "cannot be set to {to}: the changed file would not be read so"
        )));
    }
    Ok([&content[..offset], changed.as_bytes()].concat())
}

fn known_format(path: &str) -> Result<Format, EditError> {
    format_of(path).ok_or_else(|| EditError::UnknownFormat(path.to_owned()))
}

/// The text after a byte order mark, and how many bytes that has.
fn decode(format: Format, content: &[u8]) -> Result<(&str, usize), EditError> {
    let text = std::str::from_utf8(content).map_err(|error| {
        let line = content[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        EditError::Unreadable { format: format.name, why: format!("line {line} is not UTF-8 text") }
    })?;
    let rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    Ok((rest, text.len() - rest.len()))
}

/// The one place of the key, and the number there.
fn locate(format: Format, text: &str, key: &str) -> Result<(Range<usize>, f64), EditError> {
    let refuse = |why: String| EditError::Key { key: key.to_owned(), why };
    if key.is_empty() {
        return Err(refuse("is empty".to_owned()));
    }
    let mut search = Search::new(key);
    (format.walk)(text, &mut search).map_err(|fault| EditError::Unreadable {
        format: format.name,
        why: format!("{} (line {})", fault.why, line_of(text, fault.at)),
    })?;
    if let Some((first, second)) = search.doubled() {
        let (first, second) = (line_of(text, first), line_of(text, second));
        return Err(refuse(format!("is there more than once (lines {first} and {second})")));
    }
    let Found { span, kind } = search.found().ok_or_else(|| refuse("is not there".to_owned()))?;
    let line = line_of(text, span.start);
    if kind == Kind::Group {
        return Err(refuse(format!("is a group of settings, not a number (line {line})")));
    }
    let value = (kind == Kind::Scalar).then(|| (format.read)(&text[span.clone()])).flatten();
    value
        .map(|value| (span, value))
        .ok_or_else(|| refuse(format!("is not a plain decimal number (line {line})")))
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// Where another parser reads the format too, it must see one changed value and no more.
fn only_one_value_differs(format: Format, before: &str, after: &str) -> bool {
    match ((format.document)(before), (format.document)(after)) {
        (Some(before), Some(after)) => differences(&before, &after) <= 1,
        // It could not read the file before (JSON with comments): only our own walk can.
        (None, _) => true,
        (Some(_), None) => false,
    }
}

fn differences(a: &serde_json::Value, b: &serde_json::Value) -> usize {
    use serde_json::Value::{Array, Object};
    match (a, b) {
        (Object(a), Object(b)) if a.len() == b.len() => {
            a.iter().map(|(key, a)| b.get(key).map_or(2, |b| differences(a, b))).sum()
        }
        (Array(a), Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).map(|(a, b)| differences(a, b)).sum()
        }
        _ => usize::from(a != b),
    }
}

/// SHA-256 of some bytes, lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests;
