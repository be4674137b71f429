//! Reads a message once and turns it into tokens: what stays in its template, and what
//! varies from line to line.
//!
//! What looks like a number, an address, a path or an identifier is a value at once; a plain
//! word stays a word until [`super::cluster`] has seen enough others in its place. Values
//! that stand side by side are one, so lists of different length have one template. Nothing
//! here knows any program: the rules are about how people write values.

mod chunk;
mod words;

use super::bytes::{Class, class, is_word};
use chunk::{Chunk, run_end};
use words::{is_date_word, is_unit};

pub(super) use words::{is_month, is_weekday};

/// Bytes of a message that are looked at.
pub(super) const MAX_BYTES: usize = 2_048;
/// Tokens of a message that are looked at.
pub(super) const MAX_TOKENS: usize = 160;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A sign such as `(` or `=`.
    Mark,
    /// An ordinary word.
    Word,
    /// A word that looks like the name of a thing: `a.b.C`, `some_name`, `CamelCase`.
    Name,
    /// A word with a number at its end: `blk_7`.
    Numbered,
    /// What varies.
    Value,
}

/// A piece of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    /// Of the text and the kind.
    pub hash: u64,
    /// Where the text that stays begins in the message.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
    /// What it is.
    pub kind: Kind,
    /// Whether white space stands before it.
    pub gap: bool,
    /// Whether it is a mark that may stand between the values of a list.
    pub separates: bool,
}

/// What stands for a value in a template.
const PLACE: &[u8] = b"<*>";

/// The hash of a value.
pub(super) const VALUE: u64 = 0x9e37_79b9_7f4a_7c15;

const MULTIPLIER: u64 = 0x517c_c1b7_2722_0a95;

/// A fast hash of a few bytes; not for keys that an enemy may choose without bound.
#[inline]
pub(super) fn hash(bytes: &[u8], seed: u64) -> u64 {
    let mut state = seed ^ (bytes.len() as u64);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state = (state.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(MULTIPLIER);
    }
    let mut last = 0_u64;
    for byte in rest {
        last = (last << 8) | u64::from(*byte);
    }
    state = (state.rotate_left(5) ^ last).wrapping_mul(MULTIPLIER);
    state ^ (state >> 32)
}

/// Turns messages into tokens; keeps its memory between two messages.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// The tokens of the last message.
    pub tokens: Vec<Token>,
}

impl Scanner {
    /// Reads `text` from `from`.
    pub(super) fn scan(&mut self, text: &[u8], from: usize) {
        self.tokens.clear();
        let end = cut(text, from);
        let text = &text[..end];
        let mut at = from;
        let mut gap = false;
        while at < end && self.tokens.len() < MAX_TOKENS {
            let byte = text[at];
            match class(byte) {
                Class::Space => {
                    gap = true;
                    at += 1;
                    continue;
                }
                Class::Letter | Class::Digit => at = self.chunk(text, at, gap),
                Class::Joint => at = self.joint(text, at, gap),
                Class::Mark => at = self.mark(text, at, gap),
            }
            gap = false;
        }
    }

    fn push(&mut self, text: &[u8], start: usize, end: usize, kind: Kind, gap: bool) {
        let hash = hash(&text[start..end], kind as u64);
        #[expect(clippy::cast_possible_truncation, reason = "a message is cut long before")]
        self.tokens.push(Token {
            hash,
            start: start as u32,
            end: end as u32,
            kind,
            gap,
            separates: false,
        });
    }

    /// A value, one with the value before it if nothing but separators stands between.
    fn value(&mut self, at: usize, gap: bool) {
        let mut last = self.tokens.len();
        while last > 0 && self.tokens.len() - last <= 2 {
            let token = &self.tokens[last - 1];
            match token.kind {
                Kind::Value => {
                    self.tokens.truncate(last);
                    return;
                }
                Kind::Mark if token.separates => last -= 1,
                _ => break,
            }
        }
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        let (hash, kind) = (VALUE, Kind::Value);
        self.tokens.push(Token { hash, start: at, end: at, kind, gap, separates: false });
    }

    fn mark(&mut self, text: &[u8], at: usize, gap: bool) -> usize {
        let byte = text[at];
        if byte == b'"'
            && let Some(end) = quoted_value(text, at)
        {
            self.value(at, gap);
            return end;
        }
        if byte == b')' && self.closes_gloss(text) {
            self.tokens.truncate(self.tokens.len() - 2);
            return at + 1;
        }
        if text[at..].starts_with(PLACE) {
            // A template is read again.
            self.value(at, gap);
            return at + PLACE.len();
        }
        let next = text.get(at + 1).copied().unwrap_or(b' ');
        if byte == b'<' && gap && next.is_ascii_digit() {
            let end = run_end(text, at + 1);
            if text.get(end) != Some(&b'>') {
                self.value(at, gap);
                return end;
            }
        }
        self.one_mark(text, at, gap);
        if byte == b'(' && gap && text.get(at + 1) == Some(&b')') {
            // Something optional that is missing here.
            self.value(at + 1, false);
        }
        at + 1
    }

