//! From the bytes of Docker's log answer to lines.
//!
//! Pure. Without a terminal the answer is a row of frames, eight bytes of header (stream and
//! length) and then one log entry; with one it is the entries alone. An entry is a time
//! stamp, a space and text. Docker splits a line at 16 KiB into entries that lack the line
//! end, all with the time of the first; they are joined again. How the bytes are cut into
//! chunks changes nothing, and no input makes it fail: what is not understood is text.

use chrono::{DateTime, Utc};
use selfheal_agents::model::{LogLine, LogStream, Timestamp};

use super::line::LineText;

/// Docker's longest entry, in bytes.
const ENTRY: usize = 16 * 1024;
/// Length of a frame's header.
const HEADER: usize = 8;
/// The longest time stamp: nanoseconds and an offset are 35 bytes.
const LONGEST_STAMP: usize = 40;
/// The longest message of the daemon kept, in bytes.
const LONGEST_COMPLAINT: usize = 1024;

/// The stream a frame belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    Log(LogStream),
    /// The daemon itself says why the log ends.
    Complaint,
}

#[derive(Debug)]
enum Framing {
    /// One raw stream.
    Terminal,
    /// Reading a header.
    Header { read: Vec<u8> },
    /// In a frame, with so many bytes to come.
    Payload { frame: Frame, left: usize },
    /// What came is no log: the rest is ignored.
    Broken,
}

/// One of the two streams.
#[derive(Debug)]
struct Source {
    stream: LogStream,
    /// What was read of an entry's time stamp; `None` in its text.
    stamp: Option<Vec<u8>>,
    /// The time of the line being written; `None` between lines.
    at: Option<Timestamp>,
    /// The last time stamp, for text without one.
    last: Timestamp,
    line: LineText,
    /// Bytes of text since the last time stamp.
    since_stamp: usize,
}

/// Takes bytes, gives lines.
#[derive(Debug)]
pub(super) struct Decoder {
    framing: Framing,
    stdout: Source,
    stderr: Source,
    complaint: Vec<u8>,
    entries: u64,
}

impl Decoder {
    /// For a container with a terminal or without.
    pub(super) fn new(tty: bool) -> Self {
        let framing = if tty { Framing::Terminal } else { Framing::Header { read: vec![] } };
        let mut decoder = Self {
            framing,
            stdout: Source::new(LogStream::Stdout),
            stderr: Source::new(LogStream::Stderr),
            complaint: vec![],
            entries: 0,
        };
        if tty {
            decoder.stdout.begin_entry();
        }
        decoder
    }

    /// How many log entries began; a long line is several.
    pub(super) const fn entries(&self) -> u64 {
        self.entries
    }

    /// Why the daemon could not read on, or that this is no log.
    pub(super) fn complaint(&self) -> Option<String> {
        if matches!(self.framing, Framing::Broken) {
            return Some("the answer is not a container log".to_owned());
        }
        let complaint = String::from_utf8_lossy(&self.complaint);
        (!complaint.is_empty()).then(|| complaint.into_owned())
    }

    /// Takes the next bytes and gives every line that is complete.
    pub(super) fn feed(&mut self, mut bytes: &[u8], lines: &mut impl FnMut(LogLine)) {
        while !bytes.is_empty() {
            let taken = match &mut self.framing {
                Framing::Broken => return,
                Framing::Terminal => {
                    self.entries += self.stdout.terminal(bytes, lines);
                    bytes.len()
                }
                Framing::Header { read } => {
                    let taken = bytes.len().min(HEADER - read.len());
                    read.extend(&bytes[..taken]);
                    if read.len() == HEADER {
                        self.open_frame(lines);
                    }
                    taken
                }
                Framing::Payload { frame, left } => {
                    let taken = bytes.len().min(*left);
                    *left -= taken;
                    let (frame, done) = (*frame, *left == 0);
                    self.payload(frame, &bytes[..taken], done, lines);
                    taken
                }
            };
            bytes = &bytes[taken..];
        }
    }

    /// Gives the lines that never ended.
    pub(super) fn finish(mut self, lines: &mut impl FnMut(LogLine)) {
        for source in [&mut self.stdout, &mut self.stderr] {
            source.end_entry(lines);
            if let Some(text) = source.line.rest() {
                let at = source.at.unwrap_or(source.last);
                lines(LogLine { at, stream: source.stream, text });
            }
        }
    }

