//! Takes down everything a fix will touch, as it is, before the first step.
//!
//! The invariant: a backup has exactly one entry a step, in the order of the steps, and is
//! complete or not made at all. It does not write to disk; the store does, before anything
//! is applied.

use crate::fix_engineer::actions::{Act, Action};
use crate::model::{Backup, BackupId, Captured, Fix, IncidentId, Timestamp};
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
        match (before, &step.action) {
            (Captured::File(file), _) => {
                let now = match world.files.read(&file.path).await {
                    Err(WorldError::NotFound { .. }) => {
                        changed.push(format!("{} was removed since", file.path));
                        continue;
                    }
                    now => now?,
                };
                if now.sha256 != file.sha256 && Some(&now.sha256) != left.as_ref() {
                    changed.push(format!("{} was changed since", file.path));
                }
            }
            (Captured::Limits { id, limits }, Action::ContainerSetMemory(set)) => {
                let now = match world.runtime.container(&set.container).await {
                    Err(WorldError::NotFound { .. }) => {
                        changed.push(format!("container `{}` was removed since", set.container));
                        continue;
                    }
                    now => now?,
                };
                if now.id != *id {
                    changed.push(format!("container `{}` was made anew since", set.container));
                } else if now.limits != *limits && now.limits != set.limits {
                    changed.push(format!("the limits of `{}` were changed since", set.container));
                }
            }
            _ => changed.extend(step.action.overtaken(world, before).await?),
        }
    }
    Ok(changed)
}
