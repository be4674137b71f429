//! One entry: what is said in it, and how it is sealed. Pure.
//!
//! A line is the entry as JSON with `hash` as its last member: the SHA-256 of everything before
//! that member, byte by byte, in which the hash of the entry before stands. So no two ways to
//! write the same JSON have the same hash, and nothing has to be written anew to verify it.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use selfheal_agents::fix_engineer::config_file::sha256;
use selfheal_agents::model::{IncidentId, TargetId, Timestamp, clean};
use serde::{Deserialize, Serialize};

/// What stands between an entry and its hash.
const SEAL: &str = ",\"hash\":\"";
/// Characters of each text at most.
const LONGEST_NAME: usize = 80;
const LONGEST_ACT: usize = 40;
const LONGEST_TARGET: usize = 300;
const LONGEST_DETAIL: usize = 1000;

/// By which way somebody acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// A button of the pages.
    Page,
    /// A call of the API.
    Api,
    /// The command line.
    Cli,
    /// A job of another program.
    Stream,
    /// A decision on another node of the fleet.
    Fleet,
    /// Selfheal did it, by itself or because somebody had asked.
    Selfheal,
}

impl Via {
    /// The word that is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Api => "api",
            Self::Cli => "cli",
            Self::Stream => "stream",
            Self::Fleet => "fleet",
            Self::Selfheal => "selfheal",
        }
    }
}

/// Who acts, and by which way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// The name of the token, or what they say of themselves where none is asked for.
    pub who: String,
    /// By which way.
    pub via: Via,
}

/// What is to be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    at: Timestamp,
    by: By,
    word: String,
    target: Option<String>,
    incident: Option<IncidentId>,
    detail: String,
}

impl Act {
    /// Somebody did something, in a word.
    pub fn new(at: Timestamp, by: By, word: impl Into<String>) -> Self {
        Self { at, by, word: word.into(), target: None, incident: None, detail: String::new() }
    }

    /// Selfheal did something.
    pub fn of_selfheal(at: Timestamp, word: impl Into<String>) -> Self {
        Self::new(at, By { who: "selfheal".to_owned(), via: Via::Selfheal }, word)
    }

    /// To what.
    #[must_use]
    pub fn on(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// To what, if to one thing.
    #[must_use]
    pub fn on_one(self, target: Option<&TargetId>) -> Self {
        match target {
            Some(target) => self.on(target.to_string()),
            None => self,
        }
    }

    /// For which incident.
    #[must_use]
    pub const fn about(mut self, incident: IncidentId) -> Self {
        self.incident = Some(incident);
        self
    }

    /// What there is to say of it.
    #[must_use]
    pub fn saying(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// When.
    pub(super) const fn at(&self) -> Timestamp {
        self.at
    }

    /// What is left to say once it was refused.
    #[must_use]
    pub fn refused(mut self, at: Timestamp, why: &str) -> Self {
        (self.at, self.detail) = (at, format!("{}: {why}", self.word));
        "refused".clone_into(&mut self.word);
        self
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{} ({}): {}", self.by.who, self.by.via.as_str(), self.word);
        let target = self.target.as_ref().map(|target| format!(" {target}")).unwrap_or_default();
        let incident = self.incident.map(|id| format!(" incident {id}")).unwrap_or_default();
        let whole = format!("{text}{target}{incident}: {}", self.detail);
        f.write_str(&clean(&whole, LONGEST_DETAIL))
    }
}

/// One entry as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Counts from 1, without a gap.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who: the name of a token, what somebody without one says of themselves, or `selfheal`.
    pub who: String,
    /// By which way.
    pub via: Via,
    /// What was decided or done, in a word.
    pub act: String,
    /// To what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// For which incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<IncidentId>,
    /// Why, or how.
    pub detail: String,
    /// The hash of the entry before.
    pub previous: String,
    /// SHA-256 of the line up to this member.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
}

/// The number and hash of the newest entry: whoever noted it sees whether any entry up to there is
/// another one today.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Of the newest entry.
    pub seq: u64,
    /// Of the newest entry.
    pub hash: String,
}

impl Head {
    /// Before the first entry.
    pub(super) fn none() -> Self {
        Self { seq: 0, hash: "0".repeat(64) }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

/// What was typed is no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a head is a number and 64 hexadecimal digits, such as 118:9f3a...")]
pub struct HeadError;

impl FromStr for Head {
    type Err = HeadError;

    fn from_str(text: &str) -> Result<Self, HeadError> {
        let (seq, hash) = text.split_once(':').ok_or(HeadError)?;
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        match seq.parse() {
            Ok(seq) if is_hash && seq > 0 => Ok(Self { seq, hash: hash.to_ascii_lowercase() }),
            _ => Err(HeadError),
        }
    }
}

impl Entry {
    /// What follows on `before`. Nothing that steers a terminal and no secret of a known shape comes
    /// into the log.
    pub(super) fn after(before: &Head, act: &Act) -> Self {
        Self {
            seq: before.seq + 1,
            at: act.at,
            who: clean(&act.by.who, LONGEST_NAME),
            via: act.by.via,
            act: clean(&act.word, LONGEST_ACT),
            target: act.target.as_ref().map(|target| clean(target, LONGEST_TARGET)),
            incident: act.incident,
            detail: clean(&act.detail, LONGEST_DETAIL),
            previous: before.hash.clone(),
            hash: String::new(),
        }
    }

    /// The line of one that has no hash yet, with its end, and the head that it is then.
    pub(super) fn sealed(&self) -> serde_json::Result<(String, Head)> {
        let whole = serde_json::to_string(self)?;
        let body = whole.strip_suffix('}').unwrap_or(&whole);
        let hash = sha256(body.as_bytes());
        Ok((format!("{body}{SEAL}{hash}\"}}\n"), Head { seq: self.seq, hash }))
    }

    /// The entry of a line without its end; `None` where it is not as it was written.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        let (body, _) = text.rsplit_once(SEAL)?;
        let is_sealed = format!("{body}{SEAL}{}\"}}", sha256(body.as_bytes())) == text;
        serde_json::from_str(text).ok().filter(|_| is_sealed)
    }

    /// The head that it is.
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_read_as_it_was_and_every_other_byte_is_noticed() {
        let at = "2026-11-22T12:00:00Z".parse().unwrap();
        let act = Act::of_selfheal(at, "held")
            .on("container:web")
            .saying("a \"quoted\",\"hash\":\" and a \u{1b}[2Jtrick\nwith ü");
        let (line, head) = Entry::after(&Head::none(), &act).sealed().unwrap();
        let line = line.strip_suffix('\n').unwrap();
        let read = Entry::read(line.as_bytes()).unwrap();
        assert_eq!(
            (read.head(), read.seq, read.target.as_deref()),
            (head, 1, Some("container:web"))
        );
        assert_eq!(read.detail, "a \"quoted\",\"hash\":\" and a [2Jtrick with ü");
        for at in 0..line.len() {
            for bit in 0..8 {
                let mut other = line.as_bytes().to_vec();
                other[at] ^= 1 << bit;
                assert_eq!(Entry::read(&other), None, "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_head_is_read_as_it_is_told() {
        let head = Head { seq: 118, hash: "9f".repeat(32) };
        assert_eq!(head.to_string().parse(), Ok(head));
        for wrong in ["", "118", "118:9f", "x:9f", "0:", ":"] {
            assert_eq!(wrong.parse::<Head>(), Err(HeadError), "{wrong}");
        }
    }
}
