//! Log files that a container writes into a folder of its own.

use serde::{Deserialize, Serialize};

use super::{ContainerFacts, MountFacts};

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

impl LogSurvey {
    /// Where the logs hold less of their disk, something else fills it, share of 1.
    pub const WORTHWHILE: f64 = 0.1;

    /// How much of the disk is in use, share of 1.
    pub fn used(&self) -> f64 {
        1.0 - self.available_bytes as f64 / (self.total_bytes as f64).max(1.0)
    }

    /// What the logs take, in bytes.
    pub fn logs_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.taken_bytes).sum()
    }
}

/// How full the disk of a container's logs is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogDisk {
    /// The folder on the host.
    pub folder: String,
    /// What is in it.
    pub survey: LogSurvey,
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
    /// What it is known by where that took too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<LogEnds>,
    /// Where a copy was put; `None` where there was no room for one.
    pub copy: Option<String>,
}

/// The beginning and the end of a log that was too large to be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEnds {
    /// The length of each, in bytes.
    pub bytes: u64,
    /// SHA-256 of the first bytes.
    pub first_sha256: String,
    /// SHA-256 of the last bytes.
    pub last_sha256: String,
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

/// Declares folders of logs, as the container sees them, separated by commas.
const LABEL: &str = "selfheal.logs";

impl ContainerFacts {
    /// Where its logs may be trimmed: in declared folders, and in mounts that by their place are
    /// for logs.
    pub fn log_folders(&self) -> Vec<LogFolder> {
        let writable = || self.mounts.iter().filter(|mount| mount.writable);
        let declared = self.labels.get(LABEL).map(String::as_str).unwrap_or_default();
        let mut folders: Vec<LogFolder> = declared
            .split(',')
            .filter_map(|path| writable().filter_map(|mount| below(mount, path.trim())).next_back())
            .collect();
        let by_place = writable().filter(|mount| is_for_logs(&mount.destination));
        folders.extend(by_place.map(whole));
        folders.dedup();
        folders
    }
}

fn whole(mount: &MountFacts) -> LogFolder {
    LogFolder { root: mount.source.clone(), below: String::new() }
}

/// The folder on the host of a `path` in the container, if it lies in this mount.
fn below(mount: &MountFacts, path: &str) -> Option<LogFolder> {
    let rest = path.strip_prefix(mount.destination.trim_end_matches('/'))?;
    let inside = rest.is_empty() || rest.starts_with('/');
    let plain = !path.split('/').any(|part| part == ".." || part == ".");
    let below = rest.trim_matches('/').to_owned();
    (inside && plain && path.starts_with('/')).then(|| LogFolder { below, ..whole(mount) })
}

fn is_for_logs(destination: &str) -> bool {
    let destination = destination.trim_end_matches('/');
    let last = destination.rsplit('/').next().unwrap_or_default();
    destination.starts_with("/var/log/")
        || destination == "/var/log"
        || ["log", "logs"].contains(&last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{container, labels};

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

    #[test]
    fn only_mounts_for_logs_and_declared_folders_count() {
        let mount = |destination: &str, writable: bool| MountFacts {
            bind: true,
            source: format!("/host{destination}"),
            destination: destination.to_owned(),
            writable,
        };
        let mut facts = container("web");
        facts.mounts = vec![
            mount("/var/log/nginx", true),
            mount("/data", true),
            mount("/srv/app/logs", false),
            mount("/var/lib/catalog", true),
        ];
        let paths = |facts: &ContainerFacts| -> Vec<String> {
            facts.log_folders().iter().map(LogFolder::path).collect()
        };
        assert_eq!(paths(&facts), ["/host/var/log/nginx"]);
        facts.labels = labels(&[(LABEL, "/data/app/log, /etc, /data/../etc, relative")]);
        assert_eq!(paths(&facts), ["/host/data/app/log", "/host/var/log/nginx"]);
    }
}
