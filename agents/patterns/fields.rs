//! Lines made of fields: JSON objects and `key=value` pairs.
//!
//! Of such a line the message and the error count, and the level; all other fields vary and
//! are left out. A line without a message field is read like any other. Nothing is parsed
//! beyond the first 16 KiB, and nothing is nested deeper than a counter.

use super::level::Level;

/// Bytes of a line in which fields are looked for.
const MAX_BYTES: usize = 16 * 1024;

/// What a line of fields says besides its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fields {
    /// Its level, if it has one.
    pub level: Option<Level>,
}

/// What the fields of a line say.
#[derive(Debug, Clone, Copy, Default)]
struct Found<'a> {
    message: Option<&'a [u8]>,
    error: Option<&'a [u8]>,
    level: Option<Level>,
}

impl<'a> Found<'a> {
    fn take(&mut self, key: &[u8], value: &'a [u8]) {
        match key {
            b"msg" | b"message" | b"log" | b"event" | b"@message" | b"MESSAGE"
            | b"short_message" | b"body" | b"text"
                if !value.is_empty() =>
            {
                self.message.get_or_insert(value);
            }
            b"error" | b"err" | b"exception" | b"error.message" => {
                self.error.get_or_insert(value);
            }
            b"level" | b"severity" | b"lvl" | b"levelname" | b"log.level" | b"loglevel"
            | b"Level" | b"LEVEL" | b"s" | b"@level" | b"level_name" | b"severity_text" => {
                self.level = self.level.or_else(|| level(value));
            }
            _ => {}
        }
    }
}

/// Reads a line of fields: writes its message into `message`. `None` if it is no such
/// line.
pub(super) fn read(line: &[u8], message: &mut Vec<u8>) -> Option<Fields> {
    let line = &line[..line.len().min(MAX_BYTES)];
    let found = match line.first()? {
        b'{' => json(line),
        first if first.is_ascii_alphabetic() || *first == b'@' => pairs(line)?,
        _ => return None,
    };
    message.clear();
    unescaped(found.message?, message);
    if let Some(error) = found.error.filter(|error| !matches!(*error, b"" | b"null" | b"nil")) {
        message.extend_from_slice(b": ");
        unescaped(error, message);
    }
    Some(Fields { level: found.level })
}

/// A word, a letter, or a number that counts in tens as pino and bunyan do.
fn level(value: &[u8]) -> Option<Level> {
    match value {
        [letter] => Level::from_letter(*letter),
        b"10" => Some(Level::Trace),
        b"20" => Some(Level::Debug),
        b"30" => Some(Level::Info),
        b"40" => Some(Level::Warning),
        b"50" => Some(Level::Error),
        b"60" => Some(Level::Fatal),
        word => Level::from_word(word),
    }
}

/// The fields of an object's first level, as far as it is one.
fn json(line: &[u8]) -> Found<'_> {
    let mut found = Found::default();
    let mut at = 1;
    while let Some((key, end)) = quoted(line, blank(line, at)) {
        let colon = blank(line, end);
        if line.get(colon) != Some(&b':') {
            break;
        }
        let start = blank(line, colon + 1);
        let end = match line.get(start) {
            Some(b'"') => match quoted(line, start) {
                Some((value, end)) => {
                    found.take(key, value);
                    end
                }
                None => break,
            },
            Some(b'{' | b'[') => nested(line, start),
            Some(_) => {
                let end = start + until(&line[start..], |byte| matches!(byte, b',' | b'}' | b' '));
                found.take(key, &line[start..end]);
                end
            }
            None => break,
        };
        at = blank(line, end);
        if line.get(at) != Some(&b',') {
            break;
        }
        at += 1;
    }
    found
}

