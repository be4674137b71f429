//! `config check`, `config show`, `config schema`.

use super::args::Config;
use super::load;
use super::output::{Exit, Outcome, Output, Style, tell};
use super::table::{cell, table};
use crate::config::{Shown, Sources, schema};

pub(super) fn run(what: Config, sources: &Sources, out: Output) -> Outcome {
    match what {
        Config::Check => {
            let loaded = load(sources)?;
            for warning in &loaded.warnings {
                tell(format!("warning: {warning}"));
            }
            let from = loaded.file.as_ref().map_or_else(
                || "no settings file: the built-in defaults are in force".to_owned(),
                |file| format!("{} is valid", file.display()),
            );
            let node = &loaded.settings.fleet.node;
            if !node.is_empty() {
                tell(format!("in its fleet this node is called {node}"));
            }
            out.show(&from, |from, _| from.clone())?;
        }
        Config::Show => out.show(&load(sources)?.shown(), |rows, style| shown(rows, style))?,
        Config::Schema => out.data(&format!("{:#}", schema()))?,
    }
    Ok(Exit::Done)
}

fn shown(rows: &[Shown], style: &Style) -> String {
    let rows: Vec<_> =
        rows.iter().map(|row| vec![cell(&row.key), cell(&row.value), cell(&row.origin)]).collect();
    table(style, &["SETTING", "VALUE", "FROM"], &rows)
}
