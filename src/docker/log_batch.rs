//! Which lines of an answer are new, and where to go on next time.
//!
//! Pure. A cursor is a time and the number of lines of exactly that time that were read, so
//! nothing is read twice or missed, whatever shares a nanosecond. Docker writes the two
//! streams side by side, and under load a line is written after one that is younger; so the
//! counts of the last second are kept in memory, and what turns up late in it is new. The
//! newest lines win when there are too many, in number or in bytes; the others are counted.

use std::collections::{BTreeMap, VecDeque};

use chrono::TimeDelta;
use selfheal_agents::model::{LogBatch, LogCursor, LogLine, Timestamp};

/// The most text kept in one batch, in bytes.
const LARGEST_BATCH: usize = 8 * 1024 * 1024;
/// How late a line may be written after a younger one.
const LATENESS: TimeDelta = TimeDelta::seconds(1);
/// The most time stamps remembered of a container.
const MOST_STAMPS: usize = 2000;

/// What was read around a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// The cursor it belongs to.
    pub(super) cursor: LogCursor,
    /// Everything older was read or is lost.
    pub(super) from: Timestamp,
    /// Lines read of each time since `from`.
    counts: BTreeMap<Timestamp, u32>,
}

impl Seen {
    /// What the cursor alone tells.
    pub(super) fn of(cursor: LogCursor) -> Self {
        let counts = BTreeMap::from([(cursor.at, cursor.seen_at)]);
        Self { cursor, from: cursor.at, counts }
    }

    /// How many time stamps it holds.
    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    fn add(&mut self, at: Timestamp) {
        let count = self.counts.entry(at).or_default();
        *count = count.saturating_add(1);
        if at >= self.cursor.at {
            self.cursor = LogCursor { at, seen_at: *count };
        }
        self.from = self.from.max(self.cursor.at - LATENESS);
        while self.counts.len() > MOST_STAMPS
            || self.counts.first_key_value().is_some_and(|(at, _)| *at < self.from)
        {
            let Some((at, _)) = self.counts.pop_first() else { break };
            self.from = self.from.max(at + TimeDelta::nanoseconds(1));
        }
    }
}

/// Gathers the lines after a cursor.
#[derive(Debug)]
pub(super) struct Gathering {
    /// What was read before.
    before: Option<Seen>,
    /// Lines of each remembered time that went by again.
    passed: BTreeMap<Timestamp, u32>,
    /// What was read before and now.
    seen: Option<Seen>,
    max_lines: usize,
    lines: VecDeque<LogLine>,
    bytes: usize,
    dropped: u64,
}

impl Gathering {
    /// What is new after `before`, at most `max_lines`.
    pub(super) fn new(before: Option<Seen>, max_lines: usize) -> Self {
        Self {
            passed: BTreeMap::new(),
            seen: before.clone(),
            before,
            max_lines,
            lines: VecDeque::new(),
            bytes: 0,
            dropped: 0,
        }
    }

    /// Takes the next line of the log.
    pub(super) fn take(&mut self, line: LogLine) {
        if self.was_read(line.at) {
            return;
        }
        match &mut self.seen {
            Some(seen) => seen.add(line.at),
            // More lines of this time may lie before the part of the log that was asked for.
            None => self.seen = Some(Seen::of(LogCursor { at: line.at, seen_at: 1 })),
        }
        self.bytes += line.text.len();
        self.lines.push_back(line);
        while self.lines.len() > self.max_lines || self.bytes > LARGEST_BATCH {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.text.len();
            self.dropped += 1;
        }
    }

    /// What was gathered, and what to remember for the next time.
    pub(super) fn finish(self) -> (LogBatch, Option<Seen>) {
        let cursor = self.seen.as_ref().map(|seen| seen.cursor);
        let batch = LogBatch { lines: self.lines.into(), cursor, dropped: self.dropped };
        (batch, self.seen)
    }

