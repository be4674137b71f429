//! What a fix touched, as it was.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    Blueprint, Confidence, FixId, IncidentId, LogAside, LogFolder, MemoryLimits, NetworkAttachment,
    Remake, ServerSetting, TargetId, Timestamp,
};

/// Names a backup: `backup_20251019_170000`, with `_2`, `_3`, ... for more in one second.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupId(String);

/// The text is not a backup id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a backup id; one looks like `backup_20251019_170000`")]
pub struct InvalidBackupId;

impl BackupId {
    /// The id of the `serial`-th backup of that second, counted from 1.
    pub fn at(at: Timestamp, serial: u32) -> Self {
        let base = at.format("backup_%Y%m%d_%H%M%S");
        Self(if serial <= 1 { base.to_string() } else { format!("{base}_{serial}") })
    }

    /// The id's text; holds nothing but `a-z`, `0-9` and `_`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part of the id that is a time: `20251019_170000`.
    pub fn stamp(&self) -> &str {
        &self.0["backup_".len().."backup_".len() + 15]
    }
}

impl FromStr for BackupId {
    type Err = InvalidBackupId;
    fn from_str(text: &str) -> Result<Self, InvalidBackupId> {
        let rest = text.strip_prefix("backup_").ok_or(InvalidBackupId)?;
        let parts: Vec<&str> = rest.split('_').collect();
        let digits = |part: &&str, len: std::ops::RangeInclusive<usize>| {
            len.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
        };
        let valid = match parts.as_slice() {
            [date, time] => digits(date, 8..=8) && digits(time, 6..=6),
            [date, time, serial] => {
                digits(date, 8..=8) && digits(time, 6..=6) && digits(serial, 1..=6)
            }
            _ => false,
        };
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidBackupId) }
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for BackupId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for BackupId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A file as it was: content, checksum and who may read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileContent {
    /// Path on the host.
    pub path: String,
    /// Content; kept beside the record, by checksum, not in it.
    #[serde(skip)]
    pub bytes: Vec<u8>,
    /// SHA-256 of the content, lower-case hex.
    pub sha256: String,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of the content, seconds since 1970.
    pub modified_secs: i64,
}

/// What one step touches, as it was before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Captured {
    /// A container's life: whether it ran and since when.
    Container {
        /// Docker's id; another id is another container.
        id: String,
        /// Whether its first process lived.
        running: bool,
        /// Whether it was frozen.
        paused: bool,
        /// Since when.
        started_at: Option<Timestamp>,
    },
    /// A container's memory limits.
    Limits {
        /// Docker's id.
        id: String,
        /// As they were.
        limits: MemoryLimits,
    },
    /// A container's processor limit.
    CpuLimit {
        /// Docker's id.
        id: String,
        /// In billionths of a core; `None` is unlimited.
        limit_nanos: Option<u64>,
    },
    /// A container's networks.
    Networks {
        /// Docker's id.
        id: String,
        /// As they were.
        networks: Vec<NetworkAttachment>,
    },
    /// How a container was made, and what is different in the one that takes its place.
    Made {
        /// As it was.
        blueprint: Box<Blueprint>,
        /// What is different.
        remake: Remake,
    },
    /// A file.
    File(FileContent),
    /// A setting of a running server.
    Setting {
        /// Which.
        setting: ServerSetting,
        /// As it was; `None` where the server had only its own default.
        value: Option<String>,
    },
    /// Log files: what went is not put back, but a person finds it here.
    Logs {
        /// Where they are.
        folder: LogFolder,
        /// As they were.
        files: Vec<LogAside>,
    },
    /// How much the image builder kept that nobody needs: nothing to restore.
    BuildCache {
        /// In bytes.
        bytes: u64,
    },
    /// When a server had loaded its configuration files.
    ConfigLoaded {
        /// When.
        at: Timestamp,
    },
    /// Sessions of a database: nothing to restore, only to recognise.
    Sessions,
    /// A person's own command: only its undo knows what to restore.
    Command,
}

impl Captured {
    /// Docker's id of the container whose life, limits or networks these are.
    pub fn container_id(&self) -> Option<&str> {
        match self {
            Self::Container { id, .. }
            | Self::Limits { id, .. }
            | Self::CpuLimit { id, .. }
            | Self::Networks { id, .. } => Some(id),
            _ => None,
        }
    }
}

/// Everything a fix will touch, as it was before the first step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backup {
    /// Its name.
    pub id: BackupId,
    /// When it was made.
    pub at: Timestamp,
    /// For which incident.
    pub incident: IncidentId,
    /// For which fix.
    pub fix: FixId,
    /// The fix's target.
    pub target: TargetId,
    /// The fix's type; empty in records from before this was kept.
    #[serde(default)]
    pub fix_type: String,
    /// Why: the fix's summary.
    pub reason: String,
    /// How sure the fix was.
    pub confidence: Confidence,
    /// One entry a step, in order.
    pub captured: Vec<Captured>,
    /// SHA-256 of each file as the fix left it, by step; `None` where the step changed
    /// no file. A rollback refuses, unless forced, when the file is neither this nor the
    /// backed-up content.
    pub left_behind: Vec<Option<String>>,
    /// When it was rolled back; `None` while it stands.
    pub rolled_back_at: Option<Timestamp>,
}

impl Backup {
    /// Paths of the files in it.
    pub fn files(&self) -> Vec<&str> {
        self.captured
            .iter()
            .filter_map(|c| match c {
                Captured::File(file) => Some(file.path.as_str()),
                _ => None,
            })
            .collect()
    }
}

/// What the API shows of a backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupMetadata {
    /// Why it was made.
    pub reason: String,
    /// How sure the fix was, percent.
    pub confidence: Confidence,
    /// For which incident.
    pub incident_id: IncidentId,
    /// The fix's target.
    pub target: TargetId,
    /// When it was rolled back, if it was.
    pub rolled_back_at: Option<Timestamp>,
}
