//! Python: constants of the module, literals in them, and the one call whose first argument is meant.
//!
//! `DELAY_S = 0.5` at the left margin is addressed by its name, `await asyncio.sleep(0.5)`
//! by `asyncio.sleep` where there is exactly one such call, and what stands in a literal
//! dictionary or list of the module by its name and keys. It reads no other Python.

mod literal;

use super::search::{Fault, Kind, Search, offset};

pub(super) fn walk(text: &str, search: &mut Search<'_>) -> Result<(), Fault> {
    let code = code_only(text)?;
    let mut at = 0;
    for line in code.split_inclusive('\n') {
        for statement in line.split_inclusive(';') {
            // Only a first statement stands at the margin; later ones follow it there.
            if !line.starts_with([' ', '\t']) {
                constant(text, statement, at, search)?;
            }
            at += statement.len();
        }
    }
    calls(&code, search);
    Ok(())
}

/// `NAME = value` or `NAME: type = value`.
fn constant(text: &str, statement: &str, at: usize, search: &mut Search<'_>) -> Result<(), Fault> {
    let Some((left, right)) = statement.split_once('=') else { return Ok(()) };
    let indent = left.len() - left.trim_start().len();
    let name_length = left.trim_start().find(|c| !is_name(c)).unwrap_or(left.trim_start().len());
    let name = &left[indent..indent + name_length];
    let behind = left[indent + name_length..].trim();
    let is_changed_otherwise = behind.len() < 3 && behind.ends_with(['+', '-', '*', '/', '|', '&']);
    let is_assigned = behind.is_empty() || behind.starts_with(':');
    if name.is_empty() || !(is_assigned || is_changed_otherwise) || right.starts_with('=') {
        return Ok(());
    }
    let top = search.top();
    let trail = search.enter(top, name, at);
    let value = right.trim_end_matches([';', '\n']).trim();
    let begin = at + offset(statement, value);
    let kind = if is_assigned { Kind::Scalar } else { Kind::Other };
    if trail.is_on_the_way() && value.starts_with(['{', '[', '(']) {
        let end = literal::walk(text, begin, trail, search)?;
        // `{…} | other` and the like: what counts cannot be seen here.
        if end != begin + value.len() {
            return Err(Fault { at: end, why: "a value that is not only a literal" });
        }
        return Ok(());
    }
    search.see(trail, begin..begin + value.len(), kind);
    Ok(())
}

/// Calls of the key itself: `asyncio.sleep(0.5)`.
fn calls(code: &str, search: &mut Search<'_>) {
    let key = search.key();
    // A name without a dot is a constant; calls are addressed with their module.
    if !key.contains('.') || !key.chars().all(|c| is_name(c) || c == '.') {
        return;
    }
    for (at, _) in code.match_indices(key) {
        let is_inside_a_name =
            code[..at].chars().next_back().is_some_and(|c| is_name(c) || c == '.');
        let behind = &code[at + key.len()..];
        let Some(arguments) = behind.trim_start_matches([' ', '\t']).strip_prefix('(') else {
            continue;
        };
        if is_inside_a_name {
            continue;
        }
        let first = arguments.split([',', ')']).next().unwrap_or("").trim();
        let begin = offset(code, first);
        let top = search.top();
        let trail = search.enter(top, key, at);
        search.see(trail, begin..begin + first.len(), Kind::Scalar);
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The text with the same length, in which strings and line breaks inside brackets are
/// `~` and comments are blanks: so each line left is a logical line of code.
fn code_only(text: &str) -> Result<String, Fault> {
    let mut code = String::with_capacity(text.len());
    let mut depth = 0_usize;
    while code.len() < text.len() {
        let at = code.len();
        let rest = &text[at..];
        let c = rest.chars().next().expect("the rest is not empty");
        match c {
            '\'' | '"' => code.extend(std::iter::repeat_n('~', string_length(rest, c, at)?)),
            '#' => {
                let length = rest.find(['\r', '\n']).unwrap_or(rest.len());
                code.extend(std::iter::repeat_n(' ', length));
            }
            '\\' if rest.starts_with("\\\n") => code.push_str("~~"),
            '\\' if rest.starts_with("\\\r\n") => code.push_str("~~~"),
            '\n' if depth > 0 => code.push('~'),
            // A blank of another kind would be trimmed as one; here it is part of a word.
            _ if !c.is_ascii() => {
                let filler =
                    if c.is_alphanumeric() { c.to_string() } else { "~".repeat(c.len_utf8()) };
                code.push_str(&filler);
            }
            _ => {
                depth = match c {
                    '(' | '[' | '{' => depth + 1,
                    ')' | ']' | '}' => depth.saturating_sub(1),
                    _ => depth,
                };
                code.push(c);
            }
        }
    }
    Ok(code)
}

/// Bytes of the string literal at the start of `rest`, quotes included.
fn string_length(rest: &str, quote: char, at: usize) -> Result<usize, Fault> {
    let triple: String = std::iter::repeat_n(quote, 3).collect();
    let is_triple = rest.starts_with(&triple);
    let opening = if is_triple { 3 } else { 1 };
    let mut chars = rest[opening..].char_indices();
    while let Some((offset, c)) = chars.next() {
        let here = opening + offset;
        match c {
            '\\' => {
                chars.next();
            }
            '\n' if !is_triple => break,
            _ if c == quote && !is_triple => return Ok(here + 1),
            _ if c == quote && rest[here..].starts_with(&triple) => return Ok(here + 3),
            _ => {}
        }
    }
    Err(Fault { at, why: "a string does not end" })
}
