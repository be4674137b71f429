//! What is remembered of a container from when it was healthy, and which of it is put back.
//!
//! Of each file the last content that proved itself is kept until another has proved itself: a
//! wrong value may let a program live for a while. It reads and writes no file.

mod make;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::{NetworkAttachment, Timestamp};

pub use make::{GoodMake, Images};

/// The content of a file with which its container was healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoodFile {
    /// Path on the host.
    pub path: String,
    /// The content, text.
    pub content: String,
    /// Its SHA-256.
    pub sha256: String,
    /// When it was first seen to work.
    pub seen_at: Timestamp,
    /// Whether its container has lived with it for long, not only for a moment.
    #[serde(default)]
    pub proven: bool,
}

/// What is remembered of a container from when it was healthy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Remembered {
    /// Docker's id of the container that was healthy; another id is another container.
    #[serde(default)]
    pub container_id: String,
    /// Its configuration files, by path; of each the newest content, and before it one that
    /// proved itself better, if there is one.
    pub files: Vec<GoodFile>,
    /// The networks it was on.
    pub networks: Vec<NetworkAttachment>,
    /// How it was made, once it was well for long.
    #[serde(default)]
    pub make: Option<GoodMake>,
}

impl Remembered {
    /// The files of which a content is known.
    pub fn paths(&self) -> BTreeSet<&str> {
        self.files.iter().map(|file| file.path.as_str()).collect()
    }

    /// Takes the content that a file has now, with which its container works.
    pub fn saw(&mut self, mut seen: GoodFile) {
        let same = |file: &GoodFile| file.path == seen.path && file.sha256 == seen.sha256;
        if let Some(known) = self.files.iter().find(|file| same(file)) {
            seen = GoodFile { proven: known.proven || seen.proven, ..known.clone() };
        }
        let others = |file: &&GoodFile| file.path == seen.path && file.sha256 != seen.sha256;
        let others: Vec<&GoodFile> = self.files.iter().filter(others).collect();
        let better = others.iter().find(|file| file.proven).or(others.last());
        let better = better.map(|file| (*file).clone()).filter(|_| !seen.proven);
        self.files.retain(|file| file.path != seen.path);
        self.files.extend(better.into_iter().chain([seen]));
        // Stable: of one file the newest stays last.
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
    }

    /// The content to put back into a file that has the checksum `now_sha256`; `None` where it
    /// has the best one known.
    pub fn better_than(&self, path: &str, now_sha256: &str) -> Option<&GoodFile> {
        let known: Vec<&GoodFile> = self.files.iter().filter(|file| file.path == path).collect();
        match known.iter().find(|file| file.proven) {
            Some(proven) => Some(*proven).filter(|proven| proven.sha256 != now_sha256),
            None => known.into_iter().rfind(|file| file.sha256 != now_sha256),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::start_time;

    fn seen(path: &str, content: &str, proven: bool) -> GoodFile {
        GoodFile {
            path: path.to_owned(),
            content: content.to_owned(),
            sha256: format!("sum of {content}"),
            seen_at: start_time(),
            proven,
        }
    }

    /// What is put back into `a.conf` that holds `now` after these contents were seen to work,
    /// each proven or not.
    fn put_back<'a>(contents: &[(&str, bool)], now: &str) -> Option<&'a str> {
        let mut remembered = Remembered::default();
        remembered.saw(seen("b.conf", "another file", true));
        for (content, proven) in contents {
            remembered.saw(seen("a.conf", content, *proven));
        }
        assert!(remembered.files.len() <= 3, "{remembered:?}");
        assert!(remembered.paths().len() <= 2);
        let better = remembered.better_than("a.conf", &format!("sum of {now}"));
        better.map(|file| file.content.clone().leak() as &str)
    }

    #[test]
    fn what_proved_itself_stays_until_another_content_has() {
        let proved = ("old", true);
        assert_eq!(put_back(&[proved, ("new", false)], "new"), Some("old"));
        assert_eq!(put_back(&[proved, ("new", false), ("newer", false)], "newer"), Some("old"));
        assert_eq!(put_back(&[proved, ("new", false), ("new", true)], "broken"), Some("new"));
        assert_eq!(put_back(&[proved, ("new", true)], "new"), None);
        assert_eq!(put_back(&[proved, ("new", false), ("old", false)], "new"), Some("old"));
    }

    #[test]
    fn the_proven_content_is_not_left_for_one_that_worked_for_a_moment() {
        assert_eq!(put_back(&[("old", true), ("new", false)], "old"), None);
    }

    #[test]
    fn as_long_as_nothing_proved_itself_the_newest_other_content_is_put_back() {
        assert_eq!(put_back(&[("a", false)], "broken"), Some("a"));
        assert_eq!(put_back(&[("a", false)], "a"), None);
        assert_eq!(put_back(&[("a", false), ("b", false)], "broken"), Some("b"));
        assert_eq!(put_back(&[("a", false), ("b", false)], "b"), Some("a"));
        assert_eq!(put_back(&[], "broken"), None);
    }

    #[test]
    fn what_an_older_version_wrote_down_is_read_and_counts_as_not_proven() {
        let old = serde_json::json!({
            "files": [{
                "path": "a.conf", "content": "x", "sha256": "y", "seen_at": "2026-01-01T00:00:00Z",
            }],
            "networks": [],
        });
        let read: Remembered = serde_json::from_value(old).unwrap();
        assert!(!read.files[0].proven);
    }
}
