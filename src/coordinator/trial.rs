//! What a rollback would do now, and what stands against it, without doing any of it.
//!
//! Its invariant: it asks the world and changes nothing. What it says holds for the moment: a
//! rollback that is asked for afterwards looks for itself.

use selfheal_agents::backup as backup_agent;
use selfheal_agents::fix_engineer::actions::{Act, Reversal};
use selfheal_agents::model::{
    Backup, BackupId, Captured, FileContent, Incident, StepRole, Timestamp,
};
use selfheal_agents::ports::if_there;

use super::progress::Progress;
use super::state::Inner;
use super::{RequestError, steps};

/// Why a rollback would be refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// In words.
    pub why: String,
    /// Whether it is done all the same where a person insists.
    pub yields_to_force: bool,
}

/// A file of a backup, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileNow {
    /// It is there.
    There(FileContent),
    /// It is gone.
    Gone,
    /// It cannot be read now; the text says why.
    Unseen(String),
}

/// What a rollback of one backup would do now.
#[derive(Debug, Clone, PartialEq)]
pub struct RollbackTrial {
    /// The backup, with what is in it.
    pub backup: Backup,
    /// What would be done, a sentence a step, in that order.
    pub would: Vec<String>,
    /// Why it would be refused; empty where it would be done.
    pub refusals: Vec<Refusal>,
    /// For each entry of the backup that is a file, how that is now.
    pub files: Vec<Option<FileNow>>,
}

impl Inner {
    /// Looks at everything that a rollback of this backup would look at, and at its files.
    pub(super) async fn try_rollback(&self, id: &BackupId) -> Result<RollbackTrial, RequestError> {
        let backup = self.backup_or_error(id).await?;
        let progress = self.executor.progress(backup.fix).await?;
        let would = match &progress {
            Some(progress) if backup.rolled_back_at.is_none() => {
                self.would_do(progress, &backup).await
            }
            _ => vec![],
        };
        let refusals = self.refusals(&backup, progress.as_ref()).await?;
        let mut files = vec![];
        for captured in &backup.captured {
            files.push(match captured {
                Captured::File(file) => Some(self.file_now(&file.path).await),
                _ => None,
            });
        }
        Ok(RollbackTrial { backup, would, refusals, files })
    }

    async fn file_now(&self, path: &str) -> FileNow {
        match if_there(self.world.files.read(path).await) {
            Ok(Some(now)) => FileNow::There(now),
            Ok(None) => FileNow::Gone,
            Err(error) => FileNow::Unseen(error.to_string()),
        }
    }

    /// The steps that a rollback would undo, and those it would run again after that.
    async fn would_do(&self, progress: &Progress, backup: &Backup) -> Vec<String> {
        let mut would = vec![];
        for (index, step) in progress.fix.steps.iter().enumerate().rev() {
            let known = progress.step(index);
            if !known.intended || known.undone || step.action.reversal() != Reversal::Undo {
                continue;
            }
            let begun = match backup.captured.get(index) {
                Some(before) if !known.applied => {
                    !matches!(step.action.is_begun(&self.world, before).await, Ok(false))
                }
                _ => true,
            };
            if begun {
                would.push(format!("undo: {}", step.action.describe()));
            }
        }
        if !would.is_empty() {
            let again = progress.fix.steps.iter().enumerate().filter(|(index, step)| {
                step.role == StepRole::Activate && progress.step(*index).intended
            });
            would.extend(again.map(|(_, step)| format!("again: {}", step.action.describe())));
        }
        would
    }

    async fn refusals(
        &self,
        backup: &Backup,
        progress: Option<&Progress>,
    ) -> Result<Vec<Refusal>, RequestError> {
        let mut refusals = vec![];
        let mut refuse = |why: String, yields_to_force| {
            refusals.push(Refusal { why, yields_to_force });
        };
        if let Some(at) = backup.rolled_back_at {
            refuse(rolled_back_already(&backup.id, at), false);
            return Ok(refusals);
        }
        let Some(progress) = progress else {
            refuse(never_begun(&backup.id), false);
            return Ok(refusals);
        };
        let incident = self.incident_or_error(backup.incident).await?;
        if !self.has_taken_up() {
            refuse("Selfheal has not yet taken up what its last run left".to_owned(), false);
        }
        if let Some(why) = one_of_several(backup, &incident) {
            refuse(why, true);
        }
        let mut targets = progress.fix.touches();
        targets.push(incident.target);
        if targets.iter().any(|target| self.leases.is_busy(target)) {
            refuse(under_repair(backup), false);
        }
        match backup_agent::overtaken(&self.world, &progress.fix, backup).await {
            Ok(changed) if changed.is_empty() => {}
            Ok(changed) => refuse(overwrites(&changed), true),
            Err(error) => refuse(format!("what it touches cannot be seen: {error}"), true),
        }
        Ok(refusals)
    }
}

/// Why what was taken back is not taken back again.
pub(super) fn rolled_back_already(id: &BackupId, at: Timestamp) -> String {
    format!("{id} was rolled back already, at {}", at.format("%Y-%m-%d %H:%M:%S UTC"))
}

/// Why a backup without a fix is not taken back.
pub(super) fn never_begun(id: &BackupId) -> String {
    format!("{id} was made, but its fix was never begun")
}

/// Why what is being worked on is not taken back.
pub(super) fn under_repair(backup: &Backup) -> String {
    format!("`{}` is being repaired; try again", backup.target)
}

/// Why somebody's later change stands against it.
pub(super) fn overwrites(changed: &[String]) -> String {
    format!(
        "{}; a rollback would overwrite that. Force it if you want the old state anyway",
        changed.join("; ")
    )
}

/// Why one of several steps that only helped together is not taken back alone.
pub(super) fn one_of_several(backup: &Backup, incident: &Incident) -> Option<String> {
    let together = steps::together(incident);
    let is_a_step = together.len() > 1 && together.iter().any(|fix| fix.id == backup.fix);
    (is_a_step && backup.rolled_back_at.is_none()).then(|| {
        format!(
            "{} is one of {} steps that belong together; take all of them back with `selfheal \
             rollback {}`, or force this one",
            backup.id,
            together.len(),
            incident.id
        )
    })
}
