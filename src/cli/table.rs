//! Rows for people and for programs.

use std::fmt::Write;

use comfy_table::{ContentArrangement, Table, presets};
use selfheal_agents::model::{Severity, Verdict, clean};

use super::output::Style;

/// How bad a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// No colour.
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Broken.
    Bad,
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Good => "32",
            Self::Warning => "33",
            Self::Bad => "1;31",
        }
    }

    /// Takes the place of the tone while the table is laid out; one column wide.
    const fn mark(self) -> char {
        match self {
            Self::Plain => '\u{e000}',
            Self::Good => '\u{e001}',
            Self::Warning => '\u{e002}',
            Self::Bad => '\u{e003}',
        }
    }

    const ALL: [Self; 4] = [Self::Plain, Self::Good, Self::Warning, Self::Bad];
}

impl From<Verdict> for Tone {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Ok => Self::Good,
            Verdict::Unknown => Self::Plain,
            Verdict::Warning => Self::Warning,
            Verdict::Critical => Self::Bad,
        }
    }
}

impl From<Severity> for Tone {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Plain,
            Severity::Warning => Self::Warning,
            Severity::Critical => Self::Bad,
        }
    }
}

/// One cell: a text, or one word with a tone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

/// A text from anybody.
#[expect(clippy::needless_pass_by_value, reason = "callers hand over a text or what makes one")]
pub(super) fn cell(text: impl ToString) -> Cell {
    Cell { text: clean(&text.to_string(), 600), tone: Tone::Plain }
}

/// One word with a tone.
pub(super) fn word(text: &str, tone: Tone) -> Cell {
    Cell { text: text.to_owned(), tone }
}

/// A word in its colour, if there are colours.
pub(super) fn paint(style: &Style, text: &str, tone: Tone) -> String {
    if style.color && tone != Tone::Plain {
        format!("\u{1b}[{}m{text}\u{1b}[0m", tone.code())
    } else {
        text.to_owned()
    }
}

/// A table on a terminal; otherwise a line a row with tabs between, under the same heads.
pub(super) fn table(style: &Style, heads: &[&str], rows: &[Vec<Cell>]) -> String {
    if !style.terminal {
        let mut text = heads.join("\t");
        for row in rows {
            let cells: Vec<&str> = row.iter().map(|cell| cell.text.as_str()).collect();
            let _ = write!(text, "\n{}", cells.join("\t"));
        }
        return text;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(style.width);
    table.set_header(heads.iter().copied());
    for row in rows {
        table.add_row(row.iter().map(|cell| {
            if style.color && cell.tone != Tone::Plain {
                format!("{}{}", cell.tone.mark(), cell.text)
            } else {
                cell.text.clone()
            }
        }));
    }
    let lines: Vec<String> = table.lines().map(|line| colored(line.trim_end())).collect();
    lines.join("\n")
}

/// Puts the colours where the marks are. A mark took one column, so a space follows.
fn colored(line: &str) -> String {
    Tone::ALL.into_iter().fold(line.to_owned(), |line, tone| {
        let mut parts = line.split(tone.mark());
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| {
            let (word, rest) = part.split_at(part.find(' ').unwrap_or(part.len()));
            let code = tone.code();
            format!("{text}\u{1b}[{code}m{word}\u{1b}[0m {rest}")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use selfheal_agents::model::Timestamp;

    fn style(terminal: bool, color: bool) -> Style {
        Style { terminal, color, width: 60, now: Timestamp::UNIX_EPOCH }
    }

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec![
                cell("container:web"),
                word("critical", Tone::Bad),
                cell("exited\twith\u{1b}[0m 1"),
            ],
            vec![cell("host"), word("ok", Tone::Good), cell("fine")],
        ]
    }

    #[test]
    fn a_program_gets_one_line_a_row_with_tabs_between() {
        let text = table(&style(false, false), &["TARGET", "VERDICT", "WHAT"], &rows());
        assert_eq!(
            text,
            "TARGET\tVERDICT\tWHAT\ncontainer:web\tcritical\texited with[0m 1\nhost\tok\tfine"
        );
    }

    #[test]
    fn colours_move_no_column() {
        let heads = ["TARGET", "VERDICT", "WHAT"];
        let colored = table(&style(true, true), &heads, &rows());
        assert!(colored.contains("\u{1b}[1;31mcritical\u{1b}[0m"), "{colored:?}");
        let position = |line: &str| {
            let escapes = regex::Regex::new("\u{1b}\\[[0-9;]*m").unwrap();
            let line = escapes.replace_all(line, "").into_owned();
            line.find("exited").or(line.find("fine"))
        };
        let lines: Vec<&str> = colored.lines().collect();
        assert_eq!(position(lines[1]), position(lines[2]), "{colored}");
    }
}
