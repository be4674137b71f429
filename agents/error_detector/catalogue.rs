//! The runbooks in force: read, checked, and ready to be matched.
//!
//! Invariant: every runbook in a [`Catalogue`] passed every rule of [`super::rules`], when it
//! was built in or now; a broken file is refused by name with all its faults, and the others work. A
//! built-in runbook that a broken file was meant to replace still finds its trouble, and mends
//! nothing: what the person wanted instead is unknown. It reads no file itself (the caller hands
//! over names and texts) and it decides nothing about a target beyond whether a runbook applies to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::OnceLock;

use super::matcher::{self, Lines, Matcher};
use super::rules;
use crate::model::{Examples, Observation, Program, Runbook, Side, Signature};
use crate::root_cause::signature_matches;

/// The largest runbook file accepted, in bytes.
const MAX_FILE_BYTES: usize = 64 * 1024;
/// Lines are searched together in pieces of this size, in bytes.
const BATCH_BYTES: usize = 64 * 1024;

/// A file that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenRunbook {
    /// The file's name as it was handed over, such as `nginx/upstream-timeout.toml`.
    pub file: String,
    /// Everything that is wrong with it, each in one sentence.
    pub faults: Vec<String>,
}

impl fmt::Display for BrokenRunbook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "runbook {} was refused: {}", self.file, self.faults.join("; "))
    }
}

/// A line that shows a runbook's trouble.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match<'a> {
    /// Whose signature it is.
    pub runbook: &'a Runbook,
    /// Which of its signatures, counted from 0.
    pub signature: usize,
}

impl Match<'_> {
    /// The signature itself.
    pub fn sign(&self) -> &Signature {
        &self.runbook.signatures[self.signature]
    }

    /// Who writes such a line.
    pub fn side(&self) -> Side {
        self.sign().side
    }

    /// The part of the line that the signature matched; for explaining, not for speed.
    pub fn part<'l>(&self, line: &'l str) -> Option<&'l str> {
        let pattern = self.sign().log.as_deref()?;
        let found = matcher::compile(pattern).ok()?;
        line.get(found.find(line.as_bytes())?.range())
    }
}

/// All runbooks in force.
#[derive(Debug, Default)]
pub struct Catalogue {
    runbooks: Vec<Runbook>,
    /// Prepared when the first line comes: who only reads runbooks need not wait for it.
    matcher: OnceLock<Matcher>,
}

/// What is kept of each runbook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All of it, for authors.
    Everything,
    /// What finds and mends trouble, without examples. They are dropped as soon as a runbook is read:
    /// all of them at once would leave the heap twice as large for good.
    InForce,
}

impl Keep {
    fn of(self, mut runbook: Runbook) -> Runbook {
        if self == Self::Everything {
            return runbook;
        }
        runbook.examples = Examples::default();
        runbook.shares = vec![];
        // What was read has room to grow in every list; a copy has none.
        Runbook::clone(&runbook)
    }
}

/// Runbooks by id, each with its file.
type Sound = BTreeMap<String, (String, Runbook)>;

impl Catalogue {
    /// Reads runbooks from (file name, text) pairs; names are `TECHNOLOGY/ID.toml`.
    ///
    /// Of two files with the same id the first one stays.
    pub fn load(files: impl IntoIterator<Item = (String, String)>) -> (Self, Vec<BrokenRunbook>) {
        let read = |(file, text)| (file, Ok(text));
        Self::load_over(files.into_iter().map(read), [], Keep::Everything)
    }

