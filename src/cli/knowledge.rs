//! `knowledge list`, `show`, `search`, `explain`, `test`, `schema`.

mod explain;
mod judge;
mod show;

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;

use selfheal_agents::error_detector::catalogue::schema;
use selfheal_agents::error_detector::{Catalogue, Keep};
use selfheal_agents::model::{Runbook, clean};

use super::args::Knowledge;
use super::output::{Exit, Failure, Outcome, Output, Style, tell};
use super::table::{cell, table};
use crate::knowledge::{load, search, words};

/// The longest line read from standard input, in bytes; the rest is cut off.
const MAX_LINE: usize = 64 * 1024;

/// `own` is the folder of the user's own runbooks, if there is one.
pub(super) fn run(what: &Knowledge, own: Option<&Path>, out: Output) -> Outcome {
    let (catalogue, broken) = load(own, Keep::Everything);
    for runbook in &broken {
        tell(format!("warning: {runbook}"));
    }
    match what {
        Knowledge::List => list(&catalogue.iter().collect::<Vec<_>>(), out),
        Knowledge::Show { id } => show::show(&catalogue, id, out),
        Knowledge::Search { words } => list(&search::search(&catalogue, words), out),
        Knowledge::Explain { known } => explain::explain(&catalogue, *known, out),
        Knowledge::Schema => {
            let schema = serde_json::to_string_pretty(&schema());
            out.data(&schema.map_err(|error| Failure::new(Exit::Wrong, error))?)?;
            Ok(Exit::Done)
        }
        Knowledge::Test { line: None, captured, healthy } => {
            judge::judge(&catalogue, &broken, captured.as_deref(), healthy.as_deref(), out)
        }
        Knowledge::Test { line: Some(line), .. } if line == "-" => test_input(&catalogue, out),
        Knowledge::Test { line: Some(line), .. } => test(&catalogue, line, out),
    }
}

fn list(runbooks: &[&Runbook], out: Output) -> Outcome {
    out.show(&runbooks, |runbooks, style| rows(runbooks, style))?;
    Ok(Exit::Done)
}

fn rows(runbooks: &[&Runbook], style: &Style) -> String {
    let rows: Vec<_> = runbooks
        .iter()
        .map(|runbook| {
            vec![
                cell(&runbook.id),
                cell(&runbook.technology),
                cell(runbook.category.as_str()),
                cell(words::status(runbook)),
                cell(&runbook.title),
            ]
        })
        .collect();
    table(style, &["RUNBOOK", "TECHNOLOGY", "CATEGORY", "STATUS", "TITLE"], &rows)
}

fn test(catalogue: &Catalogue, line: &str, out: Output) -> Outcome {
    let known: Vec<&Runbook> =
        catalogue.matching(line).filter_map(|id| catalogue.get(id)).collect();
    if known.is_empty() {
        out.show(&known, |_, _| "No runbook knows this line.".to_owned())?;
        return Ok(Exit::Wrong);
    }
    list(&known, out)
}

/// Counts the runbooks that know lines of standard input, with a sample each.
fn test_input(catalogue: &Catalogue, out: Output) -> Outcome {
    let mut counts: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let mut input = std::io::stdin().lock();
    let mut line = vec![];
    loop {
        line.clear();
        let read = input
            .read_until(b'\n', &mut line)
            .map_err(|e| Failure::new(Exit::Usage, format!("standard input: {e}")))?;
        if read == 0 {
            break;
        }
        line.truncate(MAX_LINE);
        let text = String::from_utf8_lossy(&line);
        for id in catalogue.matching(text.trim_end()) {
            let entry = counts.entry(id.to_owned()).or_insert_with(|| (0, clean(&text, 160)));
            entry.0 += 1;
        }
    }
    out.show(&counts, |counts, style| {
        let rows: Vec<_> = counts
            .iter()
            .map(|(id, (count, sample))| vec![cell(id), cell(count), cell(sample.trim())])
            .collect();
        table(style, &["RUNBOOK", "LINES", "FIRST"], &rows)
    })?;
    Ok(if counts.is_empty() { Exit::Wrong } else { Exit::Done })
}
