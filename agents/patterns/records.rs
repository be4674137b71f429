//! Puts the lines of one record together: a stack trace belongs to the line that announced it.
//!
//! Knows how the traces of Python, Java, Go, Node.js, Ruby, .NET and Rust go on, and that an
//! indented line goes on whatever came before, and the bracket that closes it. Of a trace only the lines that say what went
//! wrong are kept; all are counted. A record is closed by the first line that does not go on,
//! or when it is too long.

/// Lines of one record.
const MAX_LINES: u32 = 2_000;
/// Bytes of a record that are kept.
const MAX_BYTES: usize = 64 * 1024;

/// What the last lines were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Trace {
    /// No trace.
    #[default]
    None,
    /// Frames follow; the first line that is not indented says what was raised.
    Python,
    /// After that line: only another trace goes on.
    PythonEnd,
    /// `goroutine 1 [running]:` and its frames.
    Go,
    /// The next line says why.
    RustWhy,
    /// Notes and frames.
    Rust,
    /// Where it was thrown; the source line follows.
    NodeWhere,
    /// A mark below that line; then `Error: why`.
    NodeSource,
    /// Frames, properties, and the version of Node.js.
    Node,
    /// An empty line after one that tells of an error: an exception may follow.
    Gap,
}

/// Collects lines into records.
#[derive(Debug, Default)]
pub struct Records {
    text: Vec<u8>,
    lines: u32,
    trace: Trace,
}

impl Records {
    /// Takes one line; calls `done` with the record before it, if that is complete now, and
    /// the number of its lines.
    pub fn push(&mut self, line: &[u8], done: impl FnMut(&[u8], u32)) {
        let open = self.lines > 0 && self.lines < MAX_LINES;
        if let Some(keep) = open.then(|| self.goes_on(line)).flatten() {
            self.lines += 1;
            if keep {
                self.keep(line);
            }
            return;
        }
        self.finish(done);
        self.lines = 1;
        self.trace = head(line);
        self.text.extend_from_slice(&line[..line.len().min(MAX_BYTES)]);
    }

    /// The last record.
    pub fn finish(&mut self, mut done: impl FnMut(&[u8], u32)) {
        if self.lines > 0 {
            done(&self.text, self.lines);
        }
        self.text.clear();
        self.lines = 0;
    }

    fn keep(&mut self, line: &[u8]) {
        let room = MAX_BYTES.saturating_sub(self.text.len() + 1);
        self.text.push(b'\n');
        self.text.extend_from_slice(&line[..line.len().min(room)]);
    }

    /// Whether a line belongs to the record; if so, whether it says what went wrong.
    fn goes_on(&mut self, line: &[u8]) -> Option<bool> {
        let indented = matches!(line.first(), Some(b' ' | b'\t'));
        match self.trace {
            Trace::Python if indented => Some(false),
            Trace::Python => {
                self.trace = Trace::PythonEnd;
                Some(true)
            }
            Trace::PythonEnd if line.is_empty() || is_python_link(line) => Some(false),
            Trace::RustWhy => {
                self.trace = Trace::Rust;
                Some(true)
            }
            Trace::Rust if line.starts_with(b"note: ") || line.starts_with(b"stack backtrace:") => {
                Some(false)
            }
            Trace::Go if is_go_frame(line) => Some(false),
            Trace::NodeWhere => {
                self.trace = Trace::NodeSource;
                Some(false)
            }
            Trace::NodeSource if indented || line.is_empty() || line.starts_with(b"^") => {
                Some(false)
            }
            Trace::NodeSource => {
                self.trace = Trace::Node;
                Some(true)
            }
            Trace::Node if line.is_empty() || line.starts_with(b"Node.js v") => Some(false),
            Trace::Gap => {
                self.trace = Trace::None;
                is_exception(line).then_some(true)
            }
            _ => self.usual(line, indented),
        }
    }

    /// Whether the trace is that of the line before it: loggers write both at once.
    fn announces_trace(&self) -> bool {
        let words = [&b"ERROR"[..], b"CRITICAL", b"error", b"Error", b"xception"];
        self.trace == Trace::PythonEnd || words.iter().any(|word| contains(&self.text, word))
    }

