use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;

/// What is put in where something is changed: where readers of numbers, texts and trees go wrong.
const ODD: [&[u8]; 16] = [
    b"\0",
    b"\xff",
    b"\n",
    b"\"",
    b"\\u0000",
    b"[[[[[[[[",
    b"{\"a\":{\"a\":",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"null",
    b"\x01\0\0\0\xff\xff\xff\xff",
    b"9999-99-99T99:99:99Z",
    b"\xe2\x80\xae",
    b"(a|b)*{1000}",
    b"99999999999999999999h",
];

/// One change: where, how many bytes go, and what comes.
type Change = (prop::sample::Index, usize, usize);

fn changed(seed: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for (at, gone, comes) in changes {
        let at = if bytes.is_empty() { 0 } else { at.index(bytes.len()) };
        let end = (at + gone).min(bytes.len());
        let comes = ODD.get(*comes).map_or_else(|| bytes[at..end].repeat(2), |odd| odd.to_vec());
        bytes.splice(at..end, comes);
    }
    bytes
}

/// For so long each door is thrown at with inputs that nobody has seen, ...
const SECS: &str = "SELFHEAL_FUZZ_SECS";
/// ... which come of this number; it is told, and given again it brings the same.
const SEED: &str = "SELFHEAL_FUZZ_SEED";
/// As many at once.
const BATCH: u32 = 100;

fn runner(cases: u32, rng: TestRng) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, rng)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a whole number, not {text}")))
}

fn rng_of(seed: u64, nth: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&nth.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

fn seeds(door: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(door);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} holds no seeds", folder.display());
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Each seed as it is, cut off everywhere, and with a few changes: always the same, so that a failure
/// comes again, and then others for a bounded time.
fn tried(name: &str, cases: u32) {
    let door = DOORS.iter().find(|(of, _)| *of == name).expect("the door is there").1;
    let seeds = seeds(name);
    for seed in &seeds {
        door(seed);
        let step = (seed.len() / 50).max(1);
        (0..seed.len()).step_by(step).for_each(|end| door(&seed[..end]));
    }
    let change = (any::<prop::sample::Index>(), 0..12_usize, 0..ODD.len() + 4);
    let inputs = (prop::sample::select(seeds), prop::collection::vec(change, 1..6));
    let throw = |cases: u32, rng: TestRng, what: &str| {
        let all = runner(cases, rng).run(&inputs, |(seed, changes)| {
            door(&changed(&seed, &changes));
            Ok(())
        });
        all.unwrap_or_else(|error| panic!("{name}, {what}: {error}"));
    };
    throw(cases, TestRng::deterministic_rng(RngAlgorithm::ChaCha), "as always");
    let seed = number(SEED).unwrap_or_else(|| RandomState::new().hash_one(name));
    let (again, begun) = (format!("{SEED}={seed}"), Instant::now());
    let time = Duration::from_secs(number(SECS).unwrap_or(3));
    // A runner that has run does nothing more.
    let batches = (0..).take_while(|_| begun.elapsed() < time);
    let thrown = batches.map(|nth| throw(BATCH, rng_of(seed, nth), &again)).count();
    let _ = writeln!(std::io::stderr(), "{name}: {thrown} times {BATCH} with {again}");
}

#[test]
fn whatever_docker_answers_is_read_or_refused() {
    tried("docker_json", 2000);
}

#[test]
fn whatever_a_container_writes_is_lines() {
    tried("log_frames", 2000);
}

#[test]
fn whatever_stands_in_the_settings_is_read_or_refused() {
    tried("settings", 300);
}

#[test]
fn whatever_stands_in_the_store_is_read_or_refused() {
    tried("journal", 2000);
}

#[test]
fn whatever_is_sent_to_the_api_is_read_or_refused() {
    tried("http_bodies", 2000);
}

#[test]
fn whatever_comes_by_redis_is_read_or_refused() {
    tried("stream_messages", 2000);
}

#[test]
fn whatever_is_written_as_a_runbook_is_read_or_refused() {
    tried("runbooks", 300);
}

#[test]
fn every_door_is_one_that_scripts_fuzz_throws_at_too() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&manifest).unwrap();
    let targets = manifest["bin"].as_array().unwrap();
    assert_eq!(targets.len(), DOORS.len());
    for (target, (name, _)) in targets.iter().zip(DOORS) {
        assert_eq!(target["name"].as_str(), Some(name));
        let text = std::fs::read_to_string(folder.join(target["path"].as_str().unwrap())).unwrap();
        assert!(text.contains(&format!("selfheal::fuzzed::{name}(bytes)")), "{name}: {text}");
    }
}
