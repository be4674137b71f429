use proptest::prelude::*;

use super::*;
use crate::docker::line::LONGEST_LINE;

const T1: &str = "2026-01-02T03:04:05.000000001Z";
const T2: &str = "2026-01-02T03:04:06.123456789Z";

fn frame(stream: u8, entry: &str) -> Vec<u8> {
    let mut bytes = vec![stream, 0, 0, 0];
    bytes.extend(u32::try_from(entry.len()).unwrap().to_be_bytes());
    bytes.extend(entry.as_bytes());
    bytes
}

fn decode(tty: bool, bytes: &[u8], chunk: usize) -> Vec<LogLine> {
    let mut decoder = Decoder::new(tty);
    let mut lines = vec![];
    for chunk in bytes.chunks(chunk.max(1)) {
        decoder.feed(chunk, &mut |line| lines.push(line));
    }
    decoder.finish(&mut |line| lines.push(line));
    lines
}

fn texts(lines: &[LogLine]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

#[test]
fn frames_are_lines_of_their_stream_with_nanoseconds() {
    let bytes = [frame(1, &format!("{T1} out\n")), frame(2, &format!("{T2} err\n"))].concat();
    let lines = decode(false, &bytes, 5);
    assert_eq!(texts(&lines), ["out", "err"]);
    assert_eq!((lines[0].stream, lines[1].stream), (LogStream::Stdout, LogStream::Stderr));
    assert_eq!(lines[1].at.timestamp_subsec_nanos(), 123_456_789);
}

#[test]
fn entries_without_a_line_end_are_joined_across_the_other_stream() {
    let bytes = [
        frame(1, &format!("{T1} one ")),
        frame(2, &format!("{T2} between\n")),
        frame(1, &format!("{T1} line\n")),
    ]
    .concat();
    let lines = decode(false, &bytes, 1000);
    assert_eq!(texts(&lines), ["between", "one line"]);
}

#[test]
fn a_line_in_many_fragments_comes_once_and_cut() {
    let fragment = "y".repeat(ENTRY);
    let mut bytes: Vec<u8> = (0..20).flat_map(|_| frame(1, &format!("{T1} {fragment}"))).collect();
    bytes.extend(frame(1, &format!("{T1} end\n")));
    bytes.extend(frame(1, &format!("{T2} next\n")));
    let lines = decode(false, &bytes, 4096);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0].text.len(), LONGEST_LINE);
    assert_eq!(texts(&lines)[1], "next");
}

#[test]
fn a_terminal_has_no_frames_and_its_fragments_carry_time_stamps_inside() {
    let head = format!("{}\r", "z".repeat(ENTRY - 1));
    let bytes = format!("{T1} first\r\n{T1} {head}{T1} tail\r\n{T2} last\r\n");
    let lines = decode(true, bytes.as_bytes(), 7);
    assert_eq!(texts(&lines)[0], "first");
    assert_eq!(texts(&lines)[lines.len() - 1], "last");
    assert!(lines.iter().all(|line| !line.text.contains("2026")), "{:?}", texts(&lines));
}

#[test]
fn the_daemons_own_complaint_is_told() {
    let mut decoder = Decoder::new(false);
    decoder.feed(&frame(3, "Error grabbing logs: no such file"), &mut |_| ());
    assert_eq!(decoder.complaint().as_deref(), Some("Error grabbing logs: no such file"));
}

#[test]
fn an_answer_that_is_no_log_is_noticed() {
    let mut decoder = Decoder::new(false);
    decoder.feed(b"<html>not a log</html>", &mut |_| ());
    assert!(decoder.complaint().unwrap().contains("not a container log"));
}

#[test]
fn text_without_a_time_stamp_takes_the_last_one() {
    let bytes =
        [frame(1, &format!("{T1} a\n")), frame(1, "no stamp here\n"), frame(1, "x")].concat();
    let lines = decode(false, &bytes, 3);
    assert_eq!(texts(&lines), ["a", "no stamp here", "x"]);
    assert_eq!(lines[1].at, lines[0].at);
}

#[test]
fn empty_frames_and_empty_lines_are_harmless() {
    let bytes =
        [frame(1, ""), frame(1, &format!("{T1} \n")), frame(2, &format!("{T2} b\n"))].concat();
    assert_eq!(texts(&decode(false, &bytes, 1)), ["", "b"]);
}

/// Something like a log, damaged here and there.
fn plausible() -> impl Strategy<Value = Vec<u8>> {
    let entry = (0u8..4, prop::collection::vec(any::<u8>(), 0..60), any::<bool>(), any::<bool>());
    prop::collection::vec(entry, 0..12).prop_map(|entries| {
        let mut bytes = vec![];
        for (stream, text, stamped, ended) in entries {
            let mut entry = if stamped { format!("{T1} ").into_bytes() } else { vec![] };
            entry.extend(text);
            if ended {
                entry.push(b'\n');
            }
            bytes.extend([stream, 0, 0, 0]);
            bytes.extend(u32::try_from(entry.len()).unwrap().to_be_bytes());
            bytes.extend(entry);
        }
        bytes
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_give_bounded_harmless_lines(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        tty: bool,
    ) {
        for line in decode(tty, &bytes, 100) {
            prop_assert!(line.text.len() <= LONGEST_LINE);
            prop_assert!(!line.text.chars().any(|c| c.is_control() && c != '\t'));
        }
    }

    #[test]
    fn cutting_into_other_chunks_changes_nothing(
        bytes in plausible(),
        chunk in 1usize..50,
        tty: bool,
    ) {
        prop_assert_eq!(decode(tty, &bytes, chunk), decode(tty, &bytes, bytes.len()));
    }

    #[test]
    fn long_terminal_lines_do_not_depend_on_chunks(
        lengths in prop::collection::vec(0usize..40_000, 1..4),
        chunk in 1usize..20_000,
    ) {
        let mut bytes = vec![];
        for length in lengths {
            for fragment in vec![b'q'; length].chunks(ENTRY) {
                bytes.extend(format!("{T1} ").as_bytes());
                bytes.extend(fragment);
            }
            bytes.push(b'\n');
        }
        let lines = decode(true, &bytes, chunk);
        prop_assert_eq!(&lines, &decode(true, &bytes, bytes.len()));
        prop_assert!(lines.iter().all(|line| !line.text.contains('T')), "no stamp inside");
    }
}
