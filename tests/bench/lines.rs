//! Measures what is seen of trouble in log lines, on a set of our own: lines whose cause is known
//! because it was injected, and lines of programs that are well. README.md beside it says what
//! the set is, what it is not, and what was seen.
//!
//! `cargo bench -p selfheal-agents --bench lines`

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

#[path = "lines/replay.rs"]
mod replay;
#[path = "lines/set.rs"]
mod set;

use std::collections::{BTreeMap, BTreeSet};

use selfheal_agents::error_detector::level::is_error_line;
use selfheal_agents::error_detector::{Catalogue, KnownLines};
use selfheal_agents::model::{Finding, FindingSource, Runbook, Severity};
use selfheal_agents::patterns::{Level, Miner, tells_of_failure};

use replay::Replay;
use set::{Healthy, KEPT_ASIDE, is_kept_aside};

fn main() {
    let catalogue = set::catalogue();
    let healthy = set::healthy();
    let troubles: Vec<&Runbook> = catalogue.iter().filter(|r| set::is_labelled(r)).collect();
    let lines: usize = troubles.iter().map(|r| r.examples.matching.len()).sum();
    println!(
        "{} troubles with {lines} lines, {} programs that are well with {} lines\nkept aside: {}\n",
        troubles.len(),
        healthy.len(),
        healthy.iter().map(|h| h.lines.len()).sum::<usize>(),
        KEPT_ASIDE.join(" "),
    );
    by_level_and_words(&troubles, &healthy);
    by_runbooks(&troubles, &catalogue);
    let known = false_alarms(&healthy, &catalogue);
    as_news(&troubles, &known);
}

