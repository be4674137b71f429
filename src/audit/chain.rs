//! What is to be appended after what stands there. Pure.

use std::io;

use super::entry::{Act, Entry, Head};

/// No entry is longer, in bytes.
pub(super) const LONGEST_LINE: usize = 16 * 1024;
/// How much of a torn line is told.
const TORN_TOLD: usize = 300;

/// What a file must become.
pub(super) struct Append {
    /// How many bytes of what was handed over are cut off first.
    pub(super) cut: usize,
    /// What is written then.
    pub(super) text: Vec<u8>,
    /// The newest entry after it.
    pub(super) head: Head,
}

/// The last entry before the end, and what stands after it without an end of its own.
fn last(tail: &[u8]) -> (Option<Head>, &[u8]) {
    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else { return (None, tail) };
    let (lines, torn) = (&tail[..end], &tail[end + 1..]);
    let begins = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    (Entry::read(&lines[begins..]).map(|entry| entry.head()), torn)
}

/// The newest entry of a log of which this is the end.
pub(super) fn newest(tail: &[u8]) -> Option<Head> {
    last(tail).0
}

/// Whether what stands at the end follows on `known` without a gap.
pub(super) fn leads(tail: &[u8], known: &Head) -> bool {
    let lines = tail.split_inclusive(|byte| *byte == b'\n');
    let mut at: Option<Head> = None;
    for line in lines.filter_map(|line| line.strip_suffix(b"\n")) {
        let entry = Entry::read(line);
        at = match (at, entry) {
            (Some(before), Some(entry)) if follows(&entry, &before) => Some(entry.head()),
            (Some(_), _) => return false,
            (None, entry) => entry.map(|entry| entry.head()).filter(|head| head == known),
        };
    }
    at.is_some()
}

fn follows(entry: &Entry, before: &Head) -> bool {
    entry.seq == before.seq + 1 && entry.previous == before.hash
}

/// Where it goes on when what stands there is not what was known: nothing follows from it, and the
/// next entry does not fit, for ever.
pub(super) fn beyond(there: Option<&Head>, known: &Head) -> Head {
    Head { seq: there.map_or(0, |there| there.seq).max(known.seq), hash: known.hash.clone() }
}

/// Adds `acts` after `tail`, the end of the log. `known` is the newest entry that the writer knows
/// of: where what stands there does not lead on from it, it goes on from it all the same, so that what
/// is missing is missed for ever.
///
/// A line that has no end was torn by a crash while it was written. It is cut off, and an entry
/// tells of it.
pub(super) fn append(tail: &[u8], known: Option<&Head>, acts: &[Act]) -> io::Result<Append> {
    let (there, torn) = last(tail);
    let mut head = match (there, known) {
        (there, None) => there.unwrap_or_else(Head::none),
        (Some(there), Some(known)) if there == *known || leads(tail, known) => there,
        (there, Some(known)) => beyond(there.as_ref(), known),
    };
    let mut text = vec![];
    // What is longer than any line of ours no crash left: it stays, for whoever looks.
    let is_torn = !torn.is_empty() && torn.len() <= LONGEST_LINE;
    if !torn.is_empty() && !is_torn {
        text.push(b'\n');
    }
    let told = is_torn.then(|| repaired(torn, acts)).flatten();
    for act in told.iter().chain(acts) {
        let (line, next) = Entry::after(&head, act).sealed()?;
        text.extend_from_slice(line.as_bytes());
        head = next;
    }
    Ok(Append { cut: if is_torn { torn.len() } else { 0 }, text, head })
}

fn repaired(torn: &[u8], acts: &[Act]) -> Option<Act> {
    let told: String = String::from_utf8_lossy(torn).chars().take(TORN_TOLD).collect();
    let text = format!("a line that was cut off is removed, {} bytes: {told}", torn.len());
    Some(Act::of_selfheal(acts.first()?.at(), "audit_repaired").saying(text))
}
