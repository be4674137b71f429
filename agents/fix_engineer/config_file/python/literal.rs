//! Python's literal dictionaries, lists and tuples, as settings files nest them.
//!
//! Only what is written out is read: a dictionary joined from others is refused, since
//! which value counts cannot be seen from the text.

use super::super::search::{Fault, Kind, Search, Trail};
use super::string_length;

/// Deeper than any settings, shallow enough for the stack.
const DEEPEST: usize = 60;

/// Walks the literal at byte `at`; answers where it ends.
pub(super) fn walk<'k>(
    text: &str,
    at: usize,
    trail: Trail<'k>,
    search: &mut Search<'k>,
) -> Result<usize, Fault> {
    let mut literal = Literal { text, at };
    literal.value(trail, search, 0)?;
    Ok(literal.at)
}

struct Literal<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Literal<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn next(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn fault(&self, why: &'static str) -> Fault {
        Fault { at: self.at, why }
    }

    fn skips(&mut self, expected: char) -> bool {
        let is_there = self.next() == Some(expected);
        self.at += usize::from(is_there);
        is_there
    }

    /// White space, line ends and comments.
    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start().len();
            if self.next() != Some('#') {
                return;
            }
            let rest = self.rest();
            self.at += rest.find('\n').unwrap_or(rest.len());
        }
    }

    fn value<'k>(
        &mut self,
        trail: Trail<'k>,
        search: &mut Search<'k>,
        depth: usize,
    ) -> Result<(), Fault> {
        if depth > DEEPEST {
            return Err(self.fault("it is nested too deeply"));
        }
        let start = self.at;
        let end = match self.next() {
            Some('{') => '}',
            Some('[') => ']',
            Some('(') => ')',
            _ => {
                let word = self.expression()?;
                search.see(trail, start..start + word.len(), Kind::Scalar);
                return Ok(());
            }
        };
        self.at += 1;
        if end == '}' {
            self.members(trail, search, depth)?;
        } else {
            self.elements(trail, search, depth, end)?;
        }
        search.see(trail, start..self.at, Kind::Group);
        Ok(())
    }

    fn members<'k>(
        &mut self,
        trail: Trail<'k>,
        search: &mut Search<'k>,
        depth: usize,
    ) -> Result<(), Fault> {
        loop {
            self.skip_blank();
            if self.skips('}') {
                return Ok(());
            }
            let start = self.at;
            let name = self.expression()?;
            if name.starts_with("**") {
                return Err(Fault { at: start, why: "a dictionary made of others" });
            }
            let member = search.enter(trail, name.trim_matches(['"', '\'']), start);
            self.skip_blank();
            if self.skips(':') {
                self.skip_blank();
                self.value(member, search, depth + 1)?;
                self.skip_blank();
            }
            if !self.skips(',') && self.next() != Some('}') {
                return Err(self.fault("a dictionary that is not only literals"));
            }
        }
    }

    fn elements<'k>(
        &mut self,
        trail: Trail<'k>,
        search: &mut Search<'k>,
        depth: usize,
        end: char,
    ) -> Result<(), Fault> {
        for index in 0_usize.. {
            self.skip_blank();
            if self.skips(end) {
                break;
            }
            let element = search.enter(trail, &index.to_string(), self.at);
            self.value(element, search, depth + 1)?;
            self.skip_blank();
            if !self.skips(',') && self.next() != Some(end) {
                return Err(self.fault("a list that is not only literals"));
            }
        }
        Ok(())
    }

    /// Anything up to the comma, colon or bracket that ends it, without blanks behind.
    fn expression(&mut self) -> Result<&'t str, Fault> {
        let rest = self.rest();
        let mut depth = 0_usize;
        let mut end = 0;
        while let Some(c) = rest[end..].chars().next() {
            match c {
                '\'' | '"' => {
                    end += string_length(&rest[end..], c, self.at + end)?;
                    continue;
                }
                ',' | ':' | ']' | ')' | '}' | '#' if depth == 0 => break,
                '[' | '(' | '{' => depth += 1,
                ']' | ')' | '}' => depth -= 1,
                _ => {}
            }
            end += c.len_utf8();
        }
        let word = rest[..end].trim_end();
        if word.is_empty() {
            return Err(self.fault("a value is missing"));
        }
        self.at += word.len();
        Ok(word)
    }
}
