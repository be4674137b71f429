//! Lines of any input, with bounded memory.

use std::io::{self, BufRead, BufReader, Read};

/// The longest line handed on, in bytes; the rest of it is skipped.
const MAX_LINE: usize = 64 * 1024;
const BUFFER: usize = 256 * 1024;

/// Calls `line` for every line of `input`, without its line feed. A last line without one
/// counts.
pub(super) fn each(input: impl Read, mut line: impl FnMut(&[u8])) -> io::Result<()> {
    let mut input = BufReader::with_capacity(BUFFER, input);
    // The beginning of a line that goes on beyond the buffer.
    let mut begun: Vec<u8> = vec![];
    let mut open = false;
    loop {
        let buffer = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let length = buffer.len();
        if length == 0 {
            break;
        }
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', buffer) {
            let part = &buffer[from..end];
            if open {
                keep(&mut begun, part);
                line(without_return(&begun));
                begun.clear();
                open = false;
            } else {
                line(without_return(&part[..part.len().min(MAX_LINE)]));
            }
            from = end + 1;
        }
        if from < length {
            keep(&mut begun, &buffer[from..]);
            open = true;
        }
        input.consume(length);
    }
    if open {
        line(without_return(&begun));
    }
    Ok(())
}

fn keep(begun: &mut Vec<u8>, part: &[u8]) {
    let room = MAX_LINE.saturating_sub(begun.len());
    begun.extend_from_slice(&part[..part.len().min(room)]);
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = vec![];
        each(input, |line| lines.push(line.to_vec())).unwrap();
        lines
    }

    #[test]
    fn every_line_comes_once_whatever_ends_it() {
        assert_eq!(lines(b"a\r\n\nb\nc"), [&b"a"[..], b"", b"b", b"c"]);
        assert_eq!(lines(b"a\n"), [b"a"]);
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn a_line_across_buffers_is_one_line_and_one_without_end_is_cut() {
        let mut input = vec![b'x'; BUFFER - 3];
        input.extend_from_slice(b"\nabcdef\n");
        assert_eq!(lines(&input)[1], b"abcdef");
        let endless = vec![b'y'; 10_000_000];
        let found = lines(&endless);
        assert_eq!((found.len(), found[0].len()), (1, MAX_LINE));
    }
}
