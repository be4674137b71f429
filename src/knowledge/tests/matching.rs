use std::borrow::Cow;
use std::collections::BTreeSet;

use regex::bytes::{RegexSet, RegexSetBuilder};
use selfheal_agents::error_detector::{Catalogue, shown};

/// Bytes of a line that are looked at.
const LOOKED_AT: usize = 8 * 1024;

/// All patterns as one set, with the id and the signature behind each.
fn reference(catalogue: &Catalogue) -> (RegexSet, Vec<(&str, usize)>) {
    let mut owners = Vec::new();
    let mut patterns = Vec::new();
    for runbook in catalogue.iter() {
        for (position, signature) in runbook.signatures.iter().enumerate() {
            if let Some(pattern) = &signature.log {
                owners.push((runbook.id.as_str(), position));
                patterns.push(pattern);
            }
        }
    }
    let mut set = RegexSetBuilder::new(patterns);
    let set = set.unicode(false).size_limit(1 << 29).dfa_size_limit(1 << 26).build().unwrap();
    (set, owners)
}

/// Lines that differ from `line` as logs and attackers make them differ.
fn variants(line: &str, seed: usize) -> Vec<String> {
    let cut = line.char_indices().map(|(at, _)| at).nth(seed % line.len().max(1)).unwrap_or(0);
    let (head, tail) = line.split_at(cut);
    match seed % 6 {
        0 => vec![line.to_uppercase()],
        1 => vec![head.to_owned(), tail.to_owned()],
        2 => vec![format!("{tail}{head}")],
        3 => vec![format!("{head}\u{1b}[0m\0{tail}")],
        4 => vec![format!("{}{line}", "x".repeat(LOOKED_AT - line.len().min(LOOKED_AT) / 2))],
        _ => vec![format!("Ä{line}{line}")],
    }
}

#[test]
fn it_answers_for_all_examples_and_spoilt_ones_what_every_pattern_by_itself_answers() {
    let (catalogue, _) = super::load(None, super::Keep::Everything);
    let (set, owners) = reference(&catalogue);
    let mut lines: Vec<String> = vec![String::new(), "x".repeat(3 * LOOKED_AT)];
    for (seed, example) in catalogue
        .iter()
        .flat_map(|r| r.examples.matching.iter().take(2).chain(r.examples.near_miss.iter().take(1)))
        .enumerate()
    {
        lines.push(example.clone());
        if seed % 3 == 0 {
            lines.extend(variants(example, seed));
        }
    }
    // One line that holds the words of all of them.
    lines.push(lines.concat());
    let mut at_once = vec![BTreeSet::new(); lines.len()];
    let numbered = lines.iter().enumerate();
    catalogue.matches_in(
        numbered,
        |(_, line)| line.as_bytes(),
        |(number, _), found| {
            at_once[*number].insert((found.runbook.id.as_str(), found.signature));
        },
    );
    let mut matched = 0;
    for (line, at_once) in lines.iter().zip(at_once) {
        let bytes = &line.as_bytes()[..line.len().min(LOOKED_AT)];
        let raw = set.matches(bytes);
        let shown = match shown(bytes) {
            Cow::Owned(shown) => set.matches(&shown),
            Cow::Borrowed(_) => raw.clone(),
        };
        let both = raw.into_iter().filter(|n| shown.matched(*n));
        let wanted: BTreeSet<_> = both.map(|n| owners[n]).collect();
        assert_eq!(at_once, wanted, "{line}");
        let alone: BTreeSet<_> =
            catalogue.matches(line).map(|m| (m.runbook.id.as_str(), m.signature)).collect();
        assert_eq!(alone, wanted, "{line}");
        matched += usize::from(!wanted.is_empty());
    }
    assert!(matched > catalogue.len() / 2, "the test has to match something");
}
