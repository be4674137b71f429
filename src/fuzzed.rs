//! The doors through which bytes of strangers come in, each as a function that takes any bytes.
//!
//! One that panics, or breaks what it promises, is a fault: of a container that writes a log, of
//! whoever may send a job, of a file that was cut off. The tests call each over the seeds in
//! `fuzz/seeds` and what comes of them, some always and others for a few seconds
//! (`SELFHEAL_FUZZ_SECS`, `SELFHEAL_FUZZ_SEED`); `scripts/fuzz` does so for as long as one likes, led
//! by the code that is reached. Not part of the program.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use selfheal_agents::error_detector::Catalogue;
use selfheal_agents::model::{Backup, Incident, JournalRecord};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{config, docker, http, streams};

/// Takes any bytes.
pub type Door = fn(&[u8]);

/// All of them, by the names of their folders.
pub const DOORS: [(&str, Door); 7] = [
    ("docker_json", docker_json),
    ("log_frames", log_frames),
    ("settings", settings),
    ("journal", journal),
    ("http_bodies", http_bodies),
    ("stream_messages", stream_messages),
    ("runbooks", runbooks),
];

/// What Docker answers: inspections, lists, usage, events.
pub fn docker_json(bytes: &[u8]) {
    docker::fuzzed::answers(bytes);
}

/// A container's log as Docker frames it; how it is cut into pieces changes nothing.
pub fn log_frames(bytes: &[u8]) {
    docker::fuzzed::frames(bytes);
}

/// A settings file.
pub fn settings(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        config::fuzzed::read(text);
    }
}

/// What the store kept of fixes: read back, it is what was written.
pub fn journal(bytes: &[u8]) {
    comes_back::<JournalRecord>(bytes);
    comes_back::<Incident>(bytes);
    comes_back::<Backup>(bytes);
}

fn comes_back<T: DeserializeOwned + Serialize>(bytes: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(bytes) else { return };
    let written = serde_json::to_string(&read).expect("what was read can be written");
    let again: T = serde_json::from_str(&written).expect("what was written can be read");
    let twice = serde_json::to_string(&again).expect("what was read can be written");
    assert_eq!(written, twice, "it changes each time it is read");
}

/// Bodies, forms, ids and lengths of time of the API.
pub fn http_bodies(bytes: &[u8]) {
    http::fuzzed::bodies(bytes);
}

/// A message with fields, one a line, `name=value`.
pub fn stream_messages(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let fields: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    streams::fuzzed::job(&fields);
}

/// A runbook of one's own: read or refused, and what is read takes any line.
pub fn runbooks(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (catalogue, broken) = Catalogue::load([("own/runbook.toml".to_owned(), text.to_owned())]);
    assert!(broken.len() <= 1, "one file is broken once: {broken:?}");
    for line in text.lines().take(50) {
        let _ = catalogue.matches(line).count();
    }
}
