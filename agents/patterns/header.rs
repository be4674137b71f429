//! Finds where the logger's header ends and the message begins, and the level on the way.
//!
//! A header is read column by column: moments, levels, process numbers, threads in brackets,
//! hosts, and the name of the logger with its colon, which ends it. A column of unknown
//! meaning belongs to the header only if a moment or a level follows it. Nothing here knows
//! any program's format, and what is not understood stays in the message.

mod start;
mod time;

use super::level::Level;

/// Bytes in which a header is looked for.
const MAX_HEADER: usize = 256;
/// Columns of a header.
const MAX_COLUMNS: usize = 14;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Header {
    /// Where the message begins.
    pub end: usize,
    /// The level, if one is written there.
    pub level: Option<Level>,
}

/// Reads the header of a line.
pub(super) fn read(line: &[u8]) -> Header {
    let mut reader = Reader {
        text: &line[..line.len().min(MAX_HEADER)],
        at: 0,
        end: 0,
        unknown: 0,
        columns: 0,
        timed: false,
        level: None,
        priority: None,
        tabular: false,
        named: false,
        piped: false,
    };
    while reader.columns < MAX_COLUMNS && reader.column() {
        reader.columns += 1;
    }
    Header { end: reader.end, level: reader.level.or(reader.priority) }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    /// Where what surely is header ends.
    end: usize,
    /// Columns of unknown meaning since then.
    unknown: usize,
    columns: usize,
    timed: bool,
    level: Option<Level>,
    /// The level of a syslog priority, which says nothing of where the message begins.
    priority: Option<Level>,
    /// The line begins with a number: columns, not prose.
    tabular: bool,
    named: bool,
    /// Columns stand between bars.
    piped: bool,
}

