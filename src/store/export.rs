//! `fix_knowledge_base.jsonl`: every outcome, one JSON object a line, appended for ever.
//!
//! It is a copy for other programs; Selfheal never reads it. A line that cannot be
//! written is reported and does not stop the outcome from counting.

use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use selfheal_agents::model::{Confidence, Outcome, ResultStatus, Timestamp, ValidationStatus};
use serde::Serialize;

/// The export's name in the data directory.
pub const EXPORT_FILE: &str = "fix_knowledge_base.jsonl";

/// The fields other programs read; none may be renamed.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: Timestamp,
    issue_type: &'a str,
    fix_type: &'a str,
    original_confidence: Confidence,
    result_status: ResultStatus,
    validation_status: ValidationStatus,
    success: bool,
    error_count_after: u64,
}

/// Appends one outcome. A half line that a crash left behind is ended first.
pub(super) fn append(dir: &Path, outcome: &Outcome) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(dir.join(EXPORT_FILE))?;
    let mut text = serde_json::to_string(&Line {
        timestamp: outcome.timestamp,
        issue_type: &outcome.issue_type,
        fix_type: &outcome.fix_type,
        original_confidence: outcome.original_confidence,
        result_status: outcome.result_status,
        validation_status: outcome.validation_status,
        success: outcome.success,
        error_count_after: outcome.error_count_after,
    })
    .map_err(io::Error::other)?;
    text.push('\n');
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0_u8];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            text.insert(0, '\n');
        }
    }
    file.write_all(text.as_bytes())
}