/// The fields of `key=value key="two words"`; nothing if the first word is no pair.
fn pairs(line: &[u8]) -> Option<Found<'_>> {
    let mut found = Found::default();
    let mut at = 0;
    while at < line.len() {
        let length = until(&line[at..], |byte| matches!(byte, b'=' | b' '));
        let key = &line[at..at + length];
        if line.get(at + length) != Some(&b'=') {
            if at == 0 {
                return None;
            }
            // A word that is no pair, in the midst of pairs.
            at += length + 1;
            continue;
        }
        let start = at + length + 1;
        let end = if let Some((value, end)) = quoted(line, start) {
            found.take(key, value);
            end
        } else {
            let end = start + until(&line[start..], |byte| byte == b' ');
            found.take(key, &line[start..end]);
            end
        };
        at = end + 1;
    }
    Some(found)
}

fn until(text: &[u8], stop: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|byte| stop(*byte)).unwrap_or(text.len())
}

fn blank(line: &[u8], at: usize) -> usize {
    at + line.get(at..).unwrap_or_default().iter().take_while(|b| b.is_ascii_whitespace()).count()
}

/// What stands in quotes at `at`, and where it ends.
fn quoted(line: &[u8], at: usize) -> Option<(&[u8], usize)> {
    (line.get(at) == Some(&b'"')).then_some(())?;
    let start = at + 1;
    let mut end = start;
    loop {
        match line.get(end)? {
            b'"' => return Some((&line[start..end], end + 1)),
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
}

/// Where an object or a list that begins at `at` ends.
fn nested(line: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(byte) = line.get(at) {
        match byte {
            b'"' => match quoted(line, at) {
                Some((_, end)) => {
                    at = end;
                    continue;
                }
                None => return line.len(),
            },
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    line.len()
}

/// Appends a value with its escapes resolved as far as a template needs them.
fn unescaped(value: &[u8], text: &mut Vec<u8>) {
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next() {
                Some(b'n' | b'r' | b't') => text.push(b' '),
                Some(other) => text.push(*other),
                None => {}
            },
            _ => text.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> Option<(String, Option<Level>)> {
        let mut message = vec![];
        let level = read(line.as_bytes(), &mut message)?.level;
        Some((String::from_utf8(message).unwrap(), level))
    }

    #[test]
    fn message_error_and_level_are_found_whatever_else_there_is() {
        for (line, message, level) in [
            (r#"{"time":"x","level":"error","msg":"no till"}"#, "no till", Some(Level::Error)),
            (
                r#"{"level":50,"a":{"msg":"[}"},"msg":"no \"till\""}"#,
                "no \"till\"",
                Some(Level::Error),
            ),
            (r#"{ "severity" : "WARNING" , "message" : "a\nb" }"#, "a b", Some(Level::Warning)),
            (r#"{"s":"I","attr":[1,{"x":"]"}],"msg":"open"}"#, "open", Some(Level::Info)),
            (r#"{"msg":"cannot pay","err":"timeout"}"#, "cannot pay: timeout", None),
            (r#"{"msg":"paid","err":null}"#, "paid", None),
            ("time=1 level=warn msg=\"low on paper\" left=3", "low on paper", Some(Level::Warning)),
            ("level=info msg=ready", "ready", Some(Level::Info)),
            (
                "ts=1 caller=a.go:7 level=error msg=\"no till\" err=\"EOF\"",
                "no till: EOF",
                Some(Level::Error),
            ),
        ] {
            assert_eq!(said(line), Some((message.to_owned(), level)), "{line}");
        }
    }

    #[test]
    fn what_has_no_message_field_is_read_like_any_other_line() {
        for line in
            ["", "{", "{}", "{\"a\":1}", "{\"msg\":", "user=ann logged in", "plain words", "[1]"]
        {
            assert_eq!(said(line), None, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_of_field_parts_breaks_the_reader(
            line in r#"([{]|key=|"msg"|"|:|,|[\[]|[\]]|[}]|\\| |msg=|x){0,40}"#
        ) {
            let _ = said(&line);
        }
    }
}
