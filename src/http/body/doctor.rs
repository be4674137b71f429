//! What an examination of Selfheal's surroundings found.

use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::config::Sources;

/// Examines everything that Selfheal needs, with the settings from there, and changes nothing.
pub type Doctor = fn(Sources) -> BoxFuture<'static, Vec<Examined>>;

/// How one examination ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// It is as it should be.
    Ok,
    /// It works, and is worth a look.
    Warn,
    /// It does not.
    Fail,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Examined {
    /// What was looked at.
    pub what: &'static str,
    /// How it is.
    pub grade: Grade,
    /// What was seen.
    pub seen: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

#[expect(clippy::needless_pass_by_value, reason = "callers hand over a text or what makes one")]
impl Examined {
    /// All is as it should be.
    pub fn ok(what: &'static str, seen: impl ToString) -> Self {
        Self { what, grade: Grade::Ok, seen: seen.to_string(), remedy: None }
    }

    /// Something is to be done.
    pub fn not(grade: Grade, what: &'static str, seen: impl ToString, remedy: &str) -> Self {
        Self { what, grade, seen: seen.to_string(), remedy: Some(remedy.to_owned()) }
    }
}
