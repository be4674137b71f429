//! Turns the new lines of one container into patterns of error lines.
//!
//! Lines that say they are harmless are only counted. The others are mined, those with a level
//! apart from those without, so that a flood of the one kind does not crowd out the other; of
//! those without, the template decides by its words, since a value may read like a failure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::phases::{Phase, Phases};
use crate::error_detector::level::is_error_line;
use crate::model::{LogLine, Timestamp, redact};
use crate::patterns::{Handle, Level, Miner, Options, Records, tells_of_failure};

/// Clusters of one batch; lines beyond are grouped by their first words, and are no news.
const CLUSTERS: usize = 512;
/// Bytes of a template that are kept.
const TEMPLATE_BYTES: usize = 200;
/// Bytes of an example, before it is cleaned.
const EXAMPLE_BYTES: usize = 600;

/// How bad a line says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Grade {
    /// A warning, by its level.
    Warning,
    /// A failure, by its words alone.
    Words,
    /// An error, by its level, or the head of a stack trace.
    Error,
    /// The program cannot go on, by its level.
    Fatal,
}

/// One kind of line in a batch.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) template: String,
    pub(super) grade: Grade,
    /// Whether the template is more than the first words of the lines.
    pub(super) whole: bool,
    pub(super) example: String,
    /// When each was written, oldest first, and in which phase.
    pub(super) lines: Vec<(Timestamp, Phase)>,
}

/// What a batch holds.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) kinds: Vec<Kind>,
    /// When the lines that are no failures were written.
    pub(super) harmless: Vec<Timestamp>,
}

/// One line that was mined.
struct Mined {
    handle: Handle,
    level: Option<Level>,
    at: Timestamp,
    phase: Phase,
}

/// Lines of one sort.
struct Sort {
    miner: Miner,
    lines: Vec<Mined>,
    examples: BTreeMap<Handle, String>,
}

impl Sort {
    fn new<'a>(known: impl Iterator<Item = &'a str>) -> Self {
        let mut miner = Miner::new(Options { limit: CLUSTERS, ..Options::default() });
        known.for_each(|template| miner.take_up(template));
        Self { miner, lines: vec![], examples: BTreeMap::new() }
    }

    fn take(&mut self, record: &[u8], at: Timestamp, phase: Phase) {
        let seen = self.miner.read(record);
        self.examples.entry(seen.handle).or_insert_with(|| {
            String::from_utf8_lossy(&record[..record.len().min(EXAMPLE_BYTES)]).into_owned()
        });
        self.lines.push(Mined { handle: seen.handle, level: seen.level, at, phase });
    }
}

impl Batch {
    /// Reads lines; `known` are the templates of the container so far.
    pub(super) fn read(
        lines: &[(&LogLine, bool)],
        phases: &Phases,
        known: &[(&str, Grade)],
    ) -> Self {
        let of = |words: bool| {
            known
                .iter()
                .filter(move |(_, grade)| (*grade == Grade::Words) == words)
                .map(|(t, _)| *t)
        };
        let (mut levelled, mut bare) = (Sort::new(of(false)), Sort::new(of(true)));
        let mut batch = Self::default();
        let mut of_record = |record: &[u8], lines: &[(&LogLine, bool)]| {
            let Some((first, _)) = lines.first() else {
                return;
            };
            // A record of which a runbook knows one line is the runbook's.
            if lines.iter().any(|(_, is_known)| *is_known) {
                return;
            }
            let phase = phases.at(first.at);
            match levelled.miner.level_of(record) {
                Some(level) if level < Level::Warning => batch.harmless.push(first.at),
                Some(_) => levelled.take(record, first.at, phase),
                None => bare.take(record, first.at, phase),
            }
        };
        each_record(lines, &mut of_record);
        batch.add(&levelled);
        batch.add(&bare);
        batch
    }

    fn add(&mut self, sort: &Sort) {
        let mut of_root: BTreeMap<Handle, Option<usize>> = BTreeMap::new();
        let whole = !sort.miner.is_full();
        for line in &sort.lines {
            let root = sort.miner.root_of(line.handle);
            let place = *of_root.entry(root).or_insert_with(|| {
                let example = sort.examples.get(&line.handle).map_or("", String::as_str);
                let template = sort.miner.template_of(root);
                let grade = grade(line.level, &template, example)?;
                let template = cut(&redact(&template), TEMPLATE_BYTES).to_owned();
                let example = example.to_owned();
                self.kinds.push(Kind { template, grade, whole, example, lines: vec![] });
                Some(self.kinds.len() - 1)
            });
            let Some(kind) = place.and_then(|place| self.kinds.get_mut(place)) else {
                self.harmless.push(line.at);
                continue;
            };
            if let Some(level) = line.level {
                kind.grade = kind.grade.max(of_level(level));
            }
            kind.lines.push((line.at, line.phase));
        }
    }
}

/// Puts lines together to records; the end of a trace whose head was read before is left out.
fn each_record(lines: &[(&LogLine, bool)], of_record: &mut impl FnMut(&[u8], &[(&LogLine, bool)])) {
    let tail = lines.iter().take_while(|(line, _)| line.text.starts_with([' ', '\t'])).count();
    let lines = &lines[tail..];
    let mut records = Records::default();
    let mut begun = 0;
    for (line, _) in lines {
        records.push(line.text.as_bytes(), |record, count| {
            let end = (begun + count as usize).min(lines.len());
            of_record(record, &lines[begun..end]);
            begun = end;
        });
    }
    records.finish(|record, _| of_record(record, &lines[begun..]));
}

fn grade(level: Option<Level>, template: &str, example: &str) -> Option<Grade> {
    match level {
        Some(level) => Some(of_level(level)),
        None if is_error_line(example) => Some(Grade::Error),
        None => tells_of_failure(template).then_some(Grade::Words),
    }
}

fn of_level(level: Level) -> Grade {
    match level {
        Level::Fatal => Grade::Fatal,
        Level::Error => Grade::Error,
        _ => Grade::Warning,
    }
}

/// The beginning of a text, whole characters of it.
fn cut(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