    /// Whether `<*> word (<*>` was read: the same amount again, said another way.
    fn closes_gloss(&self, text: &[u8]) -> bool {
        let [.., amount, unit, open, again] = self.tokens.as_slice() else {
            return false;
        };
        amount.kind == Kind::Value
            && unit.kind == Kind::Word
            && again.kind == Kind::Value
            && open.kind == Kind::Mark
            && text[open.start as usize] == b'('
    }

    fn one_mark(&mut self, text: &[u8], at: usize, gap: bool) {
        self.push(text, at, at + 1, Kind::Mark, gap);
        if matches!(text[at], b',' | b';' | b':' | b'/' | b'|' | b'#' | b'-' | b'.' | b'+' | b'&')
            && let Some(token) = self.tokens.last_mut()
        {
            token.separates = true;
        }
    }

    /// Something that begins with a sign: a path, a signed number, or just the sign.
    fn joint(&mut self, text: &[u8], at: usize, gap: bool) -> usize {
        let next = text.get(at + 1).copied().unwrap_or(b' ');
        let after_word = at > 0 && is_word(text[at - 1]);
        match text[at] {
            b'/' | b'~' | b'\\' | b'.'
                if !after_word
                    && (is_word(next) && text[at] != b'.' || matches!(next, b'/' | b'.')) =>
            {
                let end = run_end(text, at);
                let end = if text.get(end) == Some(&b'?') { query_end(text, end) } else { end };
                let path = text[at] != b'.' || text[at..end].contains(&b'/');
                if path && text[at..end].iter().any(|byte| is_word(*byte)) {
                    self.value(at, gap);
                    return end;
                }
            }
            b'-' | b'+' | b'.' | b'#' | b'@' if !after_word && next.is_ascii_digit() => {
                let end = run_end(text, at);
                self.value(at, gap);
                return end;
            }
            b'#' | b'%' if !gap && !is_word(next) && self.after_value() => return at + 1,
            _ => {}
        }
        self.one_mark(text, at, gap);
        at + 1
    }

    /// Something that begins with a letter or a digit.
    fn chunk(&mut self, text: &[u8], start: usize, gap: bool) -> usize {
        let chunk = Chunk::read(text, start, self.tokens.is_empty());
        let end = chunk.end;
        if chunk.value {
            self.value(start, gap);
        } else if chunk.stem > 0 {
            self.push(text, start, start + chunk.stem, Kind::Numbered, gap);
            let n = self.tokens.len();
            if n >= 2 && self.tokens[n - 2].hash == self.tokens[n - 1].hash {
                self.tokens.pop();
            }
        } else if self.belongs_to_value(text, start, end) {
            self.value(start, gap);
        } else {
            let kind = if chunk.name { Kind::Name } else { Kind::Word };
            self.push(text, start, end, kind, gap);
        }
        end
    }

    fn after_value(&self) -> bool {
        self.tokens.last().is_some_and(|token| token.kind == Kind::Value)
    }

    /// A unit, a time zone or a half of the day after a number; a month or a day before one.
    fn belongs_to_value(&self, text: &[u8], start: usize, end: usize) -> bool {
        let word = &text[start..end];
        if word.len() > 4 {
            return false;
        }
        (self.after_value() && is_unit(word)) || (word.len() == 3 && is_date_word(text, start, end))
    }
}

/// The end of what is looked at: the end of the text, or of the last whole word before the limit.
fn cut(text: &[u8], from: usize) -> usize {
    let limit = from + MAX_BYTES;
    if text.len() <= limit {
        return text.len();
    }
    text[from..limit].iter().rposition(|byte| *byte <= b' ').map_or(limit, |at| from + at)
}

/// Where the quotes that begin at `at` end, if what stands in them is a value: that of a key,
/// an address, nothing at all, or what follows other quotes, as browsers do in access logs.
fn quoted_value(text: &[u8], at: usize) -> Option<usize> {
    let before = text[..at].last_chunk::<2>();
    let inner = &text[at + 1..];
    let length = inner.iter().position(|byte| *byte == b'"')?;
    let inner = &inner[..length];
    let spaced = at == 0 || text[at - 1] == b' ';
    let value = before.is_some_and(|before| before[1] == b'=' || before == b"\" ")
        || (spaced && (inner == b"-" || inner.starts_with(b"http")));
    value.then_some(at + length + 2)
}

/// Where the query of a path ends.
fn query_end(text: &[u8], from: usize) -> usize {
    let stop = |byte: &u8| *byte <= b' ' || matches!(byte, b'"' | b'\'');
    text[from..].iter().position(stop).map_or(text.len(), |length| from + length)
}
