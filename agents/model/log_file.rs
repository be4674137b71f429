//! Log files that a container writes into a folder of its own.

use serde::{Deserialize, Serialize};

/// A folder of logs on the host: a mount of a container, or a folder below it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogFolder {
    /// Source of the mount on the host; not the container's to choose.
    pub root: String,
    /// Path below it, without `/` at its ends; empty for the mount itself. The container may put
    /// anything there, so nothing of it is followed.
    pub below: String,
}

impl LogFolder {
    /// As a person would write it.
    pub fn path(&self) -> String {
        let root = self.root.trim_end_matches('/');
        if self.below.is_empty() { root.to_owned() } else { format!("{root}/{}", self.below) }
    }
}

/// One log file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFile {
    /// Its name in the folder.
    pub name: String,
    /// Its inode: another one under the same name is another file.
    pub inode: u64,
    /// Bytes it takes on disk; its length may be more where a writer left a hole.
    pub taken_bytes: u64,
}

/// What is in a folder of logs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogSurvey {
    /// Size of its file system, in bytes.
    pub total_bytes: u64,
    /// Free there for those who write logs, in bytes.
    pub available_bytes: u64,
    /// The regular files directly in it whose names are those of logs, largest first.
    pub files: Vec<LogFile>,
}

/// A log file as it was before it was trimmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogAside {
    /// Its name in the folder.
    pub name: String,
    /// Its length, in bytes.
    pub bytes: u64,
    /// SHA-256 of its content; `None` where reading it all would have taken too long.
    pub sha256: Option<String>,
    /// Where a copy was put; `None` where there was no room for one.
    pub copy: Option<String>,
}

/// What a log file's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogName {
    /// One that is written to.
    Current,
    /// One that was put aside by a rotation; nobody writes to it any more.
    Rotated,
}

/// Endings of names that programs write logs to.
const CURRENT: [&str; 4] = [".log", "_log", ".out", ".err"];
/// No file system of Linux has longer ones, in bytes.
const LONGEST_NAME: usize = 255;
/// Endings that compression adds.
const COMPRESSED: [&str; 5] = [".gz", ".bz2", ".xz", ".zst", ".lz4"];

impl LogName {
    /// What `name` says; `None` where it is not a log's. Rotated ones are those that logrotate(8)
    /// and its like make: a number or a date behind the name, possibly compressed.
    pub fn of(name: &str) -> Option<Self> {
        // The container chooses its names, and they are shown: plain ones alone.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+@:=,".contains(&byte);
        if name.starts_with('.') || name.len() > LONGEST_NAME || !name.bytes().all(is_plain) {
            return None;
        }
        if CURRENT.iter().any(|ending| name.len() > ending.len() && name.ends_with(ending)) {
            return Some(Self::Current);
        }
        let plain = COMPRESSED.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
        let is_rotated = CURRENT.iter().any(|ending| {
            plain.split_once(ending).is_some_and(|(stem, rest)| {
                let counted = rest.trim_start_matches(['.', '-', '_']);
                let is_count = !counted.is_empty()
                    && rest.len() > counted.len()
                    && counted.bytes().all(|b| b.is_ascii_digit() || b"-._T".contains(&b));
                !stem.is_empty() && (is_count || (rest.is_empty() && plain != name))
            })
        });
        is_rotated.then_some(Self::Rotated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_logs_are_known_and_rotated_ones_told_apart() {
        for name in ["app.log", "access_log", "catalina.out", "php.err", "my.app-1.log"] {
            assert_eq!(LogName::of(name), Some(LogName::Current), "{name}");
        }
        let rotated = [
            "app.log.1",
            "app.log.2.gz",
            "app.log-20261121",
            "app.log-20261121.xz",
            "app.log.2026-11-21",
            "access_log.3",
            "app.log.gz",
        ];
        for name in rotated {
            assert_eq!(LogName::of(name), Some(LogName::Rotated), "{name}");
        }
        let others = [
            "app.db",
            "log",
            ".log",
            "catalogue",
            "app.logic",
            "app.log.db",
            "0001.wal",
            "app.log.1.sqlite",
            ".app.log",
            "../app.log",
            "backup.gz",
            "app.login",
            "a\u{1b}[31m.log",
            "a b.log",
            "a\nb.log",
        ];
        for name in others {
            assert_eq!(LogName::of(name), None, "{name}");
        }
    }
}
