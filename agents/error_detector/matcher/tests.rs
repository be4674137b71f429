use std::sync::LazyLock;

use proptest::prelude::*;
use regex::bytes::{RegexSet, RegexSetBuilder};

use super::*;
use crate::model::{Side, Signature};

/// A runbook with these log signatures; nothing else of it matters here.
fn runbook(patterns: &[&str]) -> Runbook {
    let mut runbook: Runbook = toml::from_str(
        "id = \"x\"\ntitle = \"x\"\ncategory = \"crash\"\nseverity = \"info\"\ntechnology = \"x\"\n\
         status = \"documented\"\n[diagnosis]\nsummary = \"x\"\nbase = 1",
    )
    .unwrap();
    let signature = |text: &&str| Signature {
        log: Some((*text).to_owned()),
        side: Side::Server,
        ..Signature::default()
    };
    runbook.signatures = patterns.iter().map(signature).collect();
    runbook
}

/// What every signature by itself says of every line.
fn one_by_one(patterns: &[&str], lines: &[Vec<u8>]) -> Vec<(usize, Owner)> {
    answers(&set_of(patterns), lines)
}

fn set_of(patterns: &[&str]) -> RegexSet {
    RegexSetBuilder::new(patterns).unicode(false).build().unwrap()
}

fn answers(set: &RegexSet, lines: &[Vec<u8>]) -> Vec<(usize, Owner)> {
    let of_line = |(line, bytes): (usize, &Vec<u8>)| {
        let matches = set.matches(bounded(bytes));
        matches.into_iter().map(move |pattern| (line, (0, pattern))).collect::<Vec<_>>()
    };
    lines.iter().enumerate().flat_map(of_line).collect()
}

fn in_one_go(matcher: &Matcher, lines: &[Vec<u8>]) -> Vec<(usize, Owner)> {
    let mut batch = Lines::default();
    for line in lines {
        batch.push(line);
    }
    let mut found = Vec::new();
    matcher.matches_in(&batch, |line, owner| found.push((line, owner)));
    found
}

const PATTERNS: &[&str] = &[
    "No space left on device",
    r"(?i)out of memory|\bENOMEM\b",
    r"^(?:ERROR|FATAL): \w+ \d+ failed",
    "code",
    "(?i)oops",
    r"\bx509: (?:certificate|key)\b.*expired$",
    "a[bc]{2}d[ef]",
    "ÄÖ fehlt",
    r"\d+ rows in \w+",
];

#[test]
fn text_is_found_at_every_place_of_a_line_and_of_a_buffer() {
    let matcher = Matcher::new(&[runbook(PATTERNS)]);
    for pattern in ["no space left on device!", "No space left on device", "code", "OOPS", "x code"]
    {
        for shift in 0..9 {
            let text = format!("{}{pattern}{}", "z".repeat(shift), "z".repeat(shift % 3));
            let before = "y".repeat(shift % 4);
            let lines: Vec<Vec<u8>> =
                [before, text, String::new(), "code".to_owned()].map(String::into_bytes).into();
            assert_eq!(in_one_go(&matcher, &lines), one_by_one(PATTERNS, &lines), "{lines:?}");
        }
    }
}

#[test]
fn text_that_only_two_lines_together_hold_is_in_neither() {
    let matcher = Matcher::new(&[runbook(PATTERNS)]);
    let whole = b"No space left on device code oops";
    for cut in 0..=whole.len() {
        let lines = vec![whole[..cut].to_vec(), whole[cut..].to_vec()];
        assert_eq!(in_one_go(&matcher, &lines), one_by_one(PATTERNS, &lines), "{cut}");
    }
}

#[test]
fn one_line_is_answered_like_many() {
    let matcher = Matcher::new(&[runbook(PATTERNS), runbook(&["left", "memory"])]);
    assert_eq!(matcher.matches("no memory left"), [(1, 0), (1, 1)]);
    assert_eq!(matcher.matches("No space left on device"), [(0, 0), (1, 0)]);
    assert_eq!(matcher.matches(""), []);
    assert_eq!(Matcher::new(&[]).matches("No space left on device"), []);
}

#[test]
fn only_the_beginning_of_a_very_long_line_is_looked_at() {
    let matcher = Matcher::new(&[runbook(PATTERNS)]);
    let within = format!("{}code", "z".repeat(MAX_LINE_BYTES - 4));
    let beyond = format!("{}code", "z".repeat(MAX_LINE_BYTES - 3));
    assert_eq!(matcher.matches(&within), [(0, 3)]);
    assert_eq!(matcher.matches(&beyond), []);
    assert_eq!(in_one_go(&matcher, &[within.into(), beyond.into()]), [(0, (0, 3))]);
}

#[test]
fn without_patterns_that_lack_text_every_line_need_not_be_tried() {
    let filtered: Vec<&str> = PATTERNS[..8].to_vec();
    assert!(Matcher::new(&[runbook(&filtered)]).unfiltered.is_empty());
    assert_eq!(Matcher::new(&[runbook(&["[0-9]+ms"])]).unfiltered, [0]);
}

/// Words of the patterns, pieces of them, and noise, in any order and case.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        prop::sample::select(vec![
            "No space left on device",
            "OUT OF MEMORY",
            "ENOMEM",
            "ERROR: job 7 failed",
            "code",
            "Oops",
            "x509: certificate has expired",
            "abcdf",
            "acbde",
            "ÄÖ fehlt",
            "3 rows in db",
        ])
        .prop_flat_map(|text| {
            let length = text.len();
            (0..length, 0..=length)
                .prop_map(move |(from, to)| text.as_bytes()[from.min(to)..to.max(from)].to_vec())
        }),
        prop::sample::select(vec!["code", "No space left on device", "oops", " ", "12"])
            .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(word, 0..6).prop_map(|words| words.concat())
}

/// With a pattern that lacks text, and without.
static BOTH: LazyLock<[(Matcher, RegexSet); 2]> = LazyLock::new(|| {
    [PATTERNS, &PATTERNS[..8]]
        .map(|patterns| (Matcher::new(&[runbook(patterns)]), set_of(patterns)))
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_answer_is_that_of_every_signature_by_itself(
        lines in prop::collection::vec(line(), 0..12),
    ) {
        for (matcher, set) in BOTH.iter() {
            prop_assert_eq!(in_one_go(matcher, &lines), answers(set, &lines));
        }
    }
}
