//! The literal text that a log signature cannot match without.
//!
//! Invariant: every match of the pattern contains at least one of the pieces answered,
//! whatever the case of its letters. It says where to look; whether the line really
//! matches is for the regular expression to say.

use std::collections::BTreeSet;

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

/// The least length of a piece worth looking for, in bytes.
pub(super) const MIN_LITERAL: usize = 4;
/// The longest piece kept, in bytes; its first bytes tell enough.
const MAX_LITERAL: usize = 24;
/// The most pieces one signature may need; beyond, looking for them costs more than it saves.
const MAX_PIECES: usize = 96;
/// The most alternatives multiplied out within a sequence.
const MAX_PRODUCT: usize = 48;

/// Pieces of text, in lower case.
type Pieces = BTreeSet<Vec<u8>>;

/// The pieces of which each match of `pattern` contains at least one, in lower case, each
/// of at least [`MIN_LITERAL`] bytes. `None` if there are no such pieces, or it is no pattern.
pub(super) fn required(pattern: &str) -> Option<Vec<Vec<u8>>> {
    let hir = ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern).ok()?;
    let pieces = walk(&hir).choice()?;
    usable(&pieces).then(|| pieces.into_iter().collect())
}

/// What is known of a part of a pattern.
#[derive(Debug, Default)]
struct Known {
    /// Everything the part matches, if that is a short list.
    exact: Option<Pieces>,
    /// Pieces of which each of its matches contains one.
    within: Option<Pieces>,
}

impl Known {
    fn exact(pieces: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { exact: Some(pieces.into_iter().collect()), within: None }
    }

    /// The better of the two.
    fn choice(self) -> Option<Pieces> {
        better(self.exact, self.within)
    }
}

fn walk(hir: &Hir) -> Known {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Known::exact([vec![]]),
        HirKind::Literal(literal) => Known::exact([literal.0.to_ascii_lowercase()]),
        HirKind::Class(class) => of_class(class),
        HirKind::Capture(capture) => walk(&capture.sub),
        HirKind::Repetition(repetition) => of_repetition(repetition),
        HirKind::Concat(parts) => of_sequence(parts),
        HirKind::Alternation(parts) => of_alternatives(parts),
    }
}

/// A class is a list if it holds few bytes; both cases of a letter count as one.
fn of_class(class: &Class) -> Known {
    let ranges: Vec<(u32, u32)> = match class {
        Class::Bytes(bytes) => {
            bytes.iter().map(|range| (range.start().into(), range.end().into())).collect()
        }
        Class::Unicode(unicode) => {
            unicode.iter().map(|range| (range.start().into(), range.end().into())).collect()
        }
    };
    let size: u32 = ranges.iter().map(|(start, end)| end - start + 1).sum();
    let is_short = size <= 8 && ranges.iter().all(|(_, end)| *end < 0x80);
    if !is_short {
        return Known::default();
    }
    let bytes = ranges.into_iter().flat_map(|(start, end)| start..=end);
    Known::exact(
        bytes
            .filter_map(|byte| u8::try_from(byte).ok())
            .map(|byte| vec![byte.to_ascii_lowercase()]),
    )
}

fn of_repetition(repetition: &Repetition) -> Known {
    let known = walk(&repetition.sub);
    match (repetition.min, repetition.max) {
        (0, Some(1)) => Known {
            exact: known.exact.map(|mut pieces| {
                pieces.insert(vec![]);
                pieces
            }),
            within: None,
        },
        (0, _) => Known::default(),
        (1, Some(1)) => known,
        (times, max) => {
            let multiplied =
                known.exact.as_ref().filter(|_| times <= 8).and_then(|once| {
                    (1..times).try_fold(once.clone(), |all, _| product(&all, once))
                });
            match max {
                Some(max) if max == times => Known { exact: multiplied, within: known.within },
                _ => Known { exact: None, within: better(multiplied, known.within) },
            }
        }
    }
}

fn of_sequence(parts: &[Hir]) -> Known {
    let mut run = Pieces::from([vec![]]);
    let mut best = None;
    let mut whole = true;
    for part in parts {
        let known = walk(part);
        let joined = known.exact.as_ref().and_then(|exact| product(&run, exact));
        if let Some(joined) = joined {
            run = joined;
            continue;
        }
        whole = false;
        best = better(best, Some(run));
        best = better(best, known.within);
        run = known.exact.unwrap_or_else(|| Pieces::from([vec![]]));
    }
    if whole {
        return Known { exact: Some(run), within: None };
    }
    Known { exact: None, within: better(best, Some(run)) }
}

fn of_alternatives(parts: &[Hir]) -> Known {
    let known: Vec<Known> = parts.iter().map(walk).collect();
    let all_exact: Option<Vec<&Pieces>> = known.iter().map(|known| known.exact.as_ref()).collect();
    let exact = all_exact
        .map(|lists| lists.into_iter().flatten().cloned().collect::<Pieces>())
        .filter(|pieces| pieces.len() <= MAX_PIECES);
    if exact.is_some() {
        return Known { exact, within: None };
    }
    let lists: Option<Vec<Pieces>> = known.into_iter().map(Known::choice).collect();
    let within = lists.map(|lists| lists.into_iter().flatten().collect::<Pieces>());
    Known { exact: None, within: within.filter(|pieces| pieces.len() <= MAX_PIECES) }
}