    /// Reads a person's own runbooks laid over built-in ones: a sound one replaces the
    /// built-in one with its id, a broken one or one that could not be read (the error says
    /// why) takes away its fixes.
    ///
    /// The built-in ones are only read: the rules were tried on them when they were built in,
    /// and that takes longer than all the rest of a start.
    pub fn load_over(
        own: impl IntoIterator<Item = (String, Result<String, String>)>,
        built_in: impl IntoIterator<Item = (String, String)>,
        keep: Keep,
    ) -> (Self, Vec<BrokenRunbook>) {
        let mut broken = Vec::new();
        let mut base = Sound::new();
        for (file, text) in built_in {
            add(&mut base, &mut broken, file, |_| read(&text).map(|r| keep.of(r)));
        }
        let mut sound = Sound::new();
        for (file, text) in own {
            add(&mut sound, &mut broken, file, |file| {
                let text = text.as_ref().map_err(|why| vec![why.clone()])?;
                parse(file, text).map(|r| keep.of(r))
            });
        }
        let dangling = refuse_dangling(&mut sound, &base, &broken);
        broken.extend(dangling);
        for refused in broken.iter_mut().filter(|b| !sound.contains_key(rules::stem(&b.file))) {
            disarm(&mut base, refused);
        }
        base.extend(sound);
        let runbooks = base.into_values().map(|(_, runbook)| runbook).collect();
        let catalogue = Self { runbooks, matcher: OnceLock::new() };
        if keep == Keep::InForce {
            // Lines come in the middle of other work, which must not wait.
            catalogue.matcher();
        }
        (catalogue, broken)
    }

    fn matcher(&self) -> &Matcher {
        self.matcher.get_or_init(|| Matcher::new(&self.runbooks))
    }

    /// The same without any fix: it finds trouble and mends none.
    #[must_use]
    pub fn without_fixes(mut self) -> Self {
        self.runbooks.iter_mut().for_each(|runbook| runbook.fixes.clear());
        self
    }

    /// One runbook.
    pub fn get(&self, id: &str) -> Option<&Runbook> {
        let found = self.runbooks.binary_search_by(|runbook| runbook.id.as_str().cmp(id));
        found.ok().map(|index| &self.runbooks[index])
    }

    /// All of them, ordered by id.
    pub fn iter(&self) -> impl Iterator<Item = &Runbook> {
        self.runbooks.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.runbooks.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.runbooks.is_empty()
    }

    /// The ids of the runbooks whose log signatures this line shows, wherever they apply;
    /// each id once.
    pub fn matching(&self, line: &str) -> impl Iterator<Item = &str> {
        let ids: BTreeSet<&str> = self.matches(line).map(|m| m.runbook.id.as_str()).collect();
        ids.into_iter()
    }

    /// Every log signature this line shows, wherever it applies.
    pub fn matches(&self, line: &str) -> impl Iterator<Item = Match<'_>> {
        self.matcher()
            .matches(line)
            .into_iter()
            .map(|(runbook, signature)| Match { runbook: &self.runbooks[runbook], signature })
    }

    /// Hands over every log signature that one of many lines shows, wherever it applies; for
    /// many lines this takes less time than [`Self::matches`] on each. `text` tells what is
    /// written in a line.
    pub fn matches_in<'a, L>(
        &'a self,
        lines: impl IntoIterator<Item = L>,
        text: impl Fn(&L) -> &[u8],
        mut found: impl FnMut(&L, Match<'a>),
    ) {
        let mut batch = Lines::default();
        let mut held = Vec::new();
        let mut search = |batch: &mut Lines, held: &mut Vec<L>| {
            self.matcher().matches_in(batch, |line, (runbook, signature)| {
                found(&held[line], Match { runbook: &self.runbooks[runbook], signature });
            });
            batch.clear();
            held.clear();
        };
        for line in lines {
            batch.push(text(&line));
            held.push(line);
            if batch.size_bytes() >= BATCH_BYTES {
                search(&mut batch, &mut held);
            }
        }
        search(&mut batch, &mut held);
    }

    /// The runbooks whose check signature this observation shows, the most specific first
    /// (a signature that names values before one that does not), then the surest.
    pub fn signed_by(
        &self,
        observation: &Observation,
        container: Option<Program<'_>>,
    ) -> Vec<&Runbook> {
        let kind = observation.target.kind();
        let mut found: Vec<(bool, &Runbook)> = self
            .runbooks
            .iter()
            .filter(|runbook| runbook.applies.fits(kind, container))
            .filter_map(|runbook| {
                let mut signed =
                    runbook.signatures.iter().filter(|s| signature_matches(s, observation));
                let first = signed.next()?;
                Some((first.is.is_empty() && signed.all(|s| s.is.is_empty()), runbook))
            })
            .collect();
        found.sort_by_key(|(general, runbook)| {
            (*general, std::cmp::Reverse(runbook.diagnosis.base))
        });
        found.into_iter().map(|(_, runbook)| runbook).collect()
    }
}

