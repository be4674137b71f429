//! All log signatures against one line, in one pass.
//!
//! The answer is that of trying every signature by itself; how it is found may change
//! (it is one `RegexSet` today) without anybody noticing. It knows nothing of containers.

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use crate::model::Runbook;

/// Bytes of one line that are looked at: signatures stand near the start, and a hostile
/// line of megabytes must not cost more than an ordinary one.
const MAX_LINE_BYTES: usize = 8 * 1024;
/// Compiled size of one signature, in bytes.
const SIZE_LIMIT: usize = 512 * 1024;
/// Compiled size of all signatures together, in bytes.
const SET_SIZE_LIMIT: usize = 32 * 1024 * 1024;

/// Compiled signatures.
#[derive(Debug)]
pub(super) struct Matcher {
    set: RegexSet,
    /// For each pattern of the set: which runbook, and which of its signatures.
    owners: Vec<(usize, usize)>,
}

impl Default for Matcher {
    fn default() -> Self {
        Self { set: RegexSet::empty(), owners: vec![] }
    }
}

impl Matcher {
    /// Compiles the log signatures of `runbooks`, each of which compiles by itself; the
    /// error says that all together are too large.
    pub(super) fn new(runbooks: &[Runbook]) -> Result<Self, regex::Error> {
        let mut patterns = Vec::new();
        let mut owners = Vec::new();
        for (index, runbook) in runbooks.iter().enumerate() {
            for (position, signature) in runbook.signatures.iter().enumerate() {
                if let Some(pattern) = &signature.log {
                    patterns.push(pattern.as_str());
                    owners.push((index, position));
                }
            }
        }
        let mut set = RegexSetBuilder::new(&patterns);
        let set = set.unicode(false).size_limit(SET_SIZE_LIMIT).build()?;
        Ok(Self { set, owners })
    }

    /// (runbook, signature) of every signature that `line` shows.
    pub(super) fn matches(&self, line: &str) -> Vec<(usize, usize)> {
        let bytes = line.as_bytes();
        let bounded = &bytes[..bytes.len().min(MAX_LINE_BYTES)];
        self.set.matches(bounded).into_iter().map(|pattern| self.owners[pattern]).collect()
    }
}

/// Compiles one signature as the matcher understands it: `\d`, `\w`, `\s` and `\b` speak
/// of ASCII, since logs do and the tables stay small.
pub(super) fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).unicode(false).size_limit(SIZE_LIMIT).build()
}
