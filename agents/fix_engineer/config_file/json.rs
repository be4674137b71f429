//! JSON, also with comments and trailing commas, as many programs accept it.

use super::search::{Fault, Kind, Search, Trail};

/// Deeper than any configuration, shallow enough for the stack.
const DEEPEST: usize = 100;

pub(super) fn walk(text: &str, search: &mut Search<'_>) -> Result<(), Fault> {
    let mut scanner = Scanner { text, at: 0 };
    let top = search.top();
    scanner.value(search, top, 0)?;
    scanner.skip_blank()?;
    if scanner.at < text.len() {
        return Err(scanner.fault("something follows the end of the document"));
    }
    Ok(())
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    fn fault(&self, why: &'static str) -> Fault {
        Fault { at: self.at, why }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skips(&mut self, expected: char) -> bool {
        let is_there = self.rest().starts_with(expected);
        if is_there {
            self.at += expected.len_utf8();
        }
        is_there
    }

    /// White space and comments.
    fn skip_blank(&mut self) -> Result<(), Fault> {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
            self.at += blank;
            let rest = self.rest();
            if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if let Some(comment) = rest.strip_prefix("/*") {
                let length = comment.find("*/").ok_or(self.fault("a comment does not end"))?;
                self.at += length + 4;
            } else {
                return Ok(());
            }
        }
    }

    fn value<'k>(
        &mut self,
        search: &mut Search<'k>,
        trail: Trail<'k>,
        depth: usize,
    ) -> Result<(), Fault> {
        self.skip_blank()?;
        if depth > DEEPEST {
            return Err(self.fault("it is nested too deeply"));
        }
        let start = self.at;
        let kind = match self.rest().chars().next() {
            Some('{') => self.members(search, trail, depth)?,
            Some('[') => self.elements(search, trail, depth)?,
            Some('"') => {
                self.string()?;
                Kind::Other
            }
            Some(_) => self.word()?,
            None => return Err(self.fault("a value is missing at the end")),
        };
        search.see(trail, start..self.at, kind);
        Ok(())
    }

    fn members<'k>(
        &mut self,
        search: &mut Search<'k>,
        trail: Trail<'k>,
        depth: usize,
    ) -> Result<Kind, Fault> {
        self.at += 1;
        loop {
            self.skip_blank()?;
            if self.skips('}') {
                return Ok(Kind::Group);
            }
            let start = self.at;
            if !self.rest().starts_with('"') {
                return Err(self.fault("a name in double quotes is missing"));
            }
            let name = self.string()?;
            let member = search.enter(trail, &name, start);
            self.skip_blank()?;
            if !self.skips(':') {
                return Err(self.fault("a colon is missing"));
            }
            self.value(search, member, depth + 1)?;
            self.skip_blank()?;
            if !self.skips(',') && !self.rest().starts_with('}') {
                return Err(self.fault("a comma or a closing brace is missing"));
            }
        }
    }

    fn elements<'k>(
        &mut self,
        search: &mut Search<'k>,
        trail: Trail<'k>,
        depth: usize,
    ) -> Result<Kind, Fault> {
        self.at += 1;
        for index in 0_usize.. {
            self.skip_blank()?;
            if self.skips(']') {
                break;
            }
            let element = search.enter(trail, &index.to_string(), self.at);
            self.value(search, element, depth + 1)?;
            self.skip_blank()?;
            if !self.skips(',') && !self.rest().starts_with(']') {
                return Err(self.fault("a comma or a closing bracket is missing"));
            }
        }
        Ok(Kind::Group)
    }

    /// A string with its quotes; its content decoded.
    fn string(&mut self) -> Result<String, Fault> {
        let bytes = self.rest().as_bytes();
        let mut end = 1;
        while end < bytes.len() && bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let raw = self.rest().get(..=end).ok_or(self.fault("a text does not end"))?;
        let decoded = serde_json::from_str(raw).map_err(|_| self.fault("a text is not valid"))?;
        self.at += raw.len();
        Ok(decoded)
    }

    /// A number or `true`, `false`, `null`.
    fn word(&mut self) -> Result<Kind, Fault> {
        let rest = self.rest();
        let is_end = |c: char| c.is_ascii_whitespace() || ",]}/:{[\"".contains(c);
        let word = &rest[..rest.find(is_end).unwrap_or(rest.len())];
        let value = serde_json::from_str::<serde_json::Value>(word)
            .map_err(|_| self.fault("a value is not valid"))?;
        self.at += word.len();
        Ok(if value.is_number() { Kind::Scalar } else { Kind::Other })
    }
}