impl Reader<'_> {
    /// Reads one column; false where the message begins.
    fn column(&mut self) -> bool {
        self.skip();
        let Some(&first) = self.text.get(self.at) else {
            return false;
        };
        if self.columns == 0 {
            self.tabular = first.is_ascii_digit() || first == b'-';
            if let Some(done) = self.compact_start(first) {
                return done;
            }
        }
        if let Some(end) = self.moment() {
            if self.level.is_none() || !self.timed {
                self.timed = true;
                return self.sure(end);
            }
            return false;
        }
        match first {
            b'[' | b'(' | b'<' => self.bracket(),
            _ => self.word(),
        }
    }

    /// Where a moment that begins here ends. After one, a mere number is no other.
    fn moment(&self) -> Option<usize> {
        let end = time::moment(self.text, self.at)?;
        let number = self.text[self.at..end].iter().all(u8::is_ascii_digit);
        (!self.timed || !number).then_some(end)
    }

    /// Takes everything up to `end` as header.
    fn sure(&mut self, end: usize) -> bool {
        self.at = end;
        self.unknown = 0;
        self.settle();
        true
    }

    /// The message begins after the separators that follow.
    fn settle(&mut self) {
        let mut at = self.at;
        while let Some(byte) = self.text.get(at) {
            let next = self.text.get(at + 1).copied().unwrap_or(b' ');
            let spaced = next == b' ';
            let dashes = next == b'-' || (at > 0 && self.text[at - 1] == b'-');
            let closed = at > 0 && matches!(self.text[at - 1], b']' | b')');
            match byte {
                b' ' | b'\t' | b']' | b',' | b'|' => {}
                // What follows ` - ` after the level is the message, whatever it looks like.
                b'-' if dashes && self.level.is_some() => {}
                b'-' if spaced => self.named |= self.level.is_some(),
                b':' if spaced || closed => {}
                _ => break,
            }
            at += 1;
        }
        self.at = at;
        self.end = at;
    }

    fn skip(&mut self) {
        while let Some(byte) = self.text.get(self.at) {
            let next = self.text.get(self.at + 1).copied().unwrap_or(b' ');
            match byte {
                b' ' | b'\t' | b'|' | b']' => self.at += 1,
                b'-' if next == b' ' || next == b'-' => self.at += 1,
                b'[' if !self.timed && time::moment(self.text, self.at + 1).is_some() => {
                    self.at += 1;
                }
                _ => break,
            }
        }
    }

    /// Something in brackets.
    fn bracket(&mut self) -> bool {
        let open = self.text[self.at];
        let Some(close) = closing(self.text, self.at) else {
            return false;
        };
        let inner = trimmed(&self.text[self.at + 1..close]);
        let followed = self.text.get(close + 1).copied().unwrap_or(b' ');
        if let Some(level) =
            Level::from_word(inner.split(|b| *b == b':').next_back().unwrap_or(inner))
            && self.level.is_none()
        {
            self.level = Some(level);
            return self.sure(close + 1);
        }
        if open == b'<' && inner.iter().all(u8::is_ascii_digit) && self.columns == 0 {
            // The priority of a syslog line.
            let priority = std::str::from_utf8(inner).ok().and_then(|n| n.parse::<u16>().ok());
            self.priority = priority.map(start::syslog_level);
            return self.sure(close + 1);
        }
        if open == b'['
            && (self.timed || self.level.is_some())
            && matches!(followed, b' ' | b'[' | b':' | b'-')
        {
            if self.unknown > 0 && self.level.is_none() {
                self.at = close + 1;
                self.unknown += 1;
                return true;
            }
            return self.sure(close + 1);
        }
        false
    }

    /// A word up to white space or a separator.
    fn word(&mut self) -> bool {
        let text = self.text;
        let length = text[self.at..].iter().position(|byte| matches!(byte, b' ' | b'\t' | b'|'));
        let end = length.map_or(text.len(), |length| self.at + length);
        let word = &text[self.at..end];
        if let Some(level) = self.level_word(word) {
            self.level = Some(level);
            let colon = word.ends_with(b":");
            self.sure(end);
            return !(colon && self.timed);
        }
        if text.get(end) == Some(&b'|') {
            self.piped = true;
            return self.sure(end + 1);
        }
        if self.piped {
            return false;
        }
        if word.ends_with(b"]") && self.timed {
            // The bracket was opened before the moment.
            return self.sure(end);
        }
        if let Some(logger) = word.strip_suffix(b":") {
            return self.logger(logger, end);
        }
        self.plain(word, end)
    }

    /// A word with nothing that says what it is.
    fn plain(&mut self, word: &[u8], end: usize) -> bool {
        if self.level.is_some() {
            if word.iter().all(u8::is_ascii_digit) {
                // A number may be the message's now.
                return self.text[end..].starts_with(b" --- ") && self.sure(end);
            }
            return self.after_level(word, end);
        }
        if word.iter().all(u8::is_ascii_digit) {
            // A process or a thread.
            return self.pass(end);
        }
        if self.timed && matches!(word, [_] | [_, b',' | b';']) {
            self.level = Level::from_letter(word[0]);
            if self.level.is_some() {
                return self.sure(end);
            }
        }
        let word = word.strip_suffix(b",").unwrap_or(word);
        if self.program(end) {
            return true;
        }
        if self.unknown == 1 && self.timed && self.daemon() {
            return false;
        }
        self.unknown < 4 && self.may_skip(word) && self.pass(end)
    }

    /// A column of unknown meaning.
    fn pass(&mut self, end: usize) -> bool {
        self.at = end;
        self.unknown += 1;
        true
    }

    fn level_word(&self, word: &[u8]) -> Option<Level> {
        if self.level.is_some() {
            return None;
        }
        let bare = word.strip_suffix(b":").unwrap_or(word);
        let bare = bare.strip_suffix(b",").unwrap_or(bare);
        let level = Level::from_word(bare)?;
        let loud = bare.iter().all(u8::is_ascii_uppercase);
        let colon = word.len() > bare.len();
        let first = self.columns == 0;
        // In the middle of a line only capitals are a level: `error` may be a word.
        let stands = if self.unknown == 0 { loud || self.timed || (first && colon) } else { loud };
        (stands && (self.timed || first || self.unknown > 0)).then_some(level)
    }

    /// `name:`, the last column.
    fn logger(&mut self, name: &[u8], end: usize) -> bool {
        let known = self.timed || self.level.is_some();
        let fits = !name.is_empty()
            && name.len() <= 100
            && name
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.$/\\-()[]@#:<>+*~".contains(byte));
        if known && fits && self.unknown <= 2 && !self.named {
            self.named = true;
            self.sure(end);
        }
        false
    }

    /// `name - message`, `name *64 - message` right after the moment.
    fn program(&mut self, end: usize) -> bool {
        if !self.timed || self.unknown > 0 || self.named {
            return false;
        }
        let mut at = end;
        for _ in 0..2 {
            if self.text.get(at..at + 3) == Some(b" - ") {
                self.named = true;
                return self.sure(at + 3);
            }
            let next = self.text.get(at + 1..).unwrap_or_default();
            let Some(length) = next.iter().position(|byte| *byte == b' ') else {
                return false;
            };
            at += 1 + length;
        }
        false
    }

    /// `Some Program[771]: message`, after moment and host.
    fn daemon(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let Some(close) = rest.iter().take(64).position(|byte| *byte == b']') else {
            return false;
        };
        let name = rest[..close].trim_ascii_end();
        let number = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let open = name.len() - number;
        let words = name.split(|byte| *byte == b' ').count();
        let fits = number > 0
            && open > 1
            && name[open - 1] == b'['
            && words <= 4
            && rest.get(close + 1) == Some(&b':');
        if fits {
            self.named = true;
            self.sure(self.at + close + 1);
        }
        fits
    }

    /// After the level: the name of the logger, if it stands apart from the message.
    fn after_level(&mut self, word: &[u8], end: usize) -> bool {
        if self.named || word.is_empty() {
            return false;
        }
        let rest = &self.text[end..];
        let next = rest.trim_ascii_start();
        let dotted = word.contains(&b'.') && !word.ends_with(b".");
        let apart = next.starts_with(b"[") || next.starts_with(b"- ") || next.starts_with(b": ");
        let padded = rest.starts_with(b"  ") && self.text[..self.at].ends_with(b"  ");
        if (dotted && apart) || padded {
            self.named = true;
            return self.sure(end);
        }
        false
    }

    /// Whether a word may be a column of the header, if a surer one follows.
    fn may_skip(&self, word: &[u8]) -> bool {
        if word.len() > 64 || word.ends_with(b".") {
            return false;
        }
        // The host follows the moment.
        let host = self.timed && self.unknown == 0;
        let name = word.iter().any(|byte| byte.is_ascii_digit() || b"._/@".contains(byte));
        let loud = word.iter().all(|byte| byte.is_ascii_uppercase() || b"_-*".contains(byte));
        host || name || loud || self.tabular || (self.columns == 0 && word.len() < 32)
    }
}

fn closing(text: &[u8], open: usize) -> Option<usize> {
    let (left, right) = match text[open] {
        b'[' => (b'[', b']'),
        b'(' => (b'(', b')'),
        _ => (b'<', b'>'),
    };
    let mut depth = 0;
    for (at, byte) in text.iter().enumerate().skip(open) {
        if *byte == left {
            depth += 1;
        } else if *byte == right {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

fn trimmed(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}
