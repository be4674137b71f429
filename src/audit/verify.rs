//! Whether a log is as it was written. It reads line by line, and keeps none of them.

use std::io;

use super::chain::LONGEST_LINE;
use super::entry::{Entry, Head};
use super::kept::removed;
use super::log::{Log, Part};

/// Faults told at most.
const MOST_FAULTS: usize = 20;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How many entries there are that are as they were written.
    pub entries: u64,
    /// With which entry it begins, where those before were removed as the settings say.
    pub begins: Option<u64>,
    /// The newest of them.
    pub head: Option<Head>,
    /// What is wrong, in the order of the log.
    pub faults: Vec<String>,
    /// How long the last line is, in bytes, where it has no end: a crash while it was written, and the
    /// next entry puts it right.
    pub torn_bytes: usize,
}

impl Log {
    /// Looks through all of it. `witnesses` are heads that were noted elsewhere: each of them must be
    /// in it.
    pub fn verify(self, witnesses: &[Head]) -> io::Result<Verdict> {
        let mut walk = Walk { witnesses, ..Walk::default() };
        let mut torn_bytes = 0;
        for part in self.0 {
            if torn_bytes > 0 {
                walk.faults.push(format!("the end of {} is cut off", walk.file()));
            }
            torn_bytes = walk.part(part)?;
        }
        Ok(walk.ended(torn_bytes))
    }
}

/// Of a witness that was not met. The lines at the end that are `unread` may have been entries.
fn missing(witness: &Head, last: Option<&Head>, unread: u64) -> String {
    let Head { seq, hash } = witness;
    let from = last.map_or(0, |last| last.seq) + unread + 1;
    match last {
        None if unread == 0 => {
            format!("all entries are removed: {seq} were known, the last with the hash {hash}")
        }
        _ if from < *seq => format!("the last entries, {from} to {seq}, are removed"),
        _ if from == *seq => format!("the last entry, {seq}, is removed"),
        _ => format!("entry {seq} is another than was known: its hash was {hash}"),
    }
}

/// One way through a log.
#[derive(Default)]
struct Walk<'a> {
    witnesses: &'a [Head],
    /// The file that is read, unless it is the newest, and the line in it.
    name: Option<String>,
    number: usize,
    /// What stood before the first entry: its number, and its hash unless the lines behind it
    /// cannot be read.
    before_all: Option<(u64, Option<String>)>,
    /// Whether an entry says that it was removed.
    is_removed: bool,
    last: Option<Head>,
    /// Whether the line before could not be read, so that nobody knows its hash.
    after_unread: bool,
    unread: u64,
    entries: u64,
    /// The witnesses that were met.
    found: Vec<Head>,
    faults: Vec<String>,
}

impl Walk<'_> {
    fn part(&mut self, mut part: Part) -> io::Result<usize> {
        (self.name, self.number) = (part.name.take(), 0);
        part.lines(|line| self.line(line))
    }

    fn file(&self) -> &str {
        self.name.as_deref().unwrap_or("the newest file")
    }

    /// Where it is.
    fn here(&self) -> String {
        let of = self.name.as_ref().map_or_else(String::new, |name| format!(" of {name}"));
        format!("line {}{of}", self.number)
    }

    fn line(&mut self, line: &[u8]) {
        self.number += 1;
        let Some(entry) = Entry::read(line) else {
            self.faults.push(format!("{} was altered", self.here()));
            self.after_unread = true;
            self.unread += 1;
            return;
        };
        let is_later = entry.seq > self.unread + 1;
        if self.last.is_none() && is_later {
            let hash = (self.unread == 0).then(|| entry.previous.clone());
            self.before_all = Some((entry.seq - 1 - self.unread, hash));
        } else {
            self.follow(&entry);
        }
        self.is_removed |= removed(&entry).is_some_and(|removed| self.is_before_all(&removed));
        self.entries += 1;
        let head = entry.head();
        if self.witnesses.contains(&head) {
            self.found.push(head.clone());
        }
        self.last = Some(head);
        (self.after_unread, self.unread) = (false, 0);
    }

    fn is_before_all(&self, head: &Head) -> bool {
        self.before_all.as_ref().is_some_and(|(seq, hash)| {
            *seq == head.seq && hash.as_ref().is_none_or(|hash| *hash == head.hash)
        })
    }

    /// Whether an entry follows on what stands before it.
    fn follow(&mut self, entry: &Entry) {
        let before = self.last.clone().unwrap_or_else(Head::none);
        let (seq, expected) = (entry.seq, before.seq + 1 + self.unread);
        let here = self.here();
        if seq == expected {
            if !self.after_unread && entry.previous != before.hash {
                let other = if seq == 1 { "nothing" } else { "the one before" };
                let fault = format!("entry {seq} ({here}) does not follow on {other}");
                self.faults.push(format!("{fault}: one of them was put in another's place"));
            }
            return;
        }
        self.faults.push(if seq < expected {
            format!("entry {seq} ({here}) stands where entry {expected} should")
        } else {
            gap(expected, seq - 1, &here)
        });
    }

    fn ended(mut self, torn_bytes: usize) -> Verdict {
        let begins = self.before_all.take().map(|(seq, _)| seq + 1);
        if let Some(begins) = begins.filter(|_| !self.is_removed) {
            self.faults.insert(0, gap(1, begins - 1, "line 1"));
        }
        let begins = begins.filter(|_| self.is_removed);
        for witness in self.witnesses.iter().filter(|witness| !self.found.contains(witness)) {
            self.faults.push(match begins {
                Some(begins) if witness.seq < begins => format!(
                    "entry {} cannot be compared: it is no longer kept, the log begins with {begins}",
                    witness.seq
                ),
                _ => missing(witness, self.last.as_ref(), self.unread),
            });
        }
        if torn_bytes > LONGEST_LINE {
            self.faults.push("after the last entry stands what is none".to_owned());
        }
        let told = self.faults.len();
        if told > MOST_FAULTS {
            self.faults.truncate(MOST_FAULTS);
            self.faults.push(format!("and {} more", told - MOST_FAULTS));
        }
        let Self { entries, last: head, faults, .. } = self;
        Verdict { entries, begins, head, faults, torn_bytes }
    }
}

fn gap(first: u64, last: u64, before: &str) -> String {
    if first == last {
        format!("entry {first} is removed before {before}")
    } else {
        format!("entries {first} to {last} are removed before {before}")
    }
}