    fn open_frame(&mut self, lines: &mut impl FnMut(LogLine)) {
        let Framing::Header { read } = &self.framing else { return };
        let left = u32::from_be_bytes([read[4], read[5], read[6], read[7]]) as usize;
        let frame = match (read[0], &read[1..4]) {
            (0 | 1, [0, 0, 0]) => Frame::Log(LogStream::Stdout),
            (2, [0, 0, 0]) => Frame::Log(LogStream::Stderr),
            (3, [0, 0, 0]) => Frame::Complaint,
            _ => {
                self.framing = Framing::Broken;
                return;
            }
        };
        if let Frame::Log(stream) = frame {
            self.entries += 1;
            self.source(stream).begin_entry();
        }
        self.framing = Framing::Payload { frame, left };
        if left == 0 {
            self.payload(frame, &[], true, lines);
        }
    }

    fn payload(&mut self, frame: Frame, bytes: &[u8], done: bool, lines: &mut impl FnMut(LogLine)) {
        match frame {
            Frame::Log(stream) => {
                let source = self.source(stream);
                source.entry(bytes, lines);
                if done {
                    source.end_entry(lines);
                }
            }
            Frame::Complaint => {
                let room = LONGEST_COMPLAINT.saturating_sub(self.complaint.len());
                self.complaint.extend(&bytes[..bytes.len().min(room)]);
            }
        }
        if done {
            self.framing = Framing::Header { read: Vec::with_capacity(HEADER) };
        }
    }

    const fn source(&mut self, stream: LogStream) -> &mut Source {
        match stream {
            LogStream::Stdout => &mut self.stdout,
            LogStream::Stderr => &mut self.stderr,
        }
    }
}

impl Source {
    fn new(stream: LogStream) -> Self {
        Self {
            stream,
            stamp: None,
            at: None,
            last: DateTime::UNIX_EPOCH,
            line: LineText::default(),
            since_stamp: 0,
        }
    }

    fn begin_entry(&mut self) {
        self.stamp = Some(Vec::new());
        self.since_stamp = 0;
    }

    /// Takes bytes of one entry.
    fn entry(&mut self, bytes: &[u8], lines: &mut impl FnMut(LogLine)) {
        let mut rest = bytes;
        while let (Some(_), Some((byte, after))) = (&self.stamp, rest.split_first()) {
            self.stamp_byte(*byte, lines);
            rest = after;
        }
        self.text(rest, lines);
    }

    /// Takes bytes of a terminal's stream, where nothing but line ends and the length of an
    /// entry tells where the next one begins; gives the number of entries begun.
    fn terminal(&mut self, bytes: &[u8], lines: &mut impl FnMut(LogLine)) -> u64 {
        let mut begun = 0;
        for byte in bytes {
            begun += u64::from(self.stamp.as_ref().is_some_and(Vec::is_empty));
            if self.stamp.is_some() {
                self.stamp_byte(*byte, lines);
            } else {
                self.since_stamp += 1;
                self.text(&[*byte], lines);
            }
            let in_text = self.stamp.is_none();
            if in_text && (*byte == b'\n' || self.since_stamp == ENTRY) {
                self.begin_entry();
            }
        }
        begun
    }

    fn stamp_byte(&mut self, byte: u8, lines: &mut impl FnMut(LogLine)) {
        let Some(stamp) = &mut self.stamp else { return };
        if byte != b' ' && byte != b'\n' && stamp.len() < LONGEST_STAMP {
            stamp.push(byte);
            return;
        }
        let read = self.stamp.take().unwrap_or_default();
        match parse_stamp(&read) {
            Some(at) if byte == b' ' => {
                self.last = at;
                // The fragments of a long line are as old as its beginning.
                self.at.get_or_insert(at);
            }
            _ => {
                self.text(&read, lines);
                self.text(&[byte], lines);
            }
        }
    }

    fn end_entry(&mut self, lines: &mut impl FnMut(LogLine)) {
        if let Some(read) = self.stamp.take() {
            self.text(&read, lines);
        }
    }

    fn text(&mut self, bytes: &[u8], lines: &mut impl FnMut(LogLine)) {
        for byte in bytes {
            let at = *self.at.get_or_insert(self.last);
            if let Some(text) = self.line.push(*byte) {
                lines(LogLine { at, stream: self.stream, text });
            }
            if *byte == b'\n' {
                self.at = None;
            }
        }
    }
}

fn parse_stamp(bytes: &[u8]) -> Option<Timestamp> {
    // Cheap refusal of ordinary words: a time stamp has its first dash there.
    if bytes.get(4) != Some(&b'-') {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?;
    Some(DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc))
}

#[cfg(test)]
mod tests;
