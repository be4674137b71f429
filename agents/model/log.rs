//! Log lines and how far they were read.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// Which stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line of a container's log: decoded (invalid UTF-8 replaced), without terminal
/// escapes, bounded in length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// The runtime's time stamp; the application's own may lack a zone.
    pub at: Timestamp,
    /// Where it was written.
    pub stream: LogStream,
    /// The text without its line end.
    pub text: String,
}

/// How far a container's log was read: everything up to and including `at`, of which
/// `seen_at` lines carry exactly that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogCursor {
    /// Time of the last line read.
    pub at: Timestamp,
    /// How many lines with exactly that time were read.
    pub seen_at: u32,
}

/// New lines of one container.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LogBatch {
    /// Oldest first.
    pub lines: Vec<LogLine>,
    /// Where to go on; `None` when there was no line at all yet.
    pub cursor: Option<LogCursor>,
    /// Lines left out because of the size limit.
    pub dropped: u64,
}
