//! YAML's `{flow: maps}` and `[flow, lists]`, also over several lines.

use super::super::search::{Fault, Kind, Search, Trail};
use super::{quoted_length, unquoted};

/// Deeper than any configuration, shallow enough for the stack.
const DEEPEST: usize = 60;

/// Walks the map or list at byte `at`; answers where it ends.
pub(super) fn walk<'k>(
    text: &str,
    at: usize,
    trail: Trail<'k>,
    search: &mut Search<'k>,
) -> Result<usize, Fault> {
    let mut flow = Flow { text, at };
    flow.value(trail, search, 0)?;
    Ok(flow.at)
}

struct Flow<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Flow<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn fault(&self, why: &'static str) -> Fault {
        Fault { at: self.at, why }
    }

    fn next(&self) -> Option<char> {
        self.rest().chars().next()
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
        let kind = match self.next() {
            Some('{') => self.members(trail, search, depth)?,
            Some('[') => self.elements(trail, search, depth)?,
            Some('"' | '\'') => {
                self.at += quoted_length(self.line(), self.at)?;
                Kind::Other
            }
            Some('&' | '*' | '!') => {
                return Err(self.fault("anchors, aliases and tags are not understood"));
            }
            _ => {
                self.at += self.plain_word().len();
                Kind::Scalar
            }
        };
        search.see(trail, start..self.at, kind);
        Ok(())
    }

    fn members<'k>(
        &mut self,
        trail: Trail<'k>,
        search: &mut Search<'k>,
        depth: usize,
    ) -> Result<Kind, Fault> {
        self.at += 1;
        loop {
            self.skip_blank();
            if self.ends_with('}') {
                return Ok(Kind::Group);
            }
            let start = self.at;
            let name = self.name()?;
            let member = search.enter(trail, &name, start);
            self.skip_blank();
            if self.ends_with(':') {
                self.skip_blank();
                self.value(member, search, depth + 1)?;
                self.skip_blank();
            }
            if !self.ends_with(',') && self.next() != Some('}') {
                return Err(self.fault("a comma or a closing brace is missing"));
            }
        }
    }

    fn elements<'k>(
        &mut self,
        trail: Trail<'k>,
        search: &mut Search<'k>,
        depth: usize,
    ) -> Result<Kind, Fault> {
        self.at += 1;
        for index in 0_usize.. {
            self.skip_blank();
            if self.ends_with(']') {
                break;
            }
            let element = search.enter(trail, &index.to_string(), self.at);
            self.value(element, search, depth + 1)?;
            self.skip_blank();
            if !self.ends_with(',') && self.next() != Some(']') {
                return Err(self.fault("a comma or a closing bracket is missing"));
            }
        }
        Ok(Kind::Group)
    }

    fn ends_with(&mut self, expected: char) -> bool {
        let is_there = self.next() == Some(expected);
        self.at += usize::from(is_there);
        is_there
    }

    fn name(&mut self) -> Result<String, Fault> {
        if matches!(self.next(), Some('"' | '\'')) {
            let length = quoted_length(self.line(), self.at)?;
            let name = unquoted(&self.rest()[..length]);
            self.at += length;
            return Ok(name);
        }
        let name = self.plain_word();
        if name.is_empty() || name.starts_with(['&', '*', '!', '?']) {
            return Err(self.fault("a name is missing or not understood"));
        }
        self.at += name.len();
        Ok(name.to_owned())
    }

    fn line(&self) -> &'t str {
        self.rest().split('\n').next().unwrap_or("")
    }

    /// A word up to what ends it in a flow: a comma, a bracket, a colon with a blank, a
    /// comment, the line's end.
    fn plain_word(&self) -> &'t str {
        let line = self.line();
        let end = line
            .char_indices()
            .find(|(at, c)| match c {
                ',' | '[' | ']' | '{' | '}' => true,
                ':' => line[at + 1..]
                    .chars()
                    .next()
                    .is_none_or(|c| c.is_whitespace() || ",]}".contains(c)),
                '#' => line[..*at].ends_with([' ', '\t']),
                _ => false,
            })
            .map_or(line.len(), |(at, _)| at);
        line[..end].trim_end()
    }
}