/// The two halves of the set; the first is the one kept aside.
fn halves() -> [(&'static str, bool); 2] {
    [("kept aside", true), ("the others", false)]
}

fn share(part: usize, whole: usize) -> String {
    format!("{:.3} ({part} of {whole})", part as f64 / whole.max(1) as f64)
}

/// How bad a line is without any runbook: by its level, else by its words.
fn judged(line: &str) -> Option<Level> {
    let mut miner = Miner::default();
    let seen = miner.read(line.as_bytes());
    let words = || is_error_line(line) || tells_of_failure(&miner.template_of(seen.handle));
    seen.level.or_else(|| words().then_some(Level::Error))
}

fn is_error(line: &str) -> bool {
    judged(line).is_some_and(Level::is_error)
}

/// Lines of trouble that are recognised without any runbook, and healthy ones mistaken for them.
fn by_level_and_words(troubles: &[&Runbook], healthy: &[Healthy]) {
    println!("recognised as errors by level and words, runbooks switched off:");
    for (half, kept_aside) in halves() {
        let of_half: Vec<&&Runbook> =
            troubles.iter().filter(|r| is_kept_aside(&r.technology) == kept_aside).collect();
        let lines: Vec<&String> = of_half.iter().flat_map(|r| &r.examples.matching).collect();
        let well: Vec<&String> = healthy
            .iter()
            .filter(|h| is_kept_aside(&h.technology) == kept_aside)
            .flat_map(|h| &h.lines)
            .collect();
        let count = |judge: &dyn Fn(&str) -> bool, lines: &[&String]| {
            share(lines.iter().filter(|line| judge(line)).count(), lines.len())
        };
        let odd = |line: &str| judged(line).is_some_and(|level| level >= Level::Warning);
        let grep = |line: &str| line.to_ascii_lowercase().contains("error");
        println!("  {half}:");
        println!("    lines of trouble, errors           {}", count(&is_error, &lines));
        println!("    lines of trouble, with warnings    {}", count(&odd, &lines));
        println!("    lines of trouble, grep -i error    {}", count(&grep, &lines));
        let seen = |r: &Runbook| r.examples.matching.iter().any(|line| is_error(line));
        let seen = of_half.iter().filter(|r| seen(r)).count();
        println!("    troubles with such a line          {}", share(seen, of_half.len()));
        println!("    healthy forms mistaken             {}", count(&is_error, &well));
        println!("    healthy forms, grep -i error       {}", count(&grep, &well));
    }
}

/// Whether a container that writes a trouble's lines gets a finding of that trouble's runbook.
fn by_runbooks(troubles: &[&Runbook], catalogue: &Catalogue) {
    let (mut found, mut alone, mut first) = (0, 0, 0);
    let mut lost = vec![];
    for runbook in troubles {
        let mut replay = Replay::of_runbook(runbook);
        let least = runbook.signatures.iter().filter_map(|s| s.at_least).max().unwrap_or(1);
        for _ in 0..least {
            runbook.examples.matching.iter().for_each(|line| replay.write(line));
        }
        let findings = replay.look(catalogue);
        let ids: Vec<&str> = findings.iter().filter_map(runbook_of).collect();
        let is_own = |id: &str| id == runbook.id;
        let is_admitted = |id: &str| runbook.shares.iter().any(|other| other == id || other == "*");
        if ids.iter().any(|id| is_own(id)) {
            found += 1;
            alone += usize::from(ids.iter().all(|id| is_own(id) || is_admitted(id)));
            first += usize::from(ids.first().is_some_and(|id| is_own(id)));
        } else {
            lost.push(runbook.id.as_str());
        }
    }
    let misses: usize = troubles.iter().map(|r| r.examples.near_miss.len()).sum();
    let wrong = troubles
        .iter()
        .flat_map(|r| r.examples.near_miss.iter().map(move |line| (r, line)))
        .filter(|(r, line)| catalogue.matches(line).any(|found| found.runbook.id == r.id))
        .count();
    println!("\nby the right runbook, all of them in force:");
    println!("  found                              {}", share(found, troubles.len()));
    println!("  found, nothing else said           {}", share(alone, troubles.len()));
    println!("  found, first of what was said      {}", share(first, troubles.len()));
    println!("  near misses mistaken               {}", share(wrong, misses));
    println!("  not found: {}", lost.join(" "));
}

fn runbook_of(finding: &Finding) -> Option<&str> {
    match &finding.source {
        FindingSource::Log { runbook, .. } => Some(runbook),
        _ => None,
    }
}

/// Findings about programs that are well. Returns what was learnt of each, by technology.
fn false_alarms(healthy: &[Healthy], catalogue: &Catalogue) -> BTreeMap<String, KnownLines> {
    let mut learnt = BTreeMap::new();
    let (mut lines, mut alarms, mut notes) = (0, vec![], 0);
    println!("\nfalse alarms, {} days of each program that is well:", replay::DAYS);
    for program in healthy {
        for seed in 1..=replay::RUNS {
            let mut replay = Replay::of_program(program);
            let mut open: BTreeSet<(String, Severity)> = BTreeSet::new();
            lines += replay.live(program, seed, |replay| {
                let now: BTreeSet<(String, Severity)> = replay
                    .look(catalogue)
                    .into_iter()
                    .map(|finding| (finding.key, finding.severity))
                    .collect();
                for (key, severity) in now.difference(&open) {
                    match severity {
                        Severity::Info => notes += 1,
                        Severity::Warning | Severity::Critical => alarms.push(key.clone()),
                    }
                }
                open = now;
            });
            learnt.entry(program.technology.clone()).or_insert_with(|| replay.learnt());
        }
    }
    let per_million = |count: usize| count as f64 / lines as f64 * 1e6;
    println!("  lines                              {lines}");
    println!("  warnings and worse                 {}", alarms.len());
    println!("  warnings per million lines         {:.2}", per_million(alarms.len()));
    println!("  notes per million lines            {:.2}", per_million(notes));
    for key in alarms.iter().collect::<BTreeSet<_>>() {
        println!("  {key}: {} times", alarms.iter().filter(|other| *other == key).count());
    }
    learnt
}

/// Whether trouble is noticed in a program that was well for days, runbooks switched off.
fn as_news(troubles: &[&Runbook], known: &BTreeMap<String, KnownLines>) {
    println!("\nnoticed as new in a program that was well for days, runbooks switched off:");
    for (half, kept_aside) in halves() {
        let (mut asked, mut noticed) = (0, 0);
        for runbook in troubles.iter().filter(|r| is_kept_aside(&r.technology) == kept_aside) {
            let Some(known) = known.get(&runbook.technology) else {
                continue;
            };
            let mut replay = Replay::of_runbook(runbook);
            replay.knows(known.clone());
            runbook.examples.matching.iter().for_each(|line| replay.write(line));
            asked += 1;
            let findings = replay.look(&Catalogue::default());
            noticed += usize::from(findings.iter().any(Finding::is_pattern));
        }
        println!("  {half:<34} {}", share(noticed, asked));
    }
}
