//! `.env` files: `KEY=value`, `export KEY="value"`.

use super::ini::bare_value;
use super::search::{Fault, Kind, Search, offset};

pub(super) fn walk(text: &str, search: &mut Search<'_>) -> Result<(), Fault> {
    let mut at = 0;
    // The quote and the start of a value that goes over several lines.
    let mut open: Option<(char, usize)> = None;
    for raw in text.split_inclusive('\n') {
        let start = at;
        at += raw.len();
        if let Some((quote, _)) = open {
            if raw.contains(quote) {
                open = None;
            }
            continue;
        }
        let line = raw.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else { continue };
        let name = name.trim();
        let name = name.strip_prefix("export ").map_or(name, str::trim_start);
        open = opens(value).map(|quote| (quote, start));
        let top = search.top();
        let trail = search.enter(top, name, start);
        if trail.is_end() {
            let word = bare_value(value);
            let begin = start + offset(raw, word);
            let kind = if open.is_some() { Kind::Other } else { Kind::Scalar };
            search.see(trail, begin..begin + word.len(), kind);
        }
    }
    match open {
        Some((_, at)) => Err(Fault { at, why: "a quoted value does not end" }),
        None => Ok(()),
    }
}

/// The quote with which a value begins and does not end on its line.
fn opens(value: &str) -> Option<char> {
    let value = value.trim_start();
    let quote = value.chars().next().filter(|c| "\"'".contains(*c))?;
    (!value[1..].contains(quote)).then_some(quote)
}
