//! Lines of `key = value`, with or without `[sections]`.

use super::plain::without_unit;
use super::search::{Fault, Kind, Search, offset};

/// INI: `key = value` or `key: value`.
pub(super) fn walk(text: &str, search: &mut Search<'_>) -> Result<(), Fault> {
    lines(text, search, &[';', '#'], false)
}

/// `.conf` and `.properties`: a blank may part key and value too (`max_connections 100`).
pub(super) fn walk_conf(text: &str, search: &mut Search<'_>) -> Result<(), Fault> {
    lines(text, search, &[';', '#', '!'], true)
}

fn lines(
    text: &str,
    search: &mut Search<'_>,
    comments: &[char],
    is_conf: bool,
) -> Result<(), Fault> {
    let mut section = search.top();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = at + line.len() - line.trim_start().len();
        at += line.len();
        let line = line.trim();
        if line.is_empty() || line.starts_with(comments) {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            let (name, _) = header
                .split_once(']')
                .ok_or(Fault { at: start, why: "a section's closing bracket is missing" })?;
            section = search.top().below(name.trim());
            continue;
        }
        let Some((key, value)) = split(line, is_conf) else { continue };
        let trail = search.enter(section, key, start);
        if trail.is_end() {
            let begin = start + offset(line, value);
            let word = bare_value(value);
            let word = if is_conf { without_unit(word) } else { word };
            let inner = offset(value, word);
            search.see(trail, begin + inner..begin + inner + word.len(), Kind::Scalar);
        }
    }
    Ok(())
}

fn split(line: &str, is_conf: bool) -> Option<(&str, &str)> {
    line.split_once('=')
        .or_else(|| line.split_once(':'))
        .or_else(|| if is_conf { line.split_once(char::is_whitespace) } else { None })
        .map(|(key, value)| (key.trim(), value))
}

/// The value without blanks, quotes around it and a comment behind it.
pub(super) fn bare_value(value: &str) -> &str {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some((inner, behind)) =
            value.strip_prefix(quote).and_then(|rest| rest.split_once(quote))
        {
            let behind = behind.trim_start();
            return if behind.is_empty() || behind.starts_with(['#', ';']) { inner } else { value };
        }
    }
    let comment = value
        .char_indices()
        .find(|(at, c)| "#;".contains(*c) && value[..*at].ends_with(char::is_whitespace));
    value[..comment.map_or(value.len(), |(at, _)| at)].trim_end()
}
