//! `logs.trim`: makes room where a container's own logs have filled their disk.
//!
//! Only files whose names are those of logs, directly in a folder that is a container's log mount
//! or declared by its label `selfheal.logs`. The end of a log that is written to stays; a copy of
//! what goes is kept where there is room for it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Act, Action, Reversal};
use crate::fix_engineer::plan::{PlanRequest, Planned, repair};
use crate::model::{
    Captured, ContainerFacts, LogFile, LogFolder, LogName, LogSurvey, TargetId,
};
use crate::ports::{World, WorldResult};

/// Trims log files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsTrim {
    /// Whose logs.
    pub container: String,
    /// Where they are.
    pub folder: LogFolder,
    /// Those that go but for their end, and those that were rotated and go wholly.
    pub files: Vec<LogFile>,
    /// How much of the end of each one that is written to stays, in bytes.
    pub keep_bytes: u64,
}

const MIB: u64 = 1024 * 1024;

impl LogsTrim {
    /// The files that are as large as they were planned, or larger.
    async fn untouched(&self, world: &World) -> WorldResult<Vec<LogFile>> {
        let survey = world.logs.survey(&self.folder).await?;
        let is_there = |file: &&LogFile| {
            survey.files.iter().any(|now| {
                now.name == file.name
                    && now.inode == file.inode
                    && now.taken_bytes >= file.taken_bytes
            })
        };
        Ok(self.files.iter().filter(is_there).cloned().collect())
    }
}

#[async_trait]
impl Act for LogsTrim {
    fn target(&self) -> TargetId {
        TargetId::container(&self.container)
    }

    fn describe(&self) -> String {
        let names: Vec<&str> = self.files.iter().map(|file| file.name.as_str()).collect();
        let taken: u64 = self.files.iter().map(|file| file.taken_bytes).sum();
        format!(
            "trim {} log file(s) of container `{}` in {} ({} MiB): {}",
            names.len(),
            self.container,
            self.folder.path(),
            taken / MIB,
            names.join(", ")
        )
    }

    fn reversal(&self) -> Reversal {
        Reversal::PostCondition("each of these logs takes less room than before")
    }

    fn by_hand(&self) -> String {
        let name = self.files.first().map_or("", |file| file.name.as_str());
        format!("truncate --size 0 {}/{name}", self.folder.path())
    }

    fn interruption_secs(&self) -> u64 {
        0
    }

    async fn capture(&self, world: &World) -> WorldResult<Captured> {
        let mut files = vec![];
        for file in &self.files {
            files.push(world.logs.set_aside(&self.folder, file).await?);
        }
        Ok(Captured::Logs { folder: self.folder.clone(), files })
    }

    async fn is_applied(&self, world: &World, _before: &Captured) -> WorldResult<bool> {
        Ok(self.untouched(world).await?.is_empty())
    }

    async fn apply(&self, world: &World, _before: &Captured) -> WorldResult<Option<String>> {
        for file in self.untouched(world).await? {
            match LogName::of(&file.name) {
                Some(LogName::Rotated) => world.logs.remove(&self.folder, &file).await?,
                Some(LogName::Current) => {
                    world.logs.trim(&self.folder, &file, self.keep_bytes).await?;
                }
                None => {}
            }
        }
        Ok(None)
    }

    async fn undo(&self, _world: &World, _before: &Captured) -> WorldResult<()> {
        Ok(())
    }
}

/// So much of the end of a log stays, in bytes: what happened last is what a person reads.
const KEEP_BYTES: u64 = 256 * 1024;
/// A disk fuller than this is full, share of 1.
const FULL: f64 = 0.9;
/// So much of it is freed if the logs hold as much, share of 1.
const WANTED: f64 = 0.3;