    fn was_read(&mut self, at: Timestamp) -> bool {
        let Some(before) = &self.before else { return false };
        let Some(count) = before.counts.get(&at) else { return at < before.from };
        let passed = self.passed.entry(at).or_default();
        *passed = passed.saturating_add(1);
        *passed <= *count
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use selfheal_agents::model::LogStream;

    use super::*;

    fn line(nanos: i64, text: &str) -> LogLine {
        LogLine {
            at: chrono::DateTime::from_timestamp_nanos(nanos),
            stream: LogStream::Stdout,
            text: text.to_owned(),
        }
    }

    fn remembering(log: &[LogLine], before: Option<Seen>) -> (LogBatch, Option<Seen>) {
        let mut gathering = Gathering::new(before, 1000);
        log.iter().cloned().for_each(|line| gathering.take(line));
        gathering.finish()
    }

    fn gather(log: &[LogLine], since: Option<LogCursor>, max_lines: usize) -> LogBatch {
        let mut gathering = Gathering::new(since.map(Seen::of), max_lines);
        log.iter().cloned().for_each(|line| gathering.take(line));
        gathering.finish().0
    }

    #[test]
    fn the_newest_lines_win_and_the_others_are_counted() {
        let log: Vec<LogLine> = (0..10).map(|n| line(n, &n.to_string())).collect();
        let batch = gather(&log, None, 3);
        assert_eq!((batch.lines.len(), batch.lines[0].text.as_str(), batch.dropped), (3, "7", 7));
    }

    #[test]
    fn an_empty_log_keeps_the_cursor() {
        let since = Some(LogCursor { at: chrono::DateTime::UNIX_EPOCH, seen_at: 2 });
        assert_eq!(gather(&[], since, 3).cursor, since);
        assert_eq!(gather(&[], None, 3).cursor, None);
    }

    #[test]
    fn text_is_bounded_in_bytes_too() {
        let big = "x".repeat(1024 * 1024);
        let log: Vec<LogLine> = (0..20).map(|n| line(n, &big)).collect();
        let batch = gather(&log, None, 100);
        assert_eq!((batch.lines.len(), batch.dropped), (8, 12));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let log: Vec<LogLine> = (0..10_000).map(|n| line(n, "x")).collect();
        let (_, seen) = remembering(&log, None);
        assert_eq!(seen.unwrap().len(), MOST_STAMPS);
        let sparse: Vec<LogLine> = (0..10).map(|n| line(n * 400_000_000, "x")).collect();
        assert_eq!(remembering(&sparse, None).1.unwrap().len(), 3, "one second");
    }

    #[test]
    fn a_line_older_than_what_is_known_is_not_new() {
        let (_, seen) = remembering(&[line(5, "a"), line(2_000_000_000, "b")], None);
        let log = [line(4, "before"), line(5, "a"), line(2_000_000_000, "b")];
        assert_eq!(remembering(&log, seen).0.lines, []);
    }

    proptest! {
        #[test]
        fn a_line_written_late_is_read_once(
            stamps in prop::collection::vec(10i64..30, 1..40),
            cut in 1usize..40,
        ) {
            // The first line is the oldest: what is older was never promised.
            let log: Vec<LogLine> = std::iter::once(9).chain(stamps).enumerate()
                .map(|(n, at)| line(at, &n.to_string())).collect();
            let cut = cut.min(log.len());
            let (first, seen) = remembering(&log[..cut], None);
            let (second, _) = remembering(&log, seen);
            let mut read: Vec<String> =
                first.lines.into_iter().chain(second.lines).map(|line| line.text).collect();
            read.sort_by_key(|text| text.parse::<usize>().unwrap());
            // Of lines with one stamp the log tells only how many: texts may swap, none is lost.
            prop_assert_eq!(read.len(), log.len());
        }

        #[test]
        fn reading_in_two_parts_gives_every_line_once(
            gaps in prop::collection::vec(0i64..2, 0..40),
            cut in 0usize..40,
        ) {
            let mut at = 0;
            let log: Vec<LogLine> = gaps.iter().enumerate().map(|(n, gap)| {
                at += gap;
                line(at, &n.to_string())
            }).collect();
            let cut = cut.min(log.len());
            let first = gather(&log[..cut], None, 1000);
            let second = gather(&log, first.cursor, 1000);
            let read: Vec<LogLine> = first.lines.into_iter().chain(second.lines).collect();
            prop_assert_eq!(read, log);
        }
    }
}
