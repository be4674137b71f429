//! Reads and turns one number in a configuration file, keeping comments and layout.

use sha2::{Digest, Sha256};

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
    /// The key is not there, or more than once.
    #[error("the key `{key}` {why}")]
    Key {
        /// The key.
        key: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The number that `key` has in the file.
pub fn number(path: &str, content: &[u8], key: &str) -> Result<f64, EditError> {
    let _ = (content, key);
    Err(EditError::UnknownFormat(path.to_owned()))
}

/// The file's content with the number replaced, everything else untouched to the byte.
pub fn set_number(path: &str, content: &[u8], key: &str, to: f64) -> Result<Vec<u8>, EditError> {
    let _ = (content, key, to);
    Err(EditError::UnknownFormat(path.to_owned()))
}

/// SHA-256 of some bytes, lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
        hex
    })
}