pub(super) async fn plan(request: &PlanRequest<'_>) -> Planned {
    let mut why = "no container has a log folder that may be trimmed".to_owned();
    for facts in containers(request)? {
        for folder in facts.log_folders() {
            let survey = match request.workshop.world.logs.survey(&folder).await {
                Ok(survey) => survey,
                Err(error) => {
                    why = error.to_string();
                    continue;
                }
            };
            match chosen(&survey) {
                Ok(files) => {
                    let container = facts.name.clone();
                    let trim = LogsTrim { container, folder, files, keep_bytes: KEEP_BYTES };
                    let mut steps = vec![repair(Action::LogsTrim(trim))];
                    if !facts.is_up() && request.container().is_ok() {
                        steps.push(request.activation()?);
                    }
                    return Ok(steps);
                }
                Err(reason) => why = format!("{}: {reason}", folder.path()),
            }
        }
    }
    Err(why)
}

/// The blamed container, or every one where the host is to blame.
fn containers<'a>(request: &PlanRequest<'a>) -> Result<Vec<&'a ContainerFacts>, String> {
    if request.diagnosis.blamed != TargetId::host() {
        return Ok(vec![request.container()?]);
    }
    let may_be_touched = |id: &TargetId| {
        let target = request.workshop.evidence.targets.get(id);
        target.is_some_and(|t| !t.policy.excluded && !t.policy.external)
    };
    let report = request.workshop.evidence.report;
    let states = report.targets.iter().filter(|target| may_be_touched(target.id()));
    Ok(states.filter_map(|target| target.state.container()).collect())
}

/// The files that make enough room: rotated ones first, then the largest.
fn chosen(survey: &LogSurvey) -> Result<Vec<LogFile>, String> {
    let total = survey.total_bytes as f64;
    let used = survey.used();
    if survey.total_bytes == 0 || used < FULL {
        return Err(format!("its disk is {:.0} % full and has room", used * 100.0));
    }
    let of = |wanted: LogName| {
        let fits = move |file: &&LogFile| LogName::of(&file.name) == Some(wanted);
        survey.files.iter().filter(fits)
    };
    let worth = |file: &LogFile| match LogName::of(&file.name) {
        Some(LogName::Rotated) => file.taken_bytes,
        _ => file.taken_bytes.saturating_sub(KEEP_BYTES),
    };
    let (mut files, mut freed) = (vec![], 0);
    for file in of(LogName::Rotated).chain(of(LogName::Current)) {
        if freed as f64 >= WANTED * total {
            break;
        }
        if worth(file) > 0 {
            freed += worth(file);
            files.push(file.clone());
        }
    }
    if (freed as f64) < LogSurvey::WORTHWHILE * total {
        return Err(format!(
            "its logs hold only {} MiB of {} MiB: something else fills the disk",
            freed / MIB,
            survey.total_bytes / MIB
        ));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, mib: u64) -> LogFile {
        LogFile { name: name.to_owned(), inode: mib, taken_bytes: mib * MIB }
    }

    fn names(survey: &LogSurvey) -> Vec<String> {
        chosen(survey).unwrap().into_iter().map(|file| file.name).collect()
    }

    fn full(files: Vec<LogFile>) -> LogSurvey {
        LogSurvey { total_bytes: 100 * MIB, available_bytes: MIB, files }
    }

    #[test]
    fn rotated_logs_go_first_and_only_as_much_as_makes_room() {
        let survey = full(vec![file("a.log", 40), file("a.log.1", 20), file("b.log", 15)]);
        assert_eq!(names(&survey), ["a.log.1", "a.log"]);
        let survey = full(vec![file("a.log", 40), file("a.log.1", 30)]);
        assert_eq!(names(&survey), ["a.log.1"]);
    }

    #[test]
    fn a_disk_with_room_or_filled_by_something_else_is_left_alone() {
        let roomy = LogSurvey { available_bytes: 20 * MIB, ..full(vec![file("a.log", 60)]) };
        assert!(chosen(&roomy).is_err());
        assert!(chosen(&full(vec![file("a.log", 5), file("data.db", 90)])).is_err());
        assert!(chosen(&LogSurvey::default()).is_err());
    }
}
