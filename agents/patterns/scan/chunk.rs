//! What a run of letters and digits is: a word, a word with a number, or a value.

use super::super::bytes::{Class, class, is_word};

/// What a run of letters and digits is.
pub(super) struct Chunk {
    /// Where it ends.
    pub end: usize,
    /// Whether it varies.
    pub value: bool,
    /// Bytes before the number, if the run is a word with a number.
    pub stem: usize,
    /// Whether it looks like the name of a thing.
    pub name: bool,
}

impl Chunk {
    /// Reads the run that begins at `start`.
    ///
    /// The first words of a message name what it is about: there a dotted name stays.
    pub(super) fn read(text: &[u8], start: usize, first: bool) -> Self {
        if let Some(end) = hex_groups(text, start) {
            return Self::varying(end);
        }
        let mut run = Run { start, ..Run::default() };
        let mut at = start;
        while at < text.len() {
            let next = match class(text[at]) {
                Class::Digit => run.digit(at),
                Class::Letter => run.letter(text[at], at),
                Class::Joint => run.joint(text, at),
                Class::Mark => run.index(text, at),
                Class::Space => Step::Stop,
            };
            match next {
                Step::To(next) => at = next,
                Step::Value(end) => return Self::varying(end),
                Step::Stop => break,
            }
        }
        run.judged(text, at, first)
    }

    const fn varying(end: usize) -> Self {
        Self { end, value: true, stem: 0, name: false }
    }
}

/// Where to go on.
enum Step {
    To(usize),
    /// What was read is a value that ends there.
    Value(usize),
    Stop,
}

/// What was seen of a run so far.
#[derive(Default)]
struct Run {
    start: usize,
    digit_at: Option<usize>,
    letter_after_digit: bool,
    dot_after_digit: bool,
    beyond_hex: bool,
    camel: bool,
    lower_before: bool,
    parts: bool,
    port: bool,
    address: bool,
    slashes: u32,
    dots: u32,
}

impl Run {
    fn digit(&mut self, at: usize) -> Step {
        self.digit_at.get_or_insert(at);
        self.lower_before = false;
        Step::To(at + 1)
    }

    fn letter(&mut self, byte: u8, at: usize) -> Step {
        self.letter_after_digit |= self.digit_at.is_some();
        self.beyond_hex |= !byte.is_ascii_hexdigit();
        self.camel |= self.lower_before && byte.is_ascii_uppercase();
        self.parts |= byte == b'_';
        self.lower_before = byte.is_ascii_lowercase();
        Step::To(at + 1)
    }

    fn joint(&mut self, text: &[u8], at: usize) -> Step {
        let byte = text[at];
        let next = text.get(at + 1).copied().unwrap_or(b' ');
        let after = text.get(at + 2).copied().unwrap_or(b' ');
        if byte == b':' {
            return self.colon(text, at, next, after);
        }
        if !is_word(next) {
            // `r1---x` is one name, `a//b` one path; `wait....3` is two things.
            let dashes = byte == next && matches!(byte, b'-' | b'~') && self.digit_at.is_some();
            let path =
                matches!(byte, b'/' | b'\\') && class(next) == Class::Joint && is_word(after);
            if !dashes && !path {
                return Step::Stop;
            }
        }
        match byte {
            b'.' => {
                self.dots += 1;
                self.dot_after_digit |= self.digit_at.is_some();
            }
            b'/' | b'\\' => self.slashes += 1,
            b'@' | b'~' => self.address = true,
            _ => {}
        }
        self.parts |= byte != b'-';
        self.lower_before = false;
        Step::To(at + 1)
    }

    /// A colon parts a key from what follows, save in an address, a clock or before a port.
    fn colon(&mut self, text: &[u8], at: usize, next: u8, after: u8) -> Step {
        if next == b'/' && after == b'/' {
            return Step::Value(address_end(text, at));
        }
        if next == b'\\' && at == self.start + 1 {
            return Step::Value(run_end(text, at));
        }
        let host = self.digit_at.is_some() || (self.dots > 0 && !self.camel);
        let port = next.is_ascii_digit() && host;
        let number = self.digit_at == Some(self.start) && is_word(next);
        if !port && !number {
            return Step::Stop;
        }
        self.port = true;
        Step::To(at + 1)
    }

    fn index(&mut self, text: &[u8], at: usize) -> Step {
        match index_end(text, at) {
            Some(end) if at > self.start => {
                self.digit_at.get_or_insert(at + 1);
                Step::To(end)
            }
            _ => Step::Stop,
        }
    }

    fn judged(&self, text: &[u8], end: usize, first: bool) -> Chunk {
        let name = self.camel || self.parts;
        let length = end - self.start;
        let dotted = self.dots >= 2 && !first && !is_constant(&text[self.start..end]);
        let mut value =
            dotted || self.address || self.slashes >= 2 || (!self.beyond_hex && length >= 8);
        let Some(digit_at) = self.digit_at else {
            return Chunk { end, value, stem: 0, name };
        };
        // The sign belongs to the number: `blk_-7` and `blk_7` are alike.
        let word = without_sign(&text[self.start..digit_at]);
        let letters = word.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
        value |= letters < 2
            || self.port
            || (self.letter_after_digit && self.dot_after_digit)
            || (!self.beyond_hex && length >= 6);
        Chunk { end, value, stem: if value { 0 } else { word.len() }, name }
    }
}

/// A web address goes on to white space or a bracket.
fn address_end(text: &[u8], from: usize) -> usize {
    let stop = |byte: &u8| *byte <= b' ' || b"\"'<>])},".contains(byte);
    text[from..].iter().position(stop).map_or(text.len(), |n| from + n)
}

/// Without the signs at its end.
fn without_sign(word: &[u8]) -> &[u8] {
    let keep = word.iter().rposition(|byte| !matches!(byte, b'-' | b'+'));
    &word[..keep.map_or(0, |at| at + 1)]
}

/// Whether the last part of a dotted name is all capitals: one of a few, not one of many.
fn is_constant(name: &[u8]) -> bool {
    let last = name.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    last.len() >= 2 && last.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'_')
}

/// The end of three groups or more of hexadecimal digits with colons between: a hardware
/// address, an IPv6 address, a time of day.
fn hex_groups(text: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut groups) = (start, 0);
    loop {
        let digits = text[at..].iter().take(5).take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits > 4 || (digits == 0 && groups == 0) {
            return None;
        }
        groups += 1;
        at += digits;
        if text.get(at) != Some(&b':')
            || text.get(at + 1).is_none_or(|b| !b.is_ascii_hexdigit() && *b != b':')
        {
            break;
        }
        at += 1;
    }
    (groups >= 3 && text.get(at).is_none_or(|byte| !is_word(*byte))).then_some(at)
}

/// The end of an index such as `[7]` or `(0)` that follows a word at once.
fn index_end(text: &[u8], at: usize) -> Option<usize> {
    let close = match text[at] {
        b'(' => b')',
        b'[' => b']',
        b'<' => b'>',
        _ => return None,
    };
    let digits = text[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    (digits > 0 && text.get(at + 1 + digits) == Some(&close)).then_some(at + digits + 2)
}

/// Where a run of letters, digits and joints ends; trailing joints are left out.
pub(super) fn run_end(text: &[u8], from: usize) -> usize {
    let mut end = from;
    let mut at = from;
    while at < text.len() {
        match class(text[at]) {
            Class::Letter | Class::Digit => end = at + 1,
            Class::Joint => {}
            _ => break,
        }
        at += 1;
    }
    if end == from { at } else { end }
}
