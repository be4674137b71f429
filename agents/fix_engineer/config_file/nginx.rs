//! nginx: directives that end with `;`, in blocks with braces.
//!
//! A block is named by its first word (`http.server.keepalive_timeout`); where two blocks on the way
//! have one name, the key is refused as doubled.

use super::plain::without_unit;
use super::search::{Fault, Kind, Search, Trail, offset};

/// Whether a `.conf` is written like this: its first line of content ends a directive or begins a
/// block.
pub(super) fn is_like(text: &str) -> bool {
    let content = text.lines().map(|line| line.split('#').next().unwrap_or("").trim_end());
    content
        .into_iter()
        .find(|line| !line.trim().is_empty())
        .is_some_and(|line| line.ends_with([';', '{']))
}

/// Walks the blocks.
pub(super) fn walk(text: &str, search: &mut Search<'_>) -> Result<(), Fault> {
    let mut blocks = vec![search.top()];
    let mut words: Vec<&str> = vec![];
    let mut rest = text;
    while let Some(token) = next(text, &mut rest)? {
        let at = offset(text, token);
        match token {
            ";" => {
                directive(text, &words, blocks.last().copied(), search);
                words.clear();
            }
            "{" => {
                let name = words.first().ok_or(Fault { at, why: "a block has no name" })?;
                if name.ends_with("_by_lua_block") {
                    return Err(Fault { at, why: "a block of Lua is not understood" });
                }
                let above = blocks.last().copied().unwrap_or(search.top());
                let inside = search.enter(above, name, offset(text, name));
                search.see(inside, at..at, Kind::Group);
                blocks.push(inside);
                words.clear();
            }
            "}" if blocks.len() > 1 && words.is_empty() => drop(blocks.pop()),
            "}" => return Err(Fault { at, why: "a block ends here that did not begin" }),
            word => words.push(word),
        }
    }
    if blocks.len() > 1 || !words.is_empty() {
        return Err(Fault { at: text.len(), why: "its last block or directive does not end" });
    }
    Ok(())
}

/// `name value;`: one plain word is a value that may be turned.
fn directive<'k>(text: &str, words: &[&str], above: Option<Trail<'k>>, search: &mut Search<'k>) {
    let (Some(name), Some(above)) = (words.first(), above) else { return };
    let trail = search.enter(above, name, offset(text, name));
    let (value, kind) = match words {
        [_, value] => (without_unit(value), Kind::Scalar),
        _ => (*name, Kind::Other),
    };
    let begin = offset(text, value);
    search.see(trail, begin..begin + value.len(), kind);
}

/// The next word, with its quotes, or one of `;`, `{` and `}`; comments are passed over.
fn next<'t>(text: &'t str, rest: &mut &'t str) -> Result<Option<&'t str>, Fault> {
    loop {
        *rest = rest.trim_start();
        if !rest.starts_with('#') {
            break;
        }
        *rest = rest.split_once('\n').map_or("", |(_, below)| below);
    }
    let Some(first) = rest.chars().next() else { return Ok(None) };
    let length = match first {
        ';' | '{' | '}' => 1,
        quote @ ('"' | '\'') => quoted(rest, quote)
            .ok_or(Fault { at: offset(text, rest), why: "a quotation mark is missing" })?,
        _ => bare(rest),
    };
    let (token, behind) = rest.split_at(length);
    *rest = behind;
    Ok(Some(token))
}

/// Bytes of a quoted word, both marks included.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    text.char_indices().skip(1).find_map(|(at, c)| {
        let ends = c == quote && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends.then_some(at + 1)
    })
}

/// Bytes of a bare word; the braces of `${name}` belong to it.
fn bare(text: &str) -> usize {
    let mut in_variable = false;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '{' if before == '$' => in_variable = true,
            '}' if in_variable => in_variable = false,
            ';' | '{' | '}' => return at,
            c if c.is_whitespace() => return at,
            _ => {}
        }
        before = c;
    }
    text.len()
}
