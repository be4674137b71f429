//! The words in which a test sets the scene: conditions, behaviours, failures.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::world::FakeContainer;
use crate::model::{ContainerFacts, FileContent, LogFolder, LogSurvey};
use crate::ports::WorldError;

/// What a test may ask of the world in a condition.
pub struct Scene<'a> {
    pub(super) containers: &'a BTreeMap<String, FakeContainer>,
    pub(super) files: &'a BTreeMap<String, FileContent>,
    pub(super) log_folders: &'a BTreeMap<LogFolder, LogSurvey>,
    pub(super) done: &'a BTreeSet<String>,
}

impl Scene<'_> {
    /// A container's facts.
    pub fn container(&self, name: &str) -> Option<&ContainerFacts> {
        self.containers.get(name).map(|c| &c.facts)
    }

    /// Whether a container runs and does not hang.
    pub fn is_up(&self, name: &str) -> bool {
        self.containers.get(name).is_some_and(|c| c.facts.is_up() && !c.broken)
    }

    /// Whether what a command does is done.
    pub fn is_done(&self, command: &str) -> bool {
        self.done.contains(command)
    }

    /// What is free where a folder of logs is, in bytes.
    pub fn free_for_logs(&self, path: &str) -> u64 {
        let folder = self.log_folders.iter().find(|(folder, _)| folder.path() == path);
        folder.map_or(0, |(_, survey)| survey.available_bytes)
    }

    /// A file's text; empty if it is not there.
    pub fn text(&self, path: &str) -> String {
        self.files
            .get(path)
            .map_or_else(String::new, |file| String::from_utf8_lossy(&file.bytes).into_owned())
    }
}

/// Something that is or is not so in a scene.
pub type Condition = Arc<dyn Fn(&Scene<'_>) -> bool + Send + Sync>;

/// Waits for an answer, given the time limit of the question; tells whether it came.
pub type Stall = Arc<dyn Fn(Duration) -> BoxFuture<'static, bool> + Send + Sync>;

/// What happens when a container is started.
#[derive(Clone, Default)]
pub enum Behaviour {
    /// It runs, and is healthy at once if it has a health check.
    #[default]
    Works,
    /// It runs and ends at once with this code.
    DiesOnStart {
        /// The exit code.
        exit_code: i64,
    },
    /// As [`Behaviour::DiesOnStart`] unless the condition holds at the start.
    DiesUnless {
        /// The exit code.
        exit_code: i64,
        /// What must hold.
        cured: Condition,
    },
    /// It runs and its health check fails.
    StaysUnhealthy,
    /// It runs and its health check has not been answered yet.
    StaysStarting,
    /// The runtime cannot start it; no event is emitted.
    CannotStart {
        /// The runtime's words.
        error: String,
    },
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Works => "Works",
            Self::DiesOnStart { .. } => "DiesOnStart",
            Self::DiesUnless { .. } => "DiesUnless",
            Self::StaysUnhealthy => "StaysUnhealthy",
            Self::StaysStarting => "StaysStarting",
            Self::CannotStart { .. } => "CannotStart",
        })
    }
}

/// An injected failure; each becomes the [`WorldError`] of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// [`WorldError::NotFound`].
    NotFound,
    /// [`WorldError::Denied`].
    Denied,
    /// [`WorldError::TimedOut`] before anything happened.
    TimedOut,
    /// [`WorldError::TimedOut`], but the thing was done: the caller cannot know.
    TimedOutAfterwards,
    /// [`WorldError::Unreachable`].
    Unreachable,
    /// [`WorldError::Refused`] with these words.
    Refused(String),
    /// [`WorldError::Untold`] with these words.
    Untold(String),
    /// [`WorldError::Conflict`].
    Conflict,
}

impl Failure {
    pub(super) fn error(&self, what: &str) -> WorldError {
        let what = what.to_owned();
        match self {
            Self::NotFound => WorldError::NotFound { what },
            Self::Denied => {
                WorldError::Denied { what, remedy: "the test must allow it".to_owned() }
            }
            Self::TimedOut | Self::TimedOutAfterwards => {
                WorldError::TimedOut { what, limit: Duration::from_secs(10) }
            }
            Self::Unreachable => WorldError::Unreachable { what, why: "injected".to_owned() },
            Self::Refused(why) => WorldError::Refused { what, why: why.clone() },
            Self::Untold(why) => WorldError::Untold { what, why: why.clone() },
            Self::Conflict => WorldError::Conflict { what },
        }
    }
}
