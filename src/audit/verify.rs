//! Whether a log is as it was written. Pure.

use super::chain::LONGEST_LINE;
use super::entry::{Entry, Head};

/// Faults told at most.
const MOST_FAULTS: usize = 20;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How many entries there are that are as they were written.
    pub entries: u64,
    /// The newest of them.
    pub head: Option<Head>,
    /// What is wrong, in the order of the log.
    pub faults: Vec<String>,
    /// How long the last line is, in bytes, where it has no end: a crash while it was written, and the
    /// next entry puts it right.
    pub torn_bytes: usize,
}

/// Looks through a whole log. `witnesses` are heads that were noted elsewhere: each of them must be
/// in it.
pub fn verify(bytes: &[u8], witnesses: &[Head]) -> Verdict {
    let mut walk = Walk::default();
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let torn = lines.next_back().unwrap_or_default();
    for (index, line) in lines.enumerate() {
        walk.line(index + 1, line, witnesses);
    }
    let found = &walk.found;
    let missing: Vec<String> = witnesses
        .iter()
        .filter(|witness| !found.contains(witness))
        .map(|witness| missing(witness, walk.last.as_ref(), walk.unread))
        .collect();
    walk.faults.extend(missing);
    if torn.len() > LONGEST_LINE {
        walk.faults.push("after the last entry stands what is none".to_owned());
    }
    let told = walk.faults.len();
    if told > MOST_FAULTS {
        walk.faults.truncate(MOST_FAULTS);
        walk.faults.push(format!("and {} more", told - MOST_FAULTS));
    }
    Verdict { entries: walk.entries, head: walk.last, faults: walk.faults, torn_bytes: torn.len() }
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
struct Walk {
    last: Option<Head>,
    /// Whether the line before could not be read, so that nobody knows its hash.
    after_unread: bool,
    unread: u64,
    entries: u64,
    /// The witnesses that were met.
    found: Vec<Head>,
    faults: Vec<String>,
}

impl Walk {
    fn line(&mut self, number: usize, line: &[u8], witnesses: &[Head]) {
        let Some(entry) = Entry::read(line) else {
            self.faults.push(format!("line {number} was altered"));
            self.after_unread = true;
            self.unread += 1;
            return;
        };
        let before = self.last.clone().unwrap_or_else(Head::none);
        let expected = before.seq + 1 + self.unread;
        self.follow(&entry, &before, expected, number);
        self.entries += 1;
        let head = entry.head();
        if witnesses.contains(&head) {
            self.found.push(head.clone());
        }
        self.last = Some(head);
        (self.after_unread, self.unread) = (false, 0);
    }

    /// Whether an entry follows on what stands before it.
    fn follow(&mut self, entry: &Entry, before: &Head, expected: u64, number: usize) {
        let seq = entry.seq;
        if seq == expected {
            if !self.after_unread && entry.previous != before.hash {
                let other = if seq == 1 { "nothing" } else { "the one before" };
                let fault = format!("entry {seq} (line {number}) does not follow on {other}");
                self.faults.push(format!("{fault}: one of them was put in another's place"));
            }
            return;
        }
        self.faults.push(if seq < expected {
            format!("entry {seq} (line {number}) stands where entry {expected} should")
        } else if seq == expected + 1 {
            format!("entry {expected} is removed before line {number}")
        } else {
            format!("entries {expected} to {} are removed before line {number}", seq - 1)
        });
    }
}
