//! How a fix changes files, for a person to read.
//!
//! Before is what the backup holds; after is what the step makes of it, computed by the
//! same code that applied it. Without a backup (a held fix) only a turned number can be
//! shown.

use selfheal_agents::fix_engineer::actions::Action;
use selfheal_agents::fix_engineer::config_file::set_number;
use selfheal_agents::model::{Backup, Captured, Incident, Step, clean};
use selfheal_agents::ports::{Store, StoreResult};

use super::body::FileDiff;

/// Unchanged lines shown around a change.
const CONTEXT: usize = 2;
/// Most lines shown of one file.
const MAX_LINES: usize = 200;

/// The changes of an incident's fix, from its newest backup if there is one.
pub(super) async fn of_incident(
    store: &dyn Store,
    incident: &Incident,
) -> StoreResult<Vec<FileDiff>> {
    let Some(fix) = &incident.fix else {
        return Ok(vec![]);
    };
    let backup = match incident.backups.last() {
        Some(id) => store.backup(id).await?.filter(|backup| backup.fix == fix.id),
        None => None,
    };
    Ok(fix
        .steps
        .iter()
        .enumerate()
        .filter_map(|(index, step)| of_step(step, before(backup.as_ref(), index)))
        .collect())
}

fn before(backup: Option<&Backup>, step: usize) -> Option<&[u8]> {
    match backup?.captured.get(step)? {
        Captured::File(file) => Some(&file.bytes),
        _ => None,
    }
}

fn of_step(step: &Step, before: Option<&[u8]>) -> Option<FileDiff> {
    let (file, lines) = match &step.action {
        Action::ConfigSet(set) => {
            let turned = before.and_then(|before| {
                let after = set_number(&set.file, before, &set.key, set.to).ok()?;
                Some(between(&String::from_utf8_lossy(before), &String::from_utf8_lossy(&after)))
            });
            let short = || {
                vec![format!("-{} = {}", set.key, set.from), format!("+{} = {}", set.key, set.to)]
            };
            (&set.file, turned.unwrap_or_else(short))
        }
        Action::ConfigRestore(restore) => {
            (&restore.file, between(&String::from_utf8_lossy(before?), &restore.good))
        }
        _ => return None,
    };
    Some(FileDiff { file: clean(file, 400), lines })
}

/// Everything between the first and the last changed line, with a little around it. Fixes
/// change one place of a file, so nothing cleverer is needed.
fn between(before: &str, after: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same_start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - same_start;
    let same_end =
        old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let (old_end, new_end) = (old.len() - same_end, new.len() - same_end);
    let mark = |mark: char, lines: &[&str]| -> Vec<String> {
        lines.iter().map(|line| format!("{mark}{}", clean(line, 200))).collect()
    };
    let mut lines = mark(' ', &old[same_start.saturating_sub(CONTEXT)..same_start]);
    lines.extend(mark('-', &old[same_start..old_end]));
    lines.extend(mark('+', &new[same_start..new_end]));
    lines.extend(mark(' ', &old[old_end..old.len().min(old_end + CONTEXT)]));
    let hidden = lines.len().saturating_sub(MAX_LINES);
    lines.truncate(MAX_LINES);
    if hidden > 0 {
        lines.push(format!(" … {hidden} lines more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_changed_line_is_shown_with_its_neighbours() {
        let before = "a\nb\nc\ndelay = 1\nd\ne\nf\n";
        let after = before.replace("= 1", "= 1.5");
        assert_eq!(between(before, &after), [" b", " c", "-delay = 1", "+delay = 1.5", " d", " e"]);
    }

    #[test]
    fn equal_and_empty_texts_have_no_change() {
        assert!(!between("a\n", "a\n").iter().any(|line| line.starts_with(['-', '+'])));
        assert!(between("", "").is_empty());
        assert_eq!(between("", "a"), ["+a"]);
        assert_eq!(between("a\na", "a"), [" a", "-a"]);
    }

    #[test]
    fn secrets_beside_a_change_stay_hidden() {
        let shown = between("password = hunter22\nx = 1\n", "password = hunter22\nx = 2\n");
        assert!(!shown.join("\n").contains("hunter22"), "{shown:?}");
    }
}
