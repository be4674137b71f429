//! Takes down everything a fix will touch, as it is, before the first step.
//!
//! The invariant: a backup has exactly one entry a step, in the order of the steps, and is
//! complete or not made at all. It does not write to disk; the store does, before anything
//! is applied.

use crate::fix_engineer::actions::{Act, Action, Reversal};
use crate::model::{Backup, BackupId, Captured, FileContent, Fix, IncidentId, Timestamp};
use crate::ports::{World, WorldError, WorldResult};

/// Captures what each step of `fix` will touch.
pub async fn take(
    world: &World,
    incident: IncidentId,
    fix: &Fix,
    at: Timestamp,
) -> WorldResult<Backup> {
    let mut captured = Vec::with_capacity(fix.steps.len());
    for step in &fix.steps {
        captured.push(step.action.capture(world).await?);
    }
    Ok(Backup {
        id: BackupId::at(at, 1),
        at,
        incident,
        fix: fix.id,
        target: fix.target.clone(),
        fix_type: fix.fix_type.clone(),
        reason: fix.summary.clone(),
        confidence: fix.confidence,
        left_behind: vec![None; captured.len()],
        captured,
        rolled_back_at: None,
    })
}

/// What somebody changed since the fix left it, a sentence each; a rollback would overwrite
/// it. Empty when everything is as the fix, or its backup, left it.
pub async fn overtaken(world: &World, fix: &Fix, backup: &Backup) -> WorldResult<Vec<String>> {
    let mut changed = vec![];
    for ((step, before), left) in fix.steps.iter().zip(&backup.captured).zip(&backup.left_behind) {
        let is_undone = step.action.reversal() == Reversal::Undo;
        let what = match before {
            Captured::File(file) => file_overtaken(world, file, left.as_deref()).await?,
            _ if is_undone => match is_another(world, &step.action, before).await? {
                None => step.action.overtaken(world, before).await?,
                another => another,
            },
            _ => step.action.overtaken(world, before).await?,
        };
        changed.extend(what);
    }
    Ok(changed)
}

async fn file_overtaken(
    world: &World,
    file: &FileContent,
    left: Option<&str>,
) -> WorldResult<Option<String>> {
    let now = match world.files.read(&file.path).await {
        Err(WorldError::NotFound { .. }) => {
            return Ok(Some(format!("{} was removed since", file.path)));
        }
        now => now?,
    };
    let known = now.sha256 == file.sha256 || Some(&*now.sha256) == left;
    Ok((!known).then(|| format!("{} was changed since", file.path)))
}

/// Whether the container that the step changed is gone, or another by the same name.
async fn is_another(
    world: &World,
    action: &Action,
    before: &Captured,
) -> WorldResult<Option<String>> {
    let target = action.target();
    let (Some(id), Some(name)) = (before.container_id(), target.container_name()) else {
        return Ok(None);
    };
    match world.runtime.container(name).await {
        Err(WorldError::NotFound { .. }) => {
            Ok(Some(format!("container `{name}` was removed since")))
        }
        Err(error) => Err(error),
        Ok(now) if now.id == id => Ok(None),
        Ok(_) => Ok(Some(format!("container `{name}` was made anew since"))),
    }
}
