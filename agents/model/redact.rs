//! Removes secrets and control characters from text that strangers wrote.
//!
//! Every log line, error message and command output passes [`clean`] before it is
//! stored, shown or sent. It prefers hiding too much: a hidden word costs a look at the
//! container's own log, a shown password costs the database.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

/// What stands where a secret stood.
pub const HIDDEN: &str = "***";

static SECRETS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // scheme://user:password@host; a password may hold `@` and `/` itself
        r#"(?i)(?P<keep>\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@]*:)[^\s"'<>]+(?P<tail>@)"#,
        // scheme://token@host
        r"(?i)(?P<keep>\b[a-z][a-z0-9+.-]{1,20}://)[^\s:/@]{16,}(?P<tail>@)",
        // headers whose value has several words
        r#"(?i)(?P<keep>\b(?:proxy-)?authorization["']?\s*[=:]\s*["']?)[^"'\r\n]+(?P<tail>)"#,
        r#"(?i)(?P<keep>\b(?:set-)?cookie["']?\s*[=:]\s*["']?)[^"'\r\n]+(?P<tail>)"#,
        // arguments and statements that name a secret without a sign between
        r"(?i)(?P<keep>(?:--(?:password|passwd|token|secret|api-key|requirepass|masterauth)|\brequirepass|\bmasterauth|\bidentified\s+by|\bwith\s+password)\s+)\S+(?P<tail>)",
        // Authorization: Bearer xyz / Basic xyz, with or without the header's name
        r"(?i)(?P<keep>\b(?:bearer|basic)\s+)[a-z0-9+/=_.~-]{8,}(?P<tail>)",
        // key=value and "key": "value", the key naming a secret
        r#"(?i)(?P<keep>\b[\w.-]*(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|apikey|access[_-]?key|private[_-]?key|authorization|cookie|credential)s?["']?\s*[=:]\s*)(?:"[^"]*"|'[^']*'|[^\s,;&"'}]+)(?P<tail>)"#,
        // JSON web tokens
        r"(?P<keep>)\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*(?P<tail>)",
        // keys with the well-known prefixes of code hosts, clouds and payment services
        r"(?P<keep>)\b(?:AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,}|xox[abprs]-[A-Za-z0-9-]{10,}|sk[-_](?:live|test|proj)?[-_]?[A-Za-z0-9]{16,})(?P<tail>)",
        // the body of a PEM private key on one line
        r"(?P<keep>-----BEGIN [A-Z ]*PRIVATE KEY-----)[^-]+(?P<tail>)",
    ]
    .iter()
    .map(|pattern| {
        // Names of secrets are ASCII. Tables for the letters of all scripts would take a megabyte.
        let built = RegexBuilder::new(pattern).unicode(false).build();
        built.expect("the pattern is constant and tested")
    })
    .collect()
});

/// Replaces what looks like a secret by [`HIDDEN`].
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut result = Cow::Borrowed(text.as_bytes());
    for pattern in SECRETS.iter() {
        if let Cow::Owned(owned) = pattern.replace_all(&result, &b"${keep}***${tail}"[..]) {
            result = Cow::Owned(owned);
        }
    }
    match result {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        // What is cut out begins and ends beside ASCII, never within a character.
        Cow::Owned(owned) => Cow::Owned(
            String::from_utf8(owned)
                .unwrap_or_else(|broken| String::from_utf8_lossy(broken.as_bytes()).into_owned()),
        ),
    }
}

/// Whether a character could steer a terminal, a page or the reading direction.
fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Redacted, without control and direction characters, at most `max_chars` long.
///
/// Tabs become a space; a cut is marked by `…`.
pub fn clean(text: &str, max_chars: usize) -> String {
    // Cut before the regexes run, generously: a secret across the cut is still hidden,
    // a hostile line of megabytes costs nothing.
    // Steering characters go first, too: one within a word would hide it from the regexes.
    let bounded: String = text
        .chars()
        .take(max_chars.saturating_mul(2).max(256))
        .map(|c| if c == '\t' || c == '\n' { ' ' } else { c })
        .filter(|c| !is_steering(*c))
        .collect();
    let mut cleaned: String = redact(&bounded).chars().take(max_chars + 1).collect();
    if cleaned.chars().count() > max_chars {
        cleaned = cleaned.chars().take(max_chars.saturating_sub(1)).collect();
        cleaned.push('…');
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secrets_of_every_known_shape_are_hidden() {
        let canary = "c4n4ryV4lue0000";
        for line in [
            format!("connecting to postgres://app:{canary}@db:5432/orders"),
            format!("Authorization: Bearer {canary}{canary}"),
            format!("DB_PASSWORD={canary} user=app"),
            format!(r#"{{"api_key": "{canary}", "id": 3}}"#),
            format!("password: '{canary} with blanks'"),
            format!("?access_token={canary}&x=1"),
            format!("redis://:p@ss/{canary}@cache:6379/0"),
            format!("cloning https://{canary}{canary}@git.example/repo"),
            format!("Authorization: Token {canary}"),
            format!("Cookie: theme=dark; session={canary}"),
            format!("redis-server --requirepass {canary}"),
            format!("ALTER ROLE app WITH PASSWORD '{canary}'"),
        ] {
            let shown = redact(&line);
            assert!(!shown.contains(canary), "{shown}");
            assert!(shown.contains(HIDDEN), "{shown}");
        }
    }

    #[test]
    fn ordinary_lines_stay_as_they_are() {
        for line in [
            "FATAL:  password authentication failed for user \"app\"",
            "GET /tokens 200 in 3 ms",
            "could not connect to http://db:5432/path",
        ] {
            assert_eq!(redact(line), line);
        }
    }

    #[test]
    fn an_invisible_character_does_not_save_a_secret_from_being_hidden() {
        let shown = clean("pass\u{202e}word=hunter2222", 100);
        assert!(!shown.contains("hunter2222"), "{shown}");
    }

    #[test]
    fn terminal_escapes_and_direction_marks_are_removed() {
        assert_eq!(clean("a\u{1b}[31mb\u{202e}c\r\nd", 100), "a[31mbc d");
    }

    proptest! {
        #[test]
        fn a_cleaned_text_is_bounded_and_harmless(text in ".{0,400}", max in 1usize..80) {
            let cleaned = clean(&text, max);
            prop_assert!(cleaned.chars().count() <= max);
            prop_assert!(!cleaned.chars().any(is_steering));
        }
    }
}
