//! One line of a log as a terminal would leave it: bytes in, bounded text out.
//!
//! Terminal escapes vanish, a carriage return starts the line over (a progress bar keeps its
//! last state), invalid UTF-8 and control characters cannot get through. A line that grows
//! past its bound is delivered at once, cut, and the rest is swallowed: memory is bounded
//! whatever is written. Knows nothing of time stamps or streams.

/// The longest line kept, in bytes of UTF-8.
pub(super) const LONGEST_LINE: usize = 8 * 1024;
/// Stands where a line was cut.
const CUT: char = '…';

const ESCAPE: u8 = 0x1b;
const BELL: u8 = 0x07;

/// Where in a terminal escape the writer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Escape {
    #[default]
    None,
    /// After ESC.
    Begun,
    /// After ESC and an intermediate byte: one more byte follows.
    Intermediate,
    /// In a control sequence: ends with a letter or the like.
    Control,
    /// In a string (a window title, say): ends with BEL or ESC `\`.
    Text,
    /// After ESC in a string.
    TextEnding,
}

/// A line being written.
#[derive(Debug, Default)]
pub(super) struct LineText {
    visible: Vec<u8>,
    escape: Escape,
    /// A carriage return was seen; it starts over only if something else follows.
    returned: bool,
    /// The line was delivered already; the rest is not wanted.
    swallowing: bool,
}

impl LineText {
    /// Takes one byte; gives the line when it is complete or too long.
    pub(super) fn push(&mut self, byte: u8) -> Option<String> {
        if byte == b'\n' {
            let line = std::mem::take(self);
            return (!line.swallowing).then(|| line.text(false));
        }
        if self.swallowing || self.is_escaped(byte) {
            return None;
        }
        if byte == b'\r' {
            self.returned = true;
            return None;
        }
        if self.returned {
            self.returned = false;
            self.visible.clear();
        }
        self.visible.push(byte);
        if self.visible.len() <= LONGEST_LINE {
            return None;
        }
        let line = std::mem::take(self);
        self.swallowing = true;
        Some(line.text(true))
    }

    /// What was written of a line that never ended; `None` if there is nothing new to tell.
    pub(super) fn rest(&mut self) -> Option<String> {
        let line = std::mem::take(self);
        (!line.visible.is_empty()).then(|| line.text(false))
    }

    fn is_escaped(&mut self, byte: u8) -> bool {
        let before = self.escape;
        self.escape = match (before, byte) {
            (Escape::None | Escape::Begun, ESCAPE) => Escape::Begun,
            (Escape::Text | Escape::TextEnding, ESCAPE) => Escape::TextEnding,
            (Escape::Begun, b'[') | (Escape::Control, 0x20..=0x3f) => Escape::Control,
            (Escape::Begun, 0x20..=0x2f) => Escape::Intermediate,
            (Escape::Text, BELL) | (Escape::TextEnding, b'\\') => Escape::None,
            (Escape::Begun, b']' | b'P' | b'X' | b'^' | b'_')
            | (Escape::Text | Escape::TextEnding, _) => Escape::Text,
            // Plain text, the last byte of an escape, or a byte that no escape holds.
            (Escape::None | Escape::Begun | Escape::Intermediate | Escape::Control, _) => {
                Escape::None
            }
        };
        before != Escape::None || self.escape != Escape::None
    }

    fn text(self, cut: bool) -> String {
        let mut text: String = String::from_utf8_lossy(&self.visible)
            .chars()
            .filter(|c| *c == '\t' || !c.is_control())
            .collect();
        if cut || text.len() > LONGEST_LINE {
            let bound = LONGEST_LINE - CUT.len_utf8();
            text.truncate(text.floor_char_boundary(bound.min(text.len())));
            text.push(CUT);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<String> {
        let mut line = LineText::default();
        let mut lines: Vec<String> = bytes.iter().filter_map(|byte| line.push(*byte)).collect();
        lines.extend(line.rest());
        lines
    }

    #[test]
    fn colours_titles_and_charsets_vanish() {
        assert_eq!(
            lines(b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07x\x1b]2;t\x1b\\y\x1b(Bz\n"),
            ["red xyz"]
        );
    }

    #[test]
    fn an_escape_that_never_ends_does_not_swallow_the_next_line() {
        assert_eq!(lines(b"a\x1b]0;title\nb\n\x1b[31\nc\n"), ["a", "b", "", "c"]);
    }

    #[test]
    fn a_progress_bar_keeps_its_last_state() {
        assert_eq!(lines(b"10 %\r50 %\r100 %\r\nnext\r\n"), ["100 %", "next"]);
    }

    #[test]
    fn invalid_utf8_is_replaced_and_controls_are_dropped() {
        assert_eq!(lines(b"a\xff\x00\xc2\x9bb\tc\n"), ["a\u{fffd}b\tc"]);
    }

    #[test]
    fn a_long_line_comes_at_once_and_its_rest_is_swallowed() {
        let mut bytes = vec![b'x'; 3 * LONGEST_LINE];
        bytes.extend(b"\nnext\n");
        let lines = lines(&bytes);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].len(), LONGEST_LINE);
        assert!(lines[0].ends_with(CUT));
        assert_eq!(lines[1], "next");
    }

    #[test]
    fn replacement_characters_do_not_lift_the_bound() {
        let mut bytes = vec![0xff; LONGEST_LINE];
        bytes.push(b'\n');
        assert!(lines(&bytes)[0].len() <= LONGEST_LINE);
    }
}