/// Each of `first` followed by each of `second`, unless that grows too long.
fn product(first: &Pieces, second: &Pieces) -> Option<Pieces> {
    if first.len() * second.len() > MAX_PRODUCT {
        return None;
    }
    let longest = |pieces: &Pieces| pieces.iter().map(Vec::len).max().unwrap_or_default();
    if longest(first) > MAX_LITERAL {
        return None;
    }
    let pairs = first.iter().flat_map(|head| second.iter().map(move |tail| (head, tail)));
    Some(pairs.map(|(head, tail)| [head.as_slice(), tail].concat()).collect())
}

fn usable(pieces: &Pieces) -> bool {
    !pieces.is_empty() && pieces.iter().all(|piece| piece.len() >= MIN_LITERAL)
}

/// The list that will be found in fewer lines: all pieces long enough, then rarer text.
fn better(one: Option<Pieces>, other: Option<Pieces>) -> Option<Pieces> {
    let (Some(first), Some(second)) = (&one, &other) else {
        return one.or(other);
    };
    let cost = |pieces: &Pieces| -> f64 { pieces.iter().map(|piece| commonness(piece)).sum() };
    let rank = |pieces: &Pieces| (!usable(pieces), cost(pieces));
    if rank(second) < rank(first) { other } else { one }
}

/// How much rarer each further letter makes a text: English tells 1.3 bits a letter once some are
/// known (C. E. Shannon, "Prediction and Entropy of Printed English", 1951), and 2^-1.3 is 0.4.
const RARER: f64 = 0.4;

/// How often a piece is to be expected in ordinary logs: its rarest four bytes, and how much
/// more there is. Only comparisons mean something.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn commonness(piece: &[u8]) -> f64 {
    let grams = piece.windows(MIN_LITERAL);
    let rarest =
        grams.map(gram_commonness).min().unwrap_or_else(|| gram_commonness(piece) << 8) as f64;
    (MIN_LITERAL..piece.len().min(MAX_LITERAL)).fold(rarest, |common, _| common * RARER)
}

/// The expected frequency of a few bytes that follow each other.
pub(super) fn gram_commonness(gram: &[u8]) -> u64 {
    gram.iter().map(|byte| u64::from(byte_commonness(*byte))).product()
}

/// About how many of a thousand bytes of ordinary logs are this one, in lower case.
const fn byte_commonness(byte: u8) -> u16 {
    match byte.to_ascii_lowercase() {
        b' ' => 110,
        b'e' | b'0'..=b'2' => 55,
        b't' | b'o' | b'n' | b'r' | b's' | b'i' | b'a' => 40,
        b'c' | b'd' | b'l' | b'3'..=b'9' | b'.' | b':' => 28,
        b'p' | b'm' | b'u' | b'f' | b'h' | b'-' | b'/' => 18,
        b'g' | b'b' | b'v' | b'w' | b'k' | b'y' | b'_' | b'=' => 10,
        b'x' | b'[' | b']' | b'(' | b')' | b',' | b'"' | b'\'' => 7,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pattern: &str) -> Option<Vec<String>> {
        let texts = required(pattern)?.into_iter().map(|piece| String::from_utf8(piece).unwrap());
        Some(texts.collect())
    }

    #[test]
    fn the_rarest_text_that_must_be_there_is_chosen() {
        for (pattern, wanted) in [
            ("No space left on device", &["no space left on device"][..]),
            (r"\d+ upstream timed out \(\d+", &[" upstream timed out ("]),
            (r"\bENOSPC\b|Disk quota", &["disk quota", "enospc"]),
            (r"(?i)Out of \w+ memory", &[" memory"]),
            ("[Cc]onnection refused", &["connection refused"]),
            (r"x509: (?:certificate|key) \w+", &["x509: certificate ", "x509: key "]),
            (r"^(?:Caused by: )?java\.lang\.\w+Error", &["caused by: java.lang.", "java.lang."]),
            (r"(?:spam){2}", &["spamspam"]),
            (r"(?:spam)+", &["spam"]),
        ] {
            assert_eq!(texts(pattern).as_deref().unwrap_or_default(), wanted, "{pattern}");
        }
    }

    #[test]
    fn a_pattern_without_text_of_four_bytes_has_none() {
        for pattern in [r"\d+ \w+", "(?i)got|gone", "a.*b.*c", "(?:error)?", "[a-z]{4}", "("] {
            assert_eq!(texts(pattern), None, "{pattern}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_match_contains_a_piece(
            parts in proptest::collection::vec("[ab]{1,3}|\\(a\\|bb\\)|\\[ab\\]|\\(ab\\)\\?|a\\+|\\.|\\(ba\\)\\{2\\}|\\(\\?i:AB\\)", 1..8),
            line in "[abAB]{0,40}",
        ) {
            let pattern = parts.concat();
            let regex = regex::bytes::RegexBuilder::new(&pattern).unicode(false).build().unwrap();
            if let (Some(pieces), Some(found)) = (required(&pattern), regex.find(line.as_bytes())) {
                let text = found.as_bytes().to_ascii_lowercase();
                let holds = |piece: &Vec<u8>| text.windows(piece.len()).any(|part| part == piece);
                proptest::prop_assert!(pieces.iter().any(holds), "{pattern} {line} {pieces:?}");
            }
        }
    }
}
