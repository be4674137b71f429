//! YAML as configuration files use it: maps and lists by indentation, flow maps and lists,
//! block texts.
//!
//! What could make one value stand for another is refused rather than understood: anchors,
//! aliases, tags, several documents. It finds places; it builds no document.

mod flow;

use super::search::{Fault, Kind, Search, Trail, offset};

pub(super) fn walk(text: &str, search: &mut Search<'_>) -> Result<(), Fault> {
    let pending = Some(search.top());
    Walk { text, at: 0, frames: Vec::new(), pending, last: None, search }.document()
}

/// A map or list that is still open.
#[derive(Debug, Clone, Copy)]
struct Frame<'k> {
    indent: usize,
    trail: Trail<'k>,
    /// The number of the last item, if it is a list.
    item: Option<usize>,
}

struct Walk<'t, 's, 'k> {
    text: &'t str,
    /// The start of the line that is read next.
    at: usize,
    frames: Vec<Frame<'k>>,
    /// A name or dash whose value must stand on the next lines.
    pending: Option<Trail<'k>>,
    /// Where the last plain word began: deeper lines after it continue it.
    last: Option<usize>,
    search: &'s mut Search<'k>,
}

impl<'t, 'k> Walk<'t, '_, 'k> {
    fn document(mut self) -> Result<(), Fault> {
        let mut has_content = false;
        while self.at < self.text.len() {
            let start = self.at;
            let line = self.next_line();
            let content = line.trim_start_matches(' ');
            let at = start + line.len() - content.len();
            if is_blank(content) {
                continue;
            }
            if content.starts_with('\t') {
                return Err(Fault { at, why: "a tab stands in the indentation" });
            }
            if line.starts_with("---") && is_blank(&line[3..]) && !has_content {
                has_content = true;
                continue;
            }
            if line.starts_with("---") || line.starts_with("...") || line.starts_with('%') {
                return Err(Fault { at, why: "several documents or directives in one file" });
            }
            has_content = true;
            self.line(content, at, at - start)?;
        }
        Ok(())
    }

    /// The next line without its end.
    fn next_line(&mut self) -> &'t str {
        let rest = &self.text[self.at..];
        let length = rest.find('\n').map_or(rest.len(), |end| end + 1);
        self.at += length;
        rest[..length].trim_end_matches(['\n', '\r'])
    }

    fn line(&mut self, content: &'t str, at: usize, indent: usize) -> Result<(), Fault> {
        let is_item = is_dash(content);
        while self.frames.last().is_some_and(|frame| {
            frame.indent > indent || (frame.indent == indent && frame.item.is_some() && !is_item)
        }) {
            self.frames.pop();
            self.close_pending(at);
        }
        let top = self.frames.last().copied();
        let is_deeper = top.is_none_or(|frame| indent > frame.indent);
        if is_deeper && self.pending.is_none() {
            // A word may go on below; then it is no number, whatever it began with.
            let start = self.last.ok_or(Fault { at, why: "the indentation is not understood" })?;
            self.search.spoil(start);
            return Ok(());
        }
        // `key:` and, no deeper, `- item`: the list belongs to the key.
        let is_list_of_key = is_item && top.is_some_and(|frame| frame.item.is_none());
        if !is_deeper && !is_list_of_key {
            self.close_pending(at);
        }
        self.last = None;
        self.node(content, at, indent)
    }

    /// A name with nothing behind it and nothing below it has no value.
    fn close_pending(&mut self, at: usize) {
        if let Some(trail) = self.pending.take() {
            self.search.see(trail, at..at, Kind::Other);
        }
    }

    /// What stands at a column: an item, a member or a single value.
    fn node(&mut self, content: &'t str, at: usize, column: usize) -> Result<(), Fault> {
        if is_dash(content) {
            let trail = self.next_item(at, column)?;
            self.pending = Some(trail);
            let value = content[1..].trim_start_matches(' ');
            if is_blank(value) {
                return Ok(());
            }
            let step = content.len() - value.len();
            return self.node(value, at + step, column + step);
        }
        if let Some((name, value)) = split_member(content, at)? {
            if name == "<<" {
                return Err(Fault { at, why: "merged maps are not understood" });
            }
            let above = self.map_at(at, column)?;
            let trail = self.search.enter(above, &name, at);
            return self.value(value.trim_start(), at + offset(content, value.trim_start()), trail);
        }
        let trail = self.pending.take();
        let trail = trail.ok_or(Fault { at, why: "a name with a colon is missing" })?;
        self.value(content, at, trail)
    }

    fn next_item(&mut self, at: usize, column: usize) -> Result<Trail<'k>, Fault> {
        let is_open = |frame: &&mut Frame<'_>| frame.indent == column && frame.item.is_some();
        if let Some(frame) = self.frames.last_mut().filter(is_open) {
            let item = frame.item.map_or(0, |item| item + 1);
            frame.item = Some(item);
            let above = frame.trail;
            return Ok(self.search.enter(above, &item.to_string(), at));
        }
        let above = self.open(at, column, Some(0), "a list is not expected here")?;
        Ok(self.search.enter(above, "0", at))
    }

    fn map_at(&mut self, at: usize, column: usize) -> Result<Trail<'k>, Fault> {
        let is_open = |frame: &&Frame<'_>| frame.indent == column && frame.item.is_none();
        match self.frames.last().filter(is_open) {
            Some(frame) => Ok(frame.trail),
            None => self.open(at, column, None, "the indentation is not understood"),
        }
    }

    /// Opens a map or a list as the value that is pending.
    fn open(
        &mut self,
        at: usize,
        indent: usize,
        item: Option<usize>,
        why: &'static str,
    ) -> Result<Trail<'k>, Fault> {
        let trail = self.pending.take().ok_or(Fault { at, why })?;
        self.search.see(trail, at..at, Kind::Group);
        self.frames.push(Frame { indent, trail, item });
        Ok(trail)
    }

    /// A value that begins on this line; `content` goes to the line's end.
    fn value(&mut self, content: &'t str, at: usize, trail: Trail<'k>) -> Result<(), Fault> {
        if is_blank(content) {
            self.pending = Some(trail);
            return Ok(());
        }
        match content.as_bytes()[0] {
            b'&' | b'*' | b'!' => {
                Err(Fault { at, why: "anchors, aliases and tags are not understood" })
            }
            b'|' | b'>' => {
                self.search.see(trail, at..at, Kind::Other);
                self.skip_block_text();
                Ok(())
            }
            b'{' | b'[' => {
                self.at = flow::walk(self.text, at, trail, self.search)?;
                let behind = self.next_line();
                if is_blank(behind) { Ok(()) } else { Err(behind_value(at)) }
            }
            b'"' | b'\'' => {
                let length = quoted_length(content, at)?;
                self.search.see(trail, at..at + length, Kind::Other);
                if is_blank(&content[length..]) { Ok(()) } else { Err(behind_value(at)) }
            }
            _ => {
                let word = without_comment(content);
                self.search.see(trail, at..at + word.len(), Kind::Scalar);
                self.last = Some(at);
                Ok(())
            }
        }
    }

    /// Skips lines deeper than the innermost map or list.
    fn skip_block_text(&mut self) {
        let indent = self.frames.last().map(|frame| frame.indent);
        while self.at < self.text.len() {
            let before = self.at;
            let line = self.next_line();
            let own = line.len() - line.trim_start_matches(' ').len();
            if !line.trim().is_empty() && indent.is_some_and(|indent| own <= indent) {
                self.at = before;
                return;
            }
        }
    }
}

