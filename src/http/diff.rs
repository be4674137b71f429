//! How the fixes of an incident change files, for a person to read, as unified diffs.
//!
//! Before is what a fix's own backup holds; after is what its step makes of it, computed by the
//! same code that applied it. Without a backup (a held fix) only a turned number can be shown, of
//! which it is not known where it stands.

use std::time::Duration;

use selfheal_agents::fix_engineer::actions::Action;
use selfheal_agents::fix_engineer::config_file::set_number;
use selfheal_agents::model::{Backup, Captured, Incident, Step, clean};
use selfheal_agents::ports::{Store, StoreError, StoreResult};
use similar::TextDiff;

use super::body::FileDiff;
use crate::coordinator::{FileNow, RollbackTrial};

/// Unchanged lines shown around a change.
const CONTEXT: usize = 3;
/// Most lines shown of one file, beside its name.
const MAX_LINES: usize = 200;
/// Longest line shown, in characters.
const MAX_CHARS: usize = 200;
/// After so long a shorter diff of two files is not looked for.
const PATIENCE: Duration = Duration::from_millis(100);

/// The changes by each fix of an incident, oldest first.
pub(super) async fn of_incident(
    store: &dyn Store,
    incident: &Incident,
) -> StoreResult<Vec<FileDiff>> {
    let mut backups = vec![];
    for id in &incident.backups {
        match store.backup(id).await {
            Ok(backup) => backups.extend(backup),
            // The rest of the record is worth reading without it.
            Err(StoreError::Corrupt(why)) => tracing::warn!("no diff from a backup: {why}"),
            Err(error) => return Err(error),
        }
    }
    let mut diffs = vec![];
    for fix in incident.earlier_fixes.iter().chain(&incident.fix) {
        let backup = backups.iter().rev().find(|backup| backup.fix == fix.id);
        for (index, step) in fix.steps.iter().enumerate() {
            let change = of_step(step, before(backup, index));
            diffs.extend(change.map(|(file, lines)| FileDiff {
                fix: clean(&fix.summary, 400),
                file: clean(file, 400),
                lines,
            }));
        }
    }
    Ok(diffs)
}

/// How a rollback would change each file of its backup from what it is now; `None` for what is no
/// file, cannot be read, or is as it was.
pub(super) fn back_to_backup(trial: &RollbackTrial) -> Vec<Option<FileDiff>> {
    let way_back = |(captured, now): (&Captured, &Option<FileNow>)| {
        let (Captured::File(before), Some(FileNow::There(now))) = (captured, now) else {
            return None;
        };
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Some(FileDiff {
            fix: clean(&trial.backup.reason, 400),
            file: clean(&before.path, 400),
            lines: between(&before.path, &text(&now.bytes), &text(&before.bytes))?,
        })
    };
    trial.backup.captured.iter().zip(&trial.files).map(way_back).collect()
}

fn before(backup: Option<&Backup>, step: usize) -> Option<&[u8]> {
    match backup?.captured.get(step)? {
        Captured::File(file) => Some(&file.bytes),
        _ => None,
    }
}

/// The file a step changes, and how; nothing where it changes none.
fn of_step<'s>(step: &'s Step, before: Option<&[u8]>) -> Option<(&'s str, Vec<String>)> {
    match &step.action {
        Action::ConfigSet(set) => {
            let turned = before.and_then(|before| {
                let after = set_number(&set.file, before, &set.key, set.to).ok()?;
                Some((
                    String::from_utf8_lossy(before),
                    String::from_utf8_lossy(&after).into_owned(),
                ))
            });
            let lines = if let Some((before, after)) = turned {
                between(&set.file, &before, &after)?
            } else {
                let now = [('-', set.from), ('+', set.to)];
                let turn = now.map(|(mark, value)| format!("{mark}{} = {value}", set.key));
                [header(&set.file).as_slice(), &turn].concat()
            };
            Some((&set.file, lines))
        }
        Action::ConfigRestore(restore) => {
            let before = String::from_utf8_lossy(before?);
            Some((&restore.file, between(&restore.file, &before, &restore.good)?))
        }
        _ => None,
    }
}

fn header(file: &str) -> Vec<String> {
    let path = clean(file.trim_start_matches('/'), 400);
    vec![format!("--- a/{path}"), format!("+++ b/{path}")]
}

/// The unified diff of two texts, each line without its secrets; `None` where they are the same.
fn between(file: &str, before: &str, after: &str) -> Option<Vec<String>> {
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(before, after);
    let hunks = diff.unified_diff().context_radius(CONTEXT).to_string();
    if hunks.is_empty() {
        return None;
    }
    let shown = |line: &str| {
        let mut chars = line.chars();
        let mark: String = chars.next().into_iter().collect();
        format!("{mark}{}", clean(chars.as_str(), MAX_CHARS))
    };
    let mut lines = header(file);
    let count = hunks.lines().count();
    lines.extend(hunks.lines().take(MAX_LINES).map(shown));
    if count > MAX_LINES {
        lines.push(format!(" … {} lines more", count - MAX_LINES));
    }
    Some(lines)
}

#[cfg(test)]
mod tests;
