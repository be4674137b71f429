//! How fast all log signatures are tried on log files, against one `RegexSet` of the same
//! signatures in the same process: same lines, same answers, time of this thread alone.
//!
//! `cargo bench -p selfheal-agents --bench matching -- FILE...`; with `--own` without the set, which
//! takes minutes.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads files")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::fs;
use std::hint::black_box;
use std::path::Path;

use regex::bytes::{RegexSet, RegexSetBuilder};
use selfheal_agents::error_detector::{Catalogue, Keep};

/// What one run of the set may remember, in bytes: by default it forgets more than it keeps.
const LARGE_CACHE: usize = 1 << 27;
/// Bytes of a line that are looked at.
const LOOKED_AT: usize = 8 * 1024;
/// Rounds of one run of the own matcher.
const ROUNDS: u32 = 50;

fn main() {
    let files: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    if files.is_empty() {
        println!("no log files given: cargo bench -p selfheal-agents --bench matching -- FILE...");
        return;
    }
    let text: Vec<u8> =
        files.iter().flat_map(|file| fs::read(file).expect("the file can be read")).collect();
    let lines: Vec<&[u8]> =
        text.split(|b| *b == b'\n').map(|l| &l[..l.len().min(LOOKED_AT)]).collect();
    let bytes: usize = lines.iter().map(|line| line.len()).sum();

    let (spent, catalogue) = timed(catalogue);
    let patterns: Vec<&str> = catalogue
        .iter()
        .flat_map(|r| r.signatures.iter().filter_map(|s| s.log.as_deref()))
        .collect();
    println!(
        "{} runbooks, {} patterns, read in {:.0} ms",
        catalogue.len(),
        patterns.len(),
        spent * 1e3
    );
    println!("{} lines, {bytes} bytes", lines.len());

    let ours = || {
        let mut found = 0;
        catalogue.matches_in(&lines, |line| line, |_, _| found += 1);
        found
    };
    black_box(ours());
    let (spent, found) = median(ours);
    let ours = bytes as f64 / spent / 1e6;
    if std::env::args().any(|argument| argument == "--own") {
        println!("own matcher: {ours:.0} MB/s, {found} matches");
        return;
    }
    println!("own matcher: {ours:.0} MB/s, {found} matches");
    for (name, set) in [
        ("default cache", set(&patterns, None)),
        ("large cache", set(&patterns, Some(LARGE_CACHE))),
    ] {
        // The default takes minutes over all lines.
        let step = if name == "large cache" { 1 } else { 20 };
        let some: Vec<&[u8]> = lines.iter().step_by(step).copied().collect();
        let bytes: usize = some.iter().map(|line| line.len()).sum();
        let all = || some.iter().map(|line| set.matches(line).into_iter().count()).sum::<usize>();
        let (spent, set_found) = timed(all);
        let theirs = bytes as f64 / spent / 1e6;
        println!(
            "RegexSet::matches, {name}: {theirs:.1} MB/s, {set_found} matches; ratio {:.1}",
            ours / theirs
        );
        assert!(step > 1 || set_found == found, "both find the same");
    }
    hostile(&catalogue);
}

/// Ten megabytes in one line that holds what all runbooks look for.
fn hostile(catalogue: &Catalogue) {
    let words: Vec<&str> =
        catalogue.iter().flat_map(|r| r.examples.matching.iter().map(String::as_str)).collect();
    let line = words.join(" ").repeat(1 + 10_000_000 / words.join(" ").len());
    let (spent, found) = timed(|| catalogue.matches(&line).count());
    println!("one hostile line of {} bytes: {:.1} ms, {found} matches", line.len(), spent * 1e3);
    let cut: Vec<&[u8]> = line.as_bytes().chunks(LOOKED_AT).collect();
    let (spent, found) = timed(|| {
        let mut found = 0;
        catalogue.matches_in(&cut, |line| line, |_, _| found += 1);
        found
    });
    println!("the same in lines of {LOOKED_AT} bytes: {:.0} ms, {found} matches", spent * 1e3);
}

fn catalogue() -> Catalogue {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../knowledge");
    let below = |path: &Path| -> Vec<_> {
        fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
    };
    let folders = below(&root).into_iter().filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| below(&folder)).map(|path| {
        let name = path.strip_prefix(&root).expect("it lies below").to_string_lossy().into_owned();
        (name, fs::read_to_string(&path).expect("a runbook can be read"))
    });
    Catalogue::load_over([], files, Keep::Everything).0
}

fn set(patterns: &[&str], cache: Option<usize>) -> RegexSet {
    let mut builder = RegexSetBuilder::new(patterns);
    builder.unicode(false).size_limit(1 << 30);
    if let Some(bytes) = cache {
        builder.dfa_size_limit(bytes);
    }
    builder.build().expect("the patterns compile")
}

/// The median of seven, each the mean of many rounds: the kernel counts a thread's time only a
/// few hundred times a second.
fn median<T>(work: impl Fn() -> T) -> (f64, T) {
    let rounds = || (1..ROUNDS).fold(black_box(work()), |_, _| black_box(work()));
    let mut runs: Vec<(f64, T)> = (0..7).map(|_| timed(rounds)).collect();
    runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (spent, answer) = runs.swap_remove(3);
    (spent / f64::from(ROUNDS), answer)
}

/// Seconds of this thread on a processor: other work on the machine does not count.
fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let before = processor_nanos();
    let answer = black_box(work());
    ((processor_nanos() - before) as f64 / 1e9, answer)
}

fn processor_nanos() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("a number comes first")
}
