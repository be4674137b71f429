//! Docker's answers, as whatever bytes (see `crate::fuzzed`).

use bollard::models::EventMessage;
use selfheal_agents::model::LogLine;

use super::inspect::{Inspect, Listed};
use super::line::LONGEST_LINE;
use super::log_decoder::Decoder;
use super::usage::{Samples, Stats};
use super::{events, facts, wire};

/// Inspections, lists, usage, events, refusals.
pub(crate) fn answers(bytes: &[u8]) {
    if let Ok(inspect) = serde_json::from_slice::<Inspect>(bytes) {
        let facts = facts::of_inspect(&inspect);
        assert!(facts.name.chars().all(|c| !c.is_control()), "{:?}", facts.name);
    }
    for listed in serde_json::from_slice::<Vec<Listed>>(bytes).unwrap_or_default() {
        facts::of_list(&listed);
    }
    if let Ok(stats) = serde_json::from_slice::<Stats>(bytes) {
        let samples = Samples::default();
        for _ in 0..2 {
            let usage = samples.usage("one", &stats);
            assert!(usage.cpu_percent.is_none_or(|percent| percent >= 0.0), "{usage:?}");
        }
    }
    if let Ok(message) = serde_json::from_slice::<EventMessage>(bytes) {
        events::fuzzed(&message);
    }
    wire::message_of(bytes);
}

/// Bytes of a log, whole and in pieces.
pub(crate) fn frames(bytes: &[u8]) {
    for tty in [false, true] {
        let whole = lines(tty, [bytes]);
        let size = usize::from(bytes.first().copied().unwrap_or(1)).max(1);
        assert_eq!(whole, lines(tty, bytes.chunks(size)), "in pieces of {size} bytes");
        for line in whole {
            // A sign may be written as up to three bytes that stand for one that was none.
            assert!(line.text.len() <= LONGEST_LINE * 3 + 64, "{} bytes", line.text.len());
            assert!(line.text.chars().all(|c| c == '\t' || !c.is_control()), "{:?}", line.text);
        }
    }
}

fn lines<'a>(tty: bool, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<LogLine> {
    let (mut decoder, mut lines) = (Decoder::new(tty), vec![]);
    for piece in pieces {
        decoder.feed(piece, &mut |line| lines.push(line));
    }
    let _ = decoder.complaint();
    decoder.finish(&mut |line| lines.push(line));
    lines
}
