//! `selfheal patterns`: groups the lines of a log by what they say.
//!
//! Reads a file or standard input once, whatever its size; no line is held longer than it
//! takes to read it. With `--ids` four bytes a line are kept, for a pattern may widen while
//! later lines are read and the ids shown are the final ones.

mod lines;

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::path::Path;

use selfheal_agents::patterns::{Level, Miner, Options, Pattern};
use serde::Serialize;

use super::args::Patterns;
use super::output::{Exit, Failure, Outcome, Output, Style};
use super::table::{Cell, Tone, cell, table, word};

/// Characters of a template and of an example in the table.
const SHOWN: usize = 200;

pub(super) fn run(what: &Patterns, out: Output) -> Outcome {
    let mut miner = Miner::new(Options { message_only: what.message_only, ..Options::default() });
    if what.ids {
        let mut handles = vec![];
        each_line(&what.file, |line| handles.push(miner.read(line).handle))?;
        let ids: Vec<String> = miner.ids().iter().map(|id| format!("{id}\n")).collect();
        let mut to = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        let mut written = Ok(());
        for handle in handles {
            written = written.and_then(|()| to.write_all(ids[handle.index()].as_bytes()));
        }
        return match written.and_then(|()| to.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::new(Exit::Wrong, format!("standard output: {error}")))
            }
            _ => Ok(Exit::Done),
        };
    }
    let mut lines = 0;
    each_line(&what.file, |line| {
        miner.read(line);
        lines += 1;
    })?;
    out.show(&Report { lines, patterns: miner.patterns() }, rows)?;
    Ok(Exit::Done)
}

/// What was found in a log.
#[derive(Debug, Serialize)]
struct Report {
    lines: u64,
    patterns: Vec<Pattern>,
}

fn each_line(file: &Path, line: impl FnMut(&[u8])) -> Result<(), Failure> {
    if file == Path::new("-") {
        return told(lines::each(io::stdin().lock(), line), "standard input");
    }
    let name = file.display().to_string();
    let opened = File::open(file);
    let input: Box<dyn Read> = match opened {
        Ok(file) => Box::new(file),
        Err(error) => return told(Err(error), &name),
    };
    told(lines::each(input, line), &name)
}

fn told(read: io::Result<()>, name: &str) -> Result<(), Failure> {
    read.map_err(|error| {
        Failure::new(Exit::Usage, format!("{name} cannot be read: {error}"))
            .next("selfheal patterns FILE, or - for standard input")
    })
}

fn rows(report: &Report, style: &Style) -> String {
    let rows: Vec<Vec<Cell>> = report
        .patterns
        .iter()
        .map(|pattern| {
            vec![
                cell(pattern.count),
                levels(&pattern.levels),
                cell(pattern.id),
                cell(cut(&pattern.template)),
                cell(cut(&pattern.example)),
            ]
        })
        .collect();
    table(style, &["LINES", "LEVELS", "PATTERN", "TEMPLATE", "EXAMPLE"], &rows)
}

fn levels(levels: &[(Level, u64)]) -> Cell {
    let tone = match levels.last() {
        Some((level, _)) if level.is_error() => Tone::Bad,
        Some((Level::Warning, _)) => Tone::Warning,
        _ => Tone::Plain,
    };
    let text = match levels {
        [] => "-".to_owned(),
        [(level, _)] => level.as_str().to_owned(),
        several => {
            let each = several.iter().map(|(level, count)| format!("{}:{count}", level.as_str()));
            each.collect::<Vec<_>>().join(",")
        }
    };
    word(&text, tone)
}

fn cut(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
