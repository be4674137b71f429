//! How the command line speaks: data on standard output, all else on standard error.
//!
//! A closed pipe (`| head`) ends the program quietly. Colour and tables appear only where
//! a person looks.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use selfheal_agents::model::{Timestamp, clean};
use serde::Serialize;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All healthy, or done.
    Done,
    /// Something is wrong and was not healed.
    Wrong,
    /// Wrong usage or settings.
    Usage,
    /// The daemon or Docker cannot be reached.
    Unreachable,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Wrong => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
        })
    }
}

/// Why a command was not done, and what to type next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What was wrong.
    pub what: String,
    /// The next command to type, or what else to do.
    pub next: Option<String>,
}

impl Failure {
    /// A failure; `what` may hold text from strangers.
    #[expect(clippy::needless_pass_by_value, reason = "callers hand over a text or what makes one")]
    pub fn new(exit: Exit, what: impl ToString) -> Self {
        Self { exit, what: what.to_string(), next: None }
    }

    /// The same with what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// What standard error shows.
    pub fn text(&self) -> String {
        // Settings faults come in lines; each is cleaned by itself.
        let what: Vec<String> = self.what.lines().map(|line| clean(line, 1000)).collect();
        let next = self.next.as_ref().map(|next| format!("\n next: {}", clean(next, 400)));
        format!("error: {}{}", what.join("\n"), next.unwrap_or_default())
    }
}

/// What a command answers.
pub type Outcome = Result<Exit, Failure>;

/// For whom things are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    /// A person's terminal: tables, ids shortened. Otherwise one line a row, tabs between.
    pub terminal: bool,
    /// Colours.
    pub color: bool,
    /// Columns of the terminal.
    pub width: u16,
    /// Now, for `3 min ago`.
    pub now: Timestamp,
}

impl Style {
    /// As standard output and the environment have it.
    pub(super) fn of_system(now: Timestamp) -> Self {
        let terminal = io::stdout().is_terminal();
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        Self {
            terminal: terminal && !dumb,
            color: terminal && !dumb && !set("NO_COLOR"),
            width: columns.filter(|columns| *columns >= 40).unwrap_or(100),
            now,
        }
    }
}

/// Where a command's answer goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    /// JSON instead of text.
    pub json: bool,
    /// For whom.
    pub style: Style,
}

impl Output {
    /// Shows `data`, as JSON or as `text` renders it.
    pub(super) fn show<T: Serialize>(
        &self,
        data: &T,
        text: impl FnOnce(&T, &Style) -> String,
    ) -> Result<(), Failure> {
        let shown = if self.json {
            serde_json::to_string_pretty(data).map_err(|e| Failure::new(Exit::Wrong, e))?
        } else {
            text(data, &self.style)
        };
        self.data(&shown)
    }

    /// Writes data to standard output.
    pub(super) fn data(&self, text: &str) -> Result<(), Failure> {
        self.part(text.trim_end()).map(drop)
    }

    /// Writes data of which more may come; answers whether anybody still reads it.
    #[expect(clippy::unused_self, reason = "what is written goes through the one place")]
    pub(super) fn part(&self, text: &str) -> Result<bool, Failure> {
        let mut out = io::stdout().lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Failure::new(Exit::Wrong, format!("standard output: {error}"))),
        }
    }
}

/// Tells the person something that is no data. Nobody listening is no error.
pub fn tell(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_was_wrong_and_what_to_type() {
        let failure =
            Failure::new(Exit::Usage, "no incident \u{1b}[2Jx").next("selfheal incidents");
        assert_eq!(failure.text(), "error: no incident [2Jx\n next: selfheal incidents");
    }
}