    /// Whether an exception on a line of its own belongs to it.
    fn announces_exception(&self) -> bool {
        self.trace == Trace::None && self.announces_trace() && !is_exception(&self.text)
    }

    fn usual(&mut self, line: &[u8], indented: bool) -> Option<bool> {
        if indented {
            return (!line.trim_ascii().is_empty()).then_some(false);
        }
        // The line first: what was said before it is searched for words, and few lines need that.
        let gap = line.is_empty();
        if self.lines == 1 && (gap || is_exception(line)) && self.announces_exception() {
            if gap {
                self.trace = Trace::Gap;
            }
            return Some(!gap);
        }
        if is_ruby_frame(line) && self.announces_trace() {
            return Some(false);
        }
        match line.first()? {
            b'T' if line.starts_with(TRACEBACK) && self.announces_trace() => {
                self.trace = Trace::Python;
                Some(false)
            }
            b'C' if line.starts_with(b"Caused by: ") => Some(true),
            b'S' if line.starts_with(b"Suppressed: ") => Some(false),
            // The end of an object whose fields were indented.
            b'}' | b']' | b')' => (self.lines > 1 && is_closing(line)).then_some(false),
            b'.' => line.starts_with(b"... ").then_some(false),
            b'-' => line.starts_with(b"--- End of ").then_some(false),
            b'g' if line.starts_with(b"goroutine ") && line.ends_with(b":") => {
                self.trace = Trace::Go;
                Some(false)
            }
            _ => None,
        }
    }
}

const TRACEBACK: &[u8] = b"Traceback (most recent call last):";

/// What a first line announces.
fn head(line: &[u8]) -> Trace {
    match line.first() {
        Some(b'T') if line.starts_with(TRACEBACK) => Trace::Python,
        Some(b'p') if line.starts_with(b"panic: ") => Trace::Go,
        Some(b'f') if line.starts_with(b"fatal error: ") => Trace::Go,
        Some(b't') if line.starts_with(b"thread '") && contains(line, b" panicked at ") => {
            if line.ends_with(b":") { Trace::RustWhy } else { Trace::Rust }
        }
        Some(b'/' | b'f' | b'n') if is_node_place(line) => Trace::NodeWhere,
        _ => Trace::None,
    }
}

/// `/app/till.js:17`, `node:internal/fs:7`
fn is_node_place(line: &[u8]) -> bool {
    let number = line.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let place = &line[..line.len() - number];
    let named = [&b".js:"[..], b".mjs:", b".cjs:", b".ts:"].iter().any(|end| place.ends_with(end));
    let inner = place.starts_with(b"node:") && place.ends_with(b":");
    number > 0 && !line.contains(&b' ') && (named || inner)
}

fn is_python_link(line: &[u8]) -> bool {
    line.starts_with(b"During handling of the above exception")
        || line.starts_with(b"The above exception was the direct cause")
}

fn is_go_frame(line: &[u8]) -> bool {
    line.is_empty()
        || line.starts_with(b"goroutine ")
        || line.starts_with(b"[signal ")
        || line.starts_with(b"created by ")
        || line.starts_with(b"exit status ")
        || line == b"runtime stack:"
        || is_go_call(line)
}

/// `main.(*till).open(...)`, `panic({0x473b00, 0xc0000a2000})`
fn is_go_call(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let called = name.starts_with(b"panic(")
        || name.iter().position(|byte| *byte == b'(').is_some_and(|at| name[..at].contains(&b'.'));
    called && line.ends_with(b")")
}

/// `java.io.IOException: gone`: what Java's loggers write below their own line.
fn is_exception(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    let ends = [&b"Exception"[..], b"Error", b"Throwable"];
    ends.iter().any(|end| name.ends_with(end))
        && name.split(|byte| *byte == b'.').count() > 2
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._$".contains(byte))
}

/// ``app/till.rb:7:in `open'``; newer ones write both quotes alike, Rails puts a request before.
fn is_ruby_frame(line: &[u8]) -> bool {
    line.ends_with(b"'") && contains(line, b"rb:") && contains(line, b":in ")
}

fn is_closing(line: &[u8]) -> bool {
    line.iter().all(|byte| b"}]);,".contains(byte))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).take(200).any(|window| window == part)
}

#[cfg(test)]
mod tests;
