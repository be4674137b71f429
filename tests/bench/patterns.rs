//! Measures the pattern miner on labelled logs: grouping, levels, speed.
//!
//! `cargo bench -p selfheal-agents --bench patterns -- FOLDER`, where FOLDER holds for each
//! set `NAME.log` and `NAME.labels.tsv` with the columns line, start, end, event and level
//! (byte range of the message; the rest of the line is the header). Without a folder it does
//! nothing. README.md in this folder says what the figures mean and what was seen.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads files")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use selfheal_agents::patterns::{Level, Miner, Options, Records};

/// Lines of the mixed stream.
const STREAM: usize = 1_000_000;
/// Times the stream is read; the median counts.
const RUNS: usize = 5;

struct Line {
    raw: Vec<u8>,
    start: usize,
    end: usize,
    event: String,
    level: String,
}

impl Line {
    fn message(&self) -> &[u8] {
        &self.raw[self.start..self.end]
    }
}

type Set = (String, Vec<Line>);

fn main() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let Some(folder) = folder else {
        println!("give the folder of the labelled logs: README.md says how");
        return;
    };
    let sets = read(Path::new(&folder));
    grouping(&sets);
    levels(&sets);
    hidden_levels(&sets);
    speed(&sets);
}

fn read(folder: &Path) -> Vec<Set> {
    let mut sets = vec![];
    let files = fs::read_dir(folder).expect("the folder can be read");
    let names: BTreeSet<String> = files
        .filter_map(|file| file.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".labels.tsv").map(str::to_owned))
        .collect();
    for name in names {
        let log = fs::read(folder.join(format!("{name}.log"))).expect("the log can be read");
        let labels = fs::read_to_string(folder.join(format!("{name}.labels.tsv")));
        let labels = labels.expect("the labels can be read");
        let lines = log.split(|byte| *byte == b'\n').zip(labels.lines().skip(1));
        sets.push((name, lines.map(|(raw, label)| labelled(raw, label)).collect()));
    }
    sets
}

fn labelled(raw: &[u8], label: &str) -> Line {
    let columns: Vec<&str> = label.split('\t').collect();
    let number = |at: usize| columns[at].parse().expect("a label's range is a number");
    Line {
        raw: raw.to_vec(),
        start: number(1),
        end: number(2),
        event: columns[3].to_owned(),
        level: columns.get(5).copied().unwrap_or_default().to_owned(),
    }
}

/// Grouping accuracy (share of lines whose group is exactly an event's) and the F1 of groups.
fn accuracy<'a>(truth: impl Iterator<Item = &'a str>, ids: &[String]) -> (f64, f64) {
    let (mut events, mut groups) = (BTreeMap::new(), BTreeMap::new());
    for (at, (event, id)) in truth.zip(ids).enumerate() {
        events.entry(event).or_insert_with(Vec::new).push(at);
        groups.entry(id).or_insert_with(Vec::new).push(at);
    }
    let exact: BTreeSet<&Vec<usize>> = events.values().collect();
    let right: Vec<&Vec<usize>> = groups.values().filter(|g| exact.contains(g)).collect();
    let lines: usize = right.iter().map(|group| group.len()).sum();
    let f1 = 2.0 * right.len() as f64 / (events.len() + groups.len()) as f64;
    (lines as f64 / ids.len() as f64, f1)
}

fn ids(lines: &[Line], message_only: bool) -> Vec<String> {
    let mut miner = Miner::new(Options { message_only, ..Options::default() });
    let read = |line: &Line| {
        miner.read(if message_only { line.message() } else { &line.raw }).handle.index()
    };
    let seen: Vec<usize> = lines.iter().map(read).collect();
    let ids = miner.ids();
    seen.into_iter().map(|index| ids[index].to_string()).collect()
}

fn grouping(sets: &[Set]) {
    println!("{:<14} {:>7} {:>7}   {:>7} {:>7}", "grouping", "raw GA", "FGA", "msg GA", "FGA");
    let mut sums = [0.0; 4];
    for (name, lines) in sets {
        let mut row = vec![];
        for message_only in [false, true] {
            let events = lines.iter().map(|line| line.event.as_str());
            let (ga, fga) = accuracy(events, &ids(lines, message_only));
            row.extend([ga, fga]);
        }
        for (sum, value) in sums.iter_mut().zip(&row) {
            *sum += value;
        }
        println!("{name:<14} {:>7.3} {:>7.3}   {:>7.3} {:>7.3}", row[0], row[1], row[2], row[3]);
    }
    let mean = sums.map(|sum| sum / sets.len() as f64);
    println!(
        "{:<14} {:>7.3} {:>7.3}   {:>7.3} {:>7.3}",
        "mean", mean[0], mean[1], mean[2], mean[3]
    );
}

