//! `store`: moves the history from one database to another.

use std::sync::Arc;

use serde::Serialize;

use super::args::Stores;
use super::output::{Exit, Failure, Outcome, Output, Style, tell};
use super::table::{cell, table};
use crate::config::Settings;
use crate::host::SystemClock;
use crate::store::{Carried, MoveError, OpenError, Place, move_all};

/// What was moved.
#[derive(Debug, Serialize)]
struct Moved {
    from: String,
    to: String,
    tables: Vec<Carried>,
}

pub(super) async fn run(what: &Stores, settings: &Settings, out: Output) -> Outcome {
    let Stores::Migrate { from, to } = what;
    let from = match from {
        Some(text) => place(text)?,
        None => Place::Sqlite(settings.data_dir.clone()),
    };
    let to = match (to, settings.history()) {
        (Some(text), _) => place(text)?,
        (None, Ok(Some(url))) => Place::Postgres(url),
        (None, _) => {
            let what = "it is not said where to: `store.url` is empty and --to is not given";
            return Err(Failure::new(Exit::Usage, what).next("selfheal store migrate --help"));
        }
    };
    let tables = move_all(&from, &to, Arc::new(SystemClock)).await.map_err(failure)?;
    let moved = Moved { from: from.to_string(), to: to.to_string(), tables };
    out.show(&moved, shown)?;
    if let Place::Sqlite(folder) = &from {
        tell(format!("backups are files and stay in {}", folder.join("backups").display()));
    }
    Ok(Exit::Done)
}

fn place(text: &str) -> Result<Place, Failure> {
    let wrong = |what| Failure::new(Exit::Usage, what).next("selfheal store migrate --help");
    Place::parse(text).map_err(wrong)
}

fn failure(error: MoveError) -> Failure {
    match error {
        MoveError::Open(OpenError::InUse { .. }) => {
            Failure::new(Exit::Wrong, error).next("end that selfheal, then once more")
        }
        MoveError::Open(OpenError::Server { .. }) => {
            Failure::new(Exit::Unreachable, error).next("selfheal doctor")
        }
        MoveError::Open(_) | MoveError::NotEmpty(_) => {
            Failure::new(Exit::Usage, error).next("selfheal store migrate --help")
        }
        MoveError::Damaged(_) | MoveError::Failed(_) => {
            Failure::new(Exit::Wrong, error).next("selfheal doctor")
        }
    }
}

fn shown(moved: &Moved, style: &Style) -> String {
    let mut rows: Vec<_> =
        moved.tables.iter().map(|of| vec![cell(of.table), cell(of.rows)]).collect();
    let all: i64 = moved.tables.iter().map(|of| of.rows).sum();
    rows.push(vec![cell("all"), cell(all)]);
    let counts = table(style, &["TABLE", "ROWS"], &rows);
    format!("{counts}\nMoved from {} to {}; every table was counted there", moved.from, moved.to)
}
