//! The pages of backups.

use askama::Template;
use selfheal_agents::model::{Backup, Captured, FileContent, IncidentId, Timestamp, clean};

use super::incident::{Diff, diff};
use super::{Frame, When, count};
use crate::coordinator::{FileNow, RollbackTrial};
use crate::http::body::{BackupRow, FileDiff};

/// The longest text shown of what a backup holds, in characters.
const SHOWN: usize = 400;

struct Line {
    id: String,
    at: When,
    target: String,
    reason: String,
    confidence: String,
    incident: IncidentId,
    files: String,
    rolled_back: Option<When>,
}

/// `/backups`.
#[derive(Template)]
#[template(path = "backups.html")]
pub(in crate::http::pages) struct BackupsPage {
    frame: Frame,
    backups: Vec<Line>,
    older: bool,
}

impl BackupsPage {
    pub(in crate::http::pages) fn new(rows: &[BackupRow], older: bool, now: Timestamp) -> Self {
        let backups = rows.iter().map(|row| line(row, now)).collect();
        Self { frame: Frame::on("/backups"), backups, older }
    }
}

fn line(row: &BackupRow, now: Timestamp) -> Line {
    Line {
        id: row.backup_id.clone(),
        at: When::new(row.at, now),
        target: row.metadata.target.to_string(),
        reason: row.metadata.reason.clone(),
        confidence: row.metadata.confidence.to_string(),
        incident: row.metadata.incident_id,
        files: if row.files.is_empty() {
            String::new()
        } else {
            format!("{}: {}", count(row.files.len(), "file"), row.files.join(", "))
        },
        rolled_back: row.metadata.rolled_back_at.map(|at| When::new(at, now)),
    }
}

struct Content {
    what: String,
    now: String,
    diff: Option<Diff>,
}

struct Reason {
    why: String,
    yields: bool,
}

/// `/backups/{id}`.
#[derive(Template)]
#[template(path = "backup.html")]
pub(in crate::http::pages) struct BackupPage {
    frame: Frame,
    id: String,
    at: When,
    target: String,
    reason: String,
    confidence: String,
    incident: IncidentId,
    size: String,
    rolled_back: Option<When>,
    contents: Vec<Content>,
    would: Vec<String>,
    refusals: Vec<Reason>,
    /// Whether it would be done without insisting.
    possible: bool,
    /// Whether it would be done where a person insists.
    forcible: bool,
}

impl BackupPage {
    /// `diffs` has the way back of each entry that is a file.
    pub(in crate::http::pages) fn new(
        trial: &RollbackTrial,
        diffs: &[Option<FileDiff>],
        now: Timestamp,
    ) -> Self {
        let backup = &trial.backup;
        let reasons = trial.refusals.iter();
        Self {
            frame: Frame::within("/backups"),
            id: backup.id.to_string(),
            at: When::new(backup.at, now),
            target: backup.target.to_string(),
            reason: backup.reason.clone(),
            confidence: backup.confidence.to_string(),
            incident: backup.incident,
            size: size(size_of(backup)),
            rolled_back: backup.rolled_back_at.map(|at| When::new(at, now)),
            contents: contents(trial, diffs),
            would: trial.would.clone(),
            refusals: reasons
                .map(|r| Reason { why: r.why.clone(), yields: r.yields_to_force })
                .collect(),
            possible: trial.refusals.is_empty(),
            forcible: trial.refusals.iter().all(|refusal| refusal.yields_to_force),
        }
    }
}

fn contents(trial: &RollbackTrial, diffs: &[Option<FileDiff>]) -> Vec<Content> {
    let entries = trial.backup.captured.iter().zip(&trial.files).zip(diffs);
    entries
        .map(|((captured, file), way_back)| Content {
            what: clean(&what(captured), SHOWN),
            now: match (captured, file) {
                (Captured::File(before), Some(now)) => file_now(before, now),
                _ => String::new(),
            },
            diff: way_back.as_ref().map(diff),
        })
        .collect()
}

fn file_now(before: &FileContent, now: &FileNow) -> String {
    match now {
        FileNow::There(now) if now.sha256 == before.sha256 => {
            "It is now as it was then.".to_owned()
        }
        FileNow::There(_) => "It is different now; the way back would change:".to_owned(),
        FileNow::Gone => "It is not there now.".to_owned(),
        FileNow::Unseen(why) => clean(&format!("It cannot be read now: {why}"), SHOWN),
    }
}

/// What an entry holds, never a value that may be secret.
fn what(captured: &Captured) -> String {
    match captured {
        Captured::Container { running, paused, .. } => {
            format!("the life of its container, which was {}", life(*running, *paused))
        }
        Captured::Limits { limits, .. } => {
            let memory = limits.memory_bytes.map_or_else(|| "none".to_owned(), size);
            format!("the memory limit of its container: {memory}")
        }
        Captured::CpuLimit { limit_nanos, .. } => {
            let cores = limit_nanos.map(|nanos| format!("{:.2} cores", nanos as f64 / 1e9));
            format!("the processor limit of its container: {}", cores.as_deref().unwrap_or("none"))
        }
        Captured::Networks { networks, .. } => {
            let names: Vec<&str> = networks.iter().map(|n| n.network.as_str()).collect();
            format!("the networks of its container: {}", names.join(", "))
        }
        Captured::Made { .. } => "how its container was made".to_owned(),
        Captured::File(file) => format!(
            "{} ({}, mode {:o}, SHA-256 {})",
            file.path,
            size(file.bytes.len() as u64),
            file.mode,
            file.sha256.get(..12).unwrap_or(&file.sha256)
        ),
        Captured::Setting { setting, value } => {
            let value = value.as_deref().unwrap_or("the server's own default");
            format!("the setting {}: {value}", setting.name())
        }
        Captured::Logs { folder, files } => {
            format!("{} in {}", count(files.len(), "log file"), folder.path())
        }
        Captured::ConfigLoaded { at } => {
            format!("when the server had loaded its files: {}", at.format("%Y-%m-%d %H:%M:%S UTC"))
        }
        Captured::BuildCache { bytes } => {
            format!("the size of the image builder's cache, {} MiB", bytes / 1_048_576)
        }
        Captured::Sessions => "sessions, of which nothing can be put back".to_owned(),
        Captured::Command => "nothing: the command has its own way back".to_owned(),
    }
}

const fn life(running: bool, paused: bool) -> &'static str {
    match (running, paused) {
        (_, true) => "paused",
        (true, false) => "running",
        (false, false) => "stopped",
    }
}

/// Bytes of all files in it.
fn size_of(backup: &Backup) -> u64 {
    let of = |captured: &Captured| match captured {
        Captured::File(file) => file.bytes.len() as u64,
        Captured::Logs { files, .. } => {
            files.iter().filter(|file| file.copy.is_some()).map(|file| file.bytes).sum()
        }
        _ => 0,
    };
    backup.captured.iter().map(of).sum()
}

/// A number of bytes as a person says it.
fn size(bytes: u64) -> String {
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((word, unit)) => format!("{:.1} {word}", bytes as f64 / unit as f64),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_said_in_the_unit_that_fits() {
        for (bytes, said) in
            [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (1 << 30, "1.0 GiB")]
        {
            assert_eq!(size(bytes), said);
        }
    }
}