fn behind_value(at: usize) -> Fault {
    Fault { at, why: "something follows a value that has ended" }
}

fn is_dash(content: &str) -> bool {
    content == "-" || content.starts_with("- ")
}

/// Nothing, or a comment.
fn is_blank(content: &str) -> bool {
    let content = content.trim();
    content.is_empty() || content.starts_with('#')
}

fn without_comment(content: &str) -> &str {
    let end = content.find(" #").or_else(|| content.find("\t#")).unwrap_or(content.len());
    content[..end].trim_end()
}

/// Bytes of the quoted text at the start, quotes included; it must end on its line.
fn quoted_length(content: &str, at: usize) -> Result<usize, Fault> {
    let bytes = content.as_bytes();
    let quote = bytes[0];
    let mut end = 1;
    while end < bytes.len() {
        match bytes[end] {
            b'\\' if quote == b'"' => end += 2,
            b'\'' if quote == b'\'' && bytes.get(end + 1) == Some(&b'\'') => end += 2,
            byte if byte == quote => return Ok(end + 1),
            _ => end += 1,
        }
    }
    Err(Fault { at, why: "a quoted text does not end on its line" })
}

/// The inside of a quoted text; escapes stay as they are written.
fn unquoted(quoted: &str) -> String {
    quoted[1..quoted.len() - 1].to_owned()
}

/// Name and value of `name: value`; nothing if the content is no member of a map.
fn split_member(content: &str, at: usize) -> Result<Option<(String, &str)>, Fault> {
    match content.as_bytes()[0] {
        b'"' | b'\'' => {
            let length = quoted_length(content, at)?;
            let behind = content[length..].trim_start().strip_prefix(':');
            Ok(behind.map(|value| (unquoted(&content[..length]), value)))
        }
        b'?' if content == "?" || content.starts_with("? ") => {
            Err(Fault { at, why: "names marked by `?` are not understood" })
        }
        b'{' | b'[' => Ok(None),
        b'&' | b'*' | b'!' => {
            Err(Fault { at, why: "anchors, aliases and tags are not understood" })
        }
        _ => {
            let plain = without_comment(content);
            let colon = plain.match_indices(':').map(|(colon, _)| colon).find(|colon| {
                plain[colon + 1..].is_empty() || plain[colon + 1..].starts_with([' ', '\t'])
            });
            Ok(colon.map(|colon| (plain[..colon].trim_end().to_owned(), &content[colon + 1..])))
        }
    }
}