/// Whether the label says error or worse, or surely not; warnings and no level are neither.
fn labelled_error(level: &str) -> Option<bool> {
    match level {
        "ERROR" | "FATAL" | "SEVERE" | "FAILURE" | "CRITICAL" | "E" | "error" => Some(true),
        "INFO" | "Info" | "DEBUG" | "D" | "V" | "I" | "TRACE" | "notice" => Some(false),
        _ => None,
    }
}

#[derive(Default)]
struct Hits {
    right: f64,
    wrong: f64,
    missed: f64,
}

impl Hits {
    fn count(&mut self, truth: bool, found: bool) {
        match (truth, found) {
            (true, true) => self.right += 1.0,
            (false, true) => self.wrong += 1.0,
            (true, false) => self.missed += 1.0,
            (false, false) => {}
        }
    }

    fn shown(&self) -> String {
        let precision = self.right / (self.right + self.wrong).max(1.0);
        let recall = self.right / (self.right + self.missed).max(1.0);
        let f1 = 2.0 * self.right / (2.0 * self.right + self.wrong + self.missed).max(1.0);
        format!("precision {precision:.3} recall {recall:.3} F1 {f1:.4}")
    }
}

/// Error lines by the level in the header.
fn levels(sets: &[Set]) {
    let mut hits = Hits::default();
    for (_, lines) in sets {
        let mut miner = Miner::default();
        for line in lines {
            let found = miner.read(&line.raw).level.is_some_and(Level::is_error);
            if let Some(truth) = labelled_error(&line.level) {
                hits.count(truth, found);
            }
        }
    }
    println!("\nerror lines, level in the header   {}", hits.shown());
}

/// Error lines and patterns by the message's words alone.
///
/// An event counts as an error, or as found, when half its lines do.
fn hidden_levels(sets: &[Set]) {
    let (mut by_line, mut by_event) = (Hits::default(), Hits::default());
    for (_, lines) in sets {
        let mut miner = Miner::new(Options { message_only: true, ..Options::default() });
        let read = |line: &Line| miner.read(line.message()).handle.index();
        let handles: Vec<usize> = lines.iter().map(read).collect();
        let ids = miner.ids();
        let patterns = miner.patterns();
        let failures: BTreeSet<_> = patterns.iter().filter(|p| p.failure).map(|p| p.id).collect();
        let mut events: BTreeMap<&str, (f64, f64, f64)> = BTreeMap::new();
        for (line, handle) in lines.iter().zip(handles) {
            let Some(truth) = labelled_error(&line.level) else { continue };
            let found = failures.contains(&ids[handle]);
            by_line.count(truth, found);
            let event = events.entry(&line.event).or_default();
            event.0 += 1.0;
            event.1 += f64::from(truth);
            event.2 += f64::from(found);
        }
        for (count, errors, found) in events.into_values() {
            by_event.count(errors * 2.0 >= count, found * 2.0 >= count);
        }
    }
    println!("error lines, level hidden          {}", by_line.shown());
    println!("error patterns, level hidden       {}", by_event.shown());
}

/// All sets in one stream in a fixed disorder, each time with other numbers.
fn stream(sets: &[Set]) -> Vec<Vec<u8>> {
    let lines: Vec<&Line> = sets.iter().flat_map(|(_, lines)| lines).collect();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut stream = vec![];
    for _ in 0..STREAM {
        let pick = next() % lines.len() as u64;
        let mut line = lines[usize::try_from(pick).unwrap_or(0)].raw.clone();
        let mut run = 0;
        for at in 0..=line.len() {
            if line.get(at).is_some_and(u8::is_ascii_digit) {
                run += 1;
                continue;
            }
            if run >= 4 {
                line[at - 1] = b'0' + u8::try_from(next() % 10).unwrap_or(0);
                line[at - 2] = b'0' + u8::try_from(next() % 10).unwrap_or(0);
            }
            run = 0;
        }
        stream.push(line);
    }
    stream
}

/// Processor time of this thread, in seconds.
fn processor_time() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|n| n.parse::<f64>().ok());
    nanos.unwrap_or(f64::NAN) / 1e9
}

fn speed(sets: &[Set]) {
    let stream = stream(sets);
    let bytes: usize = stream.iter().map(Vec::len).sum();
    let mut times = vec![];
    let mut groups = 0;
    for _ in 0..RUNS {
        let mut miner = Miner::default();
        let mut records = Records::default();
        let before = processor_time();
        for line in &stream {
            records.push(line, |record, _| _ = miner.read(record));
        }
        records.finish(|record, _| _ = miner.read(record));
        times.push(processor_time() - before);
        groups = miner.patterns().len();
    }
    times.sort_by(f64::total_cmp);
    let median = times[RUNS / 2];
    println!(
        "\nmixed stream: {:.0} thousand lines/s of one core, {:.0} MB/s, {groups} patterns \
         ({STREAM} lines, median of {RUNS}, processor time)",
        stream.len() as f64 / median / 1e3,
        bytes as f64 / median / 1e6,
    );
}
