//! Reads from what a clone wrote whether it fails because it is alone.

/// What programs say, in small letters, when they reach nobody or may not write.
const ALONE: [&str; 34] = [
    "name or service not known",
    "name resolution",
    "could not resolve",
    "cannot resolve",
    "does not resolve",
    "no such host",
    "unknown host",
    "unknownhost",
    "host not found",
    "getaddrinfo",
    "enotfound",
    "eai_again",
    "nodename nor servname",
    "network is unreachable",
    "enetunreach",
    "no route to host",
    "ehostunreach",
    "connection refused",
    "econnrefused",
    "could not connect",
    "couldn't connect",
    "cannot connect",
    "can't connect",
    "not connect to",
    "failed to connect",
    "unable to connect",
    "error connecting",
    "connection timed out",
    "connect timeout",
    "etimedout",
    "connection to server",
    "read-only file system",
    "read only file system",
    "erofs",
];

/// The shortest line by which two programs are known to say the same, in characters.
const TELLING: usize = 8;

/// The first line that being alone explains: it says so, or names something that is needed.
pub(super) fn explained<'a>(
    lines: impl Iterator<Item = &'a String>,
    needs: &[String],
) -> Option<&'a str> {
    let mut lines = lines.map(String::as_str);
    lines.find(|line| {
        let small = line.to_lowercase();
        ALONE.iter().any(|words| small.contains(words)) || names_one(line, needs)
    })
}

/// Names are compared whole, never as parts of other words.
fn names_one(line: &str, needs: &[String]) -> bool {
    let in_name = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    line.split(|c| !in_name(c)).any(|word| needs.iter().any(|need| need == word))
}

/// What lines have in them that tell of a fault, in small letters.
const FAULTS: [&str; 11] = [
    "error",
    "exception",
    "fatal",
    "panic",
    "traceback",
    "emerg",
    "critical",
    "abort",
    "fail",
    "cannot",
    "unable",
];
/// How many of the last lines count: what comes before them is of the start, and the same in all.
const LAST: usize = 3;

/// Whether both are silent, or end with the same line but for its numbers, or have most of their last
/// lines in common: of those that tell of a fault, or of all where none does.
pub(super) fn said_the_same(one: &[String], other: &[String]) -> bool {
    let telling = |lines: &[String]| -> Vec<String> {
        let masked = lines.iter().map(|line| masked(line));
        let mut lines: Vec<String> =
            masked.filter(|line| line.chars().count() >= TELLING).collect();
        let of_fault = |line: &String| FAULTS.iter().any(|word| line.contains(word));
        if lines.iter().any(of_fault) {
            lines.retain(of_fault);
        }
        lines.split_off(lines.len().saturating_sub(LAST))
    };
    let (one, other) = (telling(one), telling(other));
    let common = one.iter().filter(|line| other.contains(line)).count();
    one.last() == other.last() || 2 * common > one.len().max(other.len())
}

/// A line in small letters without its numbers, addresses of memory among them.
fn masked(line: &str) -> String {
    let is_address = |word: &str| {
        let digits = word.strip_prefix("0x").unwrap_or(word);
        word.contains(|c: char| c.is_ascii_digit()) && digits.chars().all(|c| c.is_ascii_hexdigit())
    };
    let mask = |word: &str| -> String {
        let (name, end) = match word.char_indices().next_back() {
            Some((at, last)) if !last.is_alphanumeric() => word.split_at(at),
            _ => (word, ""),
        };
        if is_address(name) {
            return end.to_owned();
        }
        word.chars().filter(|c| !c.is_ascii_digit()).collect()
    };
    let small = line.to_lowercase();
    let words = small.split_inclusive(|c: char| !c.is_alphanumeric());
    words.map(mask).collect::<String>().trim().to_owned()
}