/// A check's name without its instance: `host.disk` of `host.disk:/var`.
pub fn check_base(check: &str) -> &str {
    check.split_once(':').map_or(check, |(base, _)| base)
}

/// The JSON schema of one runbook file.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Runbook).to_value()
}

/// Adds what was read of a file, unless it is broken or its id is taken.
fn add(
    sound: &mut Sound,
    broken: &mut Vec<BrokenRunbook>,
    file: String,
    read: impl Fn(&str) -> Result<Runbook, Vec<String>>,
) {
    let refused = match read(&file) {
        Ok(runbook) => {
            let Some((other, _)) = sound.get(&runbook.id) else {
                sound.insert(runbook.id.clone(), (file, runbook));
                return;
            };
            vec![format!("its id `{}` is taken by {other}", runbook.id)]
        }
        Err(faults) => faults,
    };
    broken.push(BrokenRunbook { file, faults: refused });
}

/// Takes the fixes from the built-in runbook that a refused file was meant to replace.
fn disarm(base: &mut Sound, refused: &mut BrokenRunbook) {
    let meant = rules::stem(&refused.file);
    let Some((_, runbook)) = base.get_mut(meant) else {
        return;
    };
    if !runbook.fixes.is_empty() {
        runbook.fixes.clear();
        refused.faults.push(format!("until that is put right, `{meant}` mends nothing"));
    }
}

/// Reads a file and tries all rules on it.
fn parse(file: &str, text: &str) -> Result<Runbook, Vec<String>> {
    let runbook = read(text)?;
    let faults = rules::faults(file, &runbook);
    if faults.is_empty() { Ok(runbook) } else { Err(faults) }
}

fn read(text: &str) -> Result<Runbook, Vec<String>> {
    if text.len() > MAX_FILE_BYTES {
        return Err(vec![format!("it is larger than {MAX_FILE_BYTES} bytes")]);
    }
    toml::from_str(text).map_err(|error| {
        // The caret drawing of the message is for a terminal; one line is enough here.
        let line = error.span().map(|span| text[..span.start].lines().count().max(1));
        let place = line.map_or(String::new(), |line| format!("line {line}: "));
        vec![format!("{place}{}", error.message())]
    })
}

/// Refuses runbooks whose evidence names a runbook that there is not. One that is there but
/// broken is no fault of theirs: its finding is just never made.
fn refuse_dangling(
    sound: &mut Sound,
    base: &Sound,
    refused: &[BrokenRunbook],
) -> Vec<BrokenRunbook> {
    let refused = refused.iter().map(|b| rules::stem(&b.file).to_owned());
    let known: BTreeSet<String> = sound.keys().chain(base.keys()).cloned().chain(refused).collect();
    let mut broken = Vec::new();
    sound.retain(|_, (file, runbook)| {
        let faults: Vec<String> = rules::conditions(runbook)
            .filter_map(|condition| condition.finding.as_ref())
            .filter(|id| !known.contains(*id))
            .map(|id| format!("its evidence names the runbook `{id}`, which there is not"))
            .collect();
        let stays = faults.is_empty();
        if !stays {
            broken.push(BrokenRunbook { file: file.clone(), faults });
        }
        stays
    });
    broken
}

#[cfg(test)]
mod tests;
