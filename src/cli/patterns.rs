//! `selfheal patterns`: groups the lines of a log by what they say.
//!
//! Reads a file or standard input once, whatever its size; no line is held longer than it
//! takes to read it. With `--ids` four bytes a line are kept, for a pattern may widen while
//! later lines are read and the ids shown are the final ones.

mod lines;

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;

use selfheal_agents::patterns::{Level, Miner, Options, Pattern, Records};
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
        let record = |record: &[u8], lines| {
            let handle = miner.read(record).handle;
            handles.extend((0..lines).map(|_| handle));
        };
        each_record(what, record)?;
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
    each_record(what, |record, of| {
        miner.read(record);
        lines += u64::from(of);
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

/// Calls `done` for every record with the number of its lines. Messages alone are a line each.
fn each_record(what: &Patterns, mut done: impl FnMut(&[u8], u32)) -> Result<(), Failure> {
    if what.message_only {
        return each_line(&what.file, |line| done(line, 1));
    }
    let mut records = Records::default();
    each_line(&what.file, |line| records.push(line, &mut done))?;
    records.finish(done);
    Ok(())
}

fn each_line(file: &Path, line: impl FnMut(&[u8])) -> Result<(), Failure> {
    if file == Path::new("-") {
        return told(lines::each(io::stdin().lock(), line), "standard input");
    }
    let name = file.display().to_string();
    match File::open(file) {
        Ok(file) => told(lines::each(file, line), &name),
        Err(error) => told(Err(error), &name),
    }
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
                levels(pattern),
                cell(pattern.id),
                cell(cut(&pattern.template)),
                cell(cut(&pattern.example)),
            ]
        })
        .collect();
    table(style, &["LINES", "LEVELS", "PATTERN", "TEMPLATE", "EXAMPLE"], &rows)
}

fn levels(pattern: &Pattern) -> Cell {
    let levels = &pattern.levels[..];
    let tone = match levels.last() {
        _ if pattern.failure => Tone::Bad,
        Some((Level::Warning, _)) => Tone::Warning,
        _ => Tone::Plain,
    };
    let text = match levels {
        [] if pattern.failure => "failure?".to_owned(),
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
