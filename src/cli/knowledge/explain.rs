//! `knowledge explain`: what each log line of standard input means.

use std::fmt::Write;
use std::io::{BufRead, Read};

use selfheal_agents::error_detector::Catalogue;

use super::super::output::{Exit, Failure, Outcome, Output};
use crate::knowledge::explain::{Explained, MAX_LINE, of_line};
use crate::knowledge::words::word;

pub(super) fn explain(catalogue: &Catalogue, known_only: bool, out: Output) -> Outcome {
    let mut input = std::io::stdin().lock();
    let shown = |line: &Explained| !(known_only && line.known.is_empty());
    if out.json {
        let mut lines = Vec::new();
        read(&mut input, catalogue, |line| {
            lines.extend(Some(line).filter(shown));
            Ok(true)
        })?;
        out.data(&format!("{:#}", serde_json::json!(lines)))?;
        return Ok(Exit::Done);
    }
    // Each as it comes: the input may be a log that is being written.
    let (mut known, mut all) = (0, 0);
    read(&mut input, catalogue, |line| {
        all += 1;
        known += u64::from(!line.known.is_empty());
        if shown(&line) { out.part(text(&line).trim_end()) } else { Ok(true) }
    })?;
    out.data(&format!("{known} of {all} lines are known."))?;
    Ok(Exit::Done)
}

/// Hands over each line until there are no more, or nobody wants them.
fn read(
    input: &mut impl BufRead,
    catalogue: &Catalogue,
    mut each: impl FnMut(Explained) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let failed = |error| Failure::new(Exit::Usage, format!("standard input: {error}"));
    let mut bytes = Vec::new();
    let mut number = 0;
    loop {
        bytes.clear();
        let read = input.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut bytes);
        if read.map_err(failed)? == 0 {
            return Ok(());
        }
        if bytes.last() != Some(&b'\n') {
            input.skip_until(b'\n').map_err(failed)?;
        }
        number += 1;
        let text = String::from_utf8_lossy(&bytes);
        if !each(of_line(catalogue, number, text.trim_end_matches(['\n', '\r'])))? {
            return Ok(());
        }
    }
}

fn text(line: &Explained) -> String {
    let mut text = format!("{}: {}\n", line.number, line.line);
    if line.known.is_empty() {
        text += "  no runbook knows it\n";
    }
    for known in &line.known {
        let _ = writeln!(
            text,
            "  {} ({}, {}): {}",
            known.runbook, known.severity, known.status, known.title
        );
        let _ = writeln!(text, "    matched  `{}`  by  {}", known.part, known.signature);
        if known.at_least > 1 {
            let _ = writeln!(text, "    counts   from {} lines in ten minutes on", known.at_least);
        }
        if known.is_of_client() {
            let _ = writeln!(text, "    said by  a {} of it", word(&known.side));
        }
        let _ = writeln!(text, "    means    {}", known.means);
        for would in &known.would {
            let _ = writeln!(text, "    would    {would}");
        }
        for never in &known.never {
            let _ = writeln!(text, "    never    {never}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use selfheal_agents::model::Side;

    use super::*;

    fn explained(input: &str) -> Vec<Explained> {
        let (catalogue, _) = crate::knowledge::load(None, crate::knowledge::Keep::Everything);
        let mut lines = vec![];
        read(&mut input.as_bytes(), &catalogue, |line| {
            lines.push(line);
            Ok(true)
        })
        .unwrap();
        lines
    }

    #[test]
    fn each_line_is_answered_with_what_matched_what_it_means_and_what_is_done() {
        let lines = explained("ready\r\nnode: FATAL: JavaScript heap out of memory\n");
        assert_eq!((lines[0].line.as_str(), lines[0].known.len()), ("ready", 0));
        let known = lines[1].known.iter().find(|known| known.runbook == "node-heap-full").unwrap();
        assert_eq!((lines[1].number, known.part.as_str()), (2, "JavaScript heap out of memory"));
        assert!(known.would[0].starts_with("nothing by itself"), "{:?}", known.would);
        assert!(!known.means.contains(['{', '}']));
        assert_eq!(text(&lines[0]), "1: ready\n  no runbook knows it\n");
        assert!(text(&lines[1]).contains("node-heap-full"), "{}", text(&lines[1]));
    }

    #[test]
    fn nothing_is_read_on_for_who_wants_no_more() {
        let (catalogue, _) = crate::knowledge::load(None, crate::knowledge::Keep::Everything);
        let mut input = "ready\nwell\nfine\n".as_bytes();
        read(&mut input, &catalogue, |_| Ok(false)).unwrap();
        assert_eq!(input, b"well\nfine\n");
    }

    #[test]
    fn a_line_without_end_is_read_to_its_limit_and_counts_once() {
        let endless = "x".repeat(300_000) + "\nJavaScript heap out of memory";
        let lines = explained(&endless);
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 2]);
        assert!(!lines[1].known.is_empty());
    }

    #[test]
    fn a_clients_line_is_told_to_be_about_what_it_needs() {
        let (catalogue, _) = crate::knowledge::load(None, crate::knowledge::Keep::Everything);
        let of_client = catalogue.iter().find_map(|runbook| {
            let line = runbook.examples.matching.iter().find(|line| {
                catalogue
                    .matches(line)
                    .any(|m| m.runbook.id == runbook.id && m.side() == Side::Client)
            });
            Some((runbook.id.clone(), line?.clone()))
        });
        let (id, line) = of_client.expect("some runbook knows a client's line");
        let lines = explained(&line);
        let known =
            lines[0].known.iter().find(|k| k.runbook == id && k.side == Side::Client).unwrap();
        assert!(known.would[0].starts_with("nothing to the writer"));
    }
}
