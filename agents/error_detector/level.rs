//! Tells an error line from the others, without a runbook.
//!
//! The level that the program itself wrote decides; where there is none, only the head of a
//! stack trace or a panic counts. A word such as `failed` in the text proves nothing: too
//! many programs report failures that are none. It is a count to compare with itself over
//! time, not a finding.

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

use crate::model::LogBatch;

/// Where a level stands: within the first bytes of a line.
const HEADER_BYTES: usize = 200;

/// `level=error`, `"severity": "ERROR"`, `"level":50`.
static KEYED: LazyLock<Regex> = LazyLock::new(|| {
    compile(r#"(?i)\b(?:log\.)?(?:level|levelname|severity|lvl)"?\s*[=:]\s*"?([a-z]+|\d{2})"#)
});
/// A level standing by itself: `ERROR`, `[error]`, `FATAL:`, `ERROR:root:`.
static WORD: LazyLock<Regex> = LazyLock::new(|| {
    compile(concat!(
        r"(?:^|[\s\[(|<:])(?:(TRACE|DEBUG|INFO|NOTICE|LOG|WARN|WARNING|ERR|ERROR|FATAL|CRIT|CRITICAL",
        r"|PANIC|SEVERE|EMERG|EMERGENCY|ALERT)(?:$|[\s\]):|>,])",
        r"|\[(trace|debug|info|notice|warn|warning|error|crit|alert|emerg|fatal)\])"
    ))
});
/// `E1121 04:29:08.334 12 main.go:7]`, as klog writes.
static KLOG: LazyLock<Regex> = LazyLock::new(|| compile(r"^([IWEF])\d{4} \d\d:\d\d"));
/// Without a level: the head of a trace, or a program that says so first of all.
static HEAD: LazyLock<Regex> = LazyLock::new(|| {
    compile(concat!(
        r"Traceback \(most recent call last\):|^Exception in thread |^panic: |^fatal error: ",
        r"|^(?i:error|fatal|critical)\b ?:|^\*\*\* FATAL |^thread '.*' panicked at ",
        r"|^(?:[A-Za-z_$][\w$]*\.)*[A-Z]\w*(?:Error|Exception)(?: \[\w+\])?: "
    ))
});

fn compile(pattern: &str) -> Regex {
    // Levels are ASCII. Tables for the letters of all scripts would take a megabyte.
    let built = RegexBuilder::new(pattern).unicode(false).build();
    built.expect("the pattern is constant and tested")
}

/// How many lines of a batch are errors or worse.
pub fn error_lines(batch: &LogBatch) -> u64 {
    batch.lines.iter().map(|line| u64::from(is_error_line(&line.text))).sum()
}

/// Whether a line says of itself that it is an error or worse; what a stranger wrote into it
/// (see [`super::shown`]) says nothing.
pub fn is_error_line(text: &str) -> bool {
    let header = header(text);
    let shown = || String::from_utf8_lossy(&super::shown(header.as_bytes())).into_owned();
    says_error(header) && says_error(&shown())
}

fn says_error(header: &str) -> bool {
    match level(header) {
        Some(level) => is_error(level),
        None => HEAD.is_match(header.as_bytes()),
    }
}

fn header(text: &str) -> &str {
    let end = text.char_indices().map(|(at, _)| at).find(|at| *at >= HEADER_BYTES);
    &text[..end.unwrap_or(text.len())]
}

/// The level a line carries; the first one, since later words belong to the message.
fn level(header: &str) -> Option<&str> {
    let line = header.as_bytes();
    let found = match KLOG.captures(line).or_else(|| KEYED.captures(line)) {
        Some(found) => found.get(1)?,
        None => WORD.captures(line).and_then(|found| found.get(1).or_else(|| found.get(2)))?,
    };
    header.get(found.range())
}

fn is_error(level: &str) -> bool {
    const ERRORS: [&str; 12] = [
        "E",
        "F",
        "err",
        "error",
        "fatal",
        "crit",
        "critical",
        "panic",
        "severe",
        "emerg",
        "emergency",
        "alert",
    ];
    // Pino and bunyan count in tens: 50 is error, 60 fatal.
    level.parse::<u32>().map_or_else(
        |_| ERRORS.iter().any(|word| word.eq_ignore_ascii_case(level)),
        |number| number >= 50,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_found_in_every_usual_header() {
        for line in [
            "2026-11-21 04:29:08.334 UTC [24230] FATAL:  password authentication failed",
            "2026/11/21 04:31:02 [error] 27466#27466: *5 upstream timed out",
            r#"{"time":"2026-11-21T04:29:08Z","level":"error","msg":"boom"}"#,
            r#"{"level":50,"time":1795235459,"msg":"boom"}"#,
            r#"{"severity": "CRITICAL", "message": "boom"}"#,
            "time=2026-11-21T04:29:08Z level=fatal msg=boom",
            "ERROR:root:boom",
            "[2026-11-21T04:29:08Z ERROR shop] boom",
            "2026-11-21 04:29:08.334 ERROR 1 --- [main] o.e.Main : boom",
            "E1121 04:29:08.334 12 main.go:7] boom",
            "2026-11-21T04:29:08.334Z 0 [ERROR] [MY-010119] [Server] Aborting",
            "Traceback (most recent call last):",
            "panic: runtime error: index out of range",
            "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
            "error: missing option --listen",
        ] {
            assert!(is_error_line(line), "{line}");
        }
    }

    #[test]
    fn what_a_program_calls_harmless_is_harmless_whatever_words_follow() {
        for line in [
            "2026-11-21 04:29:09.917 UTC [24244] LOG:  process 24244 detected deadlock, ERROR",
            "2026-11-21 INFO finished with 0 errors: FATAL none",
            r#"{"level":"info","msg":"ERROR page rendered"}"#,
            r#"{"level":30,"msg":"error count 0"}"#,
            "127.0.0.1 - - [21/Nov/2026:04:31:02 +0000] \"GET /error HTTP/1.1\" 200 3",
            "I1121 04:29:08.334 12 main.go:7] retry after Error: x",
            "    at Object.Error (node:internal)",
            "1.1.1.1 - - [21/Nov/2026:04:31:02 +0000] \"GET / HTTP/1.1\" 200 3 \"-\" \"x ERROR y\"",
            "1.1.1.1 - FATAL [21/Nov/2026:04:31:02 +0000] \"GET /FATAL: HTTP/1.1\" 401 3",
            "WARNING: the last backup is old",
            "",
        ] {
            assert!(!is_error_line(line), "{line}");
        }
    }

    #[test]
    fn a_line_without_end_costs_no_more_than_its_header() {
        let late = format!("{}ERROR", "ä".repeat(1_000_000));
        assert!(!is_error_line(&late));
    }
}
