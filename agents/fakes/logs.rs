//! The fake log folders.

use async_trait::async_trait;

use super::FakeWorld;
use super::world::State;
use crate::model::{LogAside, LogFile, LogFolder, LogSurvey};
use crate::ports::{LogFiles, WorldError, WorldResult};

impl State {
    fn log_folder(&mut self, folder: &LogFolder) -> WorldResult<&mut LogSurvey> {
        let survey = self.log_folders.get_mut(folder);
        survey.ok_or_else(|| WorldError::NotFound { what: folder.path() })
    }

    fn shrink(&mut self, folder: &LogFolder, file: &LogFile, to: Option<u64>) -> WorldResult<()> {
        let survey = self.log_folder(folder)?;
        let Some(at) = survey.files.iter().position(|f| f.inode == file.inode) else {
            return Ok(());
        };
        let left = to.map_or(0, |keep| keep.min(survey.files[at].taken_bytes));
        survey.available_bytes += survey.files[at].taken_bytes - left;
        survey.files[at].taken_bytes = left;
        if to.is_none() {
            survey.files.remove(at);
        }
        Ok(())
    }
}

impl FakeWorld {
    /// Puts a folder of logs there.
    pub fn logs_in(&self, folder: &LogFolder, survey: LogSurvey) -> &Self {
        self.state().log_folders.insert(folder.clone(), survey);
        self
    }

    /// The log files of which a copy was to be kept.
    pub fn set_aside_so_far(&self) -> Vec<String> {
        self.state().set_aside.clone()
    }
}

#[async_trait]
impl LogFiles for FakeWorld {
    async fn survey(&self, folder: &LogFolder) -> WorldResult<LogSurvey> {
        self.call("survey", &folder.path(), |state| state.log_folder(folder).cloned())
    }

    async fn glance(&self, folder: &LogFolder) -> WorldResult<LogSurvey> {
        self.survey(folder).await
    }

    async fn set_aside(&self, folder: &LogFolder, file: &LogFile) -> WorldResult<LogAside> {
        self.call("set_aside", &file.name, |state| {
            state.log_folder(folder)?;
            state.set_aside.push(file.name.clone());
            let (name, bytes) = (file.name.clone(), file.taken_bytes);
            Ok(LogAside { name, bytes, sha256: None, ends: None, copy: None })
        })
    }

    async fn trim(&self, folder: &LogFolder, file: &LogFile, keep_bytes: u64) -> WorldResult<()> {
        self.call("trim", &file.name, |state| {
            state.shrink(folder, file, Some(keep_bytes))?;
            state.effects.push(format!("trim {}/{}", folder.path(), file.name));
            Ok(())
        })
    }

    async fn remove(&self, folder: &LogFolder, file: &LogFile) -> WorldResult<()> {
        self.call("remove", &file.name, |state| {
            state.shrink(folder, file, None)?;
            state.effects.push(format!("remove {}/{}", folder.path(), file.name));
            Ok(())
        })
    }
}
