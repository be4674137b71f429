//! Whether the words of a message say that something failed, when no level says it.
//!
//! Words of failure speak for it; words that say it ended well, or that only count, speak
//! against it. English alone, and a guess: a program's own level is to be believed first.

/// Words that begin so tell of a failure by themselves.
const FAILURES: [&str; 29] = [
    "abort",
    "assert",
    "cannot",
    "corrupt",
    "couldn",
    "crash",
    "denied",
    "died",
    "error",
    "exception",
    "fail",
    "fatal",
    "forbidden",
    "illegal",
    "killed",
    "panic",
    "refused",
    "severe",
    "terminated",
    "unable",
    "unexpected",
    "unreachable",
    "unsuccessful",
    "violation",
    "unavailable",
    "unimplemented",
    "overflow",
    "deadlock",
    "exhausted",
];

/// Neighbours that tell of a failure together.
const PAIRS: [(&str, &str); 14] = [
    ("can", "not"),
    ("can", "t"),
    ("could", "not"),
    ("did", "not"),
    ("does", "not"),
    ("no", "such"),
    ("timed", "out"),
    ("out", "of"),
    ("is", "null"),
    ("machine", "check"),
    ("too", "big"),
    ("too", "many"),
    ("too", "large"),
    ("read", "only"),
];

/// Words that begin so say that it ended well, or goes on.
const BENIGN: [&str; 9] = [
    "correct", "recover", "succe", "retry", "retries", "resolved", "restored", "ignor", "suppress",
];

/// Whether a template, or a message, tells of a failure.
pub fn tells_of_failure(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !(c.is_alphanumeric() || c == '*' || c == '_'))
        .filter(|word| !word.is_empty())
        .collect();
    if words.iter().any(|word| BENIGN.iter().any(|benign| word.starts_with(benign))) {
        return false;
    }
    let failing = (0..words.len()).any(|at| is_failure(&words, at));
    failing || words.windows(2).any(|pair| PAIRS.contains(&(pair[0], pair[1])))
}

fn is_failure(words: &[&str], at: usize) -> bool {
    let word = words[at];
    // `FAIL_CLEANUP` is the name of a state.
    if word.contains('_') || !FAILURES.iter().any(|failure| word.starts_with(failure)) {
        return false;
    }
    let before = |back: usize| at.checked_sub(back).map(|at| words[at]);
    let denied = matches!(before(1), Some("no" | "0" | "without" | "zero" | "any" | "if" | "on"));
    // `141 alignment exceptions` counts; it is no event.
    let counted = word.ends_with('s')
        && (1..=4).any(|back| {
            before(back).is_some_and(|word| word == "*" || word.bytes().all(|b| b.is_ascii_digit()))
        });
    let none = matches!(words.get(at + 1), Some(&("null" | "none" | "0" | "false")));
    !(denied || counted || none)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_by_its_words() {
        for text in [
            "could not connect to <*>",
            "Can't open the till: permission denied",
            "order <*> failed",
            "java.lang.IllegalStateException: no till",
            "request to <*> timed out",
            "panic: no till",
            "cannot open shop.db: no such file",
            "killed by signal <*>",
        ] {
            assert!(tells_of_failure(text), "{text}");
        }
    }

    #[test]
    fn what_went_well_or_is_only_counted_is_no_failure() {
        for text in [
            "backup finished with 0 errors",
            "no error so far",
            "connection error, retrying in <*>",
            "<*> memory errors corrected",
            "<*> login failures since <*>",
            "recovered from a failure",
            "state changed to FAIL_CLEANUP",
            "error=null",
            "till opened",
        ] {
            assert!(!tells_of_failure(text), "{text}");
        }
    }
}
