//! Which lines of an answer are new, and where to go on next time.
//!
//! Pure. A cursor is a time and the number of lines of exactly that time that were read; so
//! nothing is read twice or missed, whatever shares a nanosecond. The newest lines win when
//! there are too many, in number or in bytes, and the others are counted.

use std::collections::VecDeque;

use selfheal_agents::model::{LogBatch, LogCursor, LogLine};

/// The most text kept in one batch, in bytes.
const LARGEST_BATCH: usize = 8 * 1024 * 1024;

/// Gathers the lines after a cursor.
#[derive(Debug)]
pub(super) struct Gathering {
    since: Option<LogCursor>,
    /// Lines of exactly the time of `since` that went by.
    passed: u32,
    max_lines: usize,
    lines: VecDeque<LogLine>,
    bytes: usize,
    cursor: Option<LogCursor>,
    dropped: u64,
}

impl Gathering {
    /// Lines after `since`, at most `max_lines`.
    pub(super) const fn new(since: Option<LogCursor>, max_lines: usize) -> Self {
        let lines = VecDeque::new();
        Self { since, passed: 0, max_lines, lines, bytes: 0, cursor: since, dropped: 0 }
    }

    /// Takes the next line of the log.
    pub(super) fn take(&mut self, line: LogLine) {
        if self.was_read(&line) {
            return;
        }
        self.cursor = Some(match self.cursor {
            Some(cursor) if line.at < cursor.at => cursor,
            Some(LogCursor { at, seen_at }) if line.at == at => {
                LogCursor { at, seen_at: seen_at.saturating_add(1) }
            }
            _ => LogCursor { at: line.at, seen_at: 1 },
        });
        self.bytes += line.text.len();
        self.lines.push_back(line);
        while self.lines.len() > self.max_lines || self.bytes > LARGEST_BATCH {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.text.len();
            self.dropped += 1;
        }
    }

    /// What was gathered.
    pub(super) fn finish(self) -> LogBatch {
        LogBatch { lines: self.lines.into(), cursor: self.cursor, dropped: self.dropped }
    }

    fn was_read(&mut self, line: &LogLine) -> bool {
        let Some(since) = self.since else { return false };
        if line.at == since.at && self.passed < since.seen_at {
            self.passed += 1;
            return true;
        }
        line.at < since.at
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

    fn gather(log: &[LogLine], since: Option<LogCursor>, max_lines: usize) -> LogBatch {
        let mut gathering = Gathering::new(since, max_lines);
        log.iter().cloned().for_each(|line| gathering.take(line));
        gathering.finish()
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

    proptest! {
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
