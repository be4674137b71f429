//! What another program alerts about: Prometheus' Alertmanager, Grafana, or what speaks like them.
//!
//! Its texts come from strangers: they are bounded, cleaned and redacted when it is built, and
//! nothing else builds one. It is hearsay: it says that somebody complains, not what is so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Severity, Timestamp, clean};

/// Labels kept of one alert.
const LABELS: usize = 64;
/// The longest label kept, in characters.
const LABEL: usize = 200;
/// The longest fingerprint taken as it is, in characters.
const FINGERPRINT: usize = 64;
/// The longest summary, in characters.
const SUMMARY: usize = 300;

/// An alert of another program that fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutsideAlert {
    /// Tells it from others; the same alert told twice has the same.
    pub fingerprint: String,
    /// What it is called there (`alertname`).
    pub name: String,
    /// How bad that program says it is.
    pub severity: Severity,
    /// What it says, in a sentence; may be empty.
    pub summary: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it was first told here, by our clock.
    pub first_heard: Timestamp,
    /// When it was last told here.
    pub last_heard: Timestamp,
}

impl OutsideAlert {
    /// An alert as it came, told at `at`.
    pub fn heard(
        fingerprint: &str,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
        at: Timestamp,
    ) -> Self {
        let named = |names: &[&str], all: &BTreeMap<String, String>| {
            names.iter().find_map(|name| all.get(*name)).map(|text| clean(text.trim(), SUMMARY))
        };
        let name = named(&["alertname"], labels).filter(|name| !name.is_empty());
        let kept = labels.iter().take(LABELS);
        Self {
            fingerprint: Self::fingerprint_of(fingerprint, labels),
            name: clean(&name.unwrap_or_else(|| "an alert without a name".to_owned()), LABEL),
            severity: severity(labels.get("severity").map_or("", String::as_str)),
            summary: named(&["summary", "description", "message"], annotations).unwrap_or_default(),
            labels: kept.map(|(name, value)| (clean(name, LABEL), clean(value, LABEL))).collect(),
            first_heard: at,
            last_heard: at,
        }
    }

    /// What `resolved` has to name to end it: as it was given, if it looks like one; else made of the
    /// labels, which are what tells two alerts apart.
    pub fn fingerprint_of(given: &str, labels: &BTreeMap<String, String>) -> String {
        let is_one = !given.is_empty()
            && given.len() <= FINGERPRINT
            && given.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if is_one {
            return given.to_owned();
        }
        let mut digest = Sha256::new();
        for text in labels.iter().flat_map(|(name, value)| [name, value]) {
            digest.update(text.len().to_le_bytes());
            digest.update(text.as_bytes());
        }
        let digest = digest.finalize();
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The word of the label `severity`; everybody has words of their own.
fn severity(word: &str) -> Severity {
    match word.trim().to_ascii_lowercase().as_str() {
        "critical" | "crit" | "error" | "fatal" | "emergency" | "page" | "disaster" | "high"
        | "p1" | "sev1" => Severity::Critical,
        // `none` is the severity of the alert that always fires, to show that alerts arrive.
        "info" | "information" | "informational" | "none" | "debug" | "notice" | "ok" => {
            Severity::Info
        }
        _ => Severity::Warning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn heard(fingerprint: &str, pairs: &[(&str, &str)]) -> OutsideAlert {
        let none = BTreeMap::new();
        OutsideAlert::heard(fingerprint, &labels(pairs), &none, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn the_same_labels_have_the_same_fingerprint_where_none_is_given() {
        let (one, other) = ([("a", "1"), ("b", "2")], [("a", "12"), ("b", "")]);
        assert_eq!(heard("", &one).fingerprint, heard("../../x", &one).fingerprint);
        assert_ne!(heard("", &one).fingerprint, heard("", &other).fingerprint);
        assert_eq!(heard("92ec4f50d4d8cd4b", &one).fingerprint, "92ec4f50d4d8cd4b");
    }

    #[test]
    fn every_word_for_how_bad_it_is_is_understood_and_an_unknown_one_is_a_warning() {
        for (word, severity) in [
            ("Critical", Severity::Critical),
            ("page", Severity::Critical),
            ("warning", Severity::Warning),
            ("ticket", Severity::Warning),
            ("", Severity::Warning),
            ("none", Severity::Info),
        ] {
            assert_eq!(heard("", &[("severity", word)]).severity, severity, "{word}");
        }
    }

    #[test]
    fn what_strangers_wrote_is_bounded_cleaned_and_redacted() {
        let long = "x".repeat(10_000);
        let alert = heard(
            &long,
            &[
                ("alertname", "\u{1b}[31mred\u{202e}"),
                ("url", "http://a:hunter2secret@b/"),
                ("z", &long),
            ],
        );
        assert_eq!(alert.name, "[31mred");
        assert_eq!(alert.fingerprint.len(), 32);
        assert!(!alert.labels["url"].contains("hunter2secret"), "{alert:?}");
        assert_eq!(alert.labels["z"].chars().count(), LABEL);
        let many: Vec<(String, String)> =
            (0..500).map(|n| (format!("l{n}"), String::new())).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(heard("", &many).labels.len(), LABELS);
    }
}
