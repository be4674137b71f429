//! A whole log as it is at one moment: its files, oldest first, each up to where it then ended.
//!
//! It is read piece by piece, however long it is, and holds no lock while that goes on: what is
//! written is never changed, what is appended meanwhile is not looked at, and a file that is removed
//! can be read to its end.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use memchr::memchr;

use super::chain::LONGEST_LINE;
use super::entry::Entry;
use super::file::{FILE, newest_file};
use super::kept::put_away;

/// What is read of a file's end at first, an entry.
const ENTRY_BYTES: u64 = 1024;
/// And at least.
const LEAST_READ: u64 = 64 * 1024;

/// What a file can do.
trait Readable: Read + Seek + Send {}
impl<T: Read + Seek + Send> Readable for T {}

/// One file of a log.
pub(super) struct Part {
    /// Its name, unless it is the newest.
    pub(super) name: Option<String>,
    length: u64,
    bytes: Box<dyn Readable>,
}

/// The files of a log, oldest first.
pub struct Log(pub(super) Vec<Part>);

impl Log {
    /// The log of a data directory; of no file where there is none yet.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        // While it is held nothing is put away, so that nothing is met twice or not at all.
        let newest = newest_file(&data_dir.join(FILE))?;
        let mut parts = vec![];
        for away in put_away(data_dir)? {
            match File::open(&away.path) {
                Ok(file) => parts.push(Part::of(Some(away.name), file)?),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(newest) = newest {
            newest.unlock()?;
            parts.push(Part::of(None, newest)?);
        }
        Ok(Self(parts))
    }

    /// A log that is in memory.
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        let length = bytes.len() as u64;
        Self(vec![Part { name: None, length, bytes: Box::new(Cursor::new(bytes)) }])
    }

    /// The newest entries, newest first, as far as they are as they were written. Only the end that
    /// they stand in is read.
    pub fn newest(mut self, limit: usize) -> io::Result<Vec<Entry>> {
        let mut found = vec![];
        for part in self.0.iter_mut().rev() {
            if found.len() >= limit {
                break;
            }
            found.extend(part.newest(limit - found.len())?);
        }
        Ok(found)
    }

    /// Everything that is written, as it is written, to be read from its beginning.
    pub fn text(self) -> impl BufRead {
        let nothing: Box<dyn Read> = Box::new(io::empty());
        let all = self.0.into_iter().fold(nothing, |all, part| {
            Box::new(all.chain(part.bytes.take(part.length))) as Box<dyn Read>
        });
        BufReader::new(all)
    }
}

impl Part {
    fn of(name: Option<String>, file: File) -> io::Result<Self> {
        Ok(Self { name, length: file.metadata()?.len(), bytes: Box::new(file) })
    }

    /// Calls `each` with every line, without its end and cut off where it is longer than any of
    /// ours. Answers how many bytes stand after the last end of a line.
    pub(super) fn lines(self, each: impl FnMut(&[u8])) -> io::Result<usize> {
        lines(BufReader::new(self.bytes.take(self.length)), each)
    }

    fn newest(&mut self, limit: usize) -> io::Result<Vec<Entry>> {
        let mut wanted = (limit as u64).saturating_mul(ENTRY_BYTES).max(LEAST_READ);
        loop {
            let from = self.length.saturating_sub(wanted);
            self.bytes.seek(SeekFrom::Start(from))?;
            let mut end = vec![];
            (&mut self.bytes).take(self.length - from).read_to_end(&mut end)?;
            // The first of them is cut off somewhere.
            let whole = if from == 0 { Some(0) } else { memchr(b'\n', &end) };
            let lines = end[whole.unwrap_or(end.len())..].rsplit(|byte| *byte == b'\n');
            let found: Vec<Entry> = lines.filter_map(Entry::read).take(limit).collect();
            if found.len() >= limit || from == 0 {
                return Ok(found);
            }
            wanted = wanted.saturating_mul(4);
        }
    }
}

fn lines(mut text: impl BufRead, mut each: impl FnMut(&[u8])) -> io::Result<usize> {
    let (mut line, mut length) = (vec![], 0);
    loop {
        let there = text.fill_buf()?;
        if there.is_empty() {
            return Ok(length);
        }
        let end = memchr(b'\n', there);
        let piece = &there[..end.unwrap_or(there.len())];
        let room = (LONGEST_LINE + 1).saturating_sub(line.len());
        line.extend_from_slice(&piece[..piece.len().min(room)]);
        length += piece.len();
        let used = piece.len() + usize::from(end.is_some());
        text.consume(used);
        if end.is_some() {
            each(&line);
            line.clear();
            length = 0;
        }
    }
}
