//! All log signatures against lines, in one pass over their bytes.
//!
//! Invariant: the answer is that of trying every signature by itself on each line, and on what
//! is left of it once the words of strangers are hidden ([`strangers`]). How it is
//! found nobody notices: the [`prefilter`] looks for the text that a signature cannot match
//! without, and only the signatures whose text stands in a line are tried on it. Those
//! without such text are tried on every line. It knows nothing of containers.
//!
//! Regular expressions are compiled when first tried: of hundreds only a few ever are, and
//! each takes tens of kilobytes. What else is remembered while lines are searched is bounded by
//! [`MAX_LINE_BYTES`] and by how many signatures there are, whatever the lines say.

mod prefilter;

use std::borrow::Cow;
use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

use super::{literals, strangers};
use crate::model::Runbook;
use prefilter::Prefilter;

/// Bytes of one line that are looked at: signatures stand near the start, and a hostile
/// line of megabytes must not cost more than an ordinary one.
const MAX_LINE_BYTES: usize = 8 * 1024;
/// Compiled size of one signature, in bytes.
const SIZE_LIMIT: usize = 512 * 1024;
/// What one signature may remember of its automaton while it runs, in bytes.
const CACHE_LIMIT: usize = 96 * 1024;

/// Where a signature comes from: which runbook, and which of its signatures.
pub(super) type Owner = (usize, usize);

/// The log signatures of a catalogue.
#[derive(Debug)]
pub(super) struct Matcher {
    prefilter: Prefilter,
    patterns: Vec<Pattern>,
    /// The patterns without literal text. `knowledge test` asks for text, so they are few.
    unfiltered: Vec<usize>,
}

#[derive(Debug)]
struct Pattern {
    owner: Owner,
    text: String,
    /// `None` inside if it does not compile, which nobody asks for: the rules saw to it.
    compiled: OnceLock<Option<Regex>>,
}

impl Matcher {
    /// Prepares the log signatures of `runbooks`, each of which compiles by itself.
    pub(super) fn new(runbooks: &[Runbook]) -> Self {
        let mut patterns = Vec::new();
        for (index, runbook) in runbooks.iter().enumerate() {
            for (position, signature) in runbook.signatures.iter().enumerate() {
                if let Some(text) = signature.log.clone() {
                    let owner = (index, position);
                    patterns.push(Pattern { owner, text, compiled: OnceLock::new() });
                }
            }
        }
        let mut pieces = Vec::new();
        let mut unfiltered = Vec::new();
        for (index, pattern) in patterns.iter().enumerate() {
            match literals::required(&pattern.text) {
                Some(texts) => pieces.extend(texts.into_iter().map(|text| (text, index))),
                None => unfiltered.push(index),
            }
        }
        Self { prefilter: Prefilter::new(pieces), patterns, unfiltered }
    }

    /// The owner of every signature that `line` shows, in their order.
    pub(super) fn matches(&self, line: &str) -> Vec<Owner> {
        let bytes = bounded(line.as_bytes());
        let mut owners = Vec::new();
        self.scan(bytes, &[bytes.len()], |_, owner| owners.push(owner));
        owners
    }

    /// Hands over the number of the line and the owner of every signature that a line of
    /// `lines` shows, in their order.
    pub(super) fn matches_in(&self, lines: &Lines, found: impl FnMut(usize, Owner)) {
        self.scan(&lines.bytes, &lines.ends, found);
    }

    fn scan(&self, text: &[u8], ends: &[usize], mut found: impl FnMut(usize, Owner)) {
        let mut candidates = Candidates::default();
        let mut decide = |line: usize, candidates: &[usize]| {
            if candidates.is_empty() {
                return;
            }
            let start = line.checked_sub(1).map_or(0, |before| ends[before]);
            let bytes = &text[start..ends[line]];
            // Few lines match at all: only those are looked through for words of strangers.
            let mut shown = None;
            for pattern in candidates.iter().map(|index| &self.patterns[*index]) {
                if !pattern.is_match(bytes) {
                    continue;
                }
                let believed = match shown.get_or_insert_with(|| strangers::shown(bytes)) {
                    Cow::Borrowed(_) => true,
                    Cow::Owned(shown) => pattern.is_match(shown),
                };
                if believed {
                    found(line, pattern.owner);
                }
            }
        };
        if !self.unfiltered.is_empty() {
            // Every line is tried in any case, so the lines go one by one.
            let mut start = 0;
            for (line, end) in ends.iter().enumerate() {
                let bytes = &text[start..*end];
                start = *end;
                candidates.restart(line);
                candidates.patterns.extend(&self.unfiltered);
                self.prefilter.search(bytes, &[bytes.len()], |_, pattern| candidates.add(pattern));
                decide(line, candidates.in_order());
            }
            return;
        }
        self.prefilter.search(text, ends, |line, pattern| {
            if line != candidates.line {
                decide(candidates.line, candidates.in_order());
                candidates.restart(line);
            }
            candidates.add(pattern);
        });
        decide(candidates.line, candidates.in_order());
    }
}

impl Pattern {
    fn is_match(&self, line: &[u8]) -> bool {
        let compiled = self.compiled.get_or_init(|| compile(&self.text).ok());
        compiled.as_ref().is_some_and(|regex| regex.is_match(line))
    }
}

/// The patterns to be tried on one line, each once.
#[derive(Debug, Default)]
struct Candidates {
    line: usize,
    patterns: Vec<usize>,
}

impl Candidates {
    fn restart(&mut self, line: usize) {
        self.line = line;
        self.patterns.clear();
    }

    fn add(&mut self, pattern: usize) {
        // What a line repeats, it mostly repeats at once.
        if self.patterns.last() != Some(&pattern) {
            self.patterns.push(pattern);
        }
    }

    fn in_order(&mut self) -> &[usize] {
        self.patterns.sort_unstable();
        self.patterns.dedup();
        &self.patterns
    }
}

/// Many lines in one buffer: searched together they take half the time.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// Where each line ends in `bytes`; the next begins there.
    ends: Vec<usize>,
}

impl Lines {
    /// Adds a line without its end; of a very long one only the beginning is kept.
    pub(super) fn push(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(bounded(line));
        self.ends.push(self.bytes.len());
    }

    /// Forgets all lines and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// How much memory they take together, in bytes; an empty line takes some, too.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes.len() + size_of_val(self.ends.as_slice())
    }
}

fn bounded(line: &[u8]) -> &[u8] {
    &line[..line.len().min(MAX_LINE_BYTES)]
}

/// Compiles one signature as the matcher understands it: `\d`, `\w`, `\s` and `\b` speak
/// of ASCII, since logs do and the tables stay small.
pub(super) fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    let mut builder = RegexBuilder::new(pattern);
    builder.unicode(false).size_limit(SIZE_LIMIT).dfa_size_limit(CACHE_LIMIT).build()
}

#[cfg(test)]
mod tests;
