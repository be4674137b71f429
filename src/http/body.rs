//! The bodies of the API: written by the server, read by the command line.
//!
//! One type a shape, so that both ends and the OpenAPI document cannot drift apart. The
//! names shown in the contract are fixed; fields may be added, never renamed. Nothing here
//! asks the world: every body is made of what the store and the coordinator handed over.

mod alert;
mod audit;
mod doctor;
mod fleet;
mod freeze;
mod health;
mod incident;
mod monitoring;
mod target;

pub use alert::*;
pub use audit::*;
pub use doctor::*;
pub use fleet::*;
pub use freeze::*;
pub use health::*;
pub use incident::*;
pub use monitoring::*;
pub use target::*;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The word `success`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SuccessWord {
    /// It worked.
    Success,
}

/// What every call under `/api/monitoring` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}Body")]
pub struct Success<T> {
    /// Always `success`; an error is a problem document.
    pub status: SuccessWord,
    /// The answer.
    pub data: T,
}

impl<T> Success<T> {
    /// Wraps an answer.
    pub const fn new(data: T) -> Self {
        Self { status: SuccessWord::Success, data }
    }
}

/// Says in words what was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Done {
    /// Always `success`; an error is a problem document.
    pub status: SuccessWord,
    /// What was done.
    pub message: String,
    /// The single steps, where there are any.
    #[serde(default)]
    pub steps: Vec<String>,
}

impl Done {
    /// Done, in words.
    pub fn new(message: impl Into<String>) -> Self {
        Self { status: SuccessWord::Success, message: message.into(), steps: vec![] }
    }
}

/// What is wrong with a request or with us (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProblemBody {
    /// Names the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status code.
    pub status: u16,
    /// What was wrong here, where, and what to do.
    pub detail: String,
}
