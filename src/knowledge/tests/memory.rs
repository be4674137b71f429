use allocation_counter::measure;
use selfheal_agents::error_detector::Catalogue;

const MIB: u64 = 1024 * 1024;
/// Bytes of a line that are looked at.
const LOOKED_AT: usize = 8 * 1024;
/// What one compiled pattern may hold on the average, with what it remembers of lines.
const PATTERN_BYTES: u64 = 64 * 1024;

/// The most memory that searching these lines held at one time beyond what was held before.
fn held(catalogue: &Catalogue, lines: &[&[u8]]) -> u64 {
    measure(|| catalogue.matches_in(lines, |line| line, |_, _| {})).bytes_max
}

#[test]
fn searching_takes_no_more_memory_for_more_lines_nor_for_longer_ones() {
    let (catalogue, _) = super::load(None, super::Keep::Everything);
    let examples = catalogue.iter().flat_map(|runbook| runbook.examples.matching.iter());
    let words: Vec<&str> = examples.map(String::as_str).collect();
    let words = words.join(" ");
    let lines: Vec<&[u8]> = words.as_bytes().chunks(LOOKED_AT).collect();
    let signatures = catalogue.iter().flat_map(|runbook| &runbook.signatures);
    let patterns = signatures.filter(|signature| signature.log.is_some()).count() as u64;

    // Words of all runbooks: nearly every pattern is compiled, and kept.
    let first = held(&catalogue, &lines);
    assert!((10 * MIB..patterns * PATTERN_BYTES).contains(&first), "{first} of {patterns}");

    let many = lines.repeat(10);
    let long = words.repeat(1 + 10_000_000 / words.len());
    let empty = vec![&b""[..]; 1_000_000];
    for lines in [&many, &vec![long.as_bytes()], &empty] {
        let more = held(&catalogue, lines);
        assert!(more < MIB, "{more} for {} lines", lines.len());
    }
}
